/**
 * Hands the chats of a Node app to the ATLES learning daemon.
 *
 *     const tracker = new SessionTracker();
 *     tracker.logMessage("user", "I moved to Lisbon.");
 *     tracker.logMessage("assistant", "Noted.");
 *     tracker.endSession();
 *
 * Every message is in a file of the spool when `logMessage` returns, so an app that is killed loses nothing. Nothing
 * here throws into the app: what goes wrong is told to the logger of `setLogger`, else to `NODE_DEBUG=atles`.
 */
export { Conversations, type ConversationsOptions } from "./conversations.js";
export { type DaemonStatus, type RecallOptions, getDaemonStatus, recall, startDaemon } from "./daemon.js";
export { type Content, type ContentPart, type Role } from "./encode.js";
export { type Logger, setLogger } from "./quiet.js";
export { recover } from "./recover.js";
export {
  endTrackedSession,
  getTracker,
  startTrackedSession,
  trackAssistantMessage,
  trackUserMessage,
} from "./shortcuts.js";
export { type MessageOptions, type SessionOptions, SessionTracker, type TrackerOptions } from "./tracker.js";
export { trackOllama } from "./wrap-ollama.js";
export { trackOpenAI } from "./wrap-openai.js";
