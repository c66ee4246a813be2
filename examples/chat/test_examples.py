"""Runs every example against the real daemon: what was said in it is in memory.db.

Models are stood in for by clients/testing/model_server.py; the SDKs and frameworks are the real ones, and an example
whose packages are missing is skipped. ATLES_BIN names the daemon, ATLES_SDKS a folder with node_modules.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import unittest
import urllib.request
from pathlib import Path
from typing import Dict, List, Optional

EXAMPLES = Path(__file__).resolve().parent
CLIENTS = EXAMPLES.parents[1] / "clients"
sys.path[:0] = [str(CLIENTS / "python"), str(CLIENTS / "testing")]
import model_server  # noqa: E402
from tests.support import HomeCase, needs_daemon, wait_for  # noqa: E402

SDKS = os.environ.get("ATLES_SDKS", "")
TALK = "I prefer short answers.\nI live in Lisbon.\n"


def needs(*packages: str) -> object:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return unittest.skipIf(bool(missing), "not installed: %s" % ", ".join(missing))


def needs_node(*packages: str) -> object:
    missing = [name for name in packages if not (Path(SDKS or "/nowhere") / "node_modules" / name).is_dir()]
    return unittest.skipIf(not shutil.which("node") or bool(missing), "no node, or not installed: %s" % missing)


@needs_daemon
class Examples(HomeCase):
    def setUp(self) -> None:
        super().setUp()
        server = model_server.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = "http://127.0.0.1:%d" % server.server_port
        os.environ.update(OPENAI_BASE_URL=url + "/v1", OPENAI_API_KEY="k", OLLAMA_HOST=url, MODEL="m")
        os.environ["PYTHONPATH"] = str(CLIENTS / "python")

    def run_example(self, *command: str, talk: str = TALK) -> str:
        ran = subprocess.run(command, input=talk, capture_output=True, text=True, timeout=60, cwd=self.root)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def python(self, name: str, *arguments: str, talk: str = TALK) -> str:
        return self.run_example(sys.executable, str(EXAMPLES / name), *arguments, talk=talk)

    def said(self) -> List[List[str]]:
        """What the daemon stored of each session, in order."""
        self.learn()
        with contextlib.closing(sqlite3.connect(str(self.home / "memory.db"))) as database:
            turns: Dict[int, List[str]] = {}
            for session, text in database.execute("SELECT session, text FROM messages ORDER BY id"):
                turns.setdefault(session, []).append(text)
        return list(turns.values())

    def assert_two_turns_were_learned(self) -> None:
        [texts] = self.said()
        first, second = TALK.splitlines()
        self.assertEqual(texts, [first, "You said: " + first, second, "You said: " + second])

    def test_console_loop(self) -> None:
        self.assertIn("You said: I live in Lisbon.", self.python("console_loop.py"))
        self.assert_two_turns_were_learned()

    def test_one_liners(self) -> None:
        os.environ["ATLES_BIN"] = str(self.root / "none, so that none is started")
        self.python("one_liners.py")
        self.assertEqual(len(self.said()[0]), 2)

    @needs("openai")
    def test_openai_chat(self) -> None:
        self.assertIn("You said: I live in Lisbon.", self.python("openai_chat.py"))
        self.assert_two_turns_were_learned()

    @needs("ollama")
    def test_ollama_chat(self) -> None:
        self.assertIn("You said: I live in Lisbon.", self.python("ollama_chat.py"))
        self.assert_two_turns_were_learned()

    @needs("openai")
    def test_remembering_chat(self) -> None:
        stand_in = self.root / "atles"
        stand_in.write_text("#!/bin/sh\necho '[{\"text\": \"Mara drinks tea.\"}]'\n")
        stand_in.chmod(0o755)
        os.environ["ATLES_BIN"] = str(stand_in)
        self.python("remembering_chat.py", talk="What do I drink?\n")
        [session] = self.published()
        self.assertIn("Mara drinks tea.", session["messages"][0]["content"])
        self.assertEqual(session["messages"][1]["content"], "What do I drink?")

    @needs("streamlit")
    def test_streamlit_app(self) -> None:
        code = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(%r, default_timeout=60).run()
for text in %r:
    app.chat_input[0].set_value(text).run()
assert not app.exception, app.exception
assert app.chat_message[3].markdown[0].value == "You said: I live in Lisbon."
app.sidebar.button[0].click().run()
assert len(app.chat_message) == 0
""" % (str(EXAMPLES / "streamlit_app.py"), TALK.splitlines())
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assert_two_turns_were_learned()

    def run_in_framework(self, code: str) -> None:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), os.environ["PYTHONPATH"]])}
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environ)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(sorted((s["user_id"], s["session_id"], len(s["messages"])) for s in self.published()),
                         [("jonas", "1", 2), ("mara", "1", 4)])
        self.assertEqual(sorted(len(texts) for texts in self.said()), [2, 4])

    @needs("fastapi", "httpx")
    def test_fastapi_app(self) -> None:
        self.run_in_framework("""
from fastapi.testclient import TestClient
from fastapi_app import app
with TestClient(app) as client:
    for user in ("mara", "jonas", "mara"):
        said = client.post("/users/%s/chats/1" % user, json={"text": "I like tea."})
        assert said.json() == {"reply": "You said: I like tea."}, said.text
    assert client.delete("/users/mara/chats/1").status_code == 200
""")

    @needs("flask")
    def test_flask_app(self) -> None:
        self.run_in_framework("""
from flask_app import app
client = app.test_client()
for user in ("mara", "jonas", "mara"):
    said = client.post("/users/%s/chats/1" % user, json={"text": "I like tea."})
    assert said.get_json() == {"reply": "You said: I like tea."}, said.text
assert client.delete("/users/mara/chats/1").status_code == 200
""")

    def node_example(self, name: str) -> List[str]:
        # Node looks for packages beside the file.
        copy = Path(SDKS) / name
        shutil.copyfile(EXAMPLES / name, copy)
        self.addCleanup(copy.unlink)
        return ["node", str(copy)]

    @needs_node("atles-client", "openai")
    def test_openai_chat_in_node(self) -> None:
        self.assertIn("You said: I live in Lisbon.", self.run_example(*self.node_example("openai_chat.mjs")))
        self.assert_two_turns_were_learned()

    @needs_node("atles-client", "express")
    def test_express_app(self) -> None:
        os.environ["PORT"] = "0"
        server = subprocess.Popen(self.node_example("express_app.mjs"), stdout=subprocess.PIPE, text=True)
        try:
            found = re.search(r"\d+", server.stdout.readline())
            self.assertIsNotNone(found)
            url = "http://127.0.0.1:%s/users/%%s/chats/1" % found.group()
            for user in ("mara", "jonas", "mara"):
                self.assertIn("You said: I like tea.", http("POST", url % user, b'{"text": "I like tea."}'))
            http("DELETE", url % "mara")
            wait_for(lambda: len(self.published()) == 1)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
            server.stdout.close()
        self.assertEqual(len(self.published()), 2, "the other one when the server stops")
        self.assertEqual(sorted(len(texts) for texts in self.said()), [2, 4])

    def test_file_drop(self) -> None:
        self.python("file_drop.py", str(self.spool))
        self.assertEqual(self.said(), [["I prefer parcels to arrive on Saturdays.", "Saturdays it is."]])

    def test_shell_chat(self) -> None:
        self.run_example("sh", str(EXAMPLES / "shell_chat.sh"), str(self.spool))
        self.assert_two_turns_were_learned()

    def test_shell_text_of_every_kind_is_valid_json(self) -> None:
        odd = 'quote " back \\ slash \\n & tab\there $HOME `x` ünï \x01 end'
        self.run_example("sh", str(EXAMPLES / "shell_chat.sh"), str(self.spool), talk=odd)
        self.assertEqual(self.said()[0][0], odd.replace("\x01", ""))


def http(method: str, url: str, body: Optional[bytes] = None) -> str:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


class Page(unittest.TestCase):
    def test_the_page_shows_every_example_as_it_is(self) -> None:
        page = (EXAMPLES.parents[1] / "docs" / "INTEGRATION.md").read_text("utf-8")
        shown = dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", page, re.S))
        files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".mjs", ".sh")}
        self.assertEqual(set(shown), files - {"test_examples.py"})
        for name, text in shown.items():
            self.assertEqual(text, (EXAMPLES / name).read_text("utf-8"), name)


if __name__ == "__main__":
    unittest.main()
