/** Sessions whose app died, and sessions that had to be kept outside of the spool. */
import * as fs from "node:fs";
import * as path from "node:path";

import { type Head, isAbandoned, type Owner, PREFIX, publish, sessionText, SUFFIX, VERSION } from "./live.js";
import { fallback, find } from "./places.js";
import { info, quietly, shown, warn } from "./quiet.js";

const AT_ONCE = 500;

/**
 * Publishes the sessions of apps that died, and those that had to be kept elsewhere. Returns how many. The daemon does
 * this by itself for its spool; this is for those who cannot run one now.
 *
 * @param silentFor milliseconds since the last message
 */
export function recover(spool?: string, silentFor = 60_000): number {
  return quietly("recover", 0, () => {
    const target = find(spool).spool;
    if (!target) return 0;
    const kept = [...fallback(target), ...fallback()].map((folder) => bringHome(folder, target));
    return kept.reduce((sum, count) => sum + count, adopt(target, target, silentFor));
  });
}

/** Moves what a fallback folder holds into the spool. */
export function bringHome(folder: string, spool: string): number {
  return quietly("bringHome", 0, () => {
    const found = names(folder);
    if (found.length === 0 || !fs.existsSync(spool)) return 0;
    let count = adopt(folder, spool, 0);
    for (const name of found.filter((name) => /^completed_.*\.json$/.test(name))) {
      const file = path.join(folder, name);
      publish(spool, name.slice("completed_".length).replace(/-[^-]*\.json$/, ""), fs.readFileSync(file));
      fs.unlinkSync(file);
      count += 1;
    }
    if (count > 0) info(`${count} chats that were kept in ${folder} are in the spool now`);
    return count;
  });
}

function names(folder: string): string[] {
  try {
    const entries = fs.readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name).slice(0, AT_ONCE);
  } catch {
    return [];
  }
}

function adopt(folder: string, spool: string, silentFor: number): number {
  let count = 0;
  for (const name of names(folder)) {
    if (!name.startsWith(PREFIX) || !name.endsWith(SUFFIX)) continue;
    try {
      count += adoptOne(path.join(folder, name), spool, silentFor);
    } catch (problem) {
      warn(`cannot recover ${path.join(folder, name)}: ${shown(problem)}`);
    }
  }
  return count;
}

function adoptOne(file: string, spool: string, silentFor: number): number {
  if (silentFor > 0 && Date.now() - fs.lstatSync(file).mtimeMs < silentFor) return 0;
  const text = fs.readFileSync(file, "utf8");
  const [first, ...rest] = text.split("\n").slice(0, -1);
  if (!first) return 0;
  const { live, ...head } = JSON.parse(first) as Head & { live?: Owner };
  if (live?.version !== VERSION || !isAbandoned(live)) return 0;
  const messages = rest.filter(isObject);
  const last = messages.at(-1);
  if (last !== undefined) {
    const said = (JSON.parse(last) as { timestamp?: unknown }).timestamp;
    const content = sessionText(head as Head, messages, typeof said === "string" ? said : undefined);
    publish(spool, String(head["session_id"] ?? "session"), content);
  }
  fs.unlinkSync(file);
  return messages.length > 0 ? 1 : 0;
}

function isObject(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
