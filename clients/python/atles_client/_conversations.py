"""Many chats at once, each over when it has been quiet for a while: for web servers."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, Optional, Tuple

from ._places import PathLike
from ._quiet import quiet
from ._tracker import SessionTracker


class Conversations:
    """The trackers of a server's chats, by id.

    idle: seconds of silence after which a chat counts as over. The other arguments are those of SessionTracker, whose
    user_id is given with each chat.

        chats = Conversations(idle=900)
        chats.tracker("chat-17", user_id="mara").log_message("user", "Hello")
    """

    def __init__(self, spool: Optional[PathLike] = None, *, idle: float = 900.0, **tracker: Any):
        self._idle = idle
        self._spool = spool
        self._options = tracker
        self._lock = threading.Lock()
        self._used: Dict[Tuple[Optional[str], str], Tuple[SessionTracker, float]] = {}
        self._watch: Optional[threading.Timer] = None

    def tracker(self, conversation_id: str, user_id: Optional[str] = None) -> SessionTracker:
        """The tracker of a chat; its session is begun where none is under way. Ask for it at every message."""
        now = time.monotonic()
        key = (user_id, conversation_id)
        with self._lock:
            known = self._used.get(key)
            tracker = known[0] if known else SessionTracker(self._spool, user_id, **self._options)
            self._used[key] = (tracker, now)
            if tracker.get_current_session_id() is None:
                tracker.start_session(conversation_id)
            self._keep_watch()
        return tracker

    def end(self, conversation_id: str, user_id: Optional[str] = None) -> None:
        """Ends a chat."""
        with self._lock:
            known = self._used.pop((user_id, conversation_id), None)
        if known:
            known[0].end_session()

    def end_all(self) -> None:
        """Ends every chat, when the server stops."""
        self._end_older_than(float("inf"))

    def _end_older_than(self, moment: float) -> None:
        with self._lock:
            over = [key for key, (_, used) in self._used.items() if used < moment]
            trackers = [self._used.pop(key)[0] for key in over]
        for tracker in trackers:
            tracker.end_session()

    def _keep_watch(self) -> None:
        # A timer thread does not come along in a fork; a dead one is made anew.
        if self._watch is None or not self._watch.is_alive():
            self._watch = threading.Timer(min(self._idle / 4, 60.0), self._look)
            self._watch.daemon = True
            self._watch.name = "atles-idle"
            self._watch.start()

    @quiet(otherwise=None)
    def _look(self) -> None:
        self._end_older_than(time.monotonic() - self._idle)
        with self._lock:
            self._watch = None
            if self._used:
                self._keep_watch()
