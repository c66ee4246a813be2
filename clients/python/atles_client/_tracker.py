"""SessionTracker: follows one chat at a time and hands it to the daemon when it is over."""

from __future__ import annotations

import atexit
import os
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from . import _daemon, _encode, _places, _quiet, _recover
from ._live import LiveFile, publish, session_bytes
from ._places import PathLike, Places
from ._quiet import log, quiet, warn

_TRY_AGAIN_AFTER = 1.0
_SWEEP_EVERY = 60.0
_KEPT_IN_MEMORY = 100


class _Session:
    """The session under way. ``stored`` of its lines are in the live file."""

    def __init__(self, head: Dict[str, Any]):
        self.head = head
        self.lines: List[bytes] = []
        self.stored = 0
        self.live: Optional[LiveFile] = None
        self.broken_until = 0.0

    @property
    def id(self) -> str:
        return str(self.head["session_id"])


class SessionTracker:
    """Follows a chat.

    spool: the folder that the daemon watches; without it ``$ATLES_SPOOL``, else the folder of the pipeline.toml that
    the ``atles`` command would find. user_id, app, model: whose chat it is, and what answers. auto_start_daemon: start
    ``atles run`` if no daemon runs. fsync: put each message on stable storage, so that it survives a power failure
    too, and not only the end of the app.

    One tracker follows one chat at a time; have one each for chats at the same time. All methods may be called from
    several threads. After a fork the chat stays with the parent, and messages that the child logs become a session of
    their own.
    """

    def __init__(
        self,
        spool: Union[PathLike, bool, None] = None,
        user_id: Optional[str] = None,
        auto_start_daemon: bool = False,
        *,
        app: Optional[str] = None,
        model: Optional[str] = None,
        fsync: bool = False,
    ):
        self._lock = threading.RLock()
        # The tracker of the ATLES project took auto_start_daemon first.
        auto_start_daemon = auto_start_daemon or spool is True
        self._spool_given = None if isinstance(spool, bool) else spool
        self._about = {"user_id": user_id, "app": app, "model": model}
        self._fsync = fsync
        self._session: Optional[_Session] = None
        self._unpublished: List[Tuple[str, bytes]] = []
        self._forked_from: Optional[str] = None
        self._swept = -_SWEEP_EVERY
        self._places = Places(None, None, None)
        self._find_places()
        if auto_start_daemon:
            _daemon.start_daemon(self._places)

    @quiet(otherwise=None)
    def _find_places(self) -> None:
        self._places = _places.find(self._spool_given)

    def __enter__(self) -> "SessionTracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end_session()

    @quiet(otherwise="")
    def start_session(
        self,
        session_id: Optional[str] = None,
        *,
        metadata: Optional[Dict[str, Any]] = None,
        user_id: Optional[str] = None,
        app: Optional[str] = None,
        model: Optional[str] = None,
    ) -> str:
        """Begins a session and returns its id. One that is under way is ended first."""
        with self._lock:
            self.end_session()
            if self._places.spool is None:
                self._find_places()
            given = {"user_id": user_id, "app": app, "model": model}
            about = {key: given[key] or self._about[key] for key in given}
            head: Dict[str, Any] = {"session_id": str(session_id) if session_id else _new_id()}
            head.update({key: str(value) for key, value in about.items() if value is not None})
            head["start_time"] = _encode.now()
            head["metadata"] = dict(metadata or {})
            if self._forked_from:
                head["metadata"]["forked_from"] = self._forked_from
            self._session = _Session(head)
            _register(self)
            self._sweep()
            return self._session.id

    @quiet(otherwise=None)
    def log_message(
        self,
        role: str,
        content: Any,
        metadata: Optional[Dict[str, Any]] = None,
        *,
        name: Optional[str] = None,
        id: Optional[str] = None,
        feedback: Optional[str] = None,
        timestamp: Optional[str] = None,
    ) -> None:
        """Adds a message; a session is begun where there is none.

        role: user, assistant, system or tool. content: text, or a list of OpenAI content parts. feedback: ``up`` or
        ``down``, what the user thought of it. timestamp: ISO 8601, now if absent. The message is in a file when this
        returns.
        """
        line = _encode.message(role, content, metadata, timestamp, name=name, id=id, feedback=feedback)
        with self._lock:
            session = self._session or self._begin()
            session.lines.append(line)
            self._store(session)

    @quiet(otherwise=None)
    def set_metadata(self, key: str, value: Any) -> None:
        """Notes something about the session."""
        with self._lock:
            session = self._session or self._begin()
            session.head["metadata"][str(key)] = value
            self._rewrite(session)

    @quiet(otherwise=None)
    def end_session(self) -> None:
        """Ends the session and hands it to the daemon. A session without messages leaves nothing behind."""
        with self._lock:
            session = self._session
            if session is None:
                return
            self._session = None
            _unregister(self)
            if session.lines:
                self._publish(session)
            elif session.live:
                session.live.remove()

    def get_current_session_id(self) -> Optional[str]:
        """The id of the session under way."""
        session = self._session
        return session.id if session else None

    def get_message_count(self) -> int:
        """How many messages the session under way has."""
        session = self._session
        return len(session.lines) if session else 0

    def _note_model(self, model: str) -> None:
        """Names the model of the session under way, where nobody did."""
        with self._lock:
            session = self._session
            if session is not None and "model" not in session.head:
                session.head["model"] = model
                self._rewrite(session)

    def _begin(self) -> _Session:
        self.start_session()
        if self._session is None:
            raise RuntimeError("no session could be begun")
        return self._session

    def _rewrite(self, session: _Session) -> None:
        """Brings the first line of the live file up to date."""
        if session.live is None:
            return
        try:
            session.live.rewrite(session.head, session.lines)
            session.stored = len(session.lines)
        except OSError as problem:
            log.debug("the live file keeps its first line: %s", problem)

    def _folders(self) -> List[Path]:
        """Where sessions can be kept now, the best place first."""
        folders = []
        spool = self._places.spool
        if spool is None:
            warn("no spool: set $ATLES_SPOOL or run `atles init`; sessions are kept until there is one")
        else:
            # Below a folder that is not there either, somebody mistyped, or a disk is not mounted.
            if _made(spool, parents=self._places.config is not None):
                folders.append(spool)
        return folders + _places.fallback(spool)

    def _store(self, session: _Session) -> None:
        """Brings the live file up to the session."""
        live = session.live
        if live and live.is_whole():
            try:
                live.append(session.lines[session.stored :])
                session.stored = len(session.lines)
                return
            except OSError as problem:
                warn("cannot write to %s: %s", live.folder, problem)
        if time.monotonic() < session.broken_until:
            return
        for folder in self._folders():
            if folder != self._places.spool and not _made(folder, parents=True):
                continue
            try:
                session.live = LiveFile(folder, session.head, session.lines, self._fsync)
            except OSError as problem:
                warn("cannot write to %s: %s", folder, problem)
                continue
            session.stored = len(session.lines)
            if folder != self._places.spool:
                warn("the chat is kept in %s until the spool can be written", folder)
            if live:
                _discard(live)
            return
        session.broken_until = time.monotonic() + _TRY_AGAIN_AFTER
        warn("the chat is kept in memory only: no folder can be written")

    def _publish(self, session: _Session) -> None:
        content = session_bytes(session.head, session.lines, _encode.now())
        if self._put(session.id, content):
            if session.live:
                _discard(session.live)
        elif session.live and session.live.is_whole() and session.stored == len(session.lines):
            # Unlocked, it is learned as the file of an app that died.
            session.live.close()
        else:
            self._unpublished.append((session.id, content))
            del self._unpublished[:-_KEPT_IN_MEMORY]
            _register(self)

    def _put(self, session_id: str, content: bytes) -> bool:
        for folder in self._folders():
            if folder != self._places.spool and not _made(folder, parents=True):
                continue
            try:
                path = publish(folder, session_id, content)
            except OSError as problem:
                warn("cannot publish into %s: %s", folder, problem)
                continue
            if folder != self._places.spool:
                warn("the chat is kept in %s until the spool can be written", folder)
            log.debug("published %s", path)
            return True
        return False

    def _sweep(self) -> None:
        """Brings what had to be kept elsewhere into the spool."""
        waiting, self._unpublished = self._unpublished, []
        self._unpublished = [(id, content) for id, content in waiting if not self._put(id, content)]
        spool = self._places.spool
        if spool is None or time.monotonic() - self._swept < _SWEEP_EVERY:
            return
        self._swept = time.monotonic()
        for folder in _places.fallback(spool) + _places.fallback(None):
            _recover.bring_home(folder, spool)

    def _at_exit(self) -> None:
        self.end_session()
        with self._lock:
            self._sweep()
            if self._unpublished:
                warn("%d chats could not be kept: no folder can be written", len(self._unpublished))

    def _in_child(self) -> None:
        """After a fork: the session stays with the parent. Closing our copy of its file leaves it locked."""
        self._lock = threading.RLock()
        session, self._session = self._session, None
        self._unpublished = []
        if session:
            self._forked_from = session.id
            if session.live:
                session.live.close()


def _new_id() -> str:
    return "session_%s_%s" % (time.strftime("%Y%m%d_%H%M%S"), os.urandom(4).hex())


def _made(folder: Path, parents: bool) -> bool:
    try:
        _places.make_ready(folder, parents)
        return True
    except OSError as problem:
        warn("cannot use the folder %s: %s", folder, problem)
        return False


def _discard(live: LiveFile) -> None:
    try:
        live.remove()
    except OSError as problem:
        # The daemon will find it, and see that it holds nothing new.
        log.debug("a live file stays behind: %s", problem)


# Trackers with something that is not published yet. They are kept alive by it, as a chat must not be lost with a
# variable.
_open: Dict[int, SessionTracker] = {}
_open_lock = threading.Lock()
_held_for_fork: List[Any] = []


def _register(tracker: SessionTracker) -> None:
    with _open_lock:
        _open[id(tracker)] = tracker


def _unregister(tracker: SessionTracker) -> None:
    with _open_lock:
        _open.pop(id(tracker), None)


@atexit.register
def _end_all() -> None:
    with _open_lock:
        trackers = list(_open.values())
    for tracker in trackers:
        tracker._at_exit()


def _before_fork() -> None:
    """Waits until no thread is in the middle of something. A lock that is held for long is not waited for."""
    _held_for_fork.clear()
    with _open_lock:
        trackers = list(_open.values())
    for lock in [tracker._lock for tracker in trackers] + [_open_lock]:
        if lock.acquire(timeout=0.5):
            _held_for_fork.append(lock)


def _in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


def _in_child() -> None:
    global _open_lock
    _open_lock = threading.Lock()
    _held_for_fork.clear()
    _quiet.reset_after_fork()
    for tracker in list(_open.values()):
        tracker._in_child()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
