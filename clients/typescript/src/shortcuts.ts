/** One tracker for apps that follow one chat at a time. */
import type { Content } from "./encode.js";
import { SessionTracker } from "./tracker.js";

let tracker: SessionTracker | undefined;

/** The tracker that the one-liners use. Made at the first call; that one starts the daemon if none runs. */
export function getTracker(autoStart = true): SessionTracker {
  tracker ??= new SessionTracker({ autoStartDaemon: autoStart });
  return tracker;
}

export function trackUserMessage(content: Content, metadata?: Record<string, unknown>): void {
  getTracker().logMessage("user", content, metadata ? { metadata } : {});
}

export function trackAssistantMessage(content: Content, metadata?: Record<string, unknown>): void {
  getTracker().logMessage("assistant", content, metadata ? { metadata } : {});
}

export function startTrackedSession(sessionId?: string): string {
  return getTracker().startSession(sessionId);
}

export function endTrackedSession(): void {
  getTracker().endSession();
}
