"""Disks and folders that fail, and a spool that nobody named: the app notices nothing, and the chat is kept."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

from atles_client import SessionTracker, _live, recover
from atles_client._places import fallback

from .support import HomeCase, needs_daemon


class Troubles(HomeCase):
    def setUp(self):
        super().setUp()
        logger = logging.getLogger("atles_client")
        level = logger.level
        logger.setLevel(logging.WARNING)
        self.addCleanup(logger.setLevel, level)
        from atles_client import _quiet

        _quiet._said.clear()

    @contextlib.contextmanager
    def full(self, *folders, after=0):
        """Writes below these folders fail after so many bytes, as on a full disk."""
        true_write, room = os.write, [after]

        def write(fd, content):
            path = os.readlink("/proc/self/fd/%d" % fd)
            if not any(path.startswith(str(folder)) for folder in folders):
                return true_write(fd, content)
            fits = content[: room[0]]
            if not fits:
                raise OSError(errno.ENOSPC, "No space left on device")
            room[0] -= len(fits)
            return true_write(fd, fits)

        with mock.patch.object(_live.os, "write", write):
            yield

    def test_a_full_disk_moves_the_chat_to_the_fallback_and_back(self):
        tracker = SessionTracker(self.spool)
        tracker.start_session("s")
        tracker.log_message("user", "before")
        [kept, *_] = fallback(self.spool)
        with self.full(self.spool, after=20), self.assertLogs("atles_client") as logs:
            tracker.log_message("user", "while it is full")
            self.assertEqual(self.live(), [], "the half line went with its file")
            [[_, *messages]] = self.live(kept)
            self.assertEqual([m["content"] for m in messages], ["before", "while it is full"])
        self.assertIn("No space left", " ".join(logs.output))
        tracker.log_message("user", "after")
        tracker.end_session()
        [session] = self.published()
        self.assertEqual(len(session["messages"]), 3)
        self.assertEqual(list(kept.iterdir()), [])

    def test_a_disk_that_is_full_at_the_end_has_the_chat_brought_later(self):
        [kept, *_] = fallback(self.spool)
        tracker = SessionTracker(self.spool)
        tracker.log_message("user", "a")
        with self.full(self.spool):
            tracker.end_session()
        self.assertEqual((len(self.published()), len(self.published(kept))), (0, 1))
        with SessionTracker(self.spool) as other:
            other.log_message("user", "b")
        self.assertEqual(len(self.published()), 2)
        self.assertEqual(list(kept.iterdir()), [])

    def test_when_no_disk_has_room_the_chat_waits_in_memory(self):
        tracker = SessionTracker(self.spool)
        with self.full(self.root), self.assertLogs("atles_client") as logs:
            tracker.log_message("user", "a")
            tracker.log_message("user", "b")
            tracker.end_session()
        self.assertIn("memory only", " ".join(logs.output))
        tracker.start_session()
        [session] = self.published()
        self.assertEqual(len(session["messages"]), 2)

    def test_an_app_that_ends_with_all_disks_full_ends_well(self):
        code = """
import errno
from atles_client import SessionTracker, _live
def full(*_):
    raise OSError(errno.ENOSPC, "full")
_live.os.write = full
tracker = SessionTracker(%r)
tracker.log_message("user", "a")
""" % str(self.spool)
        ran = self.run_python(code, capture_output=True)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, b"", b""))

    def test_a_missing_spool_is_made_where_a_configuration_names_it(self):
        self.spool.rmdir()
        self.home.rmdir()
        with SessionTracker() as tracker:
            tracker.log_message("user", "a")
        self.assertEqual(len(self.published()), 1)
        self.assertEqual(self.home.stat().st_mode & 0o777, 0o700)

    def test_a_spool_below_a_folder_that_is_missing_is_not_made(self):
        spool = self.root / "unmounted" / "disk" / "spool"
        tracker = SessionTracker(spool)
        with self.assertLogs("atles_client"):
            tracker.log_message("user", "a")
        tracker.end_session()
        self.assertFalse((self.root / "unmounted").exists())
        spool.mkdir(parents=True)
        self.assertEqual(recover(spool), 1)
        self.assertEqual(len(self.published(spool)), 1)

    def test_a_spool_that_vanishes_in_the_middle_is_no_trouble(self):
        tracker = SessionTracker(self.spool)
        tracker.log_message("user", "a")
        for path in self.spool.iterdir():
            path.unlink()
        self.spool.rmdir()
        tracker.log_message("user", "b")
        tracker.end_session()
        [session] = self.published()
        self.assertEqual(len(session["messages"]), 2)

    def test_a_spool_that_is_no_folder_is_worked_around(self):
        path = self.root / "file"
        path.write_text("")
        with SessionTracker(path) as tracker:
            tracker.log_message("user", "a")
        self.assertEqual(len(self.published(fallback(path)[0])), 1)

    def test_without_any_spool_chats_are_kept_until_there_is_one(self):
        del os.environ["ATLES_CONFIG"]
        os.chdir(self.root / "tmp")
        self.addCleanup(os.chdir, "/")
        with self.assertLogs("atles_client") as logs, SessionTracker() as tracker:
            tracker.log_message("user", "a")
        self.assertIn("atles init", " ".join(logs.output))
        with SessionTracker(self.spool) as tracker:
            tracker.log_message("user", "b")
        self.assertEqual(len(self.published()), 2)

    @unittest.skipUnless(hasattr(os, "geteuid"), "no users here")
    def test_a_read_only_spool_has_the_chat_kept_elsewhere(self):
        code = """
from atles_client import SessionTracker
with SessionTracker(%r) as tracker:
    tracker.log_message("user", "a")
""" % str(self.spool)
        (self.root / "user").mkdir()
        self.spool.chmod(0o555)
        self.addCleanup(self.spool.chmod, 0o700)
        options, python = {}, sys.executable
        if os.geteuid() == 0:
            # Root may write everywhere.
            for path in (self.root, self.home):
                path.chmod(0o755)
            for path in (self.root / "user", self.root / "tmp"):
                path.chmod(0o777)
            options = {"user": 65534}
            pythons = [path for path in (sys.executable, "/usr/bin/python3") if os.path.exists(path)]
            python = next((path for path in pythons if _others_can_read(Path(path), PYTHON_FILES)), None)
            if python is None:
                self.skipTest("no other user can run a Python here")
        ran = subprocess.run(
            [python, "-c", code], env=self.child_environ(), timeout=60, capture_output=True, **options
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
        self.assertEqual(self.published(), [])
        self.assertEqual(len(self.published(fallback(self.spool)[0])), 1)

    @needs_daemon
    def test_a_daemon_that_stops_in_the_middle_is_not_noticed(self):
        tracker = SessionTracker(self.spool)
        with self.daemon():
            tracker.start_session("s")
            tracker.log_message("user", "a")
        tracker.log_message("user", "b")
        tracker.end_session()
        self.assertEqual(len(self.published()), 1)
        self.learn()
        self.assertEqual(self.learned(), {"s": 2})


PYTHON_FILES = Path(__file__).resolve().parent.parent


def _others_can_read(*paths: Path) -> bool:
    folders = {folder for path in paths for folder in path.resolve().parents}
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@unittest.skipUnless(os.path.exists("/proc/mounts") and hasattr(os, "geteuid") and os.geteuid() == 0, "needs root")
class SmallDisk(HomeCase):
    def test_a_disk_that_really_fills_up(self):
        disk = self.root / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("cannot mount a small disk here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=True)
        spool = disk / "spool"
        with SessionTracker(spool) as tracker:
            tracker.start_session("big")
            for number in range(300):
                tracker.log_message("user", "%d " % number + "x" * 2000)
                folder = spool if self.live(spool) else fallback(spool)[0]
                self.assertEqual(len(self.live(folder)[0]), number + 2)
        [session] = self.published(fallback(spool)[0])
        self.assertEqual(len(session["messages"]), 300)


if __name__ == "__main__":
    unittest.main()
