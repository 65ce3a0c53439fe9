"""A user's mistake: one line that names it, exit code 2, and no trace left."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest
from support.workspace import CSV_PANEL, PANEL, changed, tree

SPECS = {
    "an unknown key": (("every = ", "evry = "), "sample.evry: got 'evry'"),
    "a wrong type": (("alpha = 0.05", 'alpha = "small"'), "verdict.alpha: got 'small'"),
    "an unknown panel": (('name = "tiny"', 'name = "tinny"'), "no panel 'tinny'"),
    "an unknown model kind": (('kind = "ols"', 'kind = "old"'), "did you mean 'ols'?"),
    "code for a feature": (('"log(rv_4h)"', "\"__import__('os')\""), "models.har.features[1]"),
    "no TOML": (('scale = "log"', "scale = log"), "scale = log"),
    "a horizon off the bars": (('"1h", "4h"]\nback', '"7m", "4h"]\nback'), "7m"),
    "a decision grid off the bars": (('every = "1h"', 'every = "7m"'), "7m"),
    "a first test after the end": (('"2021-01-13"', '"2022-01-13"'), "first_test"),
    "a test window past the end": (('test = "5d"', 'test = "5mo"'), "no whole test window"),
    "a first test before any bar": (('"2021-01-13"', '"2019-01-13"'), "first_test"),
    "a first test before a training row": (
        ('"2021-01-13"', '"2021-01-02"'),
        "wanted 2021-01-03 02:00 or later",
    ),
    "an empty span": (('name = "tiny"', 'name = "tiny"\nstart = "2025-01-01"'), "first_test"),
}


@pytest.mark.parametrize("what", SPECS)
def test_a_bad_hypothesis_is_refused_in_one_line(what, in_workspace, command):
    change, said = SPECS[what]
    file = in_workspace / "hypotheses/tiny-har.toml"
    file.write_text(changed(change))
    before = tree(in_workspace)
    line = command("run", file).refused()
    assert said in line
    assert tree(in_workspace) == before
    if what != "an unknown panel":
        assert "tiny-har.toml" in line
    assert command("plan", file).refused() == line


def prices(rows: int = 800) -> list[str]:
    start = datetime(2021, 1, 1)
    return [f"{start + timedelta(hours=i)},{100 + i % 7}" for i in range(rows)]


def with_row(number: int, text: str) -> list[str]:
    rows = prices()
    return [*rows[:number], text, *rows[number + 1 :]]


FILES = {
    "no file": (None, "ask your broker for prices.csv"),
    "a NaN": (with_row(50, "2021-01-03 02:00:00,NaN"), "NaN"),
    "a price of zero": (with_row(50, "2021-01-03 02:00:00,0"), "got '0' at row 51"),
    "a missing bar": (prices()[:50] + prices()[51:], "missing bars: 1 in 1 gaps"),
    "a bar twice": (with_row(50, prices()[49]), "2021-01-03 01:00"),
    "no number": (with_row(50, "2021-01-03 02:00:00,abc"), "abc"),
    "no row": ([], "empty span: no bar in it"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_bad_panel_is_refused_in_one_line(what, in_workspace, command):
    rows, said = FILES[what]
    (in_workspace / "panels/file.toml").write_text(CSV_PANEL)
    if rows is not None:
        (in_workspace / "panels/prices.csv").write_text("\n".join(["ts,close", *rows]) + "\n")
    file = in_workspace / "hypotheses/tiny-har.toml"
    file.write_text(changed(('name = "tiny"', 'name = "file"')))
    before = tree(in_workspace)
    line = command("run", file).refused()
    assert said in line
    assert "file.toml" in line or "prices.csv" in line
    assert tree(in_workspace) == before


def test_a_panel_file_with_a_mistake_names_file_and_key(in_workspace, command):
    (in_workspace / "panels/tiny.toml").write_text(
        changed(("hurst = 0.12", "hurts = 0.12"), text=PANEL)
    )
    line = command("run", "hypotheses/tiny-har.toml").refused()
    assert "panels/tiny.toml: source.hurts" in line
    assert "did you mean 'hurst'?" in line
    assert not (in_workspace / "reports").exists()


ARGUMENTS = {
    "no such file": (("run", "hypotheses/tiny-hat.toml"), "did you mean"),
    "a folder": (("run", "hypotheses"), "Is a directory"),
    "no argument": (("run",), "FILE"),
    "an unknown command": (("rum", "x"), "did you mean 'run'?"),
    "an unknown option": (("run", "--jsn", "x"), "--json"),
    "an unknown run": (("show", "beefbeef"), "no run 'beefbeef'"),
    "half a run to compare": (("compare", "beefbeef", "beefbeef"), "no run 'beefbeef'"),
    "a decision on no run": (("mark", "beefbeef", "dropped"), "no run 'beefbeef'"),
    "an unknown decision": (("mark", "beefbeef", "drop"), "dropped"),
    "wrong SQL": (("query", "selec 1"), "query: "),
    "a table that is none": (("query", "from run"), "run"),
    "writing SQL": (("query", "delete from runs"), "wanted one SELECT"),
    "no SQL": (("query", ""), "wanted one SELECT"),
    "two statements": (("query", "select 1; select 2"), "wanted one SELECT"),
    "no rows at all": (("list", "--limit", "0"), "--limit"),
    "an unknown hypothesis": (("list", "--hypothesis", "x"), "no run of 'x'"),
    "no time": (("query", "--timeout", "0", "from runs"), "--timeout"),
    "a name with a slash": (("new", "../x"), "wanted lower-case letters"),
    "an empty name": (("new", ""), "wanted lower-case letters"),
    "a file that is there": (("new", "tiny-har"), "already exists"),
    "an unknown panel": (("panel", "check", "tinny"), "did you mean 'tiny'?"),
    "an unknown panel command": (("panel", "chek", "tiny"), "check"),
    "a missing file of a plan": (("plan", "nothing.toml"), "no such file"),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_a_bad_argument_is_refused_in_one_line(what, in_workspace, command):
    arguments, said = ARGUMENTS[what]
    before = tree(in_workspace)
    assert said in command(*arguments).refused()
    assert tree(in_workspace) == before


def test_a_prefix_of_two_runs_names_both(log_copy, command):
    runs = log_copy / "runs"
    for run_id in ("abcd0001", "abcd0002"):
        (runs / f"run_id={run_id}").mkdir()
    line = command("show", "abcd", "--log", log_copy).refused()
    assert "abcd0001, abcd0002" in line


@pytest.mark.parametrize("way", ["option", "environment"])
@pytest.mark.parametrize(
    "arguments",
    [("run", "hypotheses/tiny-har.toml"), ("list",), ("query", "from runs"), ("index",)],
    ids=lambda a: a[0],
)
def test_a_log_that_is_a_file_is_refused_before_anything_runs(
    arguments, way, in_workspace, command, monkeypatch
):
    (in_workspace / "log").write_text("notes\n")
    if way == "environment":
        monkeypatch.setenv("HARNESS_LOG", "log")
    option = ("--log", "log") if way == "option" else ()
    assert "log: got a file, wanted the log's folder" in command(*arguments, *option).refused()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_one_line(in_workspace, command):
    (in_workspace / "reports/runs").mkdir(parents=True, mode=0o000)
    assert "cannot read the log" in command("list").refused(1)


def test_a_second_bad_file_stops_the_first_from_running(in_workspace, command):
    bad = in_workspace / "hypotheses/bad.toml"
    bad.write_text(changed(("min_gain = 0.01", "min_gain = -1.0")))
    before = tree(in_workspace)
    assert "bad.toml: verdict.min_gain" in command("run", "hypotheses/tiny-har.toml", bad).refused()
    bad.write_text(changed(('name = "tiny"', 'name = "tinny"')))
    assert "tinny" in command("run", "hypotheses/tiny-har.toml", bad).refused()
    bad.unlink()
    assert tree(in_workspace) == {k: v for k, v in before.items() if k != "hypotheses/bad.toml"}


TWICE = '"log(rv_1h)", "2 * log(rv_1h)"'


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (TWICE, "feature 2 * log(rv_1h) is constant or a combination"),
        ('"log(rv_1h)", "log(rv_1h - rv_1h)"', "is constant"),
        ('"log(rv_1h)", "rv_1h / (rv_1h - rv_1h)"', "no forecast origin has complete features"),
    ],
)
def test_a_model_that_cannot_be_fitted_fails_the_run_and_logs_nothing(
    features, reason, in_workspace, command
):
    file = in_workspace / "hypotheses/tiny-har.toml"
    file.write_text(changed(('"log(rv_1h)", "log(rv_4h)", "log(rv_1d)"', features)))
    before = tree(in_workspace)
    line = command("run", file).refused(1)
    assert reason in line
    if "complete" not in reason:
        assert "model har, horizon 1h, window 1 (2021-01-13 to 2021-01-18)" in line
    assert tree(in_workspace) == before


def test_a_failed_fold_names_its_own_window(in_workspace, command):
    """The price stands still over the second window's training span alone."""
    moments = [datetime(2021, 1, 1) + timedelta(hours=i) for i in range(30 * 24)]
    quiet = [datetime(2021, 1, 6) <= m < datetime(2021, 1, 19) for m in moments]
    closes = [100 if q else 100 + (7 * i * i) % 11 for i, q in enumerate(quiet)]
    rows = [f"{m},{c}" for m, c in zip(moments, closes, strict=True)]
    (in_workspace / "panels/prices.csv").write_text("\n".join(["ts,close", *rows]) + "\n")
    (in_workspace / "panels/file.toml").write_text(CSV_PANEL)
    file = in_workspace / "hypotheses/tiny-har.toml"
    file.write_text(changed(('name = "tiny"', 'name = "file"')))
    line = command("run", file).refused(1)
    assert "window 2 (2021-01-18" in line
    assert "model har" in line
    assert not (in_workspace / "reports").exists()


def test_one_failing_hypothesis_of_two_leaves_the_other_logged(in_workspace, command):
    bad = in_workspace / "hypotheses/bad.toml"
    bad.write_text(changed(('"log(rv_1h)", "log(rv_4h)", "log(rv_1d)"', TWICE)))
    ran = command("run", "--json", bad, "hypotheses/tiny-har.toml")
    assert ran.code == 1
    assert f"error: {bad}: model har, horizon 1h, window 1" in ran.err
    assert ran.err.count("error: ") == 1
    (outcome,) = ran.json
    assert [run["run_id"] for run in command("list", "--json").json] == [outcome["run_id"]]
