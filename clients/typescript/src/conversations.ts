import { SessionTracker, type TrackerOptions } from "./tracker.js";

export interface ConversationsOptions extends Omit<TrackerOptions, "userId"> {
  /** Milliseconds of silence after which a chat counts as over; 15 minutes if absent. */
  idle?: number;
}

/** The trackers of a server's chats, by id; each chat is over when it has been quiet for a while. */
export class Conversations {
  readonly #options: ConversationsOptions;
  readonly #idle: number;
  readonly #used = new Map<string, { tracker: SessionTracker; at: number }>();
  #watch: NodeJS.Timeout | undefined;

  constructor(options: ConversationsOptions = {}) {
    this.#options = options;
    this.#idle = options.idle ?? 15 * 60_000;
  }

  /** The tracker of a chat; its session is begun where none is under way. Ask for it at every message. */
  tracker(conversationId: string, userId?: string): SessionTracker {
    const key = JSON.stringify([userId, conversationId]);
    const tracker =
      this.#used.get(key)?.tracker ?? new SessionTracker({ ...this.#options, ...(userId ? { userId } : {}) });
    this.#used.set(key, { tracker, at: Date.now() });
    if (tracker.getCurrentSessionId() === undefined) tracker.startSession(conversationId);
    this.#watch ??= setInterval(() => this.#look(), Math.min(this.#idle / 4, 60_000)).unref();
    return tracker;
  }

  /** Ends a chat. */
  end(conversationId: string, userId?: string): void {
    const key = JSON.stringify([userId, conversationId]);
    this.#used.get(key)?.tracker.endSession();
    this.#used.delete(key);
  }

  /** Ends every chat, when the server stops. */
  endAll(): void {
    this.#endOlderThan(Infinity);
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #look(): void {
    this.#endOlderThan(Date.now() - this.#idle);
  }

  #endOlderThan(moment: number): void {
    for (const [key, { tracker, at }] of this.#used) {
      if (at >= moment) continue;
      this.#used.delete(key);
      tracker.endSession();
    }
  }
}
