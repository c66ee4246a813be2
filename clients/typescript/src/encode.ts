/** One part of a message in OpenAI's form. */
export type ContentPart = { type: string; [key: string]: unknown };
/** What a message says. */
export type Content = string | ContentPart[];
/** Who speaks. Other roles are kept as `tool`, with what was given in the metadata. */
export type Role = "user" | "assistant" | "system" | "tool" | "developer" | (string & {});

const ROLES = new Set(
  ("user assistant system tool developer human gpt function observation function_call model ai bot chatgpt claude")
    .split(" "),
);
const DEEPEST = 40;

/** The time with the offset of this machine's zone. */
export function now(at = new Date()): string {
  const offset = -at.getTimezoneOffset();
  const local = new Date(at.getTime() + offset * 60_000).toISOString().slice(0, -1);
  const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
  const size = Math.abs(offset);
  return `${local}${offset < 0 ? "-" : "+"}${two(size / 60)}:${two(size % 60)}`;
}

/** JSON without line breaks, whatever the value is. */
export function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch {
    return JSON.stringify(plain(value, 0)) ?? "null";
  }
}

/** Without what JSON has no form for: cycles, big integers, getters that throw. */
function plain(value: unknown, depth: number): unknown {
  if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEEPEST) return "<deep>";
  if (Array.isArray(value)) return value.map((inner) => plain(inner, depth + 1));
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    try {
      out[key] = plain((value as Record<string, unknown>)[key], depth + 1);
    } catch {
      out[key] = "<unreadable>";
    }
  }
  return out;
}

/** One message as a line of the live file. */
export function message(
  role: unknown,
  content: unknown,
  metadata?: Record<string, unknown>,
  fields: { id?: string; name?: string; feedback?: string; timestamp?: string } = {},
): string {
  const notes: Record<string, unknown> = { ...metadata };
  let speaker = String(role).trim().toLowerCase();
  if (!ROLES.has(speaker)) {
    notes["role_given"] = speaker;
    speaker = "tool";
  }
  const { timestamp, ...rest } = fields;
  const line: Record<string, unknown> = { role: speaker, content: said(content), timestamp: timestamp ?? now() };
  for (const [key, value] of Object.entries(rest)) if (value !== undefined && value !== null) line[key] = String(value);
  if (Object.keys(notes).length > 0) line["metadata"] = notes;
  return toJson(line);
}

function said(content: unknown): unknown {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  const part = (item: unknown) => typeof item === "string" || (typeof item === "object" && item !== null);
  if (Array.isArray(content) && content.every(part)) return content;
  return typeof content === "object" ? toJson(content) : String(content);
}
