"""Times ``log_message`` with messages of 2 KB, beside what the disk itself takes: python log_message.py [FOLDER]"""

import os
import sys
import tempfile
import time
from typing import Callable, List

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from atles_client import SessionTracker  # noqa: E402

TEXT = "A word, " * 256


def timed(count: int, work: Callable[[], None]) -> List[float]:
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1e3)
    return sorted(took)


def show(what: str, took: List[float]) -> None:
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    print("%-36s %5d times: p50 %7.3f ms, p99 %7.3f ms, worst %7.3f ms" % (what, len(took), p50, p99, took[-1]))


def track(spool: str, fsync: bool, count: int) -> None:
    tracker = SessionTracker(spool, fsync=fsync)
    tracker.start_session()
    show("log_message, fsync=%s" % fsync, timed(count, lambda: tracker.log_message("user", TEXT)))
    show("end_session, %d messages" % count, timed(1, tracker.end_session))


def disk(folder: str, count: int) -> None:
    fd = os.open(os.path.join(folder, "raw"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def work() -> None:
        os.write(fd, TEXT.encode())
        getattr(os, "fdatasync", os.fsync)(fd)

    show("write and fdatasync, nothing else", timed(count, work))
    os.close(fd)


with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
    track(folder, False, 5000)
    track(folder, True, 1000)
    disk(folder, 1000)
