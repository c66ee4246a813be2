/** Asking the daemon, and starting it. */
import { execFile, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as os from "node:os";
import * as path from "node:path";

import { find, type Places } from "./places.js";
import { info, shown, warn } from "./quiet.js";

const LONGEST_SOCKET_NAME = 100;
const ANSWER_WITHIN_MS = 2_000;

/** What the daemon is doing, as `atles status --json` has it. */
export interface DaemonStatus {
  running: boolean;
  pid?: number;
  home?: string;
  stages?: string[];
  [key: string]: unknown;
}

export interface RecallOptions {
  userId?: string;
  limit?: number;
  since?: string;
  spool?: string;
  /** Milliseconds; 10 seconds if absent. */
  timeout?: number;
}

/** The `atles` command: `$ATLES_BIN`, else on the path, else where cargo puts programs. */
function binary(): string | undefined {
  const named = process.env["ATLES_BIN"];
  const ending = process.platform === "win32" ? ".exe" : "";
  const folders = (process.env["PATH"] ?? "").split(path.delimiter).filter((folder) => folder !== "");
  folders.push(path.join(os.homedir(), ".cargo", "bin"), path.join(os.homedir(), ".local", "bin"));
  const candidates = named ? [named] : folders.map((folder) => path.join(folder, "atles" + ending));
  return candidates.find((file) => {
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return fs.statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/** What the daemon is doing. Without a daemon `running` is false. */
export async function getDaemonStatus(spool?: string): Promise<DaemonStatus> {
  try {
    return await statusAt(find(spool));
  } catch (problem) {
    warn(`getDaemonStatus: ${shown(problem)}`);
    return { running: false };
  }
}

async function statusAt(places: Places): Promise<DaemonStatus> {
  const said = process.platform === "win32" ? await askCommand(places) : await askSocket(places.home);
  return { ...said, running: said?.["running"] === true };
}

function askSocket(home: string | undefined): Promise<Record<string, unknown> | undefined> {
  if (!home) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    let socket = path.join(home, "control.sock");
    let folder = -1;
    if (Buffer.byteLength(socket) > LONGEST_SOCKET_NAME) {
      try {
        folder = fs.openSync(home, "r");
        socket = `/proc/self/fd/${folder}/control.sock`;
      } catch {
        return resolve(undefined);
      }
    }
    let answer = "";
    const connection = net.connect(socket, () => connection.write('{"ask":"status"}\n'));
    connection.setEncoding("utf8").setTimeout(ANSWER_WITHIN_MS, () => connection.destroy());
    connection.on("data", (part: string) => (answer += part));
    connection.on("error", () => {});
    connection.on("close", () => {
      if (folder >= 0) fs.closeSync(folder);
      try {
        const { answer: kind, ...report } = JSON.parse(answer) as Record<string, unknown>;
        resolve(kind === "status" ? report : undefined);
      } catch {
        resolve(undefined);
      }
    });
  });
}

async function askCommand(places: Places): Promise<Record<string, unknown> | undefined> {
  const { stdout } = await run([...configFlag(places), "status", "--json"], 10_000);
  return JSON.parse(stdout || "{}") as Record<string, unknown>;
}

function configFlag(places: Places): string[] {
  return places.config ? ["--config", places.config] : [];
}

function run(args: string[], timeout: number): Promise<{ failed: boolean; stdout: string; stderr: string }> {
  const program = binary();
  if (!program) return Promise.reject(new Error("there is no atles command"));
  return new Promise((resolve) => {
    execFile(program, args, { timeout, maxBuffer: 64 << 20 }, (problem, stdout, stderr) => {
      resolve({ failed: problem !== null, stdout, stderr: stderr || (problem ? problem.message : "") });
    }).stdin?.end();
  });
}

/** Starts `atles run` apart from this process, unless a daemon runs. True if one runs or was started. */
export async function startDaemon(spool?: string): Promise<boolean> {
  try {
    return await startDaemonAt(find(spool));
  } catch (problem) {
    warn(`startDaemon: ${shown(problem)}`);
    return false;
  }
}

/** @internal Never rejects. */
export async function startDaemonAt(places: Places): Promise<boolean> {
  try {
    if (places.home && (await statusAt(places)).running) return true;
    const program = binary();
    if (!program) {
      warn("no daemon runs, and there is no atles command to start one; chats wait in the spool");
      return false;
    }
    if (!places.config) {
      warn("no daemon runs, and there is no pipeline.toml to start one with; `atles init` writes one");
      return false;
    }
    const child = spawn(program, [...configFlag(places), "run"], {
      cwd: path.dirname(places.config),
      detached: true,
      stdio: "ignore",
      windowsHide: true,
    });
    child.on("error", (problem) => warn(`cannot start the daemon: ${shown(problem)}`));
    child.unref();
    info("started the daemon");
    return child.pid !== undefined;
  } catch (problem) {
    warn(`cannot start the daemon: ${shown(problem)}`);
    return false;
  }
}

/**
 * What was learned about something, the best first, as `atles recall --json` gives it. Empty where there is nothing,
 * or no `atles` command.
 */
export async function recall(query: string, options: RecallOptions = {}): Promise<Record<string, unknown>[]> {
  try {
    const flags = { "--user": options.userId, "--limit": options.limit, "--since": options.since };
    const given = Object.entries(flags).filter(([, value]) => value !== undefined);
    const asked = given.map(([flag, value]) => `${flag}=${value}`);
    // A NUL cannot be handed to a program.
    const args = [...configFlag(find(options.spool)), "recall", "--json", ...asked, "--", query.replace(/\0/g, " ")];
    const { failed, stdout, stderr } = await run(args, options.timeout ?? 10_000);
    if (failed) throw new Error(stderr.trim().slice(0, 300));
    const said: unknown = JSON.parse(stdout || "[]");
    const hits = Array.isArray(said) ? said : (said as { hits?: unknown }).hits;
    return Array.isArray(hits) ? hits.filter((hit) => typeof hit === "object" && hit !== null) : [];
  } catch (problem) {
    warn(`recall: ${shown(problem)}`);
    return [];
  }
}
