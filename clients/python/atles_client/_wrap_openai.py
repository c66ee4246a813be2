"""Follows the chats of an OpenAI-style client: the OpenAI SDK, and whatever has its shape."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, TypeVar, cast

from ._quiet import quiet
from ._tracker import SessionTracker
from ._wrapping import Chat, Stream, Wrapped, call, get, plain_all

_Client = TypeVar("_Client")


def track_openai(client: _Client, tracker: Optional[SessionTracker] = None) -> _Client:
    """The client, with its chats followed: ``chat.completions.create``, ``.parse`` and ``.stream``, and
    ``responses.create``; sync and async, streamed or not.

    The client itself stays as it is. Wrap it once for each conversation (that costs nothing), with a tracker for each.
    """
    chat = Chat(tracker)
    watched: Dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "chat.completions.create": lambda create: _completions(chat, create),
        "chat.completions.parse": lambda parse: _completions(chat, parse),
        "beta.chat.completions.parse": lambda parse: _completions(chat, parse),
        "chat.completions.stream": lambda stream: _managed(chat, stream),
        "beta.chat.completions.stream": lambda stream: _managed(chat, stream),
        "responses.create": lambda create: _responses(chat, create),
    }
    return cast(_Client, Wrapped(client, watched, ""))


def _completions(chat: Chat, create: Callable[..., Any]) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        def after(answer: Any) -> Any:
            if kwargs.get("stream") is True:
                said = _Deltas()
                return Stream(answer, said.take, lambda whole: chat.answered(said.text, said.notes(whole)))
            quiet(None)(_log_choice)(chat, answer)
            return answer

        return call(create, lambda: chat.asked(kwargs.get("messages"), kwargs.get("model")), after, args, kwargs)

    return tracked


def _log_choice(chat: Chat, completion: Any) -> None:
    choices = get(completion, "choices") or []
    if choices:
        message = get(choices[0], "message")
        calls = plain_all(get(message, "tool_calls") or [])
        chat.answered(get(message, "content") or get(message, "refusal"), {"tool_calls": calls} if calls else None)


class _Deltas:
    """Puts the pieces of a streamed answer together."""

    def __init__(self) -> None:
        self._parts: List[str] = []
        self._calls: Dict[int, Dict[str, str]] = {}

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def take(self, chunk: Any) -> None:
        for choice in get(chunk, "choices") or []:
            if get(choice, "index", 0) != 0:
                continue
            delta = get(choice, "delta")
            text = get(delta, "content") or get(delta, "refusal")
            if isinstance(text, str):
                self._parts.append(text)
            for piece in get(delta, "tool_calls") or []:
                self._take_call(piece)

    def _take_call(self, piece: Any) -> None:
        made = self._calls.setdefault(int(get(piece, "index", 0) or 0), {"name": "", "arguments": ""})
        function = get(piece, "function")
        for key in made:
            made[key] += get(function, key) or ""

    def notes(self, whole: bool) -> Optional[Dict[str, Any]]:
        notes: Dict[str, Any] = {}
        if self._calls:
            notes["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        if not whole and self._parts:
            notes["incomplete"] = True
        return notes or None


def _managed(chat: Chat, stream: Callable[..., Any]) -> Callable[..., Any]:
    """``with client.chat.completions.stream(…) as events``."""

    def tracked(*args: Any, **kwargs: Any) -> Any:
        chat.asked(kwargs.get("messages"), kwargs.get("model"))
        return _Managed(chat, stream(*args, **kwargs))

    return tracked


class _Managed:
    def __init__(self, chat: Chat, manager: Any):
        self._chat, self._manager, self._events = chat, manager, None

    def __enter__(self) -> Any:
        self._events = self._manager.__enter__()
        return self._events

    async def __aenter__(self) -> Any:
        self._events = await self._manager.__aenter__()
        return self._events

    def __exit__(self, *error: Any) -> Any:
        quiet(None)(self._log)()
        return self._manager.__exit__(*error)

    async def __aexit__(self, *error: Any) -> Any:
        quiet(None)(self._log)()
        return await self._manager.__aexit__(*error)

    def _log(self) -> None:
        _log_choice(self._chat, get(self._events, "current_completion_snapshot"))


def _responses(chat: Chat, create: Callable[..., Any]) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        def after(answer: Any) -> Any:
            if kwargs.get("stream") is True:
                parts: List[str] = []

                def take(event: Any) -> None:
                    if get(event, "type") == "response.output_text.delta":
                        parts.append(get(event, "delta") or "")

                def end(whole: bool) -> None:
                    chat.answered("".join(parts), None if whole or not parts else {"incomplete": True})

                return Stream(answer, take, end)
            chat.answered(get(answer, "output_text"))
            return answer

        def before() -> None:
            asked = kwargs.get("input")
            items = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked or [])
            told = kwargs.get("instructions")
            first = [{"role": "system", "content": told}] if isinstance(told, str) else []
            chat.asked(first + [item for item in items if get(item, "role")], kwargs.get("model"))

        return call(create, before, after, args, kwargs)

    return tracked
