"""A server that answers like OpenAI's and Ollama's, for tests: python model_server.py prints its port and serves.

Whatever is asked, the answer is ``You said: `` and the last message; a question that holds ``tool`` is answered with a
tool call.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, List, Tuple


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = last_text(asked)
        if self.path == "/v1/chat/completions":
            self._completions(asked, text)
        elif self.path == "/v1/responses":
            self._responses(asked, text)
        elif self.path in ("/api/chat", "/api/generate"):
            self._ollama(asked, text)
        else:
            self.send_error(404)

    def _completions(self, asked: Dict[str, Any], text: str) -> None:
        about = {"id": "c1", "created": 1, "model": asked["model"]}
        call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
        calls = "tool" in text
        if asked.get("stream"):
            deltas: List[Dict[str, Any]] = [{"role": "assistant"}]
            deltas += [{"tool_calls": [call]}] if calls else [{"content": piece} for piece in pieces(text)]
            chunks = [{**about, "object": "chat.completion.chunk",
                       "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
            chunks.append({**about, "object": "chat.completion.chunk",
                           "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self._events([("", chunk) for chunk in chunks], done=True)
            return
        message: Dict[str, Any] = {"role": "assistant", "content": None if calls else text}
        if calls:
            message["tool_calls"] = [call]
        self._json({**about, "object": "chat.completion",
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def _responses(self, asked: Dict[str, Any], text: str) -> None:
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}
        answer = {"id": "r1", "object": "response", "created_at": 1, "model": asked["model"], "output": [item],
                  "status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        if not asked.get("stream"):
            self._json(answer)
            return
        events: List[Tuple[str, Dict[str, Any]]] = [("response.created", {"response": {**answer, "output": []}})]
        for piece in pieces(text):
            where = {"item_id": "m1", "output_index": 0, "content_index": 0, "logprobs": []}
            events.append(("response.output_text.delta", {**where, "delta": piece}))
        events.append(("response.completed", {"response": answer}))
        events = [(name, {"type": name, "sequence_number": n, **data}) for n, (name, data) in enumerate(events)]
        self._events(events, done=False)

    def _ollama(self, asked: Dict[str, Any], text: str) -> None:
        def said(piece: str, done: bool) -> Dict[str, Any]:
            about = {"model": asked["model"], "created_at": "2026-01-01T00:00:00Z", "done": done}
            if self.path == "/api/generate":
                return {**about, "response": piece}
            return {**about, "message": {"role": "assistant", "content": piece}}

        if asked.get("stream"):
            lines = [said(piece, False) for piece in pieces(text)] + [said("", True)]
            self._body("application/x-ndjson", "".join(json.dumps(line) + "\n" for line in lines))
        else:
            self._json(said(text, True))

    def _events(self, events: List[Tuple[str, Dict[str, Any]]], done: bool) -> None:
        lines = ["%sdata: %s\n\n" % ("event: %s\n" % name if name else "", json.dumps(data)) for name, data in events]
        self._body("text/event-stream", "".join(lines) + ("data: [DONE]\n\n" if done else ""))

    def _json(self, answer: Dict[str, Any]) -> None:
        self._body("application/json", json.dumps(answer))

    def _body(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def last_text(asked: Dict[str, Any]) -> str:
    messages = asked.get("messages") or asked.get("input") or asked.get("prompt") or ""
    last = messages if isinstance(messages, str) else messages[-1]["content"]
    if not isinstance(last, str):
        last = " ".join(part.get("text", "") for part in last)
    return "You said: " + last


def pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 5):
        yield text[start : start + 5]


def start(port: int = 0) -> ThreadingHTTPServer:
    """Serves in a thread; ``server_port`` of what is returned tells where."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    running = start()
    print(running.server_port, flush=True)
    sys.stdin.read()
