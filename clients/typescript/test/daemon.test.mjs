import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";

import { getDaemonStatus, recall, SessionTracker, startDaemon } from "../dist/index.js";
import { BINARY, makeHome, needsDaemon, waitFor } from "./support.mjs";

test("a session is done a moment after its end, and live files are left alone", needsDaemon, async (t) => {
  const home = makeHome(t);
  assert.deepEqual(await getDaemonStatus(), { running: false });
  const stop = await home.daemon();
  const status = await getDaemonStatus();
  assert.deepEqual([status.running, status.home], [true, home.home]);
  const trackers = [1, 2, 3].map((n) => {
    const tracker = new SessionTracker({ userId: "mara" });
    tracker.startSession(`running-${n}`);
    tracker.logMessage("user", `I prefer short answers. ${n}`);
    return tracker;
  });
  assert.equal(home.live().length, 3);
  for (const tracker of trackers) tracker.endSession();
  await waitFor(() => fs.readdirSync(path.join(home.home, "done")).length === 3);
  await stop();
  assert.deepEqual(home.learned(), { "running-1": 1, "running-2": 1, "running-3": 1 });
  assert.deepEqual(home.files(), []);
});

test("a chat killed after any message is learned to the last one", needsDaemon, async (t) => {
  const home = makeHome(t);
  const stop = await home.daemon();
  for (const count of [1, 4]) {
    const { args } = home.node(`
      import { SessionTracker } from CLIENT;
      const tracker = new SessionTracker();
      tracker.startSession("killed-${count}");
      for (let n = 0; n < ${count}; n += 1) tracker.logMessage("user", "I like tea. " + n);
      console.log("said"); setTimeout(() => {}, 60000);`);
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((done) => child.stdout.once("data", done));
    await new Promise((done) => (child.once("exit", done), child.kill("SIGKILL")));
  }
  await waitFor(() => fs.readdirSync(path.join(home.home, "done")).length === 2);
  await stop();
  assert.deepEqual(home.learned(), { "killed-1": 1, "killed-4": 4 });
  assert.deepEqual(home.files(), []);
});

test("the files of an app carry the mark of its run", (t) => {
  const home = makeHome(t);
  process.env.ATLES_RUN = "0123456789abcdef";
  const tracker = new SessionTracker();
  tracker.startSession("s");
  tracker.logMessage("user", "a");
  assert.match(home.files()[0], /^\.live-[0-9a-f]{32}-run-0123456789abcdef\.jsonl$/);
  tracker.endSession();
  assert.match(home.files()[0], /^completed_s-[0-9a-f]{16}-run-0123456789abcdef\.json$/);
});

test("a tracker starts one daemon that outlives the app", needsDaemon, async (t) => {
  const home = makeHome(t);
  process.env.ATLES_BIN = BINARY;
  const ran = home.node(`
    import { SessionTracker } from CLIENT;
    const tracker = new SessionTracker({ autoStartDaemon: true });
    tracker.startSession("started");
    tracker.logMessage("user", "I prefer tea.");`).run();
  assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, "", ""]);
  home.after(async () => {
    const { pid } = await getDaemonStatus();
    if (!pid) return;
    process.kill(pid, "SIGTERM");
    await waitFor(() => !isRunning(pid));
  });
  await waitFor(async () => (await getDaemonStatus()).running);
  await waitFor(() => home.learned().started === 1);
  const { pid } = await getDaemonStatus();
  assert.equal(await startDaemon(), true);
  assert.equal((await getDaemonStatus()).pid, pid);
});

test("without the command or a configuration nothing is started", needsDaemon, async (t) => {
  const home = makeHome(t);
  process.env.ATLES_BIN = path.join(home.root, "gone");
  assert.equal(await startDaemon(), false);
  process.env.ATLES_BIN = BINARY;
  delete process.env.ATLES_CONFIG;
  assert.equal(await startDaemon(path.join(home.root, "elsewhere")), false);
});

test("recall asks the command, reads its hits, and never throws", async (t) => {
  const home = makeHome(t);
  const command = path.join(home.root, "atles");
  const script = (text) => fs.writeFileSync(command, `#!/bin/sh\n${text}`, { mode: 0o755 });
  process.env.ATLES_BIN = command;
  script(`printf "%s\\n" "$@" > "$HOME.args"; echo '{"hits": [{"text": "tea"}]}'`);
  assert.deepEqual(await recall("--odd; rm", { userId: "--x", limit: 3 }), [{ text: "tea" }]);
  const asked = fs.readFileSync(path.join(home.root, "user.args"), "utf8").trim().split("\n");
  assert.deepEqual(asked, ["--config", home.config, "recall", "--json", "--user=--x", "--limit=3", "--", "--odd; rm"]);
  for (const text of ["exit 4", "echo nonsense", "echo 7", "exec sleep 5"]) {
    script(text);
    assert.deepEqual(await recall("tea", { timeout: 200 }), [], text);
  }
  process.env.ATLES_BIN = path.join(home.root, "gone");
  assert.deepEqual(await recall("tea"), []);
});

function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
