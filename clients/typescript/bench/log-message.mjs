// Times logMessage with messages of 2 KB, and in the same moments what the disk itself takes for as much:
// node bench/log-message.mjs [FOLDER]
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

import { SessionTracker } from "../dist/index.js";

const text = "A word, ".repeat(256);

/** Milliseconds of each, sorted. They take turns, so that a busy disk is as busy for all of them. */
function timed(count, ...works) {
  const took = works.map(() => []);
  for (let n = 0; n < count; n += 1) {
    works.forEach((work, index) => {
      const begun = performance.now();
      work();
      took[index].push(performance.now() - begun);
    });
  }
  return took.map((times) => times.sort((a, b) => a - b));
}

const part = (took, share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];

function show(what, took) {
  const [p50, p99, worst] = [0.5, 0.99, 1].map((share) => part(took, share).toFixed(3));
  console.log(`${what.padEnd(36)} ${took.length} times: p50 ${p50} ms, p99 ${p99} ms, worst ${worst} ms`);
}

const spool = fs.mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), "atles-bench-"));
for (const [fsync, count] of [[false, 5000], [true, 1000]]) {
  const tracker = new SessionTracker({ spool, fsync });
  tracker.startSession();
  const file = fs.openSync(path.join(spool, `raw-${fsync}`), "a", 0o600);
  const bare = () => {
    fs.writeSync(file, text);
    if (fsync) fs.fdatasyncSync(file);
  };
  const [logged, raw] = timed(count, () => tracker.logMessage("user", text), bare);
  show(`logMessage, fsync=${fsync}`, logged);
  show(`write${fsync ? " and fdatasync" : ""}, nothing else`, raw);
  const ratios = [0.5, 0.99].map((share) => (part(logged, share) / part(raw, share)).toFixed(2));
  console.log(`${"  ratio".padEnd(36)} p50 ${ratios[0]}, p99 ${ratios[1]}`);
  show(`endSession, ${count} messages`, timed(1, () => tracker.endSession())[0]);
  fs.closeSync(file);
}
fs.rmSync(spool, { recursive: true });
