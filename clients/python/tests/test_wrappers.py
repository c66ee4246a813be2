"""Chats through wrapped clients. With the OpenAI SDK and the Ollama library themselves where they are installed, against
a server that answers like theirs; and with stand-ins of their shape."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace as Thing

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "testing"))
import model_server  # noqa: E402

from atles_client import SessionTracker, track_ollama, track_openai  # noqa: E402
from atles_client._wrapping import new_from  # noqa: E402

from .support import HomeCase  # noqa: E402


def installed(name):
    return unittest.skipUnless(importlib.util.find_spec(name), "%s is not installed" % name)


class WrapperCase(HomeCase):
    def setUp(self):
        super().setUp()
        self.tracker = SessionTracker(self.spool)

    def said(self):
        self.tracker.end_session()
        [session] = self.published()
        self.assertEqual(session.get("model"), "m")
        return [(m["role"], m["content"]) for m in session["messages"]]


class StandIn(WrapperCase):
    def client(self, *, fail_after=None):
        def create(*, messages, model, stream=False):
            text = "You said: " + messages[-1]["content"]
            if not stream:
                return {"choices": [{"message": {"role": "assistant", "content": text}}]}
            return chunks(text)

        def chunks(text):
            for number, piece in enumerate(model_server.pieces(text)):
                if number == fail_after:
                    raise ConnectionError("gone")
                yield Thing(choices=[Thing(index=0, delta=Thing(content=piece))])

        client = Thing(chat=Thing(completions=Thing(create=create)), key="k")
        return track_openai(client, self.tracker)

    def test_a_conversation_is_logged_once_though_each_request_carries_it_again(self):
        client, history = self.client(), [{"role": "system", "content": "Be kind."}]
        for text in ("a", "b", "a", "yes", "yes"):
            history.append({"role": "user", "content": text})
            answer = client.chat.completions.create(messages=history, model="m")
            history.append(answer["choices"][0]["message"])
        expected = [("system", "Be kind.")]
        for text in ("a", "b", "a", "yes", "yes"):
            expected += [("user", text), ("assistant", "You said: " + text)]
        self.assertEqual(self.said(), expected)
        self.assertEqual(client.key, "k")

    def test_a_stream_that_breaks_or_is_left_is_logged_as_far_as_it_came(self):
        ask = [{"role": "user", "content": "hello"}]
        with self.assertRaises(ConnectionError):
            list(self.client(fail_after=2).chat.completions.create(messages=ask, model="m", stream=True))
        for chunk in self.client().chat.completions.create(messages=ask, model="m", stream=True):
            break
        self.tracker.end_session()
        [session] = self.published()
        answers = [(m["content"], m["metadata"]) for m in session["messages"] if m["role"] == "assistant"]
        self.assertEqual(answers, [("You said: ", {"incomplete": True}), ("You s", {"incomplete": True})])

    def test_an_error_of_the_client_is_the_app_s_and_the_question_is_kept(self):
        def create(**_):
            raise ConnectionError("down")

        client = track_openai(Thing(chat=Thing(completions=Thing(create=create))), self.tracker)
        for _ in range(2):
            with self.assertRaises(ConnectionError):
                client.chat.completions.create(messages=[{"role": "user", "content": "a"}], model="m")
        self.assertEqual(self.said(), [("user", "a")])

    def test_odd_requests_and_answers_disturb_nobody(self):
        answers = iter([None, 7, {"choices": []}, {"choices": None}, Thing()])
        client = track_openai(
            Thing(chat=Thing(completions=Thing(create=lambda *_, **__: next(answers)))), self.tracker
        )
        for messages in (None, "text", 7, [None], [{"content": object()}]):
            client.chat.completions.create(messages=messages, model=7)

    def test_what_is_new_in_a_request(self):
        def prints(text):
            roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
            return [(roles[word[0]], word.encode()) for word in text.split()]

        cases = [
            ("", "s u1", "s u1"),
            ("s u1 a1", "s u1 a1 u2", "u2"),
            ("s u1 a1 u2 a2", "s a1 u2 a2 u3", "u3"),
            ("s u1 a1 u2 a2", "u3", "u3"),
            ("s u1 a1", "s u1 a1x u2", "u2"),
            ("s u1 a1", "s u1", ""),
            ("s u1 a1", "s u2", "u2"),
            ("s u1 a1", "s u1 a1x u1", "u1"),
            ("s u1 a1 u2 a2", "s u1", "u1"),
            ("s u1", "s u1", ""),
            ("s u1 a1", "s u1 a1 t1 t2", "t1 t2"),
            ("s u1 a1 u2 a2", "s u1 a1x u2 a2x u3", "u3"),
        ]
        for seen, sent, new in cases:
            sent = prints(sent)
            self.assertEqual(sent[new_from(prints(seen), sent) :], prints(new), (seen, new))


class Served(WrapperCase):
    def setUp(self):
        super().setUp()
        server = model_server.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = "http://127.0.0.1:%d" % server.server_port

    ASK = {"messages": [{"role": "user", "content": "hello"}], "model": "m"}
    HELLO = [("user", "hello"), ("assistant", "You said: hello")]


@installed("openai")
class OpenAi(Served):
    def client(self, kind="OpenAI"):
        import openai

        client = getattr(openai, kind)(base_url=self.url + "/v1", api_key="k")
        if kind == "OpenAI":
            self.addCleanup(client.close)
        return track_openai(client, self.tracker)

    def test_completions(self):
        answer = self.client().chat.completions.create(**self.ASK)
        self.assertEqual(answer.choices[0].message.content, "You said: hello")
        self.assertEqual(self.said(), self.HELLO)

    def test_completions_streamed(self):
        with self.client().chat.completions.create(**self.ASK, stream=True) as stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            self.assertEqual(stream.response.status_code, 200)
        self.assertEqual(text, "You said: hello")
        self.assertEqual(self.said(), self.HELLO)

    def test_completions_with_the_stream_helper(self):
        with self.client().chat.completions.stream(**self.ASK) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_completion().choices[0].message.content, "You said: hello")
        self.assertEqual(self.said(), self.HELLO)

    def test_tool_calls(self):
        client = self.client()
        for stream in (False, True):
            ask = [{"role": "user", "content": "use a tool %s" % stream}]
            answer = client.chat.completions.create(messages=ask, model="m", stream=stream)
            if stream:
                list(answer)
        self.tracker.end_session()
        messages = self.published()[0]["messages"]
        [first, second] = [m["metadata"]["tool_calls"] for m in messages if m["role"] == "assistant"]
        self.assertEqual((first[0]["function"]["name"], second), ("look", [{"name": "look", "arguments": '{"at": 1}'}]))

    def test_responses(self):
        client = self.client()
        answer = client.responses.create(model="m", input="hello", instructions="Be kind.")
        self.assertEqual(answer.output_text, "You said: hello")
        events = client.responses.create(model="m", input=[{"role": "user", "content": "again"}], stream=True)
        self.assertGreater(len(list(events)), 2)
        self.assertEqual(
            self.said(),
            [("system", "Be kind."), *self.HELLO, ("user", "again"), ("assistant", "You said: again")],
        )

    def test_async(self):
        async def talk():
            async with self.client("AsyncOpenAI") as client:
                answer = await client.chat.completions.create(**self.ASK)
                self.assertEqual(answer.choices[0].message.content, "You said: hello")
                ask = {"messages": [{"role": "user", "content": "again"}], "model": "m"}
                async for _ in await client.chat.completions.create(**ask, stream=True):
                    pass

        asyncio.run(talk())
        self.assertEqual(self.said(), [*self.HELLO, ("user", "again"), ("assistant", "You said: again")])


@installed("ollama")
class Ollama(Served):
    def test_chat_and_generate_streamed_and_not(self):
        import ollama

        client = track_ollama(ollama.Client(host=self.url), self.tracker)
        answer = client.chat(**self.ASK)
        self.assertEqual(answer["message"]["content"], "You said: hello")
        history = [*self.ASK["messages"], answer["message"], {"role": "user", "content": "again"}]
        text = "".join(chunk.message.content for chunk in client.chat("m", history, stream=True))
        self.assertEqual(text, "You said: again")
        self.assertEqual(client.generate(model="m", prompt="third").response, "You said: third")
        list(client.generate("m", "fourth", stream=True))
        expected = [("user", "hello"), ("user", "again"), ("user", "third"), ("user", "fourth")]
        expected = [pair for role, text in expected for pair in ((role, text), ("assistant", "You said: " + text))]
        self.assertEqual(self.said(), expected)

    def test_async(self):
        import ollama

        async def talk():
            client = track_ollama(ollama.AsyncClient(host=self.url), self.tracker)
            await client.chat(**self.ASK)
            async for _ in await client.chat(model="m", messages=[{"role": "user", "content": "again"}], stream=True):
                pass

        asyncio.run(talk())
        self.assertEqual(self.said(), [*self.HELLO, ("user", "again"), ("assistant", "You said: again")])


if __name__ == "__main__":
    unittest.main()
