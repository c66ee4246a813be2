// A chat server: node express_app.mjs
import { Conversations } from "atles-client";
import express from "express";

// A chat is over after 15 quiet minutes, or when the server stops.
const chats = new Conversations({ app: "express", idle: 15 * 60_000 });
const app = express().use(express.json());

/** Your model here. */
async function answer(text) {
  return `You said: ${text}`;
}

app.post("/users/:user/chats/:chat", async (request, response) => {
  const { user, chat } = request.params;
  const { text } = request.body;
  chats.tracker(chat, user).logMessage("user", text);
  const reply = await answer(text);
  chats.tracker(chat, user).logMessage("assistant", reply);
  response.json({ reply });
});

app.delete("/users/:user/chats/:chat", (request, response) => {
  chats.end(request.params.chat, request.params.user);
  response.end();
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listening on port ${server.address().port}`);
});

// Node ends at these signals without a word; this way the chats are published first.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
