import type { SessionTracker } from "./tracker.js";
import { Chat, type Fields, get, list, then, watch, wrapped } from "./wrapping.js";

/**
 * An Ollama client with its chats followed: `chat` and `generate`, streamed or not. The client itself stays as it is.
 * Wrap it once for each conversation, with a tracker for each.
 */
export function trackOllama<T extends object>(client: T, tracker?: SessionTracker): T {
  const chat = new Chat(tracker);
  const tracked =
    (asked: (body: unknown) => unknown, textOf: (answer: unknown) => unknown) =>
    (call: (...args: unknown[]) => unknown) =>
    (...args: unknown[]) => {
      const body = args[0];
      chat.asked(asked(body), get(body, "model"));
      return then(call(...args), (answer) => {
        if (get(body, "stream") === true) return watchChunks(chat, answer, textOf);
        chat.answered(textOf(answer), withCalls(list(get(get(answer, "message"), "tool_calls"))));
        return answer;
      });
    };
  return wrapped(client, {
    chat: tracked((body) => get(body, "messages"), (answer) => get(get(answer, "message"), "content")),
    generate: tracked((body) => get(body, "prompt"), (answer) => get(answer, "response")),
  });
}

function withCalls(calls: unknown[]): Fields | undefined {
  return calls.length > 0 ? { tool_calls: calls } : undefined;
}

function watchChunks(chat: Chat, stream: unknown, textOf: (answer: unknown) => unknown): unknown {
  const parts: string[] = [];
  const calls: unknown[] = [];
  const take = (chunk: unknown) => {
    parts.push(String(textOf(chunk) ?? ""));
    calls.push(...list(get(get(chunk, "message"), "tool_calls")));
  };
  return watch(stream, take, (whole) => {
    const said = parts.join("");
    const notes = { ...withCalls(calls), ...(whole || said === "" ? {} : { incomplete: true }) };
    chat.answered(said, Object.keys(notes).length > 0 ? notes : undefined);
  });
}
