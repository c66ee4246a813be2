"""What the wrappers of model clients share: which messages are new, and streams that are watched as they pass."""

from __future__ import annotations

import hashlib
import inspect
import threading
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Optional, Tuple

from ._encode import to_json
from ._quiet import quiet
from ._tracker import SessionTracker

# Role and a hash of the content: enough to know a message again.
Print = Tuple[str, bytes]


def get(thing: Any, name: str, otherwise: Any = None) -> Any:
    """A field of a dict or of an object."""
    if isinstance(thing, dict):
        return thing.get(name, otherwise)
    return getattr(thing, name, otherwise)


def plain(thing: Any) -> Any:
    """A pydantic object as a dict."""
    dump = getattr(thing, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else thing


class Chat:
    """Logs the new messages of each request, and the answers.

    A request carries the whole conversation again, perhaps shortened at its start, with answers that the app trimmed:
    what is new is what stands behind the last message that was logged.
    """

    def __init__(self, tracker: Optional[SessionTracker]):
        self.tracker = tracker or SessionTracker()
        self._lock = threading.Lock()
        self._seen: List[Print] = []
        self._session: Optional[str] = None

    @quiet(otherwise=None)
    def asked(self, messages: Any, model: Any = None) -> None:
        """A request with these messages is about to be made."""
        sent = [(_print(message), message) for message in _list(messages)]
        with self._lock:
            if self._session is None or self.tracker.get_current_session_id() != self._session:
                self._seen = []
            first_new = new_from(self._seen, [print_ for print_, _ in sent])
            for print_, message in sent[first_new:]:
                self._log(print_, get(message, "content"), _notes(message), get(message, "name"))
            if sent and isinstance(model, str):
                self.tracker._note_model(model)

    @quiet(otherwise=None)
    def answered(self, content: Any, notes: Optional[Dict[str, Any]] = None) -> None:
        """The model answered."""
        if content or notes:
            with self._lock:
                self._log(_print({"role": "assistant", "content": content}), content, notes, None)

    def _log(self, print_: Print, content: Any, notes: Optional[Dict[str, Any]], name: Any) -> None:
        said = plain_all(content)
        self.tracker.log_message(print_[0], said, notes, name=name if isinstance(name, str) else None)
        self._session = self.tracker.get_current_session_id()
        self._seen.append(print_)


def new_from(seen: List[Print], sent: List[Print]) -> int:
    """Where in a request the messages begin that are not logged yet."""
    if not seen:
        return 0
    for at in range(len(sent) - 1, -1, -1):
        if sent[at] == seen[-1]:
            return at + 1
    # The last answer is not there: the app trimmed or dropped it, or wants another one. Follow the request along what
    # was logged; what is behind the last message that is found there is new.
    place, behind = 0, 0
    for at, print_ in enumerate(sent):
        if print_ not in seen[place:]:
            continue
        found = seen.index(print_, place)
        is_last = at == len(sent) - 1
        if is_last and any(role == "user" for role, _ in seen[found + 1 :]):
            # The user's words now; that they once said the same is chance.
            break
        place, behind = found + 1, at + 1
    if seen[-1][0] == "assistant":
        while behind < len(sent) and sent[behind][0] == "assistant":
            behind += 1
    return behind


def _print(message: Any) -> Print:
    content = to_json(plain_all(get(message, "content")))
    return str(get(message, "role", "user")), hashlib.blake2b(content, digest_size=16).digest()


def _list(messages: Any) -> List[Any]:
    if messages is None:
        return []
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return list(messages)


def _notes(message: Any) -> Optional[Dict[str, Any]]:
    """Tool calls, and what a tool's reply answers."""
    found = {key: plain_all(get(message, key)) for key in ("tool_calls", "tool_call_id", "tool_name")}
    notes = {key: value for key, value in found.items() if value}
    return notes or None


def plain_all(value: Any) -> Any:
    """The same for a list."""
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else plain(value)


class Wrapped:
    """Stands before an object and hands everything on, but for the calls that are watched."""

    def __init__(self, target: Any, watched: Dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]], path: str):
        self.__dict__.update(_target=target, _watched=watched, _path=path)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        path = self._path + name
        if path in self._watched:
            return self._watched[path](value)
        if any(known.startswith(path + ".") for known in self._watched):
            return Wrapped(value, self._watched, path + ".")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __repr__(self) -> str:
        return repr(self._target)

    def __enter__(self) -> "Wrapped":
        self._target.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._target.__exit__(*error)

    async def __aenter__(self) -> "Wrapped":
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._target.__aexit__(*error)


def call(
    function: Callable[..., Any],
    before: Callable[[], None],
    after: Callable[[Any], Any],
    args: Tuple[Any, ...],
    kwargs: Dict[str, Any],
) -> Any:
    """Calls a function, sync or async; ``after`` sees what it gave and says what the caller gets."""
    before()
    result = function(*args, **kwargs)
    if not inspect.isawaitable(result):
        return after(result)

    async def awaited() -> Any:
        return after(await result)

    return awaited()


class Stream:
    """A stream that is passed on as it comes. What was said is logged when it ends, however it ends."""

    def __init__(self, stream: Any, take: Callable[[Any], None], end: Callable[[bool], None]):
        self._stream, self._take, self._end, self._open = stream, take, end, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        whole = False
        try:
            for chunk in self._stream:
                quiet(None)(self._take)(chunk)
                yield chunk
            whole = True
        finally:
            self._finish(whole)

    def __next__(self) -> Any:
        try:
            chunk = next(self._stream)
        except BaseException as error:
            self._finish(isinstance(error, StopIteration))
            raise
        quiet(None)(self._take)(chunk)
        return chunk

    async def __aiter__(self) -> AsyncIterator[Any]:
        whole = False
        try:
            async for chunk in self._stream:
                quiet(None)(self._take)(chunk)
                yield chunk
            whole = True
        finally:
            self._finish(whole)

    async def __anext__(self) -> Any:
        try:
            chunk = await self._stream.__anext__()
        except BaseException as error:
            self._finish(isinstance(error, StopAsyncIteration))
            raise
        quiet(None)(self._take)(chunk)
        return chunk

    def __enter__(self) -> "Stream":
        if hasattr(self._stream, "__enter__"):
            self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self._finish(False)
        return self._stream.__exit__(*error) if hasattr(self._stream, "__exit__") else None

    async def __aenter__(self) -> "Stream":
        if hasattr(self._stream, "__aenter__"):
            await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        self._finish(False)
        return await self._stream.__aexit__(*error) if hasattr(self._stream, "__aexit__") else None

    def close(self) -> Any:
        """Ends the stream early."""
        self._finish(False)
        return self._stream.close() if hasattr(self._stream, "close") else None

    def __del__(self) -> None:
        self._finish(False)

    def _finish(self, whole: bool) -> None:
        if self._open:
            self._open = False
            quiet(None)(self._end)(whole)
