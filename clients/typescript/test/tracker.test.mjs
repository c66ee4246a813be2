import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Conversations, endTrackedSession, getTracker, recover, SessionTracker, setLogger, startTrackedSession }
  from "../dist/index.js";
import { trackAssistantMessage, trackUserMessage } from "../dist/index.js";
import { fallback, find, pathsInToml } from "../dist/places.js";
import { makeHome, needsDaemon, waitFor } from "./support.mjs";

test("a session is published whole with what is known of it", (t) => {
  const home = makeHome(t);
  const tracker = new SessionTracker({ userId: "mara", app: "desk", model: "m" });
  assert.equal(tracker.startSession("s/1"), "s/1");
  tracker.setMetadata("topic", "tea");
  tracker.logMessage("user", "Zwei Wörter\nund \u2028 mehr", { metadata: { k: 1 }, name: "Mara", feedback: "up" });
  tracker.logMessage("assistant", "Yes");
  tracker.setMetadata("late", [1, 2]);
  assert.deepEqual([tracker.getCurrentSessionId(), tracker.getMessageCount()], ["s/1", 2]);
  assert.equal(home.published().length, 0);
  tracker.endSession();
  assert.deepEqual([tracker.getCurrentSessionId(), tracker.getMessageCount()], [undefined, 0]);
  const [{ messages: [first, second], start_time, end_time, ...session }] = home.published();
  for (const time of [start_time, end_time, first.timestamp]) {
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  }
  const about = { session_id: "s/1", user_id: "mara", app: "desk", model: "m" };
  assert.deepEqual(session, { ...about, metadata: { topic: "tea", late: [1, 2] } });
  const said = { role: "user", content: "Zwei Wörter\nund \u2028 mehr", name: "Mara", feedback: "up" };
  assert.deepEqual(first, { ...said, metadata: { k: 1 }, timestamp: first.timestamp });
  assert.equal(second.content, "Yes");
  assert.equal(home.files().length, 1);
});

test("each message is in the live file when logMessage returns", (t) => {
  const home = makeHome(t);
  const tracker = new SessionTracker({ spool: home.spool, fsync: true });
  for (let count = 1; count < 4; count += 1) {
    tracker.logMessage("user", `message ${count}`);
    const [[head, ...messages]] = home.live();
    assert.deepEqual([messages.length, messages.at(-1).content, head.live.version], [count, `message ${count}`, 1]);
  }
  const [name] = home.files();
  assert.equal(fs.statSync(path.join(home.spool, name)).mode & 0o777, 0o600);
  tracker.endSession();
});

test("nothing is too odd to be logged", { ...needsDaemon }, (t) => {
  const home = makeHome(t);
  const tracker = new SessionTracker();
  const loop = {};
  loop.self = loop;
  const thrower = { get a() { throw new Error("no"); } };
  const odd = [null, undefined, 7, 7n, Symbol("s"), "half \ud83d", "nul \0", ["a", { type: "text", text: "b" }], [7], loop,
    thrower, () => 1, new Date()];
  for (const content of odd) tracker.logMessage("user", content, { metadata: { loop, thrower, big: 1n, nan: NaN } });
  tracker.logMessage("narrator", "who?");
  tracker.logMessage(undefined, "who?");
  tracker.setMetadata("odd", 1n);
  tracker.endSession();
  const [{ messages }] = home.published();
  assert.equal(messages.length, odd.length + 2);
  assert.deepEqual([messages.at(-2).role, messages.at(-2).metadata], ["tool", { role_given: "narrator" }]);
  home.learn();
  assert.deepEqual(Object.values(home.learned()), [odd.length + 2]);
});

test("a session id names no path, and an empty session leaves nothing behind", (t) => {
  const home = makeHome(t);
  const tracker = new SessionTracker();
  for (const name of ["../../up", "/etc/passwd", ".hidden", "x".repeat(5000), "nul\0", "ünï", "a.json.tmp"]) {
    tracker.startSession(name);
    tracker.logMessage("user", "a");
  }
  tracker.startSession("empty");
  tracker.endSession();
  assert.equal(home.published().length, 7);
  assert.equal(home.files().length, 7);
});

test("the one-liners work on one tracker", (t) => {
  const home = makeHome(t);
  getTracker(false);
  startTrackedSession("one");
  trackUserMessage("a", { k: 1 });
  trackAssistantMessage("b");
  endTrackedSession();
  assert.deepEqual(home.published()[0].messages.map((m) => m.role), ["user", "assistant"]);
});

test("every message before SIGKILL is in the live file, and is learned", { ...needsDaemon }, async (t) => {
  const home = makeHome(t);
  for (const count of [1, 5]) {
    const { args } = home.node(`
      import { SessionTracker } from CLIENT;
      const tracker = new SessionTracker();
      tracker.startSession("killed-${count}");
      for (let n = 0; n < ${count}; n += 1) { tracker.logMessage("user", "I like tea. " + n); }
      console.log("said"); setTimeout(() => {}, 60000);`);
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((done) => child.stdout.once("data", done));
    assert.equal(recover(undefined, 0), 0, "it still runs");
    await new Promise((done) => (child.once("exit", done), child.kill("SIGKILL")));
    assert.equal(home.live()[0].length, count + 1);
    assert.equal(recover(), 0, "silent for a moment only");
    assert.equal(recover(undefined, 0), 1);
  }
  assert.equal(home.files().filter((name) => name.startsWith(".")).length, 0);
  home.learn();
  assert.deepEqual(home.learned(), { "killed-1": 1, "killed-5": 5 });
});

test("a torn line is left out and the whole ones are kept", (t) => {
  const home = makeHome(t);
  home.node(`
    import { SessionTracker } from CLIENT;
    const tracker = new SessionTracker();
    for (const text of "abc") tracker.logMessage("user", text);
    process.kill(process.pid, "SIGKILL");`).run();
  const [name] = home.files();
  fs.truncateSync(path.join(home.spool, name), fs.statSync(path.join(home.spool, name)).size - 10);
  assert.equal(recover(undefined, 0), 1);
  assert.equal(home.published()[0].messages.length, 2);
});

test("an app that ends without a word publishes", (t) => {
  const home = makeHome(t);
  for (const end of ["", "process.exit(3)", "throw new Error('x')", "await Promise.reject(1)"]) {
    home.node(`import { SessionTracker } from CLIENT; new SessionTracker().logMessage("user", "a"); ${end}`).run();
  }
  assert.equal(home.published().length, 4);
  assert.equal(home.files().length, 4);
});

test("workers and child processes have chats of their own", (t) => {
  const home = makeHome(t);
  const ran = home.node(`
    import { Worker } from "node:worker_threads";
    import { SessionTracker } from CLIENT;
    const talk = 'import(' + JSON.stringify(CLIENT) + ').then(({ SessionTracker }) => {' +
      'const t = new SessionTracker(); for (let n = 0; n < 50; n += 1) t.logMessage("user", "w" + n); })';
    const tracker = new SessionTracker();
    tracker.logMessage("user", "main");
    await Promise.all([1, 2, 3].map(() => new Promise((done) => new Worker(talk, { eval: true }).on("exit", done))));`).run();
  assert.equal(ran.stderr, "");
  assert.deepEqual(home.published().map((s) => s.messages.length).sort(), [1, 50, 50, 50]);
});

test("a file that was taken away is written anew", (t) => {
  const home = makeHome(t);
  const tracker = new SessionTracker();
  tracker.logMessage("user", "a");
  fs.renameSync(path.join(home.spool, home.files()[0]), path.join(home.root, "taken"));
  tracker.logMessage("user", "b");
  assert.equal(home.live()[0].length, 3);
  tracker.endSession();
  assert.equal(home.files().length, 1);
});

test("what cannot be written into the spool is kept elsewhere, said, and brought later", (t) => {
  const home = makeHome(t);
  const warnings = [];
  setLogger((_, message) => warnings.push(message));
  t.after(() => setLogger(() => {}));
  const spool = path.join(home.root, "unmounted", "spool");
  const tracker = new SessionTracker({ spool });
  tracker.logMessage("user", "a");
  const [kept] = fallback(spool);
  assert.equal(home.live(kept).length, 1);
  tracker.endSession();
  assert.equal(home.published(kept).length, 1);
  assert.match(warnings.join(), /is kept in/);
  fs.mkdirSync(spool, { recursive: true });
  const other = new SessionTracker({ spool });
  other.logMessage("user", "b");
  other.endSession();
  assert.equal(home.published(spool).length, 2);
});

test("when nothing can be written the app goes on and the chat waits in memory", (t) => {
  const home = makeHome(t);
  const file = path.join(home.root, "file");
  fs.writeFileSync(file, "");
  Object.assign(process.env, { HOME: file, TMPDIR: file });
  const tracker = new SessionTracker({ spool: path.join(file, "spool") });
  tracker.logMessage("user", "a");
  assert.equal(tracker.getMessageCount(), 1);
  tracker.endSession();
  fs.unlinkSync(file);
  fs.mkdirSync(file);
  tracker.startSession();
  assert.equal(home.published(path.join(file, "spool")).length, 1);
});

test("a disk that fills up while the chat runs moves it elsewhere whole", (t) => {
  const home = makeHome(t);
  const disk = path.join(home.root, "disk");
  fs.mkdirSync(disk);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).status !== 0) return t.skip("cannot mount");
  try {
    const spool = path.join(disk, "spool");
    const tracker = new SessionTracker({ spool });
    for (let n = 0; n < 100; n += 1) tracker.logMessage("user", "x".repeat(2000));
    assert.equal(home.live(fallback(spool)[0])[0].length, 101);
    tracker.endSession();
    assert.equal(home.published(fallback(spool)[0])[0].messages.length, 100);
  } finally {
    spawnSync("umount", ["-l", disk]);
  }
});

test("the spool is found where the command finds it", (t) => {
  const home = makeHome(t);
  assert.deepEqual(find(), { spool: home.spool, home: home.home, config: home.config });
  process.env.ATLES_SPOOL = path.join(home.root, "variable");
  assert.equal(find().spool, path.join(home.root, "variable"));
  assert.equal(find(path.join(home.root, "argument")).spool, path.join(home.root, "argument"));
  delete process.env.ATLES_CONFIG;
  assert.deepEqual(find(home.spool), { spool: home.spool, home: home.home, config: home.config });
  const cases = [
    ["", {}],
    [`[home]\npath = 'a b'\n[spool]\npath = "c\\\\d" # [x]\n`, { home: "a b", spool: "c\\d" }],
    [`[home]\n# path = "no"\n[logs]\npath = 'no'\n[[stage]]\npath = 'no'\n`, {}],
    [`home.path = 'a'\nspool = { settle = '1s', path = 'b' }\n`, { home: "a", spool: "b" }],
    [`[spool]\nhome.path = 'no'\n`, {}],
  ];
  for (const [text, expected] of cases) assert.deepEqual(pathsInToml(text), expected, text);
});

test("each chat has its tracker and ends when it is quiet", async (t) => {
  const home = makeHome(t);
  const chats = new Conversations({ idle: 100, app: "web" });
  chats.tracker("1", "mara").logMessage("user", "a");
  chats.tracker("1", "jonas").logMessage("user", "b");
  chats.tracker("1", "mara").logMessage("assistant", "c");
  await waitFor(() => home.published().length === 2);
  const found = home.published().map((s) => [s.user_id, s.messages.length]).sort();
  assert.deepEqual(found, [["jonas", 1], ["mara", 2]]);
  chats.tracker("2").logMessage("user", "d");
  chats.endAll();
  assert.equal(home.published().length, 3);
});

test("both clients read each other's live files", (t) => {
  const home = makeHome(t);
  const env = { ...process.env, PYTHONPATH: path.join(path.dirname(fileURLToPath(import.meta.url)), "../../python") };
  const python = (code) => spawnSync("python3", ["-c", code], { env, encoding: "utf8" }).stdout.trim();
  python("import os, atles_client as a; a.SessionTracker().log_message('user', 'p'); os._exit(0)");
  assert.equal(home.live()[0][0].live.client, "atles-client-python");
  assert.equal(recover(undefined, 0), 1);
  home.node(`import { SessionTracker } from CLIENT; new SessionTracker().logMessage("user", "n");
    process.kill(process.pid, "SIGKILL");`).run();
  assert.equal(home.live()[0][0].live.client, "atles-client-node");
  assert.equal(python("import atles_client as a; print(a.recover(silent_for=0))"), "1");
  assert.deepEqual(home.published().map((s) => s.messages[0].content).sort(), ["n", "p"]);
});
