"""Whatever an app logs becomes one line of valid JSON."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any, Dict, Optional

ROLES = frozenset(
    "user assistant system tool developer human gpt function observation function_call model ai bot chatgpt claude"
    .split()
)
_DEEPEST = 40


def now() -> str:
    """The time with the offset of this machine's zone."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def to_json(value: object) -> bytes:
    """JSON without line breaks, in UTF-8."""
    try:
        return _dump(value)
    except (TypeError, ValueError, RecursionError):
        return _dump(_plain(value, 0))


def _dump(value: object) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_shown, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Half a surrogate pair, as broken decoders leave them behind.
        return json.dumps(value, allow_nan=False, default=_shown, separators=(",", ":")).encode("ascii")


def _shown(value: object) -> object:
    for name in ("model_dump", "dict", "_asdict", "isoformat"):
        method = getattr(value, name, None)
        if callable(method):
            try:
                return method()
            except Exception:
                continue
    try:
        return str(value)
    except Exception:
        return "<%s>" % type(value).__name__


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < _DEEPEST:
        if isinstance(value, dict):
            return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(inner, depth + 1) for inner in value]
        shown = _shown(value)
        return shown if isinstance(shown, str) else _plain(shown, depth + 1)
    return "<%s>" % type(value).__name__


def message(
    role: object,
    content: object,
    metadata: Optional[Dict[str, Any]] = None,
    timestamp: Optional[str] = None,
    **fields: Optional[str],
) -> bytes:
    """One message as a line of the live file. A role that the daemon would not know becomes ``tool``, so that it is
    kept and nobody's words are taken for the user's."""
    notes = dict(metadata) if metadata else {}
    speaker = role.strip().lower() if isinstance(role, str) else str(role)
    if speaker not in ROLES:
        notes["role_given"] = speaker
        speaker = "tool"
    line: Dict[str, Any] = {"role": speaker, "content": _content(content), "timestamp": timestamp or now()}
    line.update({key: str(value) for key, value in fields.items() if value is not None})
    if notes:
        line["metadata"] = notes
    return to_json(line)


def _content(content: object) -> object:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, (bytes, bytearray)):
        return bytes(content).decode("utf-8", "replace")
    if isinstance(content, (list, tuple)) and all(isinstance(part, (str, dict)) for part in content):
        return list(content)
    return _shown(content) if isinstance(_shown(content), str) else str(content)
