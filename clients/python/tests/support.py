"""A hermetic home for each test, and the real daemon where there is one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Dict, Iterator, List

from atles_client._tracker import _end_all

PYTHON = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("ATLES_BIN", "")
PIPELINE = """version = 1
[spool]
settle = "100ms"
rescan = "1s"
live_timeout = "300ms"
[[stage]]
kind = "decode"
[[stage]]
kind = "redact"
[[stage]]
kind = "preferences"
[[stage]]
kind = "facts"
[[stage]]
kind = "memory"
[[stage]]
kind = "session_log"
"""

needs_daemon = unittest.skipUnless(BINARY, "ATLES_BIN names no daemon")


class HomeCase(unittest.TestCase):
    """Each test has its own folder, in which HOME, the configuration and the fallback folder lie."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="atles-test-"))
        self.addCleanup(shutil.rmtree, self.root, True)
        self.config = self.root / "pipeline.toml"
        self.config.write_text(PIPELINE)
        self.home = self.root / "atles_memory"
        self.spool = self.home / "spool"
        self.spool.mkdir(parents=True, mode=0o700)
        self._environ = dict(os.environ)
        self.addCleanup(self._restore)
        for name in ("ATLES_SPOOL", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            os.environ.pop(name, None)
        os.environ.update(HOME=str(self.root / "user"), ATLES_CONFIG=str(self.config), TMPDIR=str(self.root / "tmp"))
        (self.root / "tmp").mkdir()
        tempfile.tempdir = str(self.root / "tmp")
        # Before the folder goes: a session that is still open would be published at exit.
        self.addCleanup(_end_all)

    def _restore(self) -> None:
        os.environ.clear()
        os.environ.update(self._environ)
        tempfile.tempdir = None

    def published(self, folder: Path = None) -> List[Dict[str, Any]]:
        paths = sorted((folder or self.spool).glob("completed_*.json"))
        return [json.loads(path.read_text("utf-8")) for path in paths]

    def live(self, folder: Path = None) -> List[List[Dict[str, Any]]]:
        paths = sorted((folder or self.spool).glob(".live-*.jsonl"))
        return [[json.loads(line) for line in path.read_bytes().splitlines()] for path in paths]

    def hidden(self) -> List[str]:
        return [path.name for path in self.spool.iterdir() if path.name.startswith(".")]

    def run_python(self, code: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([sys.executable, "-c", code], env=self.child_environ(), timeout=60, **options)

    def start_python(self, code: str) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen([sys.executable, "-c", code], env=self.child_environ(), stdout=subprocess.PIPE)
        self.addCleanup(_reap, child)
        return child

    def child_environ(self) -> Dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(PYTHON)}

    def learn(self) -> None:
        """Runs the daemon over the spool."""
        command = [BINARY, "--config", str(self.config), "run", "--once"]
        ran = subprocess.run(command, capture_output=True, timeout=60)
        self.assertEqual(ran.returncode, 0, ran.stderr.decode("utf-8", "replace")[-2000:])

    @contextlib.contextmanager
    def daemon(self) -> Iterator[None]:
        """The daemon, running."""
        command = [BINARY, "--config", str(self.config), "run"]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: (self.home / "control.sock").exists())
            yield
        finally:
            child.terminate()
            child.wait(20)

    def known(self) -> List[str]:
        """The facts and preferences that hold now, each with how often it was said."""
        query = (
            "SELECT value || '*' || mentions FROM facts_now"
            " UNION ALL SELECT object || '*' || mentions FROM preferences_now"
        )
        with contextlib.closing(sqlite3.connect(str(self.home / "memory.db"))) as database:
            return sorted(row[0] for row in database.execute(query))

    def learned(self) -> Dict[str, int]:
        """The sessions in memory.db and how many messages each has."""
        with contextlib.closing(sqlite3.connect(str(self.home / "memory.db"))) as database:
            return dict(database.execute("SELECT session_id, message_count FROM session_memories"))


def wait_for_end(pid: int) -> None:
    """Waits until a process that is no child of ours has ended."""

    def gone() -> bool:
        try:
            os.kill(pid, 0)
            return False
        except ProcessLookupError:
            return True

    wait_for(gone)


def _reap(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    if child.stdout:
        child.stdout.close()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come about within %g s" % seconds)
        time.sleep(0.01)


logging.getLogger("atles_client").setLevel(logging.CRITICAL)
