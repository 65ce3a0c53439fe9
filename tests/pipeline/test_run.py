"""A run end to end through the Python API: the same in, the same out."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
from support import workspace
from support.runs import assert_same, study

import harness
from harness.errors import SpecError, UsageError
from harness.panel.reading import find_panel
from harness.tables import rows_of


def test_the_same_input_gives_the_same_record(two_runs):
    root, (first, second) = two_runs
    log = harness.open_log(root)
    assert first != second
    assert_same((log, first), (log, second))


def test_kept_measures_give_the_bytes_that_fresh_ones_do(tmp_path):
    fresh = study(tmp_path, keep=False)
    study(tmp_path)
    kept = study(tmp_path)
    assert fresh[0].read(fresh[1])["panel"]["measures_kept"] is False
    assert kept[0].read(kept[1])["panel"]["measures_kept"] is True
    assert "measures from the cache" in kept[0].read(kept[1])["card"]
    assert_same(fresh, kept)


def test_without_an_embargo_every_row_whose_target_is_known_trains_and_none_that_is_not(tmp_path):
    text = workspace.changed(('embargo = "1d"', 'embargo = "0d"'))
    log, run_id = study(tmp_path, text)
    record = log.read(run_id)
    folds = rows_of(record["tables"]["folds"])
    assert all(fold["embargo_ns"] == 0 for fold in folds)
    # Hourly rows: the newest one that trains resolves at the cut itself.
    assert all(fold["slack_ns"] == 0 for fold in folds)
    assert record["audit"]["passed"]
    assert record["status"] != "void"
    assert (
        "no embargo: a row trains if its target had resolved by the training cutoff"
        in (record["card"])
    )
    embargoed = rows_of(log.read(study(tmp_path)[1])["tables"]["folds"])
    assert all(a["n_train"] > b["n_train"] for a, b in zip(folds, embargoed, strict=True))


def test_another_cache_folder_changes_nothing(tmp_path, two_runs, monkeypatch):
    root, (first, _) = two_runs
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    again = study(tmp_path)
    assert list((tmp_path / "cache/measures").iterdir())
    assert_same((harness.open_log(root), first), again)


def test_a_cache_folder_that_cannot_be_written_changes_nothing(tmp_path, two_runs, monkeypatch):
    root, (first, _) = two_runs
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    assert_same((harness.open_log(root), first), study(tmp_path))


@pytest.mark.parametrize("damage", [b"", b"no header\n", b"{}\n"])
def test_a_damaged_kept_file_is_measured_afresh(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    before = study(tmp_path)
    # The run's own, and the fragility table's: another measure to score by, and another interval.
    whole = {kept: kept.read_bytes() for kept in (tmp_path / "cache/measures").iterdir()}
    assert len(whole) == 3
    for kept, data in whole.items():
        kept.write_bytes(damage or data[:-8])
    after = study(tmp_path)
    assert after[0].read(after[1])["panel"]["measures_kept"] is False
    assert_same(before, after)
    assert whole == {kept: kept.read_bytes() for kept in whole}


def test_a_changed_panel_is_measured_afresh(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    log, first = study(tmp_path)
    (tmp_path / "panels/tiny.toml").write_text(
        workspace.changed(("seed = 7", "seed = 8"), text=workspace.PANEL)
    )
    hypothesis = harness.load_hypothesis(tmp_path / "hypotheses/tiny-har.toml")
    second = harness.run(hypothesis, log, search=[tmp_path / "panels"]).run_id
    prints = [log.read(run)["panel"]["fingerprint"] for run in (first, second)]
    assert prints[0] != prints[1]
    assert log.read(second)["panel"]["measures_kept"] is False


def test_the_python_api_does_what_it_says(two_runs, tmp_path, monkeypatch):
    workspace.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    hypothesis = harness.load_hypothesis("hypotheses/tiny-har.toml")
    log = harness.open_log("reports")
    outcome = harness.run(hypothesis, log)
    runs = harness.load_runs(log)
    assert runs["run_id"].to_list() == [outcome.run_id]
    assert runs["status"].to_list() == [outcome.verdict.status]
    forecasts = log.read_forecasts(outcome.run_id)
    assert set(forecasts["model"]) == {"persistence", "har"}
    assert math.isclose(runs["gain"][0], outcome.verdict.best.gain)
    frame = harness.load_frame(harness.find_panel("tiny", [Path("panels")]))
    assert frame.columns[:2] == ["symbol", "ts"]
    assert frame.schema["ts"] == pl.Datetime("ns", "UTC")
    assert frame.height == 30 * 288
    assert set(harness.__all__) <= set(dir(harness)) | {"run", *harness._HOMES}
    with pytest.raises(AttributeError, match="no attribute 'backtest'"):
        harness.backtest  # noqa: B018


def test_the_log_is_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert harness.open_log().root == tmp_path / "reports"
    monkeypatch.setenv("HARNESS_LOG", "elsewhere")
    assert harness.open_log().root == tmp_path / "elsewhere"
    assert harness.open_log("here").root == tmp_path / "here"
    (tmp_path / "here").write_text("")
    with pytest.raises(UsageError, match="here: got a file"):
        harness.open_log("here")


def test_forecasts_are_those_of_least_squares_by_hand(two_runs):
    """One window of har at 4h, recomputed from the panel's closes with NumPy alone."""
    import numpy as np

    root, (run_id, _) = two_runs
    log = harness.open_log(root)
    closes = harness.load_frame(find_panel("tiny", [root.parent / "panels"]))["close"].to_numpy()
    r2 = np.square(np.diff(np.log(closes), prepend=np.nan))
    hours = np.arange(24, closes.size // 12 + 1)
    rv = {h: np.array([math.sqrt(np.mean(r2[12 * (k - h) : 12 * k])) for k in hours]) for h in
          (1, 4, 24)}  # fmt: skip
    x = np.column_stack([np.ones(hours.size), *(np.log(rv[h]) for h in (1, 4, 24))])
    y = np.concatenate([np.log(rv[4][4:]), np.full(4, np.nan)])
    cut = 12 * 24  # 13 January 00:00, in hours from the panel's start
    train = (hours >= cut - 240) & (hours + 4 <= cut - 24) & np.isfinite(x).all(axis=1)
    test = (hours >= cut) & (hours < cut + 120)
    beta, *_ = np.linalg.lstsq(x[train], y[train], rcond=None)
    frame = log.read_forecasts(run_id).filter(
        (pl.col("horizon") == "4h") & (pl.col("model") == "har") & (pl.col("window") == 0)
    )
    assert frame.height == test.sum() == 120
    assert np.allclose(frame["y"].to_numpy(), y[test], rtol=1e-10, atol=0)
    assert np.allclose(frame["yhat"].to_numpy(), x[test] @ beta, rtol=1e-9, atol=0)


def test_a_run_that_cannot_be_leaves_the_log_as_it_was(tmp_path):
    with pytest.raises(SpecError, match=r"walk_forward\.first_test"):
        study(tmp_path, workspace.changed(('"2021-01-13"', '"2021-01-02"')))
    assert not (tmp_path / "reports").exists()
