// A hermetic home for each test, and the real daemon where there is one.
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const BINARY = process.env.ATLES_BIN ?? "";
export const needsDaemon = { skip: BINARY ? false : "ATLES_BIN names no daemon" };
export const CLIENT = pathToFileURL(path.join(path.dirname(fileURLToPath(import.meta.url)), "../dist/index.js")).href;
const PIPELINE = `version = 1
[spool]
settle = "100ms"
rescan = "1s"
live_timeout = "300ms"
[[stage]]
kind = "decode"
[[stage]]
kind = "preferences"
[[stage]]
kind = "memory"
[[stage]]
kind = "session_log"
`;

export function makeHome(t) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "atles-test-"));
  const home = path.join(root, "atles_memory");
  const spool = path.join(home, "spool");
  const config = path.join(root, "pipeline.toml");
  const environ = { ...process.env };
  fs.mkdirSync(spool, { recursive: true, mode: 0o700 });
  fs.mkdirSync(path.join(root, "tmp"));
  fs.writeFileSync(config, PIPELINE);
  for (const name of ["ATLES_SPOOL", "XDG_STATE_HOME", "XDG_CONFIG_HOME"]) delete process.env[name];
  Object.assign(process.env, { HOME: path.join(root, "user"), ATLES_CONFIG: config, TMPDIR: path.join(root, "tmp") });
  // What is set up last is cleaned up first.
  const cleanups = [
    () => {
      for (const name of Object.keys(process.env)) if (!(name in environ)) delete process.env[name];
      Object.assign(process.env, environ);
      fs.rmSync(root, { recursive: true, force: true });
    },
  ];
  t.after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  const after = (cleanup) => cleanups.push(cleanup);

  const names = (folder, pattern) =>
    fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => pattern.test(name)).sort() : [];
  return {
    root,
    home,
    spool,
    config,
    after,
    files: () => fs.readdirSync(spool),
    published: (folder = spool) =>
      names(folder, /^completed_.*\.json$/).map((name) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"))),
    live: (folder = spool) =>
      names(folder, /^\.live-.*\.jsonl$/).map((name) =>
        fs.readFileSync(path.join(folder, name), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line)),
      ),
    learn() {
      const ran = spawnSync(BINARY, ["--config", config, "run", "--once"], { encoding: "utf8" });
      if (ran.status !== 0) throw new Error(ran.stderr);
    },
    // The names of the logs that the daemon writes tell what was learned.
    learned() {
      const logs = path.join(home, "logs");
      return Object.fromEntries(
        names(logs, /^session_log_.*\.json$/)
          .map((name) => JSON.parse(fs.readFileSync(path.join(logs, name), "utf8")))
          .map((log) => [log.session_id, log.messages_count]),
      );
    },
    async daemon() {
      const child = spawn(BINARY, ["--config", config, "run"], { stdio: "ignore" });
      const stop = () => new Promise((done) => (child.once("exit", done), child.kill("SIGTERM")));
      after(() => child.exitCode ?? stop());
      await waitFor(() => fs.existsSync(path.join(home, "control.sock")));
      return stop;
    },
    node(code) {
      const args = ["--input-type=module", "-e", code.replaceAll("CLIENT", JSON.stringify(CLIENT))];
      return { args, run: () => spawnSync(process.execPath, args, { encoding: "utf8", env: process.env }) };
    },
  };
}

export async function waitFor(condition, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`it did not come about within ${ms} ms`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
