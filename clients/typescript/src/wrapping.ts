/** What the wrappers of model clients share: which messages are new, and answers that are watched as they pass. */
import { createHash } from "node:crypto";

import { toJson } from "./encode.js";
import { quietly } from "./quiet.js";
import { SessionTracker } from "./tracker.js";

export type Fields = Record<string, unknown>;
/** Role and a hash of the content: enough to know a message again. */
export type Print = string;

/** A field of whatever a library hands out. */
export function get(thing: unknown, name: string): unknown {
  return typeof thing === "object" && thing !== null ? (thing as Fields)[name] : undefined;
}

export function list(thing: unknown): unknown[] {
  return Array.isArray(thing) ? thing : [];
}

/**
 * Logs the new messages of each request, and the answers. A request carries the whole conversation again, perhaps
 * shortened at its start, with answers that the app trimmed.
 */
export class Chat {
  readonly #tracker: SessionTracker;
  #seen: Print[] = [];
  #session: string | undefined;

  constructor(tracker?: SessionTracker) {
    this.#tracker = tracker ?? new SessionTracker();
  }

  /** A request with these messages is about to be made. */
  asked(messages: unknown, model: unknown): void {
    quietly("tracking a request", undefined, () => {
      const sent = typeof messages === "string" ? [{ role: "user", content: messages }] : list(messages);
      const prints = sent.map(print);
      if (!this.#session || this.#tracker.getCurrentSessionId() !== this.#session) this.#seen = [];
      const first = newFrom(this.#seen, prints);
      sent.slice(first).forEach((message, at) => this.#log(prints[first + at]!, message, notes(message)));
      if (sent.length > 0 && typeof model === "string") this.#tracker.noteModel(model);
    });
  }

  /** The model answered. */
  answered(content: unknown, metadata?: Fields): void {
    quietly("tracking an answer", undefined, () => {
      if (!content && !metadata) return;
      const message = { role: "assistant", content };
      this.#log(print(message), message, metadata);
    });
  }

  #log(mark: Print, message: unknown, metadata: Fields | undefined): void {
    const name = get(message, "name");
    this.#tracker.logMessage(String(get(message, "role") ?? "user"), get(message, "content") as string, {
      ...(metadata ? { metadata } : {}),
      ...(typeof name === "string" ? { name } : {}),
    });
    this.#session = this.#tracker.getCurrentSessionId();
    this.#seen.push(mark);
  }
}

function print(message: unknown): Print {
  const content = createHash("sha256").update(toJson(get(message, "content") ?? null)).digest("hex").slice(0, 32);
  return `${String(get(message, "role") ?? "user")} ${content}`;
}

const by = (role: string) => (mark: Print) => mark.startsWith(`${role} `);

/** Where in a request the messages begin that are not logged yet. */
export function newFrom(seen: readonly Print[], sent: readonly Print[]): number {
  const last = seen.at(-1);
  if (last === undefined) return 0;
  const again = sent.lastIndexOf(last);
  if (again >= 0) return again + 1;
  // The last answer is not there: the app trimmed or dropped it, or wants another one. Follow the request along what
  // was logged; what is behind the last message that is found there is new.
  let [place, behind] = [0, 0];
  for (const [at, mark] of sent.entries()) {
    const found = seen.indexOf(mark, place);
    if (found < 0) continue;
    // The user's words now; that they once said the same is chance.
    if (at === sent.length - 1 && seen.slice(found + 1).some(by("user"))) break;
    [place, behind] = [found + 1, at + 1];
  }
  if (by("assistant")(last)) while (behind < sent.length && by("assistant")(sent[behind]!)) behind += 1;
  return behind;
}

/** Tool calls, and what a tool's reply answers. */
function notes(message: unknown): Fields | undefined {
  const found: Fields = {};
  for (const key of ["tool_calls", "tool_call_id", "tool_name"]) {
    const value = get(message, key);
    if (value && (!Array.isArray(value) || value.length > 0)) found[key] = value;
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

type Call = (...args: unknown[]) => unknown;
export type Watched = Record<string, (original: Call) => Call>;

/** Stands before an object and hands everything on, but for the calls that are watched. */
export function wrapped<T extends object>(target: T, watched: Watched, above = ""): T {
  return new Proxy(target, {
    get(from, key) {
      const value: unknown = Reflect.get(from, key, from);
      if (typeof key !== "string") return value;
      const where = above + key;
      if (typeof value === "function") {
        const bound = value.bind(from) as Call;
        return watched[where] ? watched[where](bound) : bound;
      }
      const inside = Object.keys(watched).some((known) => known.startsWith(`${where}.`));
      return inside && typeof value === "object" && value !== null ? wrapped(value, watched, `${where}.`) : value;
    },
  });
}

/** A promise, or whatever more it can do, that resolves to what `after` makes of its value. */
export function then(promise: unknown, after: (value: unknown) => unknown): unknown {
  if (typeof get(promise, "then") !== "function") return after(promise);
  let result: Promise<unknown> | undefined;
  const resolved = () => (result ??= Promise.resolve(promise as Promise<unknown>).then(after));
  return new Proxy(promise as object, {
    get(from, key) {
      if (key === "then" || key === "catch" || key === "finally") {
        const made = resolved();
        return made[key].bind(made);
      }
      const value: unknown = Reflect.get(from, key, from);
      if (typeof value !== "function") return value;
      const bound = value.bind(from) as Call;
      // The OpenAI SDK's way to the headers; it resolves to an object around the same answer.
      return key === "withResponse" ? async () => withData(await bound(), after) : bound;
    },
  });
}

function withData(answer: unknown, after: (value: unknown) => unknown): unknown {
  return { ...(answer as object), data: after(get(answer, "data")) };
}

/** A stream that is passed on as it comes. What was said is logged when it ends, however it ends. */
export function watch(stream: unknown, take: (chunk: unknown) => void, end: (whole: boolean) => void): unknown {
  if (typeof stream !== "object" || stream === null) return stream;
  async function* passed(): AsyncGenerator<unknown> {
    let whole = false;
    try {
      for await (const chunk of stream as AsyncIterable<unknown>) {
        quietly("tracking a stream", undefined, () => take(chunk));
        yield chunk;
      }
      whole = true;
    } finally {
      quietly("tracking a stream", undefined, () => end(whole));
    }
  }
  return new Proxy(stream, {
    get(from, key) {
      if (key === Symbol.asyncIterator) return passed;
      const value: unknown = Reflect.get(from, key, from);
      return typeof value === "function" ? value.bind(from) : value;
    },
  });
}
