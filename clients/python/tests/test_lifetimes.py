"""Apps that end in every way there is."""

from __future__ import annotations

import json
import os
import signal
import time
import unittest
from pathlib import Path

from atles_client import SessionTracker, recall, recover

from .support import BINARY, HomeCase, needs_daemon, wait_for

TALK = """
import sys, time
from atles_client import SessionTracker
tracker = SessionTracker(%(spool)r, fsync=%(fsync)r)
tracker.start_session("killed")
for number in range(%(count)d):
    tracker.log_message("user" if number %% 2 == 0 else "assistant", "I live in Lisbon. " + str(number))
    sys.stdout.write("."); sys.stdout.flush()
time.sleep(60)
"""


@unittest.skipUnless(hasattr(signal, "SIGKILL"), "no SIGKILL here")
class Killed(HomeCase):
    def kill_after(self, count, fsync=False):
        child = self.start_python(TALK % {"spool": str(self.spool), "count": count, "fsync": fsync})
        self.assertEqual(len(child.stdout.read(count)), count)
        child.kill()
        child.wait()

    def test_every_message_before_sigkill_is_in_the_live_file(self):
        for count in (1, 2, 7):
            self.kill_after(count, fsync=count == 2)
            [[_, *messages]] = self.live()
            self.assertEqual([m["content"] for m in messages], ["I live in Lisbon. %d" % n for n in range(count)])
            self.assertEqual(recover(self.spool, silent_for=0), 1)
            self.assertEqual(self.hidden(), [])
        self.assertEqual(sorted(len(s["messages"]) for s in self.published()), [1, 2, 7])

    @needs_daemon
    def test_a_killed_chat_is_learned(self):
        self.kill_after(5)
        recover(self.spool, silent_for=0)
        self.learn()
        self.assertEqual(self.learned(), {"killed": 5})

    def test_a_chat_that_still_runs_is_left_alone(self):
        child = self.start_python(TALK % {"spool": str(self.spool), "count": 3, "fsync": False})
        child.stdout.read(3)
        self.assertEqual(recover(self.spool, silent_for=0), 0)
        self.assertEqual(len(self.live()), 1)
        child.kill()
        child.wait()
        self.assertEqual(recover(self.spool), 0, "silent for a moment only")
        self.assertEqual(recover(self.spool, silent_for=0), 1)

    def test_a_torn_line_is_left_out_and_the_whole_ones_are_kept(self):
        self.kill_after(3)
        [path] = self.spool.glob(".live-*")
        content = path.read_bytes()
        path.write_bytes(content[:-10])
        recover(self.spool, silent_for=0)
        self.assertEqual([len(s["messages"]) for s in self.published()], [2])

    @needs_daemon
    def test_a_crash_anywhere_in_end_session_loses_and_doubles_nothing(self):
        # The places where end_session touches the disk; the process dies right before the call, or right after.
        steps = ["_live._write_all", "_live.os.fsync", "_live.os.rename", "_live.sync_folder", "_live.os.unlink"]
        for number, step in enumerate(steps):
            for after in (False, True):
                name = "crash-%d-%s" % (number, after)
                code = """
import os, signal
from atles_client import SessionTracker, _live
tracker = SessionTracker({spool!r})
tracker.start_session({name!r})
tracker.log_message("user", "I prefer tea to coffee.")
tracker.log_message("assistant", "Tea it is.")
true = {step}
def dying(*args):
    if {after}: true(*args)
    os.kill(os.getpid(), signal.SIGKILL)
{step} = dying
tracker.end_session()
""".format(spool=str(self.spool), name=name, step=step, after=after)
                ran = self.run_python(code)
                self.assertEqual(ran.returncode, -signal.SIGKILL, name)
                recover(self.spool, silent_for=0)
                self.learn()
                self.assertEqual(self.learned().get(name), 2, name)
        self.assertEqual(len(self.learned()), 2 * len(steps))
        self.assertEqual([n for n in self.hidden() if n.startswith(".live-")], [])

    def test_sigterm_and_a_hard_exit_are_like_a_kill(self):
        for end in ("os.kill(os.getpid(), 15)", "os._exit(1)", "os.abort()"):
            self.run_python(
                "import os\nfrom atles_client import SessionTracker\nt = SessionTracker(%r)\n"
                "t.log_message('user', 'a')\n%s" % (str(self.spool), end)
            )
        self.assertEqual(len(self.live()), 3)
        self.assertEqual(recover(self.spool, silent_for=0), 3)


class Exits(HomeCase):
    def test_an_app_that_ends_without_a_word_publishes(self):
        ends = ["", "raise SystemExit(3)", "raise ValueError", "import sys; sys.exit()", "del tracker"]
        for end in ends:
            self.run_python(
                "import sys; sys.stderr = None\nfrom atles_client import SessionTracker\n"
                "tracker = SessionTracker()\ntracker.log_message('user', 'a')\n" + end
            )
        self.assertEqual(len(self.published()), len(ends))
        self.assertEqual(self.hidden(), [])


@unittest.skipUnless(hasattr(os, "fork"), "no fork here")
class Forks(HomeCase):
    def in_child(self, work):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_the_chat_stays_with_the_parent_and_the_child_has_its_own(self):
        tracker = SessionTracker(self.spool)
        tracker.start_session("parent")
        tracker.log_message("user", "before")

        def child():
            assert tracker.get_current_session_id() is None
            tracker.end_session()
            tracker.log_message("user", "in the child")
            tracker.end_session()

        self.in_child(child)
        self.assertEqual(recover(self.spool, silent_for=0), 0, "the parent's file is still locked")
        tracker.log_message("user", "after")
        tracker.end_session()
        by_id = {s["session_id"]: s for s in self.published()}
        self.assertEqual([m["content"] for m in by_id.pop("parent")["messages"]], ["before", "after"])
        [other] = by_id.values()
        self.assertEqual(other["metadata"], {"forked_from": "parent"})
        self.assertEqual([m["content"] for m in other["messages"]], ["in the child"])

    def test_a_child_that_outlives_its_parent_does_not_keep_the_chat_locked(self):
        code = """
import os, sys, time
from atles_client import SessionTracker
tracker = SessionTracker(%r)
tracker.log_message("user", "a")
if os.fork() == 0:
    sys.stdout.write("child\\n"); sys.stdout.flush()
    time.sleep(60)
    os._exit(0)
time.sleep(60)
""" % str(self.spool)
        child = self.start_python(code)
        self.assertEqual(child.stdout.readline(), b"child\n")
        self.addCleanup(self._kill_group_of, child.pid)
        child.kill()
        child.wait()
        self.assertEqual(recover(self.spool, silent_for=0), 1)

    def _kill_group_of(self, pid):
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                if str(self.spool).encode() in (entry.parent / "cmdline").read_bytes():
                    os.kill(int(entry.parent.name), signal.SIGKILL)
            except (OSError, ValueError):
                continue

    def test_forks_among_busy_threads_leave_whole_files(self):
        code = """
import os, threading
from atles_client import SessionTracker
tracker = SessionTracker(%r)
tracker.start_session("busy")
def talk():
    for number in range(300):
        tracker.log_message("user", "x" * 500)
threads = [threading.Thread(target=talk) for _ in range(4)]
for thread in threads: thread.start()
children = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        tracker.log_message("user", "child")
        tracker.end_session()
        os._exit(0)
    children.append(pid)
for thread in threads: thread.join()
codes = [os.waitpid(pid, 0)[1] for pid in children]
tracker.end_session()
assert codes == [0] * 20, codes
""" % str(self.spool)
        self.assertEqual(self.run_python(code).returncode, 0)
        counts = sorted(len(s["messages"]) for s in self.published())
        self.assertEqual(counts, [1] * 20 + [1200])


class Adopted(HomeCase):
    def test_a_file_that_was_taken_away_is_written_anew(self):
        tracker = SessionTracker(self.spool)
        tracker.start_session("s")
        tracker.log_message("user", "a")
        [path] = self.spool.iterdir()
        path.rename(self.root / "taken")
        tracker.log_message("user", "b")
        [[_, *messages]] = self.live()
        self.assertEqual([m["content"] for m in messages], ["a", "b"])
        self.assertEqual(len((self.root / "taken").read_bytes().splitlines()), 2)
        tracker.end_session()
        self.assertEqual(self.hidden(), [])

    @needs_daemon
    def test_an_adopted_chat_that_went_on_after_all_is_learned_once(self):
        tracker = SessionTracker(self.spool)
        tracker.start_session("s")
        tracker.log_message("user", "a")
        [path] = self.spool.iterdir()
        # What the daemon does with a live file: it is a transcript as it stands.
        path.rename(self.spool / "adopted.jsonl")
        self.learn()
        self.assertEqual(self.learned(), {"s": 1})
        tracker.log_message("user", "b")
        tracker.end_session()
        self.learn()
        self.assertEqual(self.learned(), {"s": 2})

    def test_a_file_whose_writer_had_no_lock_is_judged_by_its_process(self):
        def abandoned(**facts):
            from atles_client._live import owner

            mine = {**owner(False), **facts}
            path = self.spool / ".live-1.jsonl"
            lines = [{"session_id": "s", "live": mine}, {"role": "user", "content": "a"}]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            return recover(self.spool, silent_for=0) == 1

        self.assertFalse(abandoned(), "we live")
        self.assertFalse(abandoned(host="elsewhere", pid=1 << 30), "nobody can tell")
        self.assertFalse(abandoned(version=2), "of a later version")
        self.assertTrue(abandoned(began="1"), "another process has the number")
        self.assertTrue(abandoned(pid=1 << 30), "no such process")


@needs_daemon
class WithTheDaemon(HomeCase):
    def test_a_session_is_done_and_in_memory_a_moment_after_its_end(self):
        with self.daemon():
            trackers = [SessionTracker(self.spool, user_id="mara") for _ in range(3)]
            for number, tracker in enumerate(trackers):
                tracker.start_session("running-%d" % number)
                tracker.log_message("user", "I prefer short answers. %d" % number)
                tracker.log_message("assistant", "Fine.")
            self.assertEqual(len(self.live()), 3, "their apps live, however silent they are")
            for tracker in trackers:
                tracker.end_session()
            done = self.home / "done"
            wait_for(lambda: len(list(done.iterdir())) == 3)
            wait_for(lambda: len(self.learned()) == 3)
        self.assertEqual(self.learned(), {"running-%d" % n: 2 for n in range(3)})
        self.assertEqual(list(self.spool.iterdir()), [])


    def test_a_chat_killed_after_any_message_is_learned_to_the_last_one(self):
        with self.daemon():
            for count in (1, 2, 5):
                code = TALK % {"spool": str(self.spool), "count": count, "fsync": count == 2}
                child = self.start_python(code.replace('"killed"', '"killed-%d"' % count))
                self.assertEqual(len(child.stdout.read(count)), count)
                child.kill()
                child.wait()
            wait_for(lambda: len(list((self.home / "done").iterdir())) == 3)
        self.assertEqual(self.learned(), {"killed-%d" % count: count for count in (1, 2, 5)})
        self.assertEqual((list(self.spool.iterdir()), list((self.home / "failed").iterdir())), ([], []))

    def test_what_is_said_is_recallable_within_a_second_and_never_doubled(self):
        os.environ["ATLES_BIN"] = BINARY
        with self.daemon():
            tracker = SessionTracker(self.spool, user_id="mara")
            took = []
            for town in ("Lisbon", "Porto", "Faro", "Braga", "Evora"):
                said = time.monotonic()
                tracker.log_message("user", "I live in %s." % town)
                wait_for(lambda: self.known() == [town + "*1"])
                took.append(time.monotonic() - said)
            self.assertLess(sorted(took)[2], 1.0, took)
            [hit, *_] = recall("Where do I live?", user_id="mara", spool=self.spool)
            self.assertIn("Evora", hit["text"])
            tracker.set_metadata("topic", "towns")
            tracker.log_message("user", "I love green tea.")
            wait_for(lambda: self.known() == ["Evora*1", "green tea*1"])
            tracker.end_session()
            wait_for(lambda: len(list((self.home / "done").iterdir())) == 1)
            wait_for(lambda: len(self.learned()) == 1)
            self.assertEqual(self.known(), ["Evora*1", "green tea*1"])

    def test_the_files_of_an_app_carry_the_mark_of_its_run(self):
        os.environ["ATLES_RUN"] = "0123456789abcdef"
        tracker = SessionTracker(self.spool)
        tracker.start_session("s")
        tracker.log_message("user", "a")
        self.assertRegex(self.hidden()[0], r"^\.live-[0-9a-f]{32}-run-0123456789abcdef\.jsonl$")
        tracker.set_metadata("k", 1)
        tracker.end_session()
        [name] = [path.name for path in self.spool.iterdir()]
        self.assertRegex(name, r"^completed_s-[0-9a-f]{16}-run-0123456789abcdef\.json$")
        os.environ["ATLES_RUN"] = "../../evil"
        with SessionTracker(self.spool) as other:
            other.log_message("user", "b")
        self.assertNotIn("run", " ".join(path.name for path in self.spool.iterdir() if path.name != name))


if __name__ == "__main__":
    unittest.main()
