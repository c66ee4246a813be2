"""Follows the chats of an Ollama client."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, List, Optional

from ._tracker import SessionTracker
from ._wrapping import Chat, Stream, Wrapped, call, get, plain_all


def track_ollama(client: Any = None, tracker: Optional[SessionTracker] = None) -> Any:
    """The client, with its chats followed: ``chat`` and ``generate``, sync and async, streamed or not.

    client: an ``ollama.Client`` or ``ollama.AsyncClient``; without it the module ``ollama`` itself. It stays as it is.
    Wrap it once for each conversation, with a tracker for each.
    """
    chat = Chat(tracker)
    watched: Dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "chat": lambda function: _tracked(chat, function, _messages, _message),
        "generate": lambda function: _tracked(chat, function, _prompt, lambda answer: get(answer, "response")),
    }
    return Wrapped(importlib.import_module("ollama") if client is None else client, watched, "")


def _messages(args: Any, kwargs: Dict[str, Any]) -> Any:
    return kwargs.get("messages", args[1] if len(args) > 1 else None)


def _prompt(args: Any, kwargs: Dict[str, Any]) -> List[Dict[str, Any]]:
    prompt = kwargs.get("prompt", args[1] if len(args) > 1 else None)
    return [{"role": "user", "content": prompt}] if prompt else []


def _message(answer: Any) -> Any:
    return get(get(answer, "message"), "content")


def _tracked(
    chat: Chat,
    function: Callable[..., Any],
    asked: Callable[[Any, Dict[str, Any]], Any],
    text_of: Callable[[Any], Any],
) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        def after(answer: Any) -> Any:
            if kwargs.get("stream") is True:
                return _stream(chat, answer, text_of)
            chat.answered(text_of(answer), _calls(answer))
            return answer

        model = kwargs.get("model", args[0] if args else None)
        return call(function, lambda: chat.asked(asked(args, kwargs), model), after, args, kwargs)

    return tracked


def _calls(answer: Any) -> Optional[Dict[str, Any]]:
    calls = plain_all(get(get(answer, "message"), "tool_calls") or [])
    return {"tool_calls": calls} if calls else None


def _stream(chat: Chat, answer: Any, text_of: Callable[[Any], Any]) -> Stream:
    parts: List[str] = []
    calls: List[Any] = []

    def take(chunk: Any) -> None:
        parts.append(text_of(chunk) or "")
        calls.extend(plain_all(get(get(chunk, "message"), "tool_calls") or []))

    def end(whole: bool) -> None:
        notes: Dict[str, Any] = {"tool_calls": calls} if calls else {}
        if not whole and any(parts):
            notes["incomplete"] = True
        chat.answered("".join(parts), notes or None)

    return Stream(answer, take, end)
