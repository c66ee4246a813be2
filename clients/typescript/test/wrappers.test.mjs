// With the OpenAI SDK itself where it is installed, against a server that answers like theirs, and with stand-ins.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import * as path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { SessionTracker, trackOllama, trackOpenAI } from "../dist/index.js";
import { newFrom } from "../dist/wrapping.js";
import { makeHome } from "./support.mjs";

const HELLO = [["user", "hello"], ["assistant", "You said: hello"]];
const ASK = { model: "m", messages: [{ role: "user", content: "hello" }] };

function talk(t) {
  const home = makeHome(t);
  const tracker = new SessionTracker();
  const said = () => {
    tracker.endSession();
    const [session] = home.published();
    assert.equal(session.model, "m");
    return session.messages.map((m) => [m.role, m.content]);
  };
  return { home, tracker, said };
}

async function* pieces(text, wrap, failAfter = Infinity) {
  for (let at = 0; at < text.length; at += 5) {
    if (at / 5 === failAfter) throw new Error("gone");
    yield wrap(text.slice(at, at + 5));
  }
}

class StandIn {
  #secret = "private fields survive the wrapper";
  failAfter = Infinity;
  chat = { completions: { create: async (body) => this.answer(body) } };
  answer({ messages, stream }) {
    assert.ok(this.#secret);
    const text = `You said: ${messages.at(-1).content}`;
    if (!stream) return { choices: [{ message: { role: "assistant", content: text } }] };
    return pieces(text, (content) => ({ choices: [{ index: 0, delta: { content } }] }), this.failAfter);
  }
}

test("a conversation is logged once though each request carries it again", async (t) => {
  const { tracker, said } = talk(t);
  const client = trackOpenAI(new StandIn(), tracker);
  const messages = [{ role: "system", content: "Be kind." }];
  const expected = [["system", "Be kind."]];
  for (const content of ["a", "b", "a", "yes", "yes"]) {
    messages.push({ role: "user", content });
    const answer = await client.chat.completions.create({ model: "m", messages });
    messages.push(answer.choices[0].message);
    expected.push(["user", content], ["assistant", `You said: ${content}`]);
  }
  assert.deepEqual(said(), expected);
});

test("a stream that breaks or is left is logged as far as it came", async (t) => {
  const { home, tracker } = talk(t);
  const client = trackOpenAI(Object.assign(new StandIn(), { failAfter: 2 }), tracker);
  const ask = { ...ASK, stream: true };
  await assert.rejects(async () => {
    for await (const _ of await client.chat.completions.create(ask));
  }, /gone/);
  for await (const _ of await trackOpenAI(new StandIn(), tracker).chat.completions.create(ask)) break;
  tracker.endSession();
  const answers = home.published()[0].messages.filter((m) => m.role === "assistant");
  assert.deepEqual(answers.map((m) => [m.content, m.metadata]), [["You said: ", { incomplete: true }], ["You s", { incomplete: true }]]);
});

test("an error of the client is the app's and the question is kept", async (t) => {
  const { tracker, said } = talk(t);
  const create = () => Promise.reject(new Error("down"));
  const client = trackOpenAI({ chat: { completions: { create } } }, tracker);
  for (let n = 0; n < 2; n += 1) await assert.rejects(client.chat.completions.create(ASK), /down/);
  assert.deepEqual(said(), [HELLO[0]]);
});

test("Ollama's chat and generate, streamed and not", async (t) => {
  const { tracker, said } = talk(t);
  const client = trackOllama({
    async chat({ messages, stream }) {
      const text = `You said: ${messages.at(-1).content}`;
      return stream ? pieces(text, (content) => ({ message: { content } })) : { message: { role: "assistant", content: text } };
    },
    async generate({ prompt }) {
      return { response: `You said: ${prompt}` };
    },
  }, tracker);
  const { message } = await client.chat(ASK);
  const messages = [...ASK.messages, message, { role: "user", content: "again" }];
  for await (const _ of await client.chat({ model: "m", messages, stream: true }));
  assert.equal((await client.generate({ model: "m", prompt: "third" })).response, "You said: third");
  const rest = ["again", "third"].flatMap((text) => [["user", text], ["assistant", `You said: ${text}`]]);
  assert.deepEqual(said(), [...HELLO, ...rest]);
});

test("what is new in a request", () => {
  const roles = { s: "system", u: "user", a: "assistant", t: "tool" };
  const prints = (text) => text.split(" ").filter(Boolean).map((word) => `${roles[word[0]]} ${word}`);
  const cases = [
    ["", "s u1", "s u1"], ["s u1 a1", "s u1 a1 u2", "u2"], ["s u1 a1 u2 a2", "s a1 u2 a2 u3", "u3"],
    ["s u1 a1 u2 a2", "u3", "u3"], ["s u1 a1", "s u1 a1x u2", "u2"], ["s u1 a1", "s u1", ""], ["s u1 a1", "s u2", "u2"],
    ["s u1 a1", "s u1 a1x u1", "u1"], ["s u1 a1 u2 a2", "s u1", "u1"], ["s u1", "s u1", ""],
    ["s u1 a1", "s u1 a1 t1 t2", "t1 t2"], ["s u1 a1 u2 a2", "s u1 a1x u2 a2x u3", "u3"],
  ];
  for (const [seen, sent, fresh] of cases) {
    assert.deepEqual(prints(sent).slice(newFrom(prints(seen), prints(sent))), prints(fresh), `${seen} / ${sent}`);
  }
});

// The SDK may be installed beside the client or, for the examples, elsewhere: $ATLES_SDKS names that folder.
async function sdk(name) {
  for (const folder of [process.env.ATLES_SDKS, process.cwd()].filter(Boolean)) {
    try {
      return await import(pathToFileURL(createRequire(path.join(folder, "x.js")).resolve(name)).href);
    } catch {}
  }
  return undefined;
}

test("the OpenAI SDK: completions, streams, tool calls, responses", async (t) => {
  const module = await sdk("openai");
  if (!module) return t.skip("openai is not installed");
  const OpenAI = module.OpenAI ?? module.default.OpenAI ?? module.default;
  const { home, tracker } = talk(t);
  const server = spawn("python3", [path.join(path.dirname(new URL(import.meta.url).pathname), "../../testing/model_server.py")]);
  t.after(() => server.kill());
  const port = String(await new Promise((done) => server.stdout.once("data", done))).trim();
  const client = trackOpenAI(new OpenAI({ apiKey: "k", baseURL: `http://127.0.0.1:${port}/v1` }), tracker);

  const { data, response } = await client.chat.completions.create(ASK).withResponse();
  assert.deepEqual([data.choices[0].message.content, response.status], ["You said: hello", 200]);
  const again = { model: "m", messages: [{ role: "user", content: "again" }] };
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...again, stream: true })) {
    text += chunk.choices[0].delta.content ?? "";
  }
  assert.equal(text, "You said: again");
  const tool = { model: "m", messages: [{ role: "user", content: "a tool" }], stream: true };
  for await (const _ of await client.chat.completions.create(tool));
  assert.equal((await client.responses.create({ model: "m", input: "third" })).output_text, "You said: third");
  for await (const _ of await client.responses.create({ model: "m", input: "fourth", stream: true }));

  tracker.endSession();
  const messages = home.published()[0].messages;
  assert.deepEqual(messages.map((m) => m.content), ["hello", "You said: hello", "again", "You said: again", "a tool", "",
    "third", "You said: third", "fourth", "You said: fourth"]);
  assert.deepEqual(messages[5].metadata, { tool_calls: [{ name: "look", arguments: '{"at": 1}' }] });
});
