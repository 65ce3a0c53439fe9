"""Worker processes: results in order, ended with their parent, and a dead one is told in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from support.tasks import die, say_and_sleep, slow_square
from support.workspace import ROOT

from harness.errors import RunError
from harness.walk.executors import HERE
from harness.walk.workers import Workers, available


def alive(process: int) -> bool:
    """Whether it runs; a zombie, whose parent did not wait for it, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(folder: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := list(folder.iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(path.name) for path in found]


def interrupt(folder: Path) -> None:
    """As Ctrl-C would, once both workers are at it."""
    started(folder, 2)
    os.kill(os.getpid(), signal.SIGINT)


def assert_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_short_work_stays_here_and_long_work_goes_to_workers():
    assert Workers(1).suited(1e9) is HERE
    with Workers(2) as workers:
        assert workers.suited(5.0) is HERE
        assert list(workers.suited(100.0).map(slow_square, range(4))) == [0, 1, 4, 9]
        assert list(workers.suited(100.0).map(slow_square, range(3))) == [0, 1, 4]
    assert 1 <= available() <= (os.cpu_count() or 1)


def test_a_worker_that_is_killed_is_a_run_error_in_words():
    with pytest.raises(RunError, match="a worker process was killed"), Workers(2) as workers:
        list(workers.map(die, range(2)))


linux = pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")


@linux
def test_leaving_early_ends_the_workers_whatever_they_do(tmp_path):
    pl.LazyFrame({"x": [1]}).collect()  # from now on its handler restarts what is interrupted
    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        threading.Thread(target=interrupt, args=(tmp_path,)).start()
        list(workers.map(say_and_sleep, [str(tmp_path)] * 2))
    assert_gone([int(path.name) for path in tmp_path.iterdir()])


@linux
def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path):
    code = (
        "from harness.walk.workers import Workers\n"
        "from support.tasks import say_and_sleep\n"
        "if __name__ == '__main__':\n"
        f"    with Workers(2) as w: list(w.map(say_and_sleep, [{str(tmp_path)!r}] * 2))\n"
    )
    script = tmp_path.parent / "parent.py"
    script.write_text(code)
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": paths}) as p:
        processes = started(tmp_path, 2)
        p.kill()
    assert_gone(processes)
