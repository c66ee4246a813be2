import { randomBytes } from "node:crypto";

import { startDaemonAt } from "./daemon.js";
import { type Content, message, now, type Role } from "./encode.js";
import { type Head, LiveFile, publish, sessionText } from "./live.js";
import { fallback, find, makeReady, type Places } from "./places.js";
import { info, quietly, shown, warn } from "./quiet.js";
import { bringHome } from "./recover.js";

const TRY_AGAIN_AFTER_MS = 1_000;
const SWEEP_EVERY_MS = 60_000;
const KEPT_IN_MEMORY = 100;

/** Whose chat it is and what answers. */
export interface SessionOptions {
  userId?: string;
  app?: string;
  model?: string;
  metadata?: Record<string, unknown>;
}

export interface TrackerOptions {
  /** The folder that the daemon watches; without it `$ATLES_SPOOL`, else that of the pipeline.toml `atles` would find. */
  spool?: string;
  userId?: string;
  app?: string;
  model?: string;
  /** Start `atles run` if no daemon runs. */
  autoStartDaemon?: boolean;
  /** Put each message on stable storage, so that it survives a power failure too, and not only the end of the app. */
  fsync?: boolean;
}

export interface MessageOptions {
  metadata?: Record<string, unknown>;
  id?: string;
  name?: string;
  /** What the user thought of the message. */
  feedback?: "up" | "down";
  /** ISO 8601; now if absent. */
  timestamp?: string;
}

/** The session under way. `stored` of its lines are in the live file. */
interface Session {
  head: Head;
  lines: string[];
  stored: number;
  live?: LiveFile;
  brokenUntil: number;
}

/** Follows a chat, one at a time; have one each for chats at the same time. */
export class SessionTracker {
  readonly #options: TrackerOptions;
  #places: Places = {};
  #session: Session | undefined;
  #unpublished: { id: string; content: string }[] = [];
  #swept = -Infinity;

  constructor(options: TrackerOptions = {}) {
    this.#options = options;
    this.#findPlaces();
    if (options.autoStartDaemon) void startDaemonAt(this.#places);
  }

  #findPlaces(): void {
    this.#places = quietly("finding the spool", {}, () => find(this.#options.spool));
  }

  /** Begins a session and returns its id. One that is under way is ended first. */
  startSession(sessionId?: string, options: SessionOptions = {}): string {
    return quietly("startSession", "", () => this.#begin(sessionId, options).head.session_id);
  }

  #begin(sessionId?: string, options: SessionOptions = {}): Session {
    this.endSession();
    if (!this.#places.spool) this.#findPlaces();
    const head: Head = { session_id: sessionId ? String(sessionId) : newId(), metadata: { ...options.metadata } };
    const about = {
      user_id: options.userId ?? this.#options.userId,
      app: options.app ?? this.#options.app,
      model: options.model ?? this.#options.model,
      start_time: now(),
    };
    for (const [key, value] of Object.entries(about)) if (value !== undefined) head[key] = String(value);
    this.#session = { head, lines: [], stored: 0, brokenUntil: 0 };
    open.add(this);
    this.#sweep();
    return this.#session;
  }

  /** Adds a message; a session is begun where there is none. The message is in a file when this returns. */
  logMessage(role: Role, content: Content | null, options: MessageOptions = {}): void {
    quietly("logMessage", undefined, () => {
      const { metadata, ...fields } = options;
      const line = message(role, content, metadata, fields);
      const session = this.#session ?? this.#begin();
      session.lines.push(line);
      this.#store(session);
    });
  }

  /** Notes something about the session. */
  setMetadata(key: string, value: unknown): void {
    quietly("setMetadata", undefined, () => {
      const session = this.#session ?? this.#begin();
      session.head.metadata[key] = value;
      this.#rewrite(session);
    });
  }

  /** Names the model of the session under way, where nobody did. */
  noteModel(model: string): void {
    quietly("noteModel", undefined, () => {
      const session = this.#session;
      if (!session || session.head["model"] !== undefined) return;
      session.head["model"] = model;
      this.#rewrite(session);
    });
  }

  /** Ends the session and hands it to the daemon. A session without messages leaves nothing behind. */
  endSession(): void {
    quietly("endSession", undefined, () => {
      const session = this.#session;
      if (!session) return;
      this.#session = undefined;
      open.delete(this);
      if (session.lines.length > 0) this.#publish(session);
      else if (session.live) session.live.remove();
    });
  }

  getCurrentSessionId(): string | undefined {
    return this.#session?.head.session_id;
  }

  getMessageCount(): number {
    return this.#session?.lines.length ?? 0;
  }

  /** Where sessions can be kept now, the best place first; each is made ready when it is its turn. */
  *#folders(): Generator<string> {
    const { spool, config } = this.#places;
    if (!spool) warn("no spool: set $ATLES_SPOOL or run `atles init`; sessions are kept until there is one");
    // Below a folder that is not there either, somebody mistyped, or a disk is not mounted.
    else if (made(spool, config !== undefined)) yield spool;
    for (const folder of fallback(spool)) if (made(folder, true)) yield folder;
  }

  #rewrite(session: Session): void {
    if (!session.live) return;
    try {
      session.live.rewrite(session.head, session.lines);
      session.stored = session.lines.length;
    } catch (problem) {
      info(`the live file keeps its first line: ${shown(problem)}`);
    }
  }

  /** Brings the live file up to the session. */
  #store(session: Session): void {
    const live = session.live;
    if (live?.isWhole()) {
      try {
        live.append(session.lines.slice(session.stored));
        session.stored = session.lines.length;
        return;
      } catch (problem) {
        warn(`cannot write to ${live.folder}: ${shown(problem)}`);
      }
    }
    if (Date.now() < session.brokenUntil) return;
    for (const folder of this.#folders()) {
      try {
        session.live = new LiveFile(folder, session.head, session.lines, this.#options.fsync ?? false);
      } catch (problem) {
        warn(`cannot write to ${folder}: ${shown(problem)}`);
        continue;
      }
      session.stored = session.lines.length;
      if (folder !== this.#places.spool) warn(`the chat is kept in ${folder} until the spool can be written`);
      if (live) discard(live);
      return;
    }
    session.brokenUntil = Date.now() + TRY_AGAIN_AFTER_MS;
    warn("the chat is kept in memory only: no folder can be written");
  }

  #publish(session: Session): void {
    const id = session.head.session_id;
    const content = sessionText(session.head, session.lines, now());
    if (this.#put(id, content)) {
      if (session.live) discard(session.live);
      return;
    }
    // What is in the live file, whole or not, is learned when this process is gone; memory may do better before.
    session.live?.close();
    this.#unpublished = [...this.#unpublished, { id, content }].slice(-KEPT_IN_MEMORY);
    open.add(this);
  }

  #put(id: string, content: string): boolean {
    for (const folder of this.#folders()) {
      try {
        publish(folder, id, content);
      } catch (problem) {
        warn(`cannot publish into ${folder}: ${shown(problem)}`);
        continue;
      }
      if (folder !== this.#places.spool) warn(`the chat is kept in ${folder} until the spool can be written`);
      return true;
    }
    return false;
  }

  /** Brings what had to be kept elsewhere into the spool. */
  #sweep(): void {
    const waiting = this.#unpublished;
    this.#unpublished = waiting.filter(({ id, content }) => !this.#put(id, content));
    const spool = this.#places.spool;
    if (!spool || performance.now() - this.#swept < SWEEP_EVERY_MS) return;
    this.#swept = performance.now();
    for (const folder of [...fallback(spool), ...fallback()]) bringHome(folder, spool);
  }

  /** @internal When the process ends. */
  atExit(): void {
    this.endSession();
    quietly("at exit", undefined, () => this.#sweep());
  }
}

function newId(): string {
  const time = now().slice(0, 19).replace(/[-:]/g, "").replace("T", "_");
  return `session_${time}_${randomBytes(4).toString("hex")}`;
}

function made(folder: string, parents: boolean): boolean {
  try {
    makeReady(folder, parents);
    return true;
  } catch (problem) {
    warn(`cannot use the folder ${folder}: ${shown(problem)}`);
    return false;
  }
}

function discard(live: LiveFile): void {
  try {
    live.remove();
  } catch (problem) {
    // The daemon will find it, and see that it holds nothing new.
    info(`a live file stays behind: ${shown(problem)}`);
  }
}

/** Trackers with something that is not published yet, kept alive by it: a chat must not be lost with a variable. */
const open = new Set<SessionTracker>();

process.on("exit", () => {
  for (const tracker of [...open]) tracker.atExit();
});
