from __future__ import annotations

import json
import threading
import unittest
from datetime import datetime

from atles_client import SessionTracker, end_tracked_session, get_tracker, start_tracked_session
from atles_client import track_assistant_message, track_user_message

from .support import HomeCase, needs_daemon


class Tracker(HomeCase):
    def test_a_session_is_published_whole_with_what_is_known_of_it(self):
        tracker = SessionTracker(self.spool, user_id="mara", app="desk", model="m")
        self.assertEqual(tracker.start_session("s/1"), "s/1")
        tracker.set_metadata("topic", "tea")
        tracker.log_message("user", "Zwei Wörter\nund \u2028 mehr", {"k": 1}, name="Mara", feedback="up")
        tracker.log_message("assistant", "Yes")
        tracker.set_metadata("late", [1, 2])
        self.assertEqual((tracker.get_current_session_id(), tracker.get_message_count()), ("s/1", 2))
        self.assertEqual(self.published(), [])
        tracker.end_session()
        self.assertEqual((tracker.get_current_session_id(), tracker.get_message_count()), (None, 0))
        [session] = self.published()
        first, second = session.pop("messages")
        for text in (session.pop("start_time"), session.pop("end_time"), first.pop("timestamp")):
            self.assertIsNotNone(datetime.fromisoformat(text).utcoffset())
        about = {"session_id": "s/1", "user_id": "mara", "app": "desk", "model": "m"}
        self.assertEqual(session, {**about, "metadata": {"topic": "tea", "late": [1, 2]}})
        said = {"role": "user", "content": "Zwei Wörter\nund \u2028 mehr", "name": "Mara", "feedback": "up"}
        self.assertEqual(first, {**said, "metadata": {"k": 1}})
        self.assertEqual((second["role"], second["content"]), ("assistant", "Yes"))
        self.assertEqual(self.hidden(), [])

    def test_each_message_is_in_the_live_file_when_log_message_returns(self):
        tracker = SessionTracker(self.spool, fsync=True)
        tracker.start_session("s")
        self.assertEqual(self.live(), [])
        for count in range(1, 4):
            tracker.log_message("user", "message %d" % count)
            [[head, *messages]] = self.live()
            self.assertEqual([m["content"] for m in messages], ["message %d" % n for n in range(1, count + 1)])
            self.assertEqual((head["session_id"], head["live"]["version"]), ("s", 1))
        tracker.set_metadata("k", "v")
        [[head, *messages]] = self.live()
        self.assertEqual((head["metadata"], len(messages)), ({"k": "v"}, 3))
        tracker.log_message("user", "message 4")
        self.assertEqual(len(self.live()[0]), 5)

    def test_the_folder_s_files_are_only_for_their_owner(self):
        tracker = SessionTracker(self.spool)
        tracker.log_message("user", "hello")
        [path] = self.spool.iterdir()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        tracker.end_session()
        [path] = self.spool.iterdir()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_nothing_is_too_odd_to_be_logged(self):
        tracker = SessionTracker(self.spool)
        loop = {}
        loop["self"] = loop
        odd = [None, 7, b"bytes \xff", "half \ud83d", "nul \0", ["a", {"type": "text", "text": "b"}], object(), [object()],
               {"a": 1}, float("nan")]
        for content in odd:
            tracker.log_message("user", content, {"nan": float("inf"), ("a", 1): {1, 2}, "loop": loop, "o": object()})
        tracker.log_message("narrator", "who?")
        tracker.log_message(None, "who?")
        tracker.set_metadata(("odd", 1), {1: float("nan")})
        tracker.end_session()
        [session] = self.published()
        self.assertEqual(len(session["messages"]), len(odd) + 2)
        narrated = session["messages"][-2]
        self.assertEqual((narrated["role"], narrated["metadata"]), ("tool", {"role_given": "narrator"}))
        text = next(self.spool.glob("completed_*")).read_text("utf-8")
        json.loads(text, parse_constant=lambda name: self.fail(name + " is not JSON"))

    @needs_daemon
    def test_the_daemon_reads_what_is_odd(self):
        self.test_nothing_is_too_odd_to_be_logged()
        self.learn()
        self.assertEqual(list(self.learned().values()), [12])

    def test_a_session_is_begun_by_its_first_message_and_ended_by_the_next(self):
        tracker = SessionTracker(self.spool)
        tracker.log_message("user", "a")
        first = tracker.get_current_session_id()
        self.assertTrue(first.startswith("session_2"))
        second = tracker.start_session()
        self.assertNotEqual(first, second)
        self.assertEqual([s["session_id"] for s in self.published()], [first])

    def test_a_session_without_messages_leaves_nothing_behind(self):
        tracker = SessionTracker(self.spool)
        tracker.start_session()
        tracker.set_metadata("k", "v")
        tracker.end_session()
        tracker.end_session()
        self.assertEqual(list(self.spool.iterdir()), [])

    def test_the_context_manager_ends_the_session_when_the_app_fails(self):
        with self.assertRaises(ZeroDivisionError), SessionTracker(self.spool) as tracker:
            tracker.log_message("user", "a")
            1 / 0
        self.assertEqual(len(self.published()), 1)

    def test_a_session_id_names_no_path(self):
        tracker = SessionTracker(self.spool)
        for name in ("../../up", "/etc/passwd", ".hidden", "x" * 5000, "nul\0", "ünï", "a.json.tmp"):
            tracker.start_session(name)
            tracker.log_message("user", "a")
        tracker.end_session()
        self.assertEqual(len(self.published()), 7)
        self.assertEqual(len(list(self.spool.iterdir())), 7)

    def test_threads_share_a_tracker_and_trackers_share_a_spool(self):
        trackers = [SessionTracker(self.spool) for _ in range(4)]
        for number, tracker in enumerate(trackers):
            tracker.start_session("s%d" % number)

        def talk(tracker, thread):
            for number in range(50):
                tracker.log_message("user", "%d-%d" % (thread, number))

        threads = [threading.Thread(target=talk, args=(t, n)) for t in trackers for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for tracker in trackers:
            tracker.end_session()
        expected = {"%d-%d" % (t, n) for t in range(4) for n in range(50)}
        sessions = self.published()
        self.assertEqual(len(sessions), 4)
        for session in sessions:
            said = [m["content"] for m in session["messages"]]
            self.assertEqual((len(said), set(said)), (200, expected))
            for thread in range(4):
                mine = [text for text in said if text.startswith("%d-" % thread)]
                self.assertEqual(mine, ["%d-%d" % (thread, n) for n in range(50)])

    def test_the_one_liners_work_on_one_tracker(self):
        import atles_client._shortcuts as shortcuts

        self.addCleanup(setattr, shortcuts, "_tracker", None)
        get_tracker(auto_start=False)
        start_tracked_session("one")
        track_user_message("a", {"k": 1})
        track_assistant_message("b")
        end_tracked_session()
        [session] = self.published()
        self.assertEqual([m["role"] for m in session["messages"]], ["user", "assistant"])

    def test_the_argument_of_the_old_tracker_is_understood(self):
        tracker = SessionTracker(False)
        tracker.log_message("user", "a")
        tracker.end_session()
        self.assertEqual(len(self.published()), 1)


if __name__ == "__main__":
    unittest.main()
