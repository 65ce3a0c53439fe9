"""`harness tests`, the card and the log: the same figures of the tests, from stored forecasts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from support.workspace import HYPOTHESIS, changed

import harness
from harness.errors import UsageError
from harness.inference.findings import nests
from harness.inference.table import TESTS
from harness.log.store import Log
from harness.log.stored_forecasts import stored_forecasts
from harness.reanalysis.instruments import read_instruments
from harness.scores.metrics import of_volatility
from harness.scores.scoring import score, series

NESTED = (
    '[models.har]\nkind = "ols"\n',
    '[models.short]\nkind = "ols"\nfeatures = ["log(rv_4h)"]\n\n[models.har]\nkind = "ols"\n',
)
SHORT = (
    'baseline = "persistence"\ncandidates = ["har"]',
    'baseline = "short"\ncandidates = ["har"]',
)


@pytest.fixture(scope="module")
def nested_run(tmp_path_factory, own_cache):
    """A log with one run whose candidate nests its baseline, and the run's id."""
    from support import workspace

    folder = tmp_path_factory.mktemp("nested")
    workspace.lay_out(folder)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(changed(NESTED, SHORT, text=HYPOTHESIS))
    log = harness.open_log(folder / "reports")
    outcome = harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"])
    return folder, log.root, outcome.run_id


def test_stored_forecasts_have_the_scores_of_the_run_to_the_last_bit(two_runs):
    root, (run, _) = two_runs
    log = Log(root)
    table = log.read(run)["tables"]["scores"]
    for horizon in ("1h", "4h"):
        part, scale = stored_forecasts(log, run, horizon)
        outcome, models = series(part, scale)
        found = score(part, scale, outcome, models)
        rows = zip(
            *(table[c] for c in ("horizon", "scope", "model", "metric", "value")), strict=True
        )
        compared = 0
        for at, scope, model, metric, value in rows:
            # The first rows' last outcome was not a forecast's target.
            if (at, scope) == (horizon, "pooled") and metric != "direction":
                assert found.value(model, metric) == value, (model, metric)
                compared += 1
        assert compared == 2 * (len(of_volatility()) - 1)
        known = np.isfinite(part.last)
        steps = part.overlap + 1
        assert known[steps:].all()
        assert np.array_equal(part.last[steps:], part.y[:-steps])


def test_the_card_the_record_and_the_command_say_the_same(nested_run, command, monkeypatch):
    folder, root, run = nested_run
    monkeypatch.chdir(folder)
    record = Log(root).read(run)
    table = record["tables"]["ability"]
    assert set(table["test"]) == set(TESTS) - {"model-confidence-set", "spa", "stepm"}
    assert all(0.0 <= p <= 1.0 for p in table["p_value"])
    found = command("tests", run, "--log", root, "--json").done().json
    stored = {
        (t, m, q): (e, s, p)
        for t, m, q, e, s, p in zip(
            *(table[c] for c in ("test", "model", "quantity", "effect", "statistic", "p_value")),
            strict=True,
        )
    }
    said = {
        (f["test"], f["model"], f["quantity"]): (f["effect"], f["statistic"], f["p_value"])
        for f in found["findings"]
    }
    # All other models are candidates of the command, so that blocks may differ.
    for key, figures in stored.items():
        if key[0] != "bootstrap":
            assert said[key] == figures, key
    assert len(said) > len(stored)
    assert set(found["confidence_set"]["p_values"]) == {"persistence", "short", "har"}
    assert found["superior"]["draws"] == 1000
    card = Log(root).card(record)
    for words in ("## Tests", "| Clark-West | har | ln σ |", "| encompassing | har | ln σ |"):
        assert words in card
    for start in ("| Giacomini-White, conditional | har", "| short | σ² |", "| har | ln σ |"):
        assert start in card


def test_tests_fit_80_columns(nested_run, command, monkeypatch):
    folder, root, run = nested_run
    monkeypatch.chdir(folder)
    shown = command("tests", run, "--log", root, "--draws", "99").done().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "Rare large losses" in shown
    for words in ("pp R² (log)", "Mincer-Zarnowitz", "GW conditional", "StepM", "std. error"):
        assert words in shown
    assert "nan" not in shown.lower()
    again = command("tests", run, "--log", root, "--draws", "99").done().out
    assert again == shown


@pytest.mark.parametrize("metric", of_volatility())
def test_every_metric_and_horizon_can_be_tested(nested_run, command, monkeypatch, metric):
    folder, root, run = nested_run
    monkeypatch.chdir(folder)
    arguments = ("--metric", metric, "--horizon", "1h", "--draws", "99", "--json")
    found = command("tests", run, "--log", root, *arguments).done().json
    assert (found["metric"], found["horizon"]) == (metric, "1h")
    for finding in found["findings"]:
        assert None not in (finding["effect"], finding["statistic"], finding["p_value"]), finding


def test_instruments_are_what_was_known_at_the_decision(nested_run, command, monkeypatch):
    folder, root, run = nested_run
    monkeypatch.chdir(folder)
    arguments = ("tests", run, "--log", root, "--draws", "99", "--json", "--instruments")
    found = command(*arguments, "log(rv_1d)", "--instruments", "lag").done().json
    given = [f for f in found["findings"] if f["test"] == "giacomini-white-conditional"]
    assert {f["instruments"] for f in given} == {"constant, log(rv_1d), lag"}
    plain = command("tests", run, "--log", root, "--draws", "99", "--json").done().json
    assert given != [f for f in plain["findings"] if f["test"] == "giacomini-white-conditional"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metric", "qlik"), "did you mean 'qlike'?"),
        (("--horizon", "4hh"), "did you mean '4h'?"),
        (("--instruments", "lg(rv_1d)"), "did you mean 'log'?"),
        (("--instruments", "log(rv_2d)"), "did you mean 'rv_1d'?"),
        (("--draws", "3"), "99"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_right_one(
    nested_run, command, monkeypatch, arguments, words
):
    folder, root, run = nested_run
    monkeypatch.chdir(folder)
    assert words in command("tests", run, "--log", root, *arguments).refused()


def test_a_run_is_asked_for_and_the_list_needs_none(command, tmp_path):
    assert "--list" in command("tests", "--log", tmp_path).refused()
    assert "clark-west" in command("tests", "--list").done().out
    listed = command("tests", "--list", "--json").done().json
    assert [entry["test"] for entry in listed] == list(TESTS)
    assert all(entry["effect"] and entry["statistic"] and entry["source"] for entry in listed)


def test_a_panel_that_has_changed_gives_no_instruments(nested_run, command, monkeypatch, tmp_path):
    from support import workspace

    _, root, run = nested_run
    workspace.lay_out(tmp_path)
    panel = tmp_path / "panels/tiny.toml"
    panel.write_text(panel.read_text().replace("seed = 7", "seed = 8"))
    monkeypatch.chdir(tmp_path)
    log = shutil.copytree(root, tmp_path / "reports")
    error = command("tests", run, "--log", str(log), "--instruments", "log(rv_1d)").refused(1)
    assert "its bars are not those of run" in error


def test_what_nests_what_is_read_off_the_models():
    ols = {"kind": "ols", "features": ["a", "b"], "intercept": True}
    more = {**ols, "features": ["b", "c", "a"]}
    assert nests(more, ols)
    assert not nests(ols, more)
    assert not nests(ols, ols)
    assert not nests({**more, "intercept": False}, ols)
    assert not nests({**more, "kind": "sklearn"}, ols)
    assert not nests({**more, "kind": "lightgbm"}, {**ols, "kind": "lightgbm"})
    assert not nests(more, {"kind": "persistence"})
    assert nests(
        {"kind": "harq", "features": ["a", "b"], "quarticity": "rq_1d", "intercept": True}, ols
    )


def test_instruments_are_read_in_their_canonical_spelling():
    found = read_instruments(["log( rv_1d )", "lag", "rv_h"], "4h")
    assert list(found) == ["log(rv_1d)", "lag", "rv_4h"]
    with pytest.raises(UsageError, match="wanted a feature expression"):
        read_instruments(["2 +"], "4h")


def test_the_log_answers_questions_about_the_tests(nested_run, command):
    _, root, run = nested_run
    sql = "select test, model, quantity, effect, p_value, n, cosines from ability order by all"
    rows = json.loads(command("query", sql, "--log", root, "--json").done().out)
    assert len(rows) == len(Log(root).read(run)["tables"]["ability"]["test"])
    assert {row["test"] for row in rows} >= {"giacomini-white", "clark-west", "bootstrap"}
