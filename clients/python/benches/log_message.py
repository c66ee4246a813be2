"""Times ``log_message`` with messages of 2 KB, and in the same moments what the disk itself takes for as much.

python log_message.py [FOLDER]
"""

import os
import sys
import tempfile
import time
from typing import Callable, List

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from atles_client import SessionTracker  # noqa: E402

TEXT = "A word, " * 256


Work = Callable[[], None]


def timed(count: int, *works: Work) -> List[List[float]]:
    """Milliseconds of each, sorted. They take turns, so that a busy disk is as busy for all of them."""
    took: List[List[float]] = [[] for _ in works]
    for _ in range(count):
        for work, times in zip(works, took):
            begun = time.perf_counter()
            work()
            times.append((time.perf_counter() - begun) * 1e3)
    return [sorted(times) for times in took]


def part(took: List[float], of_hundred: int) -> float:
    return took[len(took) * of_hundred // 100]


def show(what: str, took: List[float]) -> None:
    figures = (what, len(took), part(took, 50), part(took, 99), took[-1])
    print("%-36s %5d times: p50 %7.3f ms, p99 %7.3f ms, worst %7.3f ms" % figures)


def raw(folder: str, fsync: bool) -> Work:
    """Appends as much to a file, and nothing else."""
    name = os.path.join(folder, "raw-%s" % fsync)
    fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)

    def work() -> None:
        os.write(fd, TEXT.encode())
        if fsync:
            sync(fd)

    return work


def track(folder: str, fsync: bool, count: int) -> None:
    tracker = SessionTracker(folder, fsync=fsync)
    tracker.start_session()
    logged, bare = timed(count, lambda: tracker.log_message("user", TEXT), raw(folder, fsync))
    show("log_message, fsync=%s" % fsync, logged)
    show("write%s, nothing else" % (" and fdatasync" if fsync else ""), bare)
    ratios = [part(logged, of) / part(bare, of) for of in (50, 99)]
    print("%-36s p50 %.2f, p99 %.2f" % ("  ratio", ratios[0], ratios[1]))
    show("end_session, %d messages" % count, timed(1, tracker.end_session)[0])


with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
    track(folder, False, 5000)
    track(folder, True, 1000)
