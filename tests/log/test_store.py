"""The run records: published whole or not at all, never changed, always found again."""

from __future__ import annotations

import errno
import json
import os
import random
import secrets
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from support import log_writers as small
from support.workspace import ROOT

from harness.errors import RunError, UsageError
from harness.log.query import run_query
from harness.log.run_digests import all_digests
from harness.log.store import Log, RecordError, find_log, with_decision

WRITERS = ROOT / "tests/support/log_writers.py"
STRESS = bool(os.environ.get("HARNESS_STRESS"))
AT = datetime(2026, 5, 19, 23, 30, tzinfo=UTC)


def publish(log: Log, **changes: object) -> str:
    return log.publish(lambda run_id: small.small_record(run_id, **changes), [])


def start(*arguments: object) -> subprocess.Popen[str]:
    root = ROOT
    environment = {**os.environ, "PYTHONPATH": str(root), "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, str(WRITERS), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def files_under(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_a_published_run_is_read_back_as_it_was_with_nan_as_null(tmp_path):
    log = Log(tmp_path)
    run_id = log.publish(small.small_record, small.small_forecasts())
    record = log.read(run_id)
    assert record["run_id"] == run_id
    assert record["forecasts"] == {"1h": ["har", "persistence"], "4h": ["har", "persistence"]}
    assert record["tables"]["scores"]["value"] == [0.8, None]
    assert record["verdict"]["p_value"] is None
    assert record["card"].endswith(f"run {run_id}\n")
    assert files_under(tmp_path) == [
        f"runs/run_id={run_id}/forecasts.parquet",
        f"runs/run_id={run_id}/record.json",
        f"runs/run_id={run_id}/record.sha256",
    ]
    assert not list((tmp_path / ".tmp").iterdir())


def test_forecasts_that_are_not_those_published_are_refused(tmp_path):
    log = Log(tmp_path)
    run_id = log.publish(small.small_record, small.small_forecasts())
    path = log.forecasts_path(log.read(run_id))
    changed = pl.read_parquet(path)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RecordError, match=r"forecasts\.parquet: changed since it was published"):
        log.read_forecasts(run_id)
    changed.write_parquet(path)
    with pytest.raises(RecordError, match="changed since it was published"):
        log.read_forecasts(run_id)


def test_forecasts_come_back_long_with_every_model_at_its_own_values(tmp_path):
    log = Log(tmp_path)
    frame = log.read_forecasts(log.publish(small.small_record, small.small_forecasts()))
    assert frame.columns == [
        "horizon", "model", "symbol", "formed_at", "resolved_at", "window", "y", "yhat"
    ]  # fmt: skip
    assert frame.height == 16
    one = frame.filter(pl.col("horizon") == "4h", pl.col("model") == "persistence")
    assert one["yhat"].to_list() == [5.0, 6.0, 7.0, 8.0]
    assert one["symbol"].to_list() == ["A", "B", "A", "B"]
    assert one["resolved_at"][0] == datetime(2021, 1, 2, 1, tzinfo=UTC)


def test_a_run_without_forecasts_reads_back_an_empty_frame(tmp_path):
    log = Log(tmp_path)
    assert log.read_forecasts(publish(log)).height == 0


def test_an_id_that_is_taken_is_never_overwritten(tmp_path, monkeypatch):
    ids = iter(["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"])
    token = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(ids) if n == 4 else token(n))
    log = Log(tmp_path)
    assert publish(log, title="first") == "aaaaaaaa"
    assert publish(log, title="second") == "bbbbbbbb"
    assert log.read("aaaaaaaa")["title"] == "first"
    assert log.read("bbbbbbbb")["card"].endswith("run bbbbbbbb\n")


def test_a_unique_prefix_finds_a_run_and_another_is_refused_with_the_nearest(tmp_path, monkeypatch):
    ids = iter(["abcd0001", "abcd0002", "ff000000"])
    token = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(ids) if n == 4 else token(n))
    log = Log(tmp_path)
    for _ in range(3):
        publish(log)
    assert log.read("f")["run_id"] == "ff000000"
    with pytest.raises(UsageError, match=r"'abcd' is one of 2 .*abcd0001, abcd0002"):
        log.read("abcd")
    with pytest.raises(UsageError, match=r"no run 'abcd0011'.*did you mean 'abcd0001'"):
        log.read("abcd0011")
    with pytest.raises(UsageError, match="no run"):
        log.read("")
    with pytest.raises(UsageError, match=r"no run '\.\./runs'"):
        log.read("../runs")


def test_no_run_is_found_in_a_log_that_does_not_exist(tmp_path):
    with pytest.raises(UsageError, match="the log is empty"):
        Log(tmp_path / "none").read("abc")
    assert not (tmp_path / "none").exists()


def test_a_decision_is_added_and_changes_no_file_that_was_there(tmp_path):
    log = Log(tmp_path)
    run_id = log.publish(small.small_record, [])
    log.write_card(log.read(run_id))
    log.decide(run_id[:6], "dropped", "no *gain*\n# at all", AT)
    first = {name: (tmp_path / name).read_bytes() for name in files_under(tmp_path)}
    path = log.decide(run_id, "adopted", "", AT.replace(hour=23, minute=45))
    after = {name: (tmp_path / name).read_bytes() for name in files_under(tmp_path)}
    changed = {name for name in first if first[name] != after[name]}
    assert changed == {path.name} == {f"2026-05-19-har-rv-j-{run_id}.md"}
    assert [d["decision"] for d in log.decisions(run_id)] == ["dropped", "adopted"]
    line = b"Decision: **dropped** on 2026-05-19: no \\*gain\\* \\# at all\n"
    assert line in first[path.name]
    assert b"\nDecision: **adopted** on 2026-05-19\n" in after[path.name]


def test_an_unknown_decision_is_refused_with_the_nearest_word(tmp_path):
    log = Log(tmp_path)
    run_id = publish(log)
    with pytest.raises(
        UsageError, match=r"got 'droped', wanted dropped, adopted, parked.*'dropped'"
    ):
        log.decide(run_id, "droped", "", AT)
    assert log.decisions(run_id) == []


def test_a_note_with_backslashes_stands_in_the_card_as_it_was_meant():
    latest = {"decision": "parked", "decided_at": "2026-05-19T00:00:00+00:00", "note": r"\1 \g<0>"}
    card = with_decision("a\nDecision: none yet.\nDecision: b\n", latest)
    assert card == "a\nDecision: **parked** on 2026-05-19: \\\\1 \\\\g\\<0\\>\nDecision: b\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_gives_one_line_and_leaves_nothing(tmp_path, monkeypatch, code):
    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    log = Log(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError) as caught:
        log.publish(small.small_record, small.small_forecasts())
    assert str(caught.value) == f"{tmp_path}: cannot write to the log: {os.strerror(code)}"
    assert files_under(tmp_path) == []
    assert not list((tmp_path / ".tmp").iterdir())


def test_a_full_disk_that_polars_hits_is_the_same_one_line(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("parquet: No space left on device (os error 28)")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", refuse)
    with pytest.raises(RunError, match=r"cannot write to the log: No space left on device$"):
        Log(tmp_path).publish(small.small_record, small.small_forecasts())
    assert files_under(tmp_path) == []


def test_a_log_directory_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    log = Log(tmp_path / "file")
    with pytest.raises(RunError, match=r"file: cannot write to the log: Not a directory$"):
        publish(log)
    with pytest.raises(RunError, match=r"file: cannot read the log: Not a directory$"):
        log.runs()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 2}', '{"format": 1, "run_id": "other"}', "\xff"],
)
def test_a_record_that_somebody_changed_is_named_and_refused(tmp_path, text):
    log = Log(tmp_path)
    run_id = publish(log)
    path = tmp_path / "runs" / f"run_id={run_id}" / "record.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordError, match=f"{run_id}/record.json: ") as caught:
        log.read(run_id)
    assert "\n" not in str(caught.value)


def test_a_record_that_would_put_its_card_elsewhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match="hypothesis"):
        publish(Log(tmp_path), hypothesis="../../etc")
    with pytest.raises(ValueError, match="started"):
        publish(Log(tmp_path), started="../2026")
    assert files_under(tmp_path) == []


def test_only_leftovers_older_than_a_day_are_removed(tmp_path):
    log = Log(tmp_path)
    for name, age in (("old", 90_000), ("young", 1_000)):
        leftover = tmp_path / ".tmp" / name
        leftover.mkdir(parents=True)
        (leftover / "record.json").write_text("{")
        os.utime(leftover, (time.time() - age,) * 2)
    assert log.runs() == []
    assert log.remove_leftovers() == 1
    assert [p.name for p in (tmp_path / ".tmp").iterdir()] == ["young"]


def test_the_option_goes_before_the_environment_and_that_before_reports(monkeypatch):
    monkeypatch.setenv("HARNESS_LOG", "/from/environment")
    assert find_log("option") == Path("option")
    assert find_log(None) == Path("/from/environment")
    monkeypatch.delenv("HARNESS_LOG")
    assert find_log(None) == Path("reports")


def test_reading_a_log_imports_neither_duckdb_nor_polars():
    code = "import sys, harness.log.store; sys.exit(bool({'duckdb', 'polars'} & set(sys.modules)))"
    root = str(ROOT)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_processes_that_write_at_once_lose_nothing_and_readers_never_fail(tmp_path):
    processes, runs_each, readers = (16, 10, 2) if STRESS else (4, 4, 1)
    root, stop = tmp_path / "log", tmp_path / "stop"
    watching = [start("read", root, stop) for _ in range(readers)]
    writing = [start("publish", root, runs_each) for _ in range(processes)]
    ids = [line for process in writing for line in process.communicate()[0].split()]
    stop.touch()
    counts = [process.communicate()[0].strip() for process in watching]
    assert [p.returncode for p in (*writing, *watching)] == [0] * (processes + readers)
    assert counts == [str(processes * runs_each)] * readers
    log = Log(root)
    assert len(ids) == len(set(ids)) == processes * runs_each
    assert log.runs() == sorted(ids)
    assert {log.read(run_id)["card"].split()[-1] for run_id in ids} == set(ids)
    assert all(log.read_forecasts(run_id).height == 16 for run_id in ids)
    kept = (root / "tried.jsonl").read_text()
    assert all(kept.count(f'["{run_id}"') == 1 for run_id in ids)
    assert {run.run_id for run in all_digests(log)[0]} == set(ids)
    assert (root / "tried.jsonl").read_text() == kept  # every entry was whole: none was read again


def test_every_run_that_a_killed_writer_acknowledged_is_there(tmp_path):
    kills, at_once = (100, 4) if STRESS else (4, 2)
    log = Log(tmp_path)
    acknowledged: list[str] = []
    chance = random.Random(1)
    for _ in range(kills // at_once):
        writers = [start("forever", tmp_path) for _ in range(at_once)]
        for writer in writers:
            acknowledged.append(writer.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.3))
            writer.kill()
            # A line cut short by the kill was not acknowledged.
            rest = writer.communicate()[0].splitlines(keepends=True)
            acknowledged += [line.strip() for line in rest if line.endswith("\n")]
        assert set(acknowledged) <= set(log.runs())
    assert len(acknowledged) >= kills
    for run_id in log.runs():
        assert log.read(run_id)["run_id"] == run_id
        assert log.read_forecasts(run_id).height == 16
    indexed = run_query(log, "SELECT run_id FROM runs ORDER BY run_id")[1]
    assert [row[0] for row in indexed] == log.runs()


def test_the_record_is_one_json_object_on_one_line(tmp_path):
    log = Log(tmp_path)
    path = tmp_path / "runs" / f"run_id={publish(log)}" / "record.json"
    assert path.read_text().count("\n") == 1
    assert json.loads(path.read_text())["format"] == 1
