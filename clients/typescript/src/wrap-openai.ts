import { quietly } from "./quiet.js";
import type { SessionTracker } from "./tracker.js";
import { Chat, type Fields, get, list, then, watch, wrapped } from "./wrapping.js";

/**
 * The client, with its chats followed: `chat.completions.create` and `.parse`, and `responses.create`, streamed or not.
 * The client itself stays as it is. Wrap it once for each conversation (that costs nothing), with a tracker for each.
 */
export function trackOpenAI<T extends object>(client: T, tracker?: SessionTracker): T {
  const chat = new Chat(tracker);
  const completions = (create: (...args: unknown[]) => unknown) => (...args: unknown[]) => {
    const body = args[0];
    chat.asked(get(body, "messages"), get(body, "model"));
    return then(create(...args), (answer) =>
      get(body, "stream") === true ? watchDeltas(chat, answer) : logged(chat, answer),
    );
  };
  const responses = (create: (...args: unknown[]) => unknown) => (...args: unknown[]) => {
    const body = args[0];
    chat.asked(inputs(body), get(body, "model"));
    return then(create(...args), (answer) => {
      if (get(body, "stream") === true) return watchEvents(chat, answer);
      chat.answered(get(answer, "output_text"));
      return answer;
    });
  };
  return wrapped(client, {
    "chat.completions.create": completions,
    "chat.completions.parse": completions,
    "responses.create": responses,
  });
}

function logged(chat: Chat, completion: unknown): unknown {
  quietly("tracking an answer", undefined, () => {
    const message = get(list(get(completion, "choices"))[0], "message");
    const calls = list(get(message, "tool_calls"));
    chat.answered(get(message, "content") || get(message, "refusal"), calls.length > 0 ? { tool_calls: calls } : undefined);
  });
  return completion;
}

function watchDeltas(chat: Chat, stream: unknown): unknown {
  const parts: string[] = [];
  const calls = new Map<number, { name: string; arguments: string }>();
  const take = (chunk: unknown) => {
    for (const choice of list(get(chunk, "choices"))) {
      if ((get(choice, "index") ?? 0) !== 0) continue;
      const delta = get(choice, "delta");
      const text = get(delta, "content") || get(delta, "refusal");
      if (typeof text === "string") parts.push(text);
      for (const piece of list(get(delta, "tool_calls"))) {
        const index = Number(get(piece, "index") ?? 0);
        const call = calls.get(index) ?? { name: "", arguments: "" };
        call.name += String(get(get(piece, "function"), "name") ?? "");
        call.arguments += String(get(get(piece, "function"), "arguments") ?? "");
        calls.set(index, call);
      }
    }
  };
  return watch(stream, take, (whole) => {
    const notes: Fields = calls.size > 0 ? { tool_calls: [...calls.values()] } : {};
    if (!whole && parts.length > 0) notes["incomplete"] = true;
    chat.answered(parts.join(""), Object.keys(notes).length > 0 ? notes : undefined);
  });
}

function inputs(body: unknown): unknown[] {
  const input = get(body, "input");
  const told = get(body, "instructions");
  const items = typeof input === "string" ? [{ role: "user", content: input }] : list(input);
  const first = typeof told === "string" ? [{ role: "system", content: told }] : [];
  return [...first, ...items.filter((item) => get(item, "role"))];
}

function watchEvents(chat: Chat, stream: unknown): unknown {
  const parts: string[] = [];
  const take = (event: unknown) => {
    if (get(event, "type") === "response.output_text.delta") parts.push(String(get(event, "delta") ?? ""));
  };
  return watch(stream, take, (whole) => {
    chat.answered(parts.join(""), whole || parts.length === 0 ? undefined : { incomplete: true });
  });
}
