"""One tracker for apps that follow one chat at a time: the one-liners of the ATLES project."""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional

from ._tracker import SessionTracker

_tracker: Optional[SessionTracker] = None
_lock = threading.Lock()


def get_tracker(auto_start: bool = True) -> SessionTracker:
    """The tracker that the one-liners use. Made at the first call; that one starts the daemon if none runs."""
    global _tracker
    with _lock:
        if _tracker is None:
            _tracker = SessionTracker(auto_start_daemon=auto_start)
        return _tracker


def track_user_message(content: Any, metadata: Optional[Dict[str, Any]] = None) -> None:
    """Logs what the user said."""
    get_tracker().log_message("user", content, metadata)


def track_assistant_message(content: Any, metadata: Optional[Dict[str, Any]] = None) -> None:
    """Logs what the model answered."""
    get_tracker().log_message("assistant", content, metadata)


def start_tracked_session(session_id: Optional[str] = None) -> str:
    """Begins a session and returns its id."""
    return get_tracker().start_session(session_id)


def end_tracked_session() -> None:
    """Ends the session and hands it to the daemon."""
    get_tracker().end_session()
