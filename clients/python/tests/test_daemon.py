from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
import unittest

from atles_client import Conversations, SessionTracker, get_daemon_status, recall, start_daemon

from .support import BINARY, HomeCase, needs_daemon, wait_for, wait_for_end


@needs_daemon
class Daemon(HomeCase):
    def test_the_status_tells_whether_a_daemon_runs(self):
        self.assertEqual(get_daemon_status(), {"running": False, "is_running": False})
        with self.daemon():
            status = get_daemon_status()
            self.assertTrue(status["running"] and status["is_running"])
            self.assertEqual((status["home"], status["spool"]), (str(self.home), 0))
        self.assertFalse(get_daemon_status()["running"])

    def test_a_home_with_a_long_name_is_asked_all_the_same(self):
        deep = self.root / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        self.config = self.config.rename(deep / "pipeline.toml")
        self.home = deep / "atles_memory"
        os.environ["ATLES_CONFIG"] = str(self.config)
        with self.daemon():
            self.assertTrue(get_daemon_status()["running"])

    def test_a_tracker_starts_one_daemon_that_outlives_the_app(self):
        os.environ["ATLES_BIN"] = BINARY
        code = """
from atles_client import SessionTracker
trackers = [SessionTracker(auto_start_daemon=True) for _ in range(3)]
trackers[0].start_session("started")
trackers[0].log_message("user", "I prefer tea.")
"""
        ran = self.run_python(code, capture_output=True)
        self.addCleanup(self._stop)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, b"", b""))
        wait_for(lambda: get_daemon_status()["running"])
        wait_for(lambda: (self.home / "memory.db").exists() and self.learned() == {"started": 1})
        pid = get_daemon_status()["pid"]
        self.assertNotEqual(os.getpgid(pid), os.getpgid(0), "a Ctrl-C in the app's terminal does not reach it")
        self.assertTrue(start_daemon())
        self.assertEqual(get_daemon_status()["pid"], pid)

    def _stop(self):
        pid = get_daemon_status().get("pid")
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_for_end(pid)

    def test_without_the_command_or_a_configuration_nothing_is_started(self):
        os.environ["ATLES_BIN"] = str(self.root / "gone")
        self.assertFalse(start_daemon())
        os.environ["ATLES_BIN"] = BINARY
        os.environ.pop("ATLES_CONFIG")
        self.assertFalse(start_daemon(self.root / "elsewhere"))


class Recall(HomeCase):
    def command(self, script):
        path = self.root / "atles"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        os.environ["ATLES_BIN"] = str(path)

    def test_recall_asks_the_command_and_reads_its_hits(self):
        self.command('printf "%s\\n" "$@" > "$HOME.args"; echo \'{"hits": [{"text": "tea"}]}\'')
        self.assertEqual(recall("--odd; rm", user_id="--x", limit=3, since="2026-01-01"), [{"text": "tea"}])
        asked = (self.root / "user.args").read_text().splitlines()
        rest = ["recall", "--json", "--user=--x", "--limit=3", "--since=2026-01-01", "--", "--odd; rm"]
        self.assertEqual(asked, ["--config", str(self.config), *rest])

    def test_recall_never_raises(self):
        for script in ("exit 4", "echo nonsense", "echo 7", "sleep 5"):
            self.command(script)
            self.assertEqual(recall("tea", timeout=0.2), [], script)
        os.environ["ATLES_BIN"] = str(self.root / "gone")
        self.assertEqual(recall("tea"), [])


class ManyChats(HomeCase):
    def test_each_chat_has_its_tracker_and_ends_when_it_is_quiet(self):
        chats = Conversations(self.spool, idle=0.2, app="web")
        chats.tracker("1", "mara").log_message("user", "a")
        chats.tracker("1", "jonas").log_message("user", "b")
        chats.tracker("1", "mara").log_message("assistant", "c")
        chats.tracker("2").log_message("user", "d")
        chats.end("2")
        self.assertEqual(len(self.published()), 1)
        wait_for(lambda: len(self.published()) == 3)
        found = {(s["session_id"], s.get("user_id")): len(s["messages"]) for s in self.published()}
        self.assertEqual(found, {("1", "mara"): 2, ("1", "jonas"): 1, ("2", None): 1})
        chats.tracker("1", "mara").log_message("user", "later")
        chats.end_all()
        self.assertEqual(len(self.published()), 4)


@needs_daemon
class OldTracker(HomeCase):
    """Files as the tracker of the ATLES project writes them: in place, indented, with local times of no zone."""

    def write_slowly(self, session_id, messages):
        session = {
            "session_id": session_id,
            "start_time": time.strftime("%Y-%m-%dT%H:%M:%S.123456"),
            "messages": [
                {"role": role, "content": content, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.654321")}
                for role, content in messages
            ],
            "metadata": {"interface": "desktop"},
            "end_time": time.strftime("%Y-%m-%dT%H:%M:%S.999999"),
        }
        text = json.dumps(session, indent=2)
        with open(self.spool / ("completed_%s.json" % session_id), "w", encoding="utf-8") as file:
            for start in range(0, len(text), 200):
                file.write(text[start : start + 200])
                file.flush()
                time.sleep(0.02)

    def test_its_folder_as_the_spool(self):
        sessions = self.root / "old" / "sessions"
        sessions.mkdir(parents=True)
        self.config.write_text(self.config.read_text().replace("[spool]", "[spool]\npath = 'old/sessions'", 1))
        self.spool = sessions
        talk = [("user", "What is Python?"), ("assistant", "A language. Ünïcödé."), ("user", "I prefer short answers.")]
        with self.daemon():
            for number in range(3):
                self.write_slowly("session_20261122_10000%d" % number, talk)
            wait_for(lambda: len(list((self.home / "done").iterdir())) == 3)
        self.assertEqual(self.learned(), {"session_20261122_10000%d" % n: 3 for n in range(3)})
        self.assertEqual(list((self.home / "failed").iterdir()), [])
        [log] = list((self.home / "logs").glob("session_log_session_20261122_100000_*.json"))
        self.assertRegex(json.loads(log.read_text())["start_time"], r"^\d{4}-\d\d-\d\dT[\d:.]+$")


if __name__ == "__main__":
    unittest.main()
