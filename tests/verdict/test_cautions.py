"""What the card warns of before it is believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.worlds import DAY, START, acceptance, make_forecasts

from harness.durations import parse_duration
from harness.inference.gains import Seed, evidence
from harness.samples.target_scale import TargetScale
from harness.scores.distribution.assess import DistributionRow
from harness.scores.scoring import series
from harness.types import LeakProof
from harness.verdict.cautions import (
    cautions,
    of_a_weak_baseline,
    of_the_baseline,
    of_the_family,
    of_the_laws,
    of_the_source,
    of_zero_returns,
)
from harness.verdict.rule import decide

WINDOWS = 2
SCALE = TargetScale("log", "sigma", "naive", 1e-6)


def a_study():
    rng = np.random.default_rng(1)
    y = rng.normal(-8.0, 0.5, 400)
    noise = rng.normal(0.0, 0.3, (2, 400))
    made = make_forecasts(y, {"base": y + noise[0], "other": y + noise[1]}, windows=WINDOWS)
    proofs = [
        LeakProof(k, "1d", START - 100 * DAY, START, START + DAY, DAY, START - DAY, 0, 100, 200)
        for k in range(WINDOWS)
    ]
    return replace(made, proofs=tuple(proofs))


def verdict_on(forecasts):
    outcome, models = series(forecasts, SCALE)
    names = list(models)
    found = evidence(
        forecasts, outcome, [Seed(models, {names[1]: 0.1}, 0.5)], baseline=names[0],
        candidates=(names[1],), metric="r2_log", gain_as="difference", alpha=0.05,
    )  # fmt: skip
    return decide(found, acceptance())


def said(forecasts, start=START - 10**18):
    return cautions({"4h": forecasts}, SCALE, verdict_on(forecasts), start)


def test_ample_and_moving_data_need_no_caution():
    assert said(a_study()) == []


def test_targets_at_the_floor_are_counted():
    forecasts = a_study()
    y = forecasts.y.copy()
    y[:3] = np.log(1e-6)
    (sentence,) = said(replace(forecasts, y=y))
    assert sentence.startswith(f"3 of {y.size} targets at 4h are at the floor")


def test_a_training_span_that_begins_before_the_data_is_told():
    forecasts = a_study()
    declared = max(p.train_start for p in forecasts.proofs)
    (sentence,) = said(forecasts, start=declared + 6 * DAY)
    assert sentence.startswith(f"{WINDOWS} of {WINDOWS} windows at 4h train on less")
    assert said(forecasts, start=declared + 3 * DAY) == []  # a holiday and a weekend


def test_few_degrees_of_freedom_are_told():
    forecasts = replace(a_study(), overlap=9)
    (sentence,) = said(forecasts)
    assert sentence.startswith("400 forecast origins with targets over 10 of them leave only 5")


@pytest.mark.parametrize(
    ("status", "p", "warned"),
    [("confirmed", 0.05, True), ("confirmed", 0.0499, False), ("refuted", 0.05, False)],
)
def test_only_a_confirmed_gain_that_the_family_takes_back_is_warned_of(status, p, warned):
    verdict = replace(verdict_on(a_study()), status=status)
    family = {"comparisons": 1_200, "candidates": [{"candidate": "other", "p_holm": p}], "gone": []}
    found = of_the_family(verdict, family, 0.05)
    assert len(found) == warned
    if warned:
        assert "all 1,200 comparisons" in found[0]
        assert "the Holm-adjusted p of other is 0.05, not below 0.05" in found[0]


def test_a_claim_of_equality_is_not_warned_of():
    verdict = replace(verdict_on(a_study()), status="confirmed")
    assert of_the_family(verdict, {"comparisons": 9, "candidates": [], "gone": []}, 0.05) == []


def test_a_baseline_that_cannot_be_right_is_warned_of():
    (found,) = of_the_baseline("direction", "persistence")
    assert "a coin toss gains 0.5 over it" in found
    assert of_the_baseline("direction", "ols") == of_the_baseline("mae", "persistence") == []


def test_a_baseline_far_worse_than_one_number_is_warned_of():
    outcome = np.exp(np.random.default_rng(0).normal(size=4000))
    alone = float(np.log(outcome.mean()) - np.log(outcome).mean())
    assert alone == pytest.approx(0.5, abs=0.05)
    assert of_a_weak_baseline("ewma", 1.9 * alone, outcome) == []
    (found,) = of_a_weak_baseline("ewma", 2.1 * alone, outcome)
    assert found.startswith("The QLIKE of the baseline ewma is 1.0")


def test_levels_too_far_out_for_the_rows_held_out_are_told():
    def row(n, law="conformal", model="har"):
        return DistributionRow("1d", model, law, "pooled", "", n, 40.0, 0.1, 0.1)

    levels = (0.001, 0.5, 0.99)
    (found,) = of_the_laws([row(0), row(0, model="net"), row(0, "residual")], levels)
    assert found.startswith("No conformal quantiles for har, net: a tail level of 0.001 needs 999 ")
    assert of_the_laws([row(1), row(0, "residual")], levels) == []


def test_symbols_that_were_learned_from_are_told_where_they_are_tested():
    assert of_the_source(("A", "B", "C"), ("B", "C", "D"), True) == [
        "2 of the 3 symbols are also used for pretraining: this is no split over assets "
        "(panel.unseen)."
    ]
    assert of_the_source(("A", "B"), ("B",), False) == []
    assert of_the_source(("A", "B"), ("C",), True) == []


def test_measures_that_read_many_zero_returns_as_jumps_are_told_with_a_remedy():
    five = parse_duration("5m")
    (told,) = of_zero_returns(0.0934, ["rv", "bv", "j", "volume"], five)
    assert told.startswith(
        "9.3% of the returns over 5m are 0 (filled bars included), and bv, j read"
    )
    assert "A longer sample.interval" in told
    assert "rv, rsp, rsn, rk, tsrv, rvss do not change" in told
    assert of_zero_returns(0.0199, ["rv", "bv"], five) == []
    assert of_zero_returns(0.5, ["rv", "rk"], five) == []
    assert of_zero_returns(None, ["bv"], five) == []
