"""Hands the chats of a Python app to the ATLES learning daemon.

    from atles_client import SessionTracker

    with SessionTracker() as tracker:
        tracker.log_message("user", "I moved to Lisbon.")
        tracker.log_message("assistant", "Noted.")

Every message is in a file of the spool when ``log_message`` returns, so an app that is killed loses nothing. Nothing
here raises into the app: what goes wrong is told to the logger ``atles_client``.
"""

from ._conversations import Conversations
from ._daemon import get_daemon_status, recall, start_daemon
from ._recover import recover
from ._shortcuts import (
    end_tracked_session,
    get_tracker,
    start_tracked_session,
    track_assistant_message,
    track_user_message,
)
from ._tracker import SessionTracker
from ._wrap_ollama import track_ollama
from ._wrap_openai import track_openai

__version__ = "0.1.0"

__all__ = [
    "Conversations",
    "SessionTracker",
    "end_tracked_session",
    "get_daemon_status",
    "get_tracker",
    "recall",
    "recover",
    "start_daemon",
    "start_tracked_session",
    "track_assistant_message",
    "track_ollama",
    "track_openai",
    "track_user_message",
]
