// Times logMessage with messages of 2 KB: node bench/log-message.mjs [FOLDER]
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

import { SessionTracker } from "../dist/index.js";

const text = "A word, ".repeat(256);

function show(what, count, work) {
  const took = [];
  for (let n = 0; n < count; n += 1) {
    const begun = performance.now();
    work();
    took.push(performance.now() - begun);
  }
  took.sort((a, b) => a - b);
  const [p50, p99, worst] = [0.5, 0.99, 1].map((part) => took[Math.min(count - 1, Math.floor(count * part))].toFixed(3));
  console.log(`${what.padEnd(36)} ${count} times: p50 ${p50} ms, p99 ${p99} ms, worst ${worst} ms`);
}

const spool = fs.mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), "atles-bench-"));
for (const [fsync, count] of [[false, 5000], [true, 1000]]) {
  const tracker = new SessionTracker({ spool, fsync });
  tracker.startSession();
  show(`logMessage, fsync=${fsync}`, count, () => tracker.logMessage("user", text));
  show(`endSession, ${count} messages`, 1, () => tracker.endSession());
}
fs.rmSync(spool, { recursive: true });
