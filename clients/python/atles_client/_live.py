"""The live file: a running session, a line a message. ../FORMAT.md describes it."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import _encode

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

VERSION = 1
PREFIX, SUFFIX = ".live-", ".jsonl"
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def new_token() -> str:
    """A name that no other live file has: the time, so that names sort, and 80 random bits."""
    return "%012x%s" % (int(time.time() * 1000), os.urandom(10).hex())


def run_mark() -> str:
    """What tells ``atles run`` which files its app made."""
    run = os.environ.get("ATLES_RUN", "")
    return "-run-" + run if re.fullmatch("[0-9a-f]{8,32}", run) else ""


class LiveFile:
    """An open live file, locked as long as this process has it open."""

    def __init__(self, folder: Path, head: Dict[str, Any], lines: Sequence[bytes], fsync: bool):
        """Writes a new live file. Raises OSError."""
        self.folder = folder
        self.fsync = fsync
        self._path = str(folder / (PREFIX + new_token() + run_mark() + SUFFIX))
        self._open(self._path, head, lines)
        if fsync:
            sync_folder(folder)

    def _open(self, path: str, head: Dict[str, Any], lines: Sequence[bytes]) -> None:
        fd = os.open(path, _FLAGS, 0o600)
        try:
            locked = _lock(fd)
            first = _encode.to_json({**head, "live": owner(locked)})
            content = b"\n".join([first, *lines, b""])
            _write_all(fd, content)
            if self.fsync:
                _sync(fd)
            status = os.fstat(fd)
        except BaseException:
            os.unlink(path)
            os.close(fd)
            raise
        self._fd = fd
        self._size = len(content)
        self._inode = (status.st_dev, status.st_ino)

    def append(self, lines: Sequence[bytes]) -> None:
        """Adds whole lines. After an OSError the file is as it was before."""
        content = b"\n".join([*lines, b""])
        try:
            _write_all(self._fd, content)
            if self.fsync:
                _sync(self._fd)
        except BaseException:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(content)

    def is_whole(self) -> bool:
        """Whether the file is still there, and holds exactly what was put into it."""
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode and status.st_size == self._size

    def rewrite(self, head: Dict[str, Any], lines: Sequence[bytes]) -> None:
        """Puts a file with another first line in the place of this one, in one step. Raises OSError."""
        old = self._fd
        aside = str(self.folder / (".new" + os.path.basename(self._path)[len(".live"):]))
        self._open(aside, head, lines)
        new = self._fd
        try:
            os.replace(aside, self._path)
        except OSError:
            self._fd = old
            os.close(new)
            os.unlink(aside)
            raise
        os.close(old)

    def remove(self) -> None:
        """Deletes the file; what it held is published."""
        if fcntl is None:
            self.close()
        try:
            # The daemon may have taken the file under this name; what then has the name is not ours.
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the file; the daemon will learn what it holds."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _lock(fd: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def _write_all(fd: int, content: bytes) -> None:
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, content[written:])


def _sync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on stable storage, where the system can."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def owner(locked: bool) -> Dict[str, Any]:
    """Who writes a live file, by which a reader tells whether that one still lives."""
    facts: Dict[str, Any] = {
        "version": VERSION,
        "client": "atles-client-python",
        "lock": "flock" if locked else "pid",
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    facts.update({key: value for key, value in _system(os.getpid()).items() if value})
    return facts


def _system(pid: int) -> Dict[str, Optional[str]]:
    return {"boot": _read("/proc/sys/kernel/random/boot_id"), "pids": _link("/proc/self/ns/pid"), "began": began(pid)}


def began(pid: int) -> Optional[str]:
    """When a process began, in clock ticks since the machine did; tells it from a later one with the same number."""
    stat = _read("/proc/%d/stat" % pid)
    return stat.rpartition(")")[2].split()[19] if stat else None


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _link(path: str) -> Optional[str]:
    try:
        return os.readlink(path)
    except OSError:
        return None


def is_abandoned(fd: int, facts: Dict[str, Any]) -> bool:
    """Whether the writer of an open live file is gone. A lock that was had is held when this says so."""
    if facts.get("lock") == "flock":
        return _lock(fd)
    here = _system(os.getpid())
    if facts.get("host") != socket.gethostname() or facts.get("pids") != here["pids"]:
        return False
    if facts.get("boot") != here["boot"]:
        return True
    pid = facts.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if facts.get("began"):
        return bool(began(pid) != facts["began"])
    try:
        os.kill(pid, 0)
        return False
    except ProcessLookupError:
        return True
    except OSError:
        return False


def session_bytes(head: Dict[str, Any], lines: Sequence[bytes], end_time: Optional[str]) -> bytes:
    """A session file in the format of ATLES."""
    known = {**head, "end_time": end_time} if end_time else head
    opened = _encode.to_json(known)[:-1]
    return opened + b',"messages":[\n' + b",\n".join(lines) + b"\n]}\n"


def publish(folder: Path, session_id: str, content: bytes) -> Path:
    """Puts a session file into a folder, whole or not at all, on stable storage. Raises OSError."""
    token = new_token()
    aside = folder / (".end-" + token + ".json")
    fd = os.open(aside, _FLAGS, 0o600)
    try:
        try:
            _write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        # The token makes the name new, so that a plain rename replaces nothing.
        target = folder / ("completed_%s-%s%s.json" % (file_part(session_id), token[4:20], run_mark()))
        os.rename(aside, target)
    except BaseException:
        try:
            os.unlink(aside)
        except OSError:
            pass
        raise
    try:
        sync_folder(folder)
    except OSError:
        pass
    return target


def file_part(session_id: str) -> str:
    """A session id as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", session_id)[:80] or "session"


def whole_lines(content: bytes) -> List[bytes]:
    """The lines that end; what follows the last line break was being written."""
    return [line for line in content.split(b"\n")[:-1] if line.strip()]
