import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

import { shown, warn } from "./quiet.js";

/** What is known of where the daemon lives. */
export interface Places {
  spool?: string;
  home?: string;
  config?: string;
}

/** The spool from the argument, `$ATLES_SPOOL`, or the configuration that the `atles` command would find. */
export function find(spool?: string): Places {
  const named = spool || process.env["ATLES_SPOOL"] || "";
  const found = findConfig();
  if (!named) return found ? ofConfig(found) : {};
  const wanted = path.resolve(named);
  const above = path.dirname(wanted);
  for (const config of [found, path.join(above, "pipeline.toml"), path.join(above, "..", "pipeline.toml")]) {
    if (!config || !fs.existsSync(config)) continue;
    const places = ofConfig(config);
    if (places.spool && real(places.spool) === real(wanted)) return places;
  }
  return { spool: wanted, home: above };
}

function real(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

/** `$ATLES_CONFIG`, else `./pipeline.toml`, else the one in the user's configuration folder. */
export function findConfig(): string | undefined {
  const env = process.env;
  if (env["ATLES_CONFIG"]) return path.resolve(env["ATLES_CONFIG"]);
  const candidates = [path.resolve("pipeline.toml")];
  const folder = env["XDG_CONFIG_HOME"];
  if (folder && path.isAbsolute(folder)) candidates.push(path.join(folder, "atles", "pipeline.toml"));
  else if (process.platform === "win32") candidates.push(path.join(env["APPDATA"] ?? "", "atles", "pipeline.toml"));
  else if (env["HOME"]) candidates.push(path.join(env["HOME"], ".config", "atles", "pipeline.toml"));
  return candidates.find((file) => fs.existsSync(file));
}

function ofConfig(config: string): Places {
  let settings: Record<string, string>;
  try {
    settings = pathsInToml(fs.readFileSync(config, "utf8"));
  } catch (problem) {
    warn(`cannot read ${config}: ${shown(problem)}`);
    return { config };
  }
  const folder = path.dirname(config);
  const home = path.resolve(folder, settings["home"] ?? "atles_memory");
  const spool = settings["spool"] ? path.resolve(folder, settings["spool"]) : path.join(home, "spool");
  return { spool, home, config };
}

const STRING = `("(?:[^"\\\\]|\\\\.)*"|'[^']*')`;
const HEADER = /^\s*\[\s*([^[\]]+?)\s*\]/;
const ARRAY_HEADER = /^\s*\[\[/;
const PATH = new RegExp(`^\\s*(?:(home|spool)\\s*\\.\\s*)?path\\s*=\\s*${STRING}`);
const INLINE = new RegExp(`^\\s*(home|spool)\\s*=\\s*\\{[^}]*?\\bpath\\s*=\\s*${STRING}`);

/** The `path` of `[home]` and of `[spool]`: these two keys in their usual spellings, no more of TOML than that. */
export function pathsInToml(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  let section = "";
  for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
    const header = HEADER.exec(line);
    if (ARRAY_HEADER.test(line) || header) {
      section = header ? header[1]!.replace(/^["']|["']$/g, "") : "[[";
      continue;
    }
    const inline = section === "" ? INLINE.exec(line) : null;
    const match = inline ?? PATH.exec(line);
    if (!match) continue;
    const table = section === "" ? match[1] : match[1] === undefined ? section : undefined;
    if (table === "home" || table === "spool") {
      const quoted = match[2]!;
      found[table] = quoted.startsWith("'") ? quoted.slice(1, -1) : (JSON.parse(quoted) as string);
    }
  }
  return found;
}

/** The folders that keep sessions meant for a spool while it cannot be written, the best first. */
export function fallback(spool?: string): string[] {
  const part = spool ? createHash("sha256").update(spool).digest("hex").slice(0, 16) : "no-spool";
  const roots: string[] = [];
  const env = process.env;
  const state = env["XDG_STATE_HOME"];
  if (state && path.isAbsolute(state)) roots.push(state);
  else if (process.platform === "win32" && env["LOCALAPPDATA"]) roots.push(env["LOCALAPPDATA"]);
  else if (env["HOME"]) roots.push(path.join(env["HOME"], ".local", "state"));
  const user = process.getuid ? process.getuid() : os.userInfo().username;
  return [
    ...roots.map((root) => path.join(root, "atles", "unsent", part)),
    path.join(os.tmpdir(), `atles-${user}`, "unsent", part),
  ];
}

/**
 * Makes a folder that only its owner can enter, and those above it where asked. Throws where it cannot be made, or
 * belongs to somebody else, who could read what we put there.
 */
export function makeReady(folder: string, parents: boolean): void {
  if (!fs.existsSync(folder)) {
    if (parents) fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    else fs.mkdirSync(folder, { mode: 0o700 });
  }
  const { uid } = fs.statSync(folder);
  if (parents && process.getuid && uid !== process.getuid() && uid !== 0) {
    throw new Error(`${folder} belongs to another user`);
  }
}
