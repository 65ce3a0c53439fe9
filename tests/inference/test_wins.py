"""The share of symbols won: what it is, how sure one can be of it, and verdicts by it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support.many_assets import asset
from support.worlds import acceptance, make_forecasts

import harness
from harness.cards.claims_page import claims, page
from harness.cards.render import render_card
from harness.errors import HarnessError, RunError
from harness.inference.evidence import Evidence, Verdict
from harness.inference.wins import evidence_of_wins
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS, of_volatility
from harness.scores.scoring import score_groups, series
from harness.tables import rows_of
from harness.types import Forecasts
from harness.verdict.rule import decide

SCALE = TargetScale("log", "sigma", "naive", 1e-6)
WITH_LOSS = [name for name in of_volatility() if METRICS[name].loss]


def panel(
    better: np.ndarray, *, days: int = 300, correlation: float = 0.3, seed: int = 0
) -> Forecasts:
    """Log forecasts of len(better) symbols: `own` misses by better times less (ln sigma)."""
    rng = np.random.default_rng(seed)
    symbols = better.size
    common, single = rng.normal(size=(2, days, 1)), rng.normal(size=(2, days, symbols))
    error = math.sqrt(correlation) * common + math.sqrt(1.0 - correlation) * single
    y = -4.0 + rng.normal(size=(days, symbols))
    values = {"base": y + 0.5 * error[0], "own": y + 0.5 * np.exp(-better) * error[1]}
    return make_forecasts(
        y.ravel(), {k: v.ravel() for k, v in values.items()}, windows=4, symbols=symbols
    )


def some(forecasts: Forecasts, rows: np.ndarray) -> Forecasts:
    """These rows of the forecasts, in one window; y and last are theirs."""
    yhat = {name: values[rows] for name, values in forecasts.yhat.items()}
    part = make_forecasts(forecasts.y[rows], yhat, last=forecasts.last[rows])
    return replace(
        part,
        symbols=forecasts.symbols,
        symbol=forecasts.symbol[rows],
        formed_at=forecasts.formed_at[rows],
    )


def wins(
    forecasts: Forecasts, *others: Forecasts, metric: str = "mae_log", **keys: Any
) -> Evidence:
    """The evidence for `own` over `base`; the others hold it with further seeds."""
    outcome, models = series(forecasts, SCALE)
    seeds = [models, *(models | series(f, SCALE)[1] for f in others)]
    (found,) = evidence_of_wins(
        forecasts, outcome, seeds, baseline="base", candidates=("own",), metric=metric, alpha=0.05,
        seed=1, **keys,
    )  # fmt: skip
    return found


def judged(found: Evidence, min_gain: float) -> Verdict:
    return decide([found], acceptance(min_gain, "wins"))


def signs(symbols: int, share: float, size: float = 0.3) -> np.ndarray:
    return np.where(np.arange(symbols) < share * symbols, size, -size)


@pytest.mark.parametrize("metric", WITH_LOSS)
def test_the_share_counts_the_symbols_whose_own_figure_is_better(metric):
    rng = np.random.default_rng(3)
    whole = panel(0.05 * rng.normal(size=23), days=90)
    # Symbols of unequal length, some outcomes at the floor, some without a last value.
    kept = np.flatnonzero(rng.random(whole.y.size) < (0.2 + 0.03 * whole.symbol))
    part = some(whole, kept)
    part.y[rng.random(kept.size) < 0.2] = math.log(SCALE.floor)
    part.last[rng.random(kept.size) < 0.2] = np.nan
    outcome, models = series(part, SCALE)
    groups = [np.flatnonzero(part.symbol == k) for k in range(23)]
    column = list(METRICS).index(metric)
    figures = {k: v[:, column] for k, v in score_groups(outcome, models, groups).items()}
    gain = figures["own"] - figures["base"]
    gain = gain if METRICS[metric].higher else -gain
    wanted = np.where(np.abs(gain) < 1e-13, 0.5, gain > 0.0).mean()
    found = wins(part, metric=metric)
    assert found.gain == pytest.approx(wanted, abs=1e-12)
    assert found.symbols == 23
    assert 0.0 <= found.gain_low <= found.gain <= found.gain_high <= 1.0


def test_a_candidate_that_is_the_baseline_ties_everywhere():
    same = panel(np.zeros(12))
    found = wins(replace(same, yhat=dict.fromkeys(("base", "own"), same.yhat["own"])))
    assert (found.gain, found.gain_low, found.gain_high, found.p_value) == (0.5, 0.5, 0.5, 1.0)
    assert judged(found, 0.5).status == "inconclusive"
    assert judged(found, 0.75).status == "refuted"


def test_better_on_four_fifths_is_confirmed_for_less_and_refuted_for_more():
    found = wins(panel(signs(40, 0.8)))
    assert found.gain == 0.8
    assert found.p_value < 0.01
    verdict = judged(found, 0.75)
    assert verdict.status == "confirmed"
    assert verdict.reasons[0] == (
        "own has a better mae_log than base on 80.0 % of 40 symbols; the 90 % interval 80.0 % to "
        "80.0 % lies above the 75.0 % claimed."
    )
    assert verdict.reasons[1] == (
        '"At most 75.0 %" is rejected at 0.05: Block bootstrap test, p = 0.001.'
    )
    assert judged(found, 0.5).reasons[0].endswith("80.0 % of 40 symbols, as claimed (any gain).")
    assert judged(found, 0.95).status == "refuted"


def test_on_shifts_a_share_needs_as_many_shifts_as_targets_otherwise():
    forecasts = panel(signs(40, 0.8), days=300)
    few = wins(forecasts, periods=29)
    assert math.isnan(few.gain_low)
    assert few.p_value == 0.5
    enough = wins(forecasts, periods=30)
    assert enough.block >= 10.0 > wins(forecasts).block
    assert enough.gain_low <= enough.gain <= enough.gain_high


def test_better_on_half_of_the_symbols_is_no_gain():
    found = wins(panel(signs(40, 0.5)))
    assert found.gain == 0.5
    assert found.p_value > 0.3
    assert judged(found, 0.5).status != "confirmed"
    assert judged(found, 0.75).status == "refuted"


def test_symbols_that_are_one_bet_are_worth_one_whatever_their_number():
    one = panel(np.zeros(1), days=250, seed=4)
    many = [
        make_forecasts(
            np.repeat(one.y, copies),
            {name: np.repeat(values, copies) for name, values in one.yhat.items()},
            symbols=copies,
        )
        for copies in (10, 60)
    ]
    few, more = (wins(f) for f in many)
    assert few.gain in (0.0, 1.0)
    for key in ("gain", "gain_low", "gain_high", "p_value", "standard_error"):
        assert getattr(few, key) == getattr(more, key)
    # Independent symbols tell more, the more there are.
    independent = [wins(panel(np.full(n, 0.02), correlation=0.0)) for n in (20, 180)]
    assert independent[1].standard_error < 0.5 * independent[0].standard_error


def test_no_better_on_average_is_rarely_confirmed_and_intervals_cover():
    # Correlated symbols, none better: E(share) is a half.
    worlds = [wins(panel(np.zeros(15), days=120, seed=k), draws=300) for k in range(60)]
    rejected = sum(judged(w, 0.5).status == "confirmed" for w in worlds)
    covered = sum(w.gain_low <= 0.5 <= w.gain_high for w in worlds)
    assert rejected <= 8  # of 60 at 5 %: more with a chance under 1 %
    assert covered >= 47


def test_a_claim_that_one_of_five_seeds_breaks_is_not_confirmed():
    good = panel(signs(40, 1.0))
    alone = wins(good)
    bad = replace(good, yhat={"own": good.y + 3.0})
    same = replace(good, yhat={"own": good.yhat["own"]})
    agreed, broken = wins(good, same, same, same, same), wins(good, same, same, same, bad)
    assert agreed.seeds == (1.0,) * 5
    assert judged(agreed, 0.75).status == judged(alone, 0.75).status == "confirmed"
    assert broken.seeds == (1.0, 1.0, 1.0, 1.0, 0.0)
    assert broken.gain == 0.8
    assert broken.p_value == pytest.approx(0.2, abs=0.01)
    verdict = judged(broken, 0.75)
    assert verdict.status == "inconclusive"
    assert verdict.reasons[-1] == (
        "This is the mean over 5 seeds, with shares from 0.0 % to 100.0 %."
    )


def test_the_best_of_several_candidates_pays_for_the_choice():
    forecasts = panel(signs(20, 0.7, 0.05))
    outcome, models = series(forecasts, SCALE)
    models |= {"again": models["own"]}
    keys = {"baseline": "base", "metric": "qlike", "alpha": 0.05, "seed": 1}
    one, two = (
        evidence_of_wins(forecasts, outcome, [models], candidates=names, **keys)
        for names in (("own",), ("own", "again"))
    )
    assert two[0].p_value == two[1].p_value == one[0].p_value
    assert two[0].p_adjusted == min(1.0, 2.0 * one[0].p_value)


def test_the_same_seed_draws_the_same_and_the_order_of_candidates_does_not_matter():
    forecasts = panel(signs(20, 0.7, 0.05))
    assert wins(forecasts) == wins(forecasts)


def test_too_few_symbols_are_an_error_and_too_few_days_give_no_interval():
    with pytest.raises(RunError, match=r"got 9 symbols with forecasts that mae_log counts, wanted"):
        wins(panel(np.zeros(9)))
    found = wins(panel(signs(20, 0.9), days=25))
    assert found.gain > 0.5
    assert math.isnan(found.gain_low)
    assert judged(found, 0.5).status == "inconclusive"


def test_a_loss_that_is_not_a_number_leaves_no_gain():
    forecasts = panel(np.zeros(12))
    forecasts.yhat["own"][5] = np.nan
    found = wins(forecasts)
    assert math.isnan(found.gain)
    assert judged(found, 0.5).status == "void"


# Runs.

PANEL = """\
[panel]
name = "assets"
title = "Twelve assets by day"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
how_to_get = "made by the test"
[source]
kind = "parquet"
path = "assets.parquet"
[columns]
ts = "date"
symbol = "symbol"
close = "close"
return = "r"
"""
HYPOTHESIS = """\
[hypothesis]
name = "wins"
title = "HAR on some assets"
claim = "It wins."
[panel]
name = "assets"
[sample]
every = "1d"
scales = ["1d", "5d"]
measures = ["rv"]
[target]
measure = "rv"
scale = "log"
horizons = ["1d"]
back = "lognormal"
[walk_forward]
scheme = "expanding"
train = "100d"
test = "50d"
embargo = "1d"
first_test = "2021-05-01"
[models.persistence]
kind = "persistence"
[models.har]
kind = "ols"
features = ["log(rv_1d)", "log(rv_5d)"]
[regimes]
volatility = { terciles = "rv_5d" }
[verdict]
baseline = "persistence"
candidates = ["har"]
metric = "mae_log"
horizon = "1d"
gain = "wins"
min_gain = 0.75
alpha = 0.05
"""


def changed(*changes: tuple[str, str]) -> str:
    text = HYPOTHESIS
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = [asset(name, seed) for seed, name in enumerate("ABCDEFGHIJKL")]
    pl.concat(parts).write_parquet(tmp_path / "assets.parquet")
    (tmp_path / "panels").mkdir()
    (tmp_path / "panels/assets.toml").write_text(PANEL.replace("assets.p", "../assets.p"))
    return tmp_path


def run(folder: Path, text: str = HYPOTHESIS, **keys: Any) -> dict[str, Any]:
    file = folder / "wins.toml"
    file.write_text(text)
    log = harness.open_log(folder / "reports")
    done = harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"], **keys)
    record = log.read(done.run_id)
    return {**record, "card": log.card(record)}


def test_a_run_says_on_how_many_symbols_it_wins(folder):
    record = run(folder)
    v, tests = record["verdict"], record["tables"]["tests"]
    wins_of = [w for w in rows_of(record["tables"]["group_wins"]) if w["kind"] == "symbol"]
    assert [w["metric"] for w in wins_of] == list(of_volatility())
    (own,) = [w["wins"] for w in wins_of if w["metric"] == "mae_log"]
    assert v["gain"] == own / 12
    assert "; by NLL: har " in record["card"]
    assert record["tables"]["differences"]["candidate"] == []  # a share is no mean of differences
    assert "### Loss differences" not in record["card"]
    assert (v["gain_as"], v["unit"]) == ("wins", "% of the symbols, by mae_log")
    assert (tests["symbols"], tests["name"]) == ([12], ["bootstrap of wins"])
    assert f"| har | {100 * v['gain']:.1f} % | " in record["card"]
    assert "mean losses" in record["family"]["reality_check"]["why"]
    found = {row["variant"]: row for row in rows_of(record["tables"]["fragility"])}
    assert found["as registered, but for any gain"]["min_gain"] == 0.5
    assert {found[f"loss {name}"]["gain_as"] for name in ("qlike", "mse", "r2_log")} == {"wins"}
    assert found["loss qlike"]["min_gain"] == 0.75
    own = run(folder, changed(('"mae_log"', '"qlike"')))["verdict"]
    assert [found["loss qlike"][k] for k in ("gain", "gain_low", "gain_high", "p_value")] == [
        own[k] for k in ("gain", "gain_low", "gain_high", "p_value")
    ]


def test_the_page_of_documents_tells_the_share_and_a_card_is_made_again_from_its_record(folder):
    document = '[document]\ntitle = "A study"\nplace = "table 2"\nsays = "most"\ngain = 0.75\n'
    record = run(folder, document + HYPOTHESIS)
    log = harness.open_log(folder / "reports")
    assert "| 75.0 % | 100.0 % | " in page(claims(log)[0], log)
    record["tables"]["tests"]["detectable"] = [None]
    assert "| n/a | 12 | " in render_card(record)
    record = run(folder)
    assert render_card(record) == record["card"]


def test_a_regime_takes_its_rows_alone(folder):
    record = run(folder, changed(("alpha", 'regime = "volatility-high"\nalpha')))
    rows = [r for r in rows_of(record["tables"]["group_scores"]) if r["name"] == "volatility-high"]
    assert record["tables"]["tests"]["n"][0] < rows[0]["n"]
    assert record["verdict"]["gain"] is not None


def test_a_run_again_gives_the_same_bytes_whatever_the_number_of_workers(folder):
    first, second = run(folder, keep=False), run(folder, keep=False, workers=2)
    for key in ("tests", "fragility", "group_wins"):
        assert first["tables"][key] == second["tables"][key]
    assert first["verdict"] == second["verdict"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"mae_log"', '"ic"'), "verdict.gain: got 'wins', wanted 'difference': ic has no"),
        (("alpha", 'claim = "equal"\nalpha'), "verdict.claim: got 'equal', wanted 'better'"),
        (("0.75", "0.3"), "verdict.min_gain: got 0.3, wanted a share of the symbols from 0.5 to 1"),
        (("0.75", "1.5"), "verdict.min_gain: got 1.5, wanted a share of the symbols from 0.5 to 1"),
        (('"assets"', '"assets"\nsymbols = ["A", "B"]'), "panel.symbols: got 2, wanted at least"),
        (('"assets"', '"assets"\ndraw = 4'), "panel.draw: got 4, wanted at least 10 symbols"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(folder, change, message):
    with pytest.raises(HarnessError) as caught:
        run(folder, changed(change))
    assert message in str(caught.value)


def test_a_panel_of_few_symbols_is_refused_after_the_fact(folder):
    frame = pl.read_parquet(folder / "assets.parquet")
    frame.filter(pl.col("symbol") < "D").write_parquet(folder / "assets.parquet")
    with pytest.raises(RunError, match="3 symbols with forecasts"):
        run(folder)
