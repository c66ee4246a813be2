"""Sessions whose app died, and sessions that had to be kept outside of the spool."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from . import _places
from ._live import PREFIX, SUFFIX, VERSION, is_abandoned, publish, session_bytes, whole_lines
from ._places import PathLike
from ._quiet import log, quiet, warn

_AT_ONCE = 500
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@quiet(otherwise=0)
def recover(spool: Optional[PathLike] = None, silent_for: float = 60.0) -> int:
    """Publishes the sessions of apps that died, and those that had to be kept elsewhere. Returns how many.

    The daemon does this by itself for its spool; this is for those who cannot run one now. silent_for: seconds since
    the last message.
    """
    target = _places.find(spool).spool
    if target is None:
        return 0
    count = _adopt(target, target, silent_for)
    return count + sum(bring_home(folder, target) for folder in _places.fallback(target) + _places.fallback(None))


@quiet(otherwise=0)
def bring_home(folder: Path, spool: Path) -> int:
    """Moves what a fallback folder holds into the spool."""
    names = _names(folder)
    if not names or not spool.is_dir():
        return 0
    count = _adopt(folder, spool, 0.0)
    for name in names:
        if name.startswith("completed_") and name.endswith(".json"):
            content = (folder / name).read_bytes()
            publish(spool, name[len("completed_") : -len(".json")].rpartition("-")[0], content)
            os.unlink(folder / name)
            count += 1
    if count:
        log.info("%d chats that were kept in %s are in the spool now", count, folder)
    return count


def _names(folder: Path) -> List[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)][:_AT_ONCE]
    except OSError:
        return []


def _adopt(folder: Path, spool: Path, silent_for: float) -> int:
    count = 0
    for name in _names(folder):
        if name.startswith(PREFIX) and name.endswith(SUFFIX):
            try:
                count += _adopt_one(folder / name, spool, silent_for)
            except (OSError, ValueError) as problem:
                warn("cannot recover %s: %s", folder / name, problem)
    return count


def _adopt_one(path: Path, spool: Path, silent_for: float) -> int:
    fd = os.open(path, _READ_FLAGS)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        if silent_for > 0 and time.time() - status.st_mtime < silent_for:
            return 0
        content = file.read()
        lines = whole_lines(content)
        if not lines:
            return 0
        head = json.loads(lines[0])
        facts = head.pop("live", {})
        if facts.get("version") != VERSION or not is_abandoned(file.fileno(), facts):
            return 0
        # The lock is ours; but another may have had it, and the file, a moment before.
        if os.stat(path).st_ino != status.st_ino or os.fstat(file.fileno()).st_size != len(content):
            return 0
        torn, messages = _messages(lines[1:])
        torn += not content.endswith(b"\n")
        if torn:
            log.info("%s: %d torn lines left out", path.name, torn)
        if messages:
            publish(spool, str(head.get("session_id", "session")), session_bytes(head, messages, _last_time(messages)))
        os.unlink(path)
        return 1 if messages else 0


def _messages(lines: List[bytes]) -> Tuple[int, List[bytes]]:
    good = []
    for line in lines:
        try:
            if isinstance(json.loads(line), dict):
                good.append(line)
        except ValueError:
            continue
    return len(lines) - len(good), good


def _last_time(messages: List[bytes]) -> Optional[str]:
    last: Dict[str, Any] = json.loads(messages[-1])
    time_said = last.get("timestamp")
    return time_said if isinstance(time_said, str) else None
