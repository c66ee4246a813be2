import { debuglog } from "node:util";

/** Takes what goes wrong, and at "info" what is worth knowing. */
export type Logger = (level: "info" | "warn", message: string) => void;

const debug = debuglog("atles");
const SAY_AGAIN_AFTER_MS = 60_000;
const said = new Map<string, number>();
let logger: Logger = (_, message) => debug(message);

/** Where problems go. Without it they are seen with `NODE_DEBUG=atles`. */
export function setLogger(taker: Logger): void {
  logger = taker;
}

function tell(level: "info" | "warn", message: string): void {
  try {
    logger(level, message);
  } catch {
    // An app's logger that throws is no reason to disturb the app.
  }
}

export function info(message: string): void {
  tell("info", message);
}

/** Warns, of the same thing at most once a minute. */
export function warn(message: string): void {
  const now = Date.now();
  if (now - (said.get(message) ?? -Infinity) < SAY_AGAIN_AFTER_MS) return;
  if (said.size > 500) said.clear();
  said.set(message, now);
  tell("warn", message);
}

export function shown(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}

/** Runs something that must not throw into the app. */
export function quietly<T>(what: string, otherwise: T, work: () => T): T {
  try {
    return work();
  } catch (problem) {
    warn(`${what}: ${shown(problem)}`);
    return otherwise;
  }
}
