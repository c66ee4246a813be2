/** The live file: a running session, a line a message. ../../FORMAT.md describes it. */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

import { toJson } from "./encode.js";

export const VERSION = 1;
export const PREFIX = ".live-";
export const SUFFIX = ".jsonl";
const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
const NEW = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | (O_NOFOLLOW ?? 0);

/** What is known of a session beside its messages. */
export type Head = { session_id: string; metadata: Record<string, unknown>; [key: string]: unknown };

/** A name that no other live file has: the time, so that names sort, and 80 random bits. */
export function newToken(): string {
  return Date.now().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
}

/** What tells `atles run` which files its app made. */
function runMark(): string {
  const run = process.env.ATLES_RUN ?? "";
  return /^[0-9a-f]{8,32}$/.test(run) ? `-run-${run}` : "";
}

/** An open live file. Node has no file locks, so its first line says which process writes it. */
export class LiveFile {
  readonly folder: string;
  readonly #fsync: boolean;
  readonly #path: string;
  #fd = -1;
  #size = 0;
  #inode = "";

  constructor(folder: string, head: Head, lines: readonly string[], fsync: boolean) {
    this.folder = folder;
    this.#fsync = fsync;
    this.#path = path.join(folder, PREFIX + newToken() + runMark() + SUFFIX);
    this.#open(this.#path, head, lines);
    if (fsync) syncFolder(folder);
  }

  #open(file: string, head: Head, lines: readonly string[]): void {
    const fd = fs.openSync(file, NEW, 0o600);
    try {
      const content = Buffer.from([toJson({ ...head, live: owner() }), ...lines, ""].join("\n"));
      writeAll(fd, content);
      if (this.#fsync) fs.fdatasyncSync(fd);
      this.#inode = inode(fs.fstatSync(fd));
      this.#size = content.length;
    } catch (problem) {
      fs.closeSync(fd);
      fs.unlinkSync(file);
      throw problem;
    }
    this.#fd = fd;
  }

  /** Adds whole lines. Where it throws, the file is as it was before. */
  append(lines: readonly string[]): void {
    const content = Buffer.from([...lines, ""].join("\n"));
    try {
      writeAll(this.#fd, content);
      if (this.#fsync) fs.fdatasyncSync(this.#fd);
    } catch (problem) {
      fs.ftruncateSync(this.#fd, this.#size);
      throw problem;
    }
    this.#size += content.length;
  }

  /** Whether the file is still there, and holds exactly what was put into it. */
  isWhole(): boolean {
    const status = fs.statSync(this.#path, { throwIfNoEntry: false });
    return status !== undefined && inode(status) === this.#inode && status.size === this.#size;
  }

  /** Puts a file with another first line in the place of this one, in one step. */
  rewrite(head: Head, lines: readonly string[]): void {
    const old = { fd: this.#fd, size: this.#size, inode: this.#inode };
    const aside = path.join(this.folder, ".new" + path.basename(this.#path).slice(".live".length));
    this.#open(aside, head, lines);
    try {
      fs.renameSync(aside, this.#path);
    } catch (problem) {
      fs.closeSync(this.#fd);
      fs.unlinkSync(aside);
      [this.#fd, this.#size, this.#inode] = [old.fd, old.size, old.inode];
      throw problem;
    }
    fs.closeSync(old.fd);
  }

  /** Deletes the file; what it held is published. */
  remove(): void {
    this.close();
    // The daemon may have taken the file under this name; what then has the name is not ours.
    const status = fs.statSync(this.#path, { throwIfNoEntry: false });
    if (status && inode(status) === this.#inode) fs.unlinkSync(this.#path);
  }

  /** Lets go of the file. */
  close(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}

function inode(status: fs.Stats): string {
  return `${status.dev}:${status.ino}`;
}

function writeAll(fd: number, content: Buffer): void {
  let written = 0;
  while (written < content.length) written += fs.writeSync(fd, content, written);
}

/** Puts the names in a folder on stable storage, where the system can. */
export function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const fd = fs.openSync(folder, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Who writes a live file, by which a reader tells whether that one still lives. */
export interface Owner {
  version: number;
  client?: string;
  lock?: "flock" | "pid";
  pid?: number;
  host?: string;
  boot?: string;
  pids?: string;
  began?: string;
}

let facts: Owner | undefined;

export function owner(): Owner {
  facts ??= {
    version: VERSION,
    client: "atles-client-node",
    lock: "pid",
    pid: process.pid,
    host: os.hostname(),
    ...system(),
    ...given("began", began(process.pid)),
  };
  return facts;
}

function given(key: string, value: string | undefined): Record<string, string> {
  return value ? { [key]: value } : {};
}

function system(): Pick<Owner, "boot" | "pids"> {
  return {
    ...given("boot", attempt(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim())),
    ...given("pids", attempt(() => fs.readlinkSync("/proc/self/ns/pid"))),
  };
}

/** When a process began, in clock ticks since the machine did; tells it from a later one with the same number. */
function began(pid: number): string | undefined {
  const stat = attempt(() => fs.readFileSync(`/proc/${pid}/stat`, "utf8"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** Whether the writer of a live file is gone, as far as its process tells. */
export function isAbandoned(writer: Owner): boolean {
  const here = system();
  if (writer.host !== os.hostname() || writer.pids !== here.pids) return false;
  if (writer.boot !== here.boot) return true;
  if (!Number.isInteger(writer.pid) || writer.pid! <= 0) return false;
  if (writer.began) return began(writer.pid!) !== writer.began;
  try {
    process.kill(writer.pid!, 0);
    return false;
  } catch (problem) {
    return (problem as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** A session file in the format of ATLES. */
export function sessionText(head: Head, lines: readonly string[], endTime?: string): string {
  const opened = toJson(endTime ? { ...head, end_time: endTime } : head).slice(0, -1);
  return `${opened},"messages":[\n${lines.join(",\n")}\n]}\n`;
}

/** Puts a session file into a folder, whole or not at all, on stable storage. */
export function publish(folder: string, sessionId: string, content: string | Buffer): string {
  const token = newToken();
  const aside = path.join(folder, `.end-${token}.json`);
  const part = sessionId.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, 80) || "session";
  // The token makes the name new, so that a plain rename replaces nothing.
  const target = path.join(folder, `completed_${part}-${token.slice(4, 20)}${runMark()}.json`);
  const fd = fs.openSync(aside, NEW, 0o600);
  try {
    try {
      writeAll(fd, Buffer.from(content));
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(aside, target);
  } catch (problem) {
    attempt(() => fs.unlinkSync(aside));
    throw problem;
  }
  attempt(() => syncFolder(folder));
  return target;
}
