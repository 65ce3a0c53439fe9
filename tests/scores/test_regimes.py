"""Regimes: what is in a group, shifts and what they cost, verdicts on a group, sweeps."""

# ruff: noqa: E501 - a message stands here as the user sees it: on one line

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import workspace
from support.worlds import LOG_SIGMA, make_bars, make_forecasts, make_plan, sessions

import harness
from harness.cards.render import number
from harness.errors import SpecError
from harness.measures.cascade import measure
from harness.samples.features import FeatureError, parse_feature
from harness.samples.rows import OriginMeasures
from harness.scores.groups import adaptation, by_group, caught_up
from harness.scores.metrics import METRICS
from harness.scores.regimes import (
    Marked,
    Shifts,
    Terciles,
    mark,
    parse_condition,
    periods_in,
    z_scores,
)
from harness.scores.scoring import series
from harness.spec.reading import parse_hypothesis
from harness.types import Forecasts


def test_a_condition_has_one_spelling_and_none_but_comparisons_are_read():
    assert parse_condition(" rv_1d<20 and log( rv_1d )>=-4.5").text == (
        "rv_1d < 20 and log(rv_1d) >= -4.5"
    )
    for text in ("rv_1d", "rv_1d < rv_5d", "1 < rv_1d < 2", "rv_1d == 3", "rv_1d < 1 or rv_1d > 2",
                 "rv_1d < 1e999", "rv_1d <", "not rv_1d < 2"):  # fmt: skip
        with pytest.raises(FeatureError, match="a comparison of a feature with a number"):
            parse_condition(text)
    with pytest.raises(FeatureError, match="names no measure column"):
        parse_condition("2 < 3")


def world(n: int = 120, symbols: int = 2) -> tuple[list[OriginMeasures], Forecasts]:
    """Decisions of a daily panel, and a forecast for the last 80 of each symbol."""
    plan = make_plan(every="1d", scales=["1d"], horizons=["1d"], measures=["rv"],
                     calendar="sessions")  # fmt: skip
    ts = sessions(n)
    bars = [make_bars(n, seed=k, ts=ts, symbol=f"S{k}") for k in range(symbols)]
    by_symbol = [OriginMeasures(measure(b, plan), plan.units, 1e-6) for b in bars]
    formed = np.repeat(by_symbol[0].measured.known_at[-80:], symbols)
    y = np.random.default_rng(3).normal(size=formed.size)
    part = make_forecasts(y, {"a": y + 0.1, "b": 0.5 * y}, symbols=symbols)
    return by_symbol, Forecasts(**{**vars(part), "formed_at": formed})


def test_a_row_is_in_a_regime_by_what_its_own_symbol_had_at_its_decision():
    by_symbol, part = world()
    bound = float(np.nanmedian(by_symbol[0].feature(parse_feature("rv_1d"))))
    marked = mark(by_symbol, part, {"calm": parse_condition(f"rv_1d < {bound!r}")})
    rows = set(marked.groups["calm"].tolist())
    for row in range(part.y.size):
        d = by_symbol[part.symbol[row]]
        place = int(np.searchsorted(d.measured.known_at, part.formed_at[row]))
        assert (row in rows) == (d.measured.columns["rv_1d"][place] < bound)
    assert 20 < len(rows) < 140


def test_terciles_are_counted_among_the_values_before():
    by_symbol, part = world()
    expression = parse_feature("rv_1d")
    groups = mark(by_symbol, part, {"vol": Terciles(expression)}).groups
    assert list(groups) == ["vol-low", "vol-middle", "vol-high"]
    assert sum(rows.size for rows in groups.values()) == part.y.size
    for k, rows in enumerate(groups.values()):
        for row in rows:
            d = by_symbol[part.symbol[row]]
            values = d.feature(expression)
            place = int(np.searchsorted(d.measured.known_at, part.formed_at[row]))
            past = values[1:place]  # the first bar has no return
            assert k == min(int(3 * np.mean(past < values[place]) + 1e-12), 2)


def test_the_largest_shifts_are_taken_apart_from_each_other_and_counted_from_their_decision():
    values = np.random.default_rng(1).normal(size=200)
    values[[80, 84, 120, 150]] = [30.0, 29.0, -40.0, 20.0]
    z = z_scores(values, 20)
    past = values[60:80]
    assert z[80] == pytest.approx((values[80] - past.mean()) / past.std(ddof=1))
    assert np.isnan(z[:20]).all()
    by_symbol, part = world(200, 1)
    expression = parse_feature("rv_1d")
    by_symbol[0]._features[expression.text] = values
    marked = mark(by_symbol, part, {"shift": Shifts(expression, 2, 10, 20)})
    # Of the tested decisions, 120 to 199: 120 is the largest, then 150.
    assert marked.groups["shift"].tolist() == [*range(10), *range(30, 40)]
    assert marked.since["shift"].tolist() == [*range(10), *range(10)]


def test_the_end_of_a_flat_stretch_is_no_shift():
    # The standard deviation of equal logarithms is not always zero in floating point.
    values = np.random.default_rng(2).normal(size=200)
    values[40:100] = np.log(0.0123)
    z = z_scores(values, 60)
    assert values[40:100].std(ddof=1) > 0.0
    assert np.isnan(z[100])
    assert np.isfinite(z[101:]).all()


def test_adaptation_sums_the_mean_loss_by_decision_after_the_shift():
    _, part = world(120, 1)
    rows = np.array([3, 4, 5, 40, 41])
    marked = Marked({"s": rows}, {"s": np.array([0, 1, 2, 0, 1])}, {})
    outcome, models = series(part, LOG_SIGMA)
    (found,) = adaptation(part, outcome, models, marked, "mse")
    losses = METRICS["mse"].losses(outcome, models["b"])
    want = np.cumsum([losses[[3, 40]].mean(), losses[[4, 41]].mean(), losses[5]])
    assert np.allclose(found.cumulative["b"], want)
    assert (found.shifts, found.loss) == (2, "mse")
    assert found.usual["b"] == pytest.approx(np.delete(losses, rows).mean(), rel=1e-12)
    (found,) = adaptation(part, outcome, models, marked, "ic")
    assert found.loss == "qlike"


def test_a_model_has_caught_up_when_its_excess_loss_has_come():
    usual = 0.2
    paths = {
        "at once": ([0.2, 0.1, 0.2, 0.2], 0),
        "after two": ([1.2, 0.9, 0.2, 0.25, 0.1], 2),
        "never": ([0.3] * 20, 18),
    }
    for losses, day in paths.values():
        assert caught_up(np.cumsum(losses), usual) == day
    assert caught_up(np.ones(3), np.nan) is None


def test_groups_by_label_and_symbol_are_there_only_for_panels_of_several():
    _, part = world()
    none = Marked({}, {}, {})
    kinds = {
        g.kind: g for g in by_group(part, *series(part, LOG_SIGMA), none, {"sector": {"S0": "x"}})
    }
    assert kinds["sector"].groups == ("unknown", "x")
    assert kinds["symbol"].groups == ("S0", "S1")
    assert kinds["symbol"].n == (80, 80)
    assert np.array_equal(kinds["sector"].values["a"][1], kinds["symbol"].values["a"][0])
    _, alone = world(120, 1)
    assert by_group(alone, *series(alone, LOG_SIGMA), none, {"sector": {}}) == ()


REGIMES = """
[regimes]
calm = "rv_1d < 0.0017"
busy = "rv_1d >= 0.0017"
volatility = { terciles = "log(rv_1d)" }
after-shift = { shifts = "log(rv_1h)", largest = 3, days = 12, window = 24 }

[verdict]"""


def run(folder: Path, *changes: tuple[str, str]):
    workspace.lay_out(folder)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(workspace.changed(*changes))
    log = harness.open_log(folder / "reports")
    outcome = harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"])
    return log, log.read(outcome.run_id)


def test_a_verdict_on_a_regime_is_that_of_its_rows_alone(tmp_path):
    _, record = run(
        tmp_path, ("[verdict]", REGIMES), ("alpha = 0.05", 'alpha = 0.05\nregime = "busy"')
    )
    scores = record["tables"]["group_scores"]
    rows = list(zip(*(scores[c] for c in ("horizon", "kind", "name", "model", "metric", "value", "n")),
                    strict=True))  # fmt: skip
    busy = {r[3]: r for r in rows if r[:3] == ("4h", "regime", "busy") and r[4] == "r2_log"}
    calm = {r[3]: r for r in rows if r[:3] == ("4h", "regime", "calm") and r[4] == "r2_log"}
    pooled = next(n for s, h, n in zip(*(record["tables"]["scores"][c] for c in ("scope", "horizon", "n")),
                                       strict=True) if s == "pooled" and h == "4h")  # fmt: skip
    assert busy["har"][6] + calm["har"][6] == pooled
    gain = busy["har"][5] - busy["persistence"][5]
    assert record["verdict"]["gain"] == pytest.approx(gain, rel=1e-12)
    for table in ("tests", "differences"):
        assert record["tables"][table]["n"] == [busy["har"][6]]
    assert record["tables"]["differences"]["p_fewer"] == record["tables"]["tests"]["p_adjusted"]
    card = record["card"]
    assert "over persistence in busy" in card or "to persistence in busy" in card
    assert f"| R² log 4h in busy har | {number(busy['har'][5])} |" in card
    assert "in the regime busy only" in card
    assert "## R² log by regime, 4h horizon" in card
    assert "## Adaptation: cumulative R² log loss after a shift, after-shift, 4h horizon" in card
    assert "| caught up after |" in card and "| usual loss of one origin |" in card
    assert "| volatility-high |" in card
    assert {"busy", "calm", "volatility-low", "after-shift"} <= set(scores["name"])


def test_a_verdict_on_shifts_counts_shifts_and_not_the_days_after_them(tmp_path):
    _, record = run(
        tmp_path, ("[verdict]", REGIMES), ("alpha = 0.05", 'alpha = 0.05\nregime = "after-shift"')
    )
    tests, verdict = record["tables"]["tests"], record["verdict"]
    assert (verdict["periods"], tests["n"]) == (3, [36])
    assert tests["cosines"] == [2]
    assert "at most one less than the 3 separate shifts of the regime" in record["card"]
    fragility = record["tables"]["fragility"]
    registered = fragility["kind"].index("registered")
    loss = fragility["kind"].index("loss")
    assert fragility["n"][registered] == fragility["n"][loss] == 36
    # Student's t with two degrees of freedom in the rows of other choices, too.
    as_registered = (fragility[c][registered] for c in ("gain_low", "gain_high"))
    assert list(as_registered) == [verdict["gain_low"], verdict["gain_high"]]
    (tmp_path / "calm").mkdir()
    _, calm = run(tmp_path / "calm", ("[verdict]", REGIMES),
                  ("alpha = 0.05", 'alpha = 0.05\nregime = "calm"'))  # fmt: skip
    assert calm["verdict"]["periods"] is None
    shifts = calm["tables"]["fragility"]["variant"].index("regime after-shift")
    on_shifts = record["tables"]["fragility"]
    for column in ("gain", "gain_low", "gain_high", "p_value", "n"):
        assert calm["tables"]["fragility"][column][shifts] == on_shifts[column][registered]


def test_shifts_of_several_symbols_that_overlap_in_time_are_one_period():
    by_symbol, part = world()
    regime = Shifts(parse_feature("rv_1d"), 3, 10, 30)
    marked = mark(by_symbol, part, {"s": regime})
    period, rows = marked.periods["s"], marked.groups["s"]
    assert (period[rows] >= 0).all()
    assert (np.delete(period, rows) == -1).all()
    starts = np.unique(part.formed_at[rows[marked.since["s"] == 0]])
    origins = np.unique(part.formed_at)
    apart, last = 0, -10
    for place in np.searchsorted(origins, starts).tolist():
        if place >= last + 10:
            apart, last = apart + 1, place
    assert periods_in(period, rows) == apart
    assert 3 <= apart < 6
    one_symbol, alone = world(symbols=1)
    marked = mark(one_symbol, alone, {"s": regime})
    assert periods_in(marked.periods["s"], marked.groups["s"]) == 3
    assert periods_in(None, rows) is None


def test_a_sweep_runs_a_model_at_every_value_and_shows_the_curve(tmp_path):
    sweep = '[sweep]\nmodel = "smooth"\ndecay = [0.5, 0.94]\n\n[models.smooth]\nkind = "ewma"\n\n'
    _, record = run(
        tmp_path, ("[models.har]", f"{sweep}[models.har]"), ('["har"]', '["smooth-0-94"]')
    )
    assert list(record["settings"]["models"]) == ["persistence", "smooth-0-5", "smooth-0-94", "har"]
    assert record["settings"]["models"]["smooth-0-5"]["decay"] == 0.5
    assert "## Memory curve: R² log of smooth by decay, 4h horizon" in record["card"]
    assert record["card"].count(" (best) |") == 1


REFUSED = (
    (("[verdict]", "[regimes]\ncalm = 'rv_1d = 3'\n[verdict]"), "regimes.calm: got 'rv_1d = 3', wanted a comparison of a feature with a number"),
    (("[verdict]", "[regimes]\ncalm = 'rv_2d < 3'\n[verdict]"), "regimes.calm: got 'rv_2d', wanted columns of rv over 1h, 4h, 1d"),
    (("[verdict]", "[regimes]\ncalm = 'rv_h < 3'\n[verdict]"), "regimes.calm: got 'rv_h < 3', wanted scales by name, not h: a regime has no horizon"),
    (("[verdict]", "[regimes]\ncalm = 3\n[verdict]"), "regimes.calm: got 3, wanted a condition such as 'vix_1d < 20'"),
    (("[verdict]", "[regimes]\ncalm = { shifts = 'rv_1d', larges = 3 }\n[verdict]"), "regimes.calm.larges: got 'larges', wanted one of the keys shifts, largest, days, window; did you mean 'largest'?"),
    (("alpha = 0.05", "alpha = 0.05\nregime = 'calm'"), "verdict.regime: got 'calm', wanted a table [regimes] with this regime"),
    (("[verdict]", "[regimes]\ncalm = 'rv_1d < 3'\n[verdict]\nregime = 'clam'"), "verdict.regime: got 'clam', wanted one of calm; did you mean 'calm'?"),
    (("alpha = 0.05", "alpha = 0.05\nrule = 'pint'"), "verdict.rule: got 'pint', wanted one of test, point; did you mean 'point'?"),
    (("alpha = 0.05", "alpha = 0.05\nrule = 'point'\nclaim = 'equal'"), "verdict.rule: got 'point', wanted 'test': that models are equal is shown by an interval, not by an estimate"),
    (("min_gain = 0.01", "min_gain = 0.0\nclaim = 'equal'"), "verdict.min_gain: got 0.0, wanted above 0: the largest difference between equal models"),
    (("[models.har]", "[sweep]\nmodel = 'hra'\ndecay = [1, 2]\n[models.har]"), "sweep.model: got 'hra', wanted one of persistence, har; did you mean 'har'?"),
    (("[models.har]", "[sweep]\nmodel = 'har'\nintercept = true\n[models.har]"), "sweep.intercept: got true, wanted a list of two values or more"),
    (("[models.har]", "[sweep]\nmodel = 'har'\nintercept = [true, 3]\n[models.har]"), "sweep.intercept[1]: got 3, wanted a valid boolean"),
    (("[models.har]\n", "[sweep]\nmodel = 'har'\nintercept = [true, false]\n[models.har]\ncut = 1\n"), "models.har.cut: got 'cut', wanted one of the keys"),
    (("[models.har]", "[sweep]\nmodel = 'har'\n[models.har]"), "sweep: got {'model': 'har'}, wanted a model's name and one of its parameters"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_a_mistake_in_regimes_or_sweep_is_told_in_one_line(change, words):
    with pytest.raises(SpecError) as error:
        parse_hypothesis(workspace.changed(change), Path("h.toml"))
    assert str(error.value).startswith(f"h.toml: {words}")


def test_regimes_are_part_of_the_hash_and_their_spelling_is_not():
    def digest(words: str) -> str:
        return parse_hypothesis(
            workspace.changed(("[verdict]", f"{words}[verdict]")), Path("h")
        ).spec_hash

    calm = digest("[regimes]\ncalm = 'rv_1d < 2'\n")
    assert calm == digest("[regimes]\ncalm = ' rv_1d  <2.0'\n")
    assert len({calm, digest(""), digest("[regimes]\ncalm = 'rv_1d < 3'\n")}) == 3
