"""Asking the daemon, and starting it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from . import _places
from ._places import PathLike, Places
from ._quiet import log, quiet, warn

_LONGEST_SOCKET_NAME = 100


def binary() -> Optional[str]:
    """The ``atles`` command: ``$ATLES_BIN``, else on the path, else where cargo and pip put programs."""
    named = os.environ.get("ATLES_BIN", "")
    if named:
        return shutil.which(named)
    found = shutil.which("atles")
    if found:
        return found
    ending = ".exe" if os.name == "nt" else ""
    places = [Path.home() / part / ("atles" + ending) for part in (".cargo/bin", ".local/bin")]
    return next((str(path) for path in places if os.access(path, os.X_OK)), None)


@quiet(otherwise={"running": False, "is_running": False})
def get_daemon_status(spool: Optional[PathLike] = None) -> Dict[str, Any]:
    """What the daemon is doing: ``running``, ``pid``, ``stages``, ``queue`` counts, ``totals`` and more, as
    ``atles status --json`` has it. Without a daemon ``running`` is False."""
    return _status(_places.find(spool))


def _status(places: Places) -> Dict[str, Any]:
    report: Dict[str, Any] = _ask(places.home) or {}
    if not report and os.name == "nt":
        report = _asked_by_command(places)
    running = bool(report.get("running"))
    return {**report, "running": running, "is_running": running}


def _ask(home: Optional[Path]) -> Optional[Dict[str, Any]]:
    if home is None or not hasattr(socket, "AF_UNIX"):
        return None
    path, folder = str(home / "control.sock"), -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2.0)
        try:
            if len(os.fsencode(path)) > _LONGEST_SOCKET_NAME:
                folder = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
                path = "/proc/self/fd/%d/control.sock" % folder
            connection.connect(path)
            connection.sendall(b'{"ask":"status"}\n')
            with connection.makefile("rb") as answer:
                said = json.loads(answer.readline())
        except (OSError, ValueError) as problem:
            log.debug("no answer from a daemon: %s", problem)
            return None
        finally:
            if folder >= 0:
                os.close(folder)
    if isinstance(said, dict) and said.pop("answer", None) == "status":
        return said
    return None


def _asked_by_command(places: Places) -> Dict[str, Any]:
    program = binary()
    if program is None:
        return {}
    asked = subprocess.run(
        [program, *_config_flag(places), "status", "--json"], capture_output=True, timeout=10, check=False
    )
    report = json.loads(asked.stdout or b"{}")
    return report if isinstance(report, dict) else {}


def _config_flag(places: Places) -> List[str]:
    return ["--config", str(places.config)] if places.config else []


@quiet(otherwise=False)
def start_daemon(spool: Union[PathLike, Places, None] = None) -> bool:
    """Starts ``atles run`` apart from this process, unless a daemon runs. Returns at once; True if one runs or was
    started."""
    places = spool if isinstance(spool, Places) else _places.find(spool)
    if places.home and _status(places)["running"]:
        return True
    program = binary()
    if program is None:
        warn("no daemon runs, and there is no atles command to start one; chats wait in the spool")
        return False
    if places.config is None:
        warn("no daemon runs, and there is no pipeline.toml to start one with; `atles init` writes one")
        return False
    command = [program, *_config_flag(places), "run"]
    nowhere: Dict[str, Any] = {key: subprocess.DEVNULL for key in ("stdin", "stdout", "stderr")}
    folder = str(places.config.parent)
    if os.name == "nt":
        flags = 0x00000008 | 0x00000200  # DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
        subprocess.Popen(command, cwd=folder, creationflags=flags, close_fds=True, **nowhere)
    else:
        # The shell ends at once, so that the daemon is nobody's child: it outlives the app and leaves no zombie.
        shell = ["/bin/sh", "-c", '"$@" &', "sh", *command]
        subprocess.run(shell, cwd=folder, start_new_session=True, check=True, timeout=10, **nowhere)
    log.info("started the daemon: %s", command)
    return True


@quiet(otherwise=[])
def recall(
    query: str,
    *,
    user_id: Optional[str] = None,
    limit: Optional[int] = None,
    since: Optional[str] = None,
    spool: Optional[PathLike] = None,
    timeout: float = 10.0,
) -> List[Dict[str, Any]]:
    """What was learned about something, the best first, as ``atles recall --json`` gives it. Empty where there is
    nothing, or no ``atles`` command. Takes the time of a program's start: call it off the event loop."""
    program = binary()
    if program is None:
        warn("there is no atles command to recall with")
        return []
    command = [program, *_config_flag(_places.find(spool)), "recall", "--json"]
    for flag, value in (("--user", user_id), ("--limit", limit), ("--since", since)):
        if value is not None:
            command.append("%s=%s" % (flag, value))
    # A NUL cannot be handed to a program.
    command += ["--", query.replace("\0", " ")]
    asked = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
    if asked.returncode != 0:
        warn("atles recall: %s", asked.stderr.decode("utf-8", "replace").strip()[:300])
        return []
    said = json.loads(asked.stdout or b"[]")
    hits = said.get("hits", []) if isinstance(said, dict) else said
    return [hit for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []
