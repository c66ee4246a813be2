"""Where the spool is, and where sessions are kept while it cannot be written."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

from ._quiet import warn

PathLike = Union[str, "os.PathLike[str]"]


class Places(NamedTuple):
    """What is known of where the daemon lives."""

    spool: Optional[Path]
    home: Optional[Path]
    config: Optional[Path]


def find(spool: Optional[PathLike] = None) -> Places:
    """The spool from the argument, ``$ATLES_SPOOL``, or the configuration that the ``atles`` command would find."""
    named = os.fspath(spool) if spool else os.environ.get("ATLES_SPOOL", "")
    if not named:
        config = find_config()
        return _of_config(config) if config else Places(None, None, None)
    path = Path(named).expanduser().absolute()
    for config in [find_config(), path.parent / "pipeline.toml", path.parent.parent / "pipeline.toml"]:
        if config and config.is_file():
            places = _of_config(config)
            if places.spool and _same(places.spool, path):
                return places
    return Places(path, path.parent, None)


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def find_config() -> Optional[Path]:
    """``$ATLES_CONFIG``, else ``./pipeline.toml``, else the one in the user's configuration folder."""
    named = os.environ.get("ATLES_CONFIG", "")
    if named:
        return Path(named).absolute()
    candidates = [Path("pipeline.toml").absolute()]
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if folder and os.path.isabs(folder):
        candidates.append(Path(folder, "atles", "pipeline.toml"))
    elif os.name == "nt":
        candidates.append(Path(os.environ.get("APPDATA", ""), "atles", "pipeline.toml"))
    elif os.environ.get("HOME"):
        candidates.append(Path(os.environ["HOME"], ".config", "atles", "pipeline.toml"))
    return next((path for path in candidates if path.exists()), None)


def _of_config(config: Path) -> Places:
    try:
        text = config.read_bytes().decode("utf-8-sig")
        settings = _settings(text)
    except (OSError, ValueError) as problem:
        warn("cannot read %s: %s", config, problem)
        return Places(None, None, config)
    home = _joined(config.parent, settings.get("home")) or Path(os.path.normpath(config.parent / "atles_memory"))
    spool = _joined(config.parent, settings.get("spool")) or home / "spool"
    return Places(spool, home, config)


def _joined(folder: Path, path: Optional[str]) -> Optional[Path]:
    return Path(os.path.normpath(folder / path)) if path else None


def _settings(text: str) -> Dict[str, str]:
    """The ``path`` of ``[home]`` and of ``[spool]``."""
    try:
        import tomllib
    except ImportError:
        return paths_in_toml(text)
    found = {}
    parsed: Dict[str, Any] = tomllib.loads(text)
    for table in ("home", "spool"):
        section = parsed.get(table)
        path = section.get("path") if isinstance(section, dict) else None
        if isinstance(path, str):
            found[table] = path
    return found


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_ARRAY_HEADER = re.compile(r"\s*\[\[")
_STRING = r"(\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_PATH = re.compile(r"\s*(?:(home|spool)\s*\.\s*)?path\s*=\s*" + _STRING)
_INLINE = re.compile(r"\s*(home|spool)\s*=\s*\{[^}]*?\bpath\s*=\s*" + _STRING)


def paths_in_toml(text: str) -> Dict[str, str]:
    """The same for Pythons before 3.11, which cannot read TOML: these two keys in their usual spellings, no more."""
    found: Dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        header = _HEADER.match(line)
        if _ARRAY_HEADER.match(line) or header:
            section = header.group(1).strip("\"' ") if header else "[["
            continue
        inline = _INLINE.match(line) if section == "" else None
        match = inline or _PATH.match(line)
        if not match:
            continue
        table = match.group(1) if section == "" else section
        if table in ("home", "spool") and (inline or section == "" or match.group(1) is None):
            quoted = match.group(2)
            found[table] = quoted[1:-1] if quoted[0] == "'" else json.loads(quoted)
    return found


def fallback(spool: Optional[Path]) -> List[Path]:
    """The folders that keep sessions meant for a spool while it cannot be written, the best first."""
    part = hashlib.sha256(os.fsencode(spool)).hexdigest()[:16] if spool else "no-spool"
    roots = []
    state = os.environ.get("XDG_STATE_HOME", "")
    if state and os.path.isabs(state):
        roots.append(Path(state))
    elif os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        roots.append(Path(os.environ["LOCALAPPDATA"]))
    elif os.environ.get("HOME"):
        roots.append(Path(os.environ["HOME"], ".local", "state"))
    return [root / "atles" / "unsent" / part for root in roots] + [_temporary() / "unsent" / part]


def _temporary() -> Path:
    try:
        user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    except Exception:
        user = "user"
    return Path(tempfile.gettempdir(), "atles-%s" % user)


def make_ready(folder: Path, parents: bool) -> None:
    """Makes a folder that only its owner can enter, and those above it where asked.

    Raises OSError: if it cannot be made, or belongs to somebody else, who could read what we put there.
    """
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        if parents:
            os.makedirs(folder.parent, mode=0o700, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        status = os.stat(folder)
    if parents and hasattr(os, "getuid") and status.st_uid not in (os.getuid(), 0):
        raise PermissionError(13, "belongs to another user", str(folder))
