"""Interrupts, kills, a full disk, two at once: the log holds whole runs, and every one it said."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from support.workspace import finish, process

import harness
from harness.log.query import run_query
from harness.log.store import Log

KILLS = int(os.environ.get("HARNESS_KILLS", "4"))
FILE = "hypotheses/tiny-har.toml"
RUN_ID = re.compile(r", run ([0-9a-f]{8}), card ")


def acknowledged(lines: list[str]) -> list[str]:
    """The runs that a process said it had logged."""
    return [found[1] for line in lines if (found := RUN_ID.search(line))]


def read_until(running: subprocess.Popen[str], runs: int) -> list[str]:
    """The lines of stdout until so many runs are acknowledged."""
    lines: list[str] = []
    while len(acknowledged(lines)) < runs and (line := running.stdout.readline()):
        lines.append(line)
    return lines


def assert_sound(log: Log, said: list[str]) -> None:
    """Every acknowledged run is there, every run that is there is whole, and the index has it."""
    runs = log.runs()
    assert set(said) <= set(runs)
    for run_id in runs:
        record = log.read(run_id)
        forecasts = log.read_forecasts(run_id)
        heights = {f["horizon"][0]: f.height for f in forecasts.partition_by("horizon")}
        assert heights == {"1h": 2 * 360, "4h": 2 * 360}
        assert forecasts["yhat"].is_finite().all()
        assert record["card"]
    for run_id in said:
        assert log.card_path(log.read(run_id)).read_text("utf-8") == log.card(log.read(run_id))
    assert {p.name for p in log.runs_directory.glob("*")} == {f"run_id={r}" for r in runs}
    rows = run_query(log, "select run_id, count(*) from forecasts group by all order by all")[1]
    assert rows == [(run_id, 1_440) for run_id in runs]


def test_a_run_killed_at_any_moment_leaves_whole_runs_only(in_workspace, command):
    """HARNESS_KILLS=100 for the full count."""
    command("run", FILE).done()  # compiles the loops, where they are not yet
    draw, log, said = random.Random(20210102), harness.open_log("reports"), log_runs("reports")
    for _ in range(KILLS):
        with process("run", *[FILE] * 50, stderr=subprocess.DEVNULL) as running:
            lines = read_until(running, draw.randrange(3))
            time.sleep(draw.uniform(0.0, 0.4 if lines else 2.0))
            running.kill()
            lines += running.stdout.readlines()
        assert running.returncode == -signal.SIGKILL
        said += acknowledged(lines)
        assert set(said) <= set(log.runs())
    assert_sound(log, said)
    assert f"{len(log.runs())} runs" in command("index").done().out
    for run_id in log.runs():
        assert log.card_path(log.read(run_id)).exists()
    assert len(said) > KILLS // 3


def log_runs(folder: str) -> list[str]:
    return harness.open_log(folder).runs()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_leaves_nothing_half(sent, code, in_workspace):
    with process("run", *[FILE] * 100) as running:
        lines = read_until(running, 1)
        time.sleep(0.05)
        running.send_signal(sent)
        ran = finish(running)
    assert ran.code == code
    assert "Traceback" not in ran.err
    if sent == signal.SIGINT:
        last = ran.err.splitlines()[-1]
        assert last == "interrupted; the run in progress was not logged"
    log = harness.open_log("reports")
    assert_sound(log, acknowledged([*lines, *ran.out.splitlines()]))
    assert not list((log.root / ".tmp").iterdir())


def test_two_runs_at_once_both_land(in_workspace):
    with process("run", FILE, FILE) as first, process("run", FILE, FILE) as second:
        said = [acknowledged(finish(p).done().out.splitlines()) for p in (first, second)]
    log = harness.open_log("reports")
    assert [len(runs) for runs in said] == [2, 2]
    assert_sound(log, [*said[0], *said[1]])
    assert len(log.runs()) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 kB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    command = [mount or "mount", *options]
    if not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_run(small_disk, in_workspace, command):
    log = small_disk / "log"
    line = command("run", FILE, "--log", log).refused(1)
    assert line == f"error: {log}: cannot write to the log: No space left on device"
    assert harness.open_log(log).runs() == []
    assert not list((log / ".tmp").iterdir())
    assert command("list", "--json", "--log", log).done().json == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_refuses_is_one_line_and_leaves_no_run(
    code, in_workspace, command, monkeypatch
):
    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        line = command("run", FILE).refused(1)
    assert line.endswith(f"reports: cannot write to the log: {os.strerror(code)}")
    assert log_runs("reports") == []
    assert not list((in_workspace / "reports/.tmp").iterdir())


def test_a_run_out_of_memory_is_one_line(in_workspace, command, monkeypatch):
    def greedy(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.pipeline.measure_study", greedy)
    assert "out of memory" in command("run", FILE).refused(1)


def test_a_run_while_another_reads_leaves_the_reader_whole(in_workspace, command):
    command("run", FILE).done()
    with process("run", FILE, FILE) as running:
        seen = [len(log_runs("reports"))]
        while running.poll() is None:
            rows = command("query", "select count(distinct run_id) n from scores", "--json").done()
            seen.append(rows.json[0]["n"])
        finish(running)
    assert seen == sorted(seen)
    assert len(log_runs("reports")) == 3


def test_a_forecast_that_is_no_number_fails_the_run_by_name(in_workspace, command, monkeypatch):
    """A model that breaks its promise: caught in the fold, never logged."""
    from harness.models.naive import Persistence
    from harness.models.protocol import Task

    class Broken:
        features = ("log(rv_1h)",)
        coefficients: Mapping[str, float] = MappingProxyType({})
        look_back, validates, training = 0, False, None

        def fit(self, rows, y, *, validation=None, seed=0):
            return Broken()

        def predict(self, rows):
            out = rows.X[:, 0].copy()
            out[out.size // 2] = float("nan")
            return out

    def build(cls: type, params: object, task: Task) -> Broken:
        return Broken()

    monkeypatch.setattr(Persistence, "build", classmethod(build))
    line = command("run", FILE).refused(1)
    assert "model persistence, horizon 1h, window 1 (2021-01-13 to 2021-01-18)" in line
    assert "not finite" in line
    assert not (in_workspace / "reports").exists()


def test_a_record_that_was_damaged_is_named_and_the_rest_is_read(log_copy, command):
    first, second = Log(log_copy).runs()
    record = log_copy / "runs" / f"run_id={first}" / "record.json"
    record.write_bytes(record.read_bytes()[:500])
    assert f"{record}: not JSON any more" in command("show", first, "--log", log_copy).refused()
    ran = command("index", "--log", log_copy)
    assert ran.code == 1
    assert "1 run, 1 left out" in ran.out
    assert str(record) in ran.err
    rows = command("query", "select run_id from runs", "--json", "--log", log_copy)
    assert rows.json == [{"run_id": second}]
