"""Problems are logged and never raised into the chat app."""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import Any, Callable, Dict, TypeVar, cast

log = logging.getLogger("atles_client")
# Without this, an app that configures no logging would get our warnings on its terminal.
log.addHandler(logging.NullHandler())

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SAY_AGAIN_AFTER = 60.0
_said: Dict[str, float] = {}
_said_lock = threading.Lock()


def warn(message: str, *args: object) -> None:
    """Logs a warning, the same one at most once a minute."""
    text = message % args if args else message
    now = time.monotonic()
    with _said_lock:
        if now - _said.get(text, -_SAY_AGAIN_AFTER) < _SAY_AGAIN_AFTER:
            return
        if len(_said) > 500:
            _said.clear()
        _said[text] = now
    log.warning("%s", text)


def reset_after_fork() -> None:
    """Another thread may have held the lock when the process was copied."""
    global _said_lock
    _said_lock = threading.Lock()


def quiet(otherwise: Any) -> Callable[[_Function], _Function]:
    """Makes a function that gives ``otherwise`` where it would have raised."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as problem:
                warn("%s: %s: %s", function.__name__, type(problem).__name__, problem)
                log.debug("%s", function.__name__, exc_info=True)
                return otherwise

        return cast(_Function, guarded)

    return decorate
