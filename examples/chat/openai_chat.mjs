// A chat with the OpenAI SDK, or any server that speaks like it ($OPENAI_BASE_URL): node openai_chat.mjs
import * as readline from "node:readline";

import { SessionTracker, trackOpenAI } from "atles-client";
import OpenAI from "openai";

const model = process.env.MODEL ?? "gpt-4o-mini";
const tracker = new SessionTracker({ app: "openai-chat" });
const client = trackOpenAI(new OpenAI(), tracker);
const messages = [];

for await (const text of readline.createInterface({ input: process.stdin })) {
  messages.push({ role: "user", content: text });
  let reply = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    const piece = chunk.choices[0].delta.content ?? "";
    reply += piece;
    process.stdout.write(piece);
  }
  process.stdout.write("\n");
  messages.push({ role: "assistant", content: reply });
}
tracker.endSession();
