"""The index: made from the records alone, always up to date, lost at no loss."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import pytest
from support import log_writers as small

from harness.errors import RunError
from harness.log import index as index_module
from harness.log import index_tables
from harness.log.index import open_index, rebuild_index, update_index
from harness.log.query import load_runs, run_query
from harness.log.schema import COUNT, Column
from harness.log.schema_runs import VERDICTS
from harness.log.schema_tables import RECORDED
from harness.log.store import Log

AT = datetime(2026, 5, 19, 23, 30, tzinfo=UTC)
TABLES = sorted(
    [
        "ability",
        "adaptation",
        "attention",
        "net_weights",
        "audits",
        "cards",
        "coefficients",
        "decisions",
        "differences",
        "documents",
        "fit_notes",
        "fit_times",
        "fits",
        "folds",
        "forecasts",
        "foresight",
        "fragility",
        "group_scores",
        "coverage",
        "distribution",
        "fan",
        "pit",
        "quantiles",
        "risk",
        "risk_path",
        "risk_wins",
        "group_wins",
        "hypotheses",
        "registrations",
        "reported",
        "runs",
        "scores",
        "seed_training",
        "seeds",
        "tests",
        "timings",
        "training",
        "verdicts",
        "wins",
    ]
)


def publish(log: Log, **changes: object) -> str:
    return log.publish(
        lambda run_id: small.small_record(run_id, **changes), small.small_forecasts()
    )


def everything(log: Log) -> dict[str, list]:
    with open_index(log) as path, duckdb.connect(str(path), read_only=True) as connection:
        return {
            table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in TABLES
        }


def test_an_empty_log_has_every_table_and_no_row_and_stays_unmade(tmp_path):
    log = Log(tmp_path / "none")
    assert [row[0] for row in run_query(log, "SHOW TABLES")[1]] == TABLES
    assert everything(log) == {table: [] for table in TABLES}
    assert load_runs(log).height == 0
    assert not log.root.exists()


def test_every_table_says_what_the_record_said(tmp_path):
    log = Log(tmp_path)
    run_id = publish(log)
    log.decide(run_id, "dropped", "no", AT)
    tables = everything(log)
    start, end = datetime(2021, 1, 2), datetime(2021, 4, 2)
    assert tables["scores"] == [
        (run_id, "1h", "har", "pooled", None, None, "ic", 0.8, 4),
        (run_id, "1h", "har", "window", start, end, "ic", None, 2),
    ]
    ((_, fold, horizon, *_, embargo, _, _, _, _, _),) = tables["folds"]
    assert (fold, horizon, embargo) == (0, "1h", 60_000_000_000)
    (verdict,) = tables["verdicts"]
    named = dict(zip((c.name for c in VERDICTS.columns), verdict, strict=True))
    assert (named["gain"], named["p_value"], named["reasons"]) == (
        0.002,
        None,
        ["too small", "by far"],
    )
    assert tables["decisions"] == [(run_id, AT.replace(tzinfo=None), "dropped", "no")]
    assert tables["cards"] == [(run_id, log.card(log.read(run_id)))]
    assert "**dropped**" in tables["cards"][0][1]
    runs = load_runs(log).row(0, named=True)
    expected = {
        "run_id": run_id, "hypothesis": "har-rv-j", "title": "Jumps | *help*", "seconds": 1.5,
        "started": datetime(2026, 5, 19, 10), "status": "refuted", "panel": "btc", "seed": 7,
        "fingerprint": "xxh3:1", "bars": 9, "gain": 0.002, "code_version": "abc",
        "panel_start": datetime(2021, 1, 1), "decision": "dropped",
    }  # fmt: skip
    assert {key: runs[key] for key in expected} == expected


def test_the_forecasts_of_all_runs_are_one_view_whatever_their_models(tmp_path):
    log = Log(tmp_path)
    first, second = publish(log), publish(log)
    sql = (
        "SELECT model, symbol, fold, y, yhat FROM forecasts WHERE run_id = '{}' AND horizon = '4h'"
    )
    rows = run_query(log, sql.format(second) + " AND model = 'persistence' ORDER BY formed_at")[1]
    assert rows == [
        ("persistence", "A", 0, 0.1, 5.0),
        ("persistence", "B", 0, 0.2, 6.0),
        ("persistence", "A", 1, 0.3, 7.0),
        ("persistence", "B", 1, 0.4, 8.0),
    ]
    counted = run_query(log, "SELECT run_id, count(*) FROM forecasts GROUP BY ALL ORDER BY ALL")[1]
    assert counted == sorted([(first, 16), (second, 16)])


def test_a_hypothesis_counts_its_runs_by_the_hash_of_its_text(tmp_path):
    log = Log(tmp_path)
    publish(log)
    publish(log, started="2026-05-20T00:00:00+00:00", status="confirmed")
    publish(log, spec_hash="sha256:11")
    sql = "SELECT spec_hash, runs, last_status FROM hypotheses ORDER BY spec_hash"
    assert run_query(log, sql)[1] == [("sha256:00", 2, "confirmed"), ("sha256:11", 1, "refuted")]


def test_a_new_decision_shows_at_once_and_the_latest_counts(tmp_path):
    log = Log(tmp_path)
    run_id = publish(log)
    assert run_query(log, "SELECT decision FROM runs")[1] == [(None,)]
    assert "Decision: none yet." in run_query(log, "SELECT markdown FROM cards")[1][0][0]
    for hour, decision in ((11, "parked"), (9, "adopted")):
        log.decide(run_id, decision, "", AT.replace(hour=hour))
        assert run_query(log, "SELECT decision FROM runs")[1] == [("parked",)]


def test_an_index_that_is_up_to_date_is_not_written_again(tmp_path):
    log = Log(tmp_path)
    publish(log)
    before = update_index(log).stat()
    after = update_index(log).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    publish(log)
    assert update_index(log).stat().st_ino != before.st_ino


def test_an_update_reads_only_what_is_new(tmp_path, monkeypatch):
    log = Log(tmp_path)
    publish(log)
    update_index(log)
    new = publish(log)
    read = []
    original = Log.read
    monkeypatch.setattr(Log, "read", lambda log, i: read.append(i) or original(log, i))
    update_index(log)
    assert read == [new]


@pytest.mark.parametrize("damage", ["gone", "empty", "junk", "half", "older", "stale"])
def test_a_missing_damaged_or_older_index_is_made_anew_at_no_loss(tmp_path, damage):
    log = Log(tmp_path)
    log.decide(publish(log), "dropped", "no", AT)
    publish(log)
    before = everything(log)
    path = tmp_path / "log.duckdb"
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage in ("older", "stale"):
        change = {
            "older": "UPDATE parts.meta SET origin = '0', digest = ''",
            "stale": "INSERT INTO parts.runs (run_id) VALUES ('gone'); "
            "UPDATE parts.meta SET digest = ''",
        }
        with duckdb.connect(str(path)) as connection:
            connection.execute(change[damage])
    else:
        path.write_bytes(
            {"empty": b"", "junk": b"x" * 9_000, "half": whole[: len(whole) // 2]}[damage]
        )
    assert everything(log) == before


def test_an_index_of_other_columns_is_made_anew(tmp_path, monkeypatch):
    log = Log(tmp_path)
    publish(log)
    before = everything(log)
    more = replace(RECORDED["wins"], columns=(*RECORDED["wins"].columns, Column("lost", COUNT, "")))
    monkeypatch.setitem(RECORDED, "wins", more)
    monkeypatch.setitem(index_tables.TABLES, "wins", more.kinds)
    assert run_query(log, "SELECT lost FROM wins")[0] == ["lost"]
    monkeypatch.undo()
    assert everything(log) == before


def test_a_copy_that_proves_damaged_is_replaced_by_a_new_index(tmp_path):
    log = Log(tmp_path)
    publish(log)
    with duckdb.connect(str(update_index(log))) as connection:
        connection.execute("DROP VIEW hypotheses; DROP TABLE scores")
    publish(log)
    assert run_query(log, "SELECT count(*) FROM scores")[1] == [(4,)]
    assert run_query(log, "SELECT sum(runs) FROM hypotheses")[1] == [(2,)]


def test_a_log_that_was_moved_still_finds_its_forecasts(tmp_path):
    log = Log(tmp_path / "here")
    publish(log)
    before = everything(log)
    (tmp_path / "here").rename(tmp_path / "there [1]*'s")
    assert everything(Log(tmp_path / "there [1]*'s")) == before
    assert len(before["forecasts"]) == 16


def test_a_run_that_was_taken_away_leaves_the_index_too(tmp_path):
    log = Log(tmp_path)
    kept, gone = publish(log), publish(log)
    update_index(log)
    (log.runs_directory / f"run_id={gone}").rename(tmp_path / "elsewhere")
    assert [row[0] for row in run_query(log, "SELECT run_id FROM runs")[1]] == [kept]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (None, "not JSON any more"),
        ({"seconds": "long"}, "not as it was written"),
        ({"verdict": None}, "not as it was written"),
        ({"tables": {"scores": {"n": [1], "value": []}}}, "columns of unequal length"),
        ({"tables": {"scores": {"n": ["x"]}}}, "not as it was written"),
        ({"forecasts": 3}, "forecasts: missing"),
        ({"status": "refuted"}, "changed since it was published"),
    ],
)
def test_a_changed_record_is_left_out_with_one_line_each_time(tmp_path, changes, words):
    log = Log(tmp_path)
    good, bad, other = publish(log), publish(log), publish(log)
    path = log.runs_directory / f"run_id={bad}" / "record.json"
    path.write_text(
        "{" if changes is None else json.dumps({**json.loads(path.read_text()), **changes})
    )
    if "published" not in words:  # as a program that writes other records would have sealed it
        seal = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name("record.sha256").write_text(f"sha256:{seal}\n")
    for _ in range(2):
        said: list[str] = []
        update_index(log, said.append)
        assert len(said) == 1
        assert f"run_id={bad}/record.json: " in said[0]
        assert words in said[0]
        assert "\n" not in said[0]
    runs = run_query(log, "SELECT run_id FROM runs ORDER BY run_id", warn=said.append)[1]
    assert [row[0] for row in runs] == sorted([good, other])


def test_a_changed_decision_is_left_out_with_one_line(tmp_path):
    log = Log(tmp_path)
    log.decide(publish(log), "dropped", "", AT)
    (log.decisions_directory / log.decision_files()[0]).write_text("{}")
    said: list[str] = []
    assert run_query(log, "SELECT decision FROM runs", warn=said.append)[1] == [(None,)]
    assert len(said) == 1
    assert "wanted the keys" in said[0]


def test_a_mended_record_is_back_after_the_next_rebuild(tmp_path):
    log = Log(tmp_path)
    path = log.runs_directory / f"run_id={publish(log)}" / "record.json"
    text = path.read_text()
    path.write_text("{")
    said: list[str] = []
    update_index(log, said.append)
    path.write_text(text)
    rebuild_index(log, said.append)
    assert len(said) == 1
    assert run_query(log, "SELECT count(*) FROM runs")[1] == [(1,)]


def test_many_records_are_added_in_batches_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "_BATCH_BYTES", 3_000)
    log = Log(tmp_path)
    for _ in range(5):
        publish(log)
    assert run_query(log, "SELECT count(*), count(DISTINCT run_id) FROM scores")[1] == [(10, 5)]


def test_a_log_that_may_not_be_written_to_is_read_through_a_temporary_index(tmp_path, monkeypatch):
    log = Log(tmp_path)
    publish(log)
    original = os.open

    def read_only(path: object, *arguments: object, **named: object) -> int:
        if str(path).endswith(".index.lock"):
            raise OSError(30, "Read-only file system")
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RunError, match="cannot write the index: Read-only file system"):
        update_index(log)
    with open_index(log) as path:
        assert path.parent != tmp_path
        with duckdb.connect(str(path), read_only=True) as connection:
            assert connection.execute("SELECT count(*) FROM forecasts").fetchall() == [(16,)]
    assert not path.parent.exists()
    assert not (tmp_path / "log.duckdb").exists()


def test_a_rebuild_clears_old_leftovers_and_keeps_all_that_is_published(tmp_path):
    log = Log(tmp_path)
    publish(log)
    before = everything(log)
    leftover = tmp_path / ".tmp" / "killed"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    rebuild_index(log)
    assert not leftover.exists()
    assert everything(log) == before
