"""Warnings about the loss differences behind a verdict, about rivals and about ties."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.worlds import DAY, LOG_SIGMA, START, acceptance, make_forecasts

from harness.inference.diebold_mariano import cosine_terms
from harness.inference.evidence import Verdict
from harness.inference.gains import Seed, evidence
from harness.inference.loss_differences import describe
from harness.scores.scoring import score, series
from harness.verdict.cautions import of_a_rival, of_few_dates, of_persistence, of_ties
from harness.verdict.rivals import find_rival
from harness.verdict.rule import pooled_gain
from harness.verdict.weigh import Weighed

N = 400


def studied(*, far=0.6, near=0.3, other=None, seed=0):
    """Forecasts of `base`, `own` and perhaps `other`, with errors of these sizes."""
    rng = np.random.default_rng(seed)
    y = rng.normal(-8.0, 0.5, N)
    yhat = {"base": y + far * rng.normal(size=N), "own": y + near * rng.normal(size=N)}
    if other is not None:
        yhat["other"] = y + other * rng.normal(size=N)
    return make_forecasts(y, yhat)


def judged(forecasts, metric="mae_log"):
    """Outcome, seeds, figures and evidence."""
    outcome, models = series(forecasts, LOG_SIGMA)
    scores = score(forecasts, LOG_SIGMA, outcome, models)
    figures = {name: scores.value(name, metric) for name in models}
    gain = pooled_gain(metric, figures["base"], figures["own"], gain_as="difference")
    seeds = [Seed(models, {"own": gain}, figures["base"])]
    (e,) = evidence(
        forecasts, outcome, seeds, baseline="base", candidates=("own",), metric=metric,
        gain_as="difference", alpha=0.05,
    )  # fmt: skip
    return outcome, seeds, figures, e


def verdict_of(status, e=None):
    e = e or judged(studied())[3]
    return Verdict(status, (), e, (e,))


def described(d, low=0.5):
    """With fewer cosines the interval begins at `low`."""
    e = replace(judged(studied())[3], cosines=cosine_terms(d.size, 0))
    days = START + DAY * np.arange(d.size, dtype=np.int64)
    return describe(e, [d], days, lambda most: replace(e, cosines=most, gain_low=low))


def with_spikes(n, size, mean=0.0, count=5):
    d = np.random.default_rng(1).normal(size=n)
    d += mean - d.mean()
    d[10 : 10 * (count + 1) : 10] = size
    return d


def test_a_gain_of_many_dates_is_not_warned_of():
    d = np.random.default_rng(1).normal(size=300)
    found = described(d - d.mean() + 2.0 / math.sqrt(300))  # a t of 2
    for status in ("confirmed", "refuted", "inconclusive", "void"):
        assert of_few_dates(found, verdict_of(status)) == []
        assert of_persistence([found], verdict_of(status, found.fewer), acceptance()) == []
    assert of_few_dates(None, verdict_of("confirmed")) == []
    assert of_persistence((), verdict_of("confirmed"), acceptance()) == []


def test_a_confirmed_gain_that_five_dates_make_is_told_with_the_dates():
    found = described(with_spikes(300, 8.0, mean=-0.05))
    assert found.mean_without < 0.0 < found.mean
    (told,) = of_few_dates(found, verdict_of("confirmed"))
    assert told.startswith(
        "Few dates make this gain. Without the 5 of 300 forecast origins on which own gains most ("
    )
    assert "2021-03-11, 2021-03-21, 2021-03-31, 2021-04-10, 2021-04-20), its mean gain in" in told
    assert of_few_dates(found, verdict_of("void")) == []
    assert of_few_dates(found, verdict_of("inconclusive")) == []  # near zero any five turn the sign


def test_half_of_a_confirmed_gain_counts_only_where_five_dates_are_few():
    for n, warned in ((300, True), (240, False)):
        found = described(with_spikes(n, 9.0, mean=0.1))
        assert 0.0 < found.mean_without < 0.5 * found.mean
        assert bool(of_few_dates(found, verdict_of("confirmed"))) == warned


def test_five_dates_with_much_of_what_is_saved_are_told_whatever_the_verdict():
    assert of_few_dates(described(with_spikes(300, 8.0)), verdict_of("inconclusive")) == []
    found = described(with_spikes(300, 20.0))
    assert found.top_share > 1.0 / 3.0
    for status in ("confirmed", "refuted", "inconclusive"):
        assert len(of_few_dates(found, verdict_of(status))) == 1
    assert of_few_dates(described(-with_spikes(300, 60.0)), verdict_of("refuted")) == []
    assert of_few_dates(described(np.ones(9)), verdict_of("inconclusive")) == []


def slow(n=1000, phi=0.98):
    rng = np.random.default_rng(2)
    d = np.empty(n)
    state = 0.0
    for k in range(n):
        state = phi * state + rng.normal()
        d[k] = state
    return d - d.mean() + 1.0


def test_persistent_differences_are_told_with_the_interval_that_holds():
    found = described(slow(), low=0.001)
    usual = replace(found.fewer, cosines=41)
    (told,) = of_persistence([found], verdict_of("confirmed", usual), acceptance())
    memory = round(1000 / (math.pi * found.persistence.half_power))
    assert f"persist over about {memory} forecast origins" in told
    assert 20 <= memory <= 100  # 1 / (1 - 0.98) is 50
    assert "too long for a test with 41 cosines" in told
    few = found.persistence.fewer
    assert f"With {few} cosines the verdict would be the same: 90 % interval +0.001 to" in told
    below = described(slow(), low=-0.001)
    (told,) = of_persistence([below], verdict_of("confirmed", usual), acceptance())
    assert f"With {few} cosines it would be inconclusive: 90 % interval -0.001 to" in told
    (told,) = of_persistence([found], verdict_of("refuted", usual), acceptance(9.0))
    assert "the verdict would be the same" in told
    for status in ("inconclusive", "void"):  # a wider interval decides no more
        assert of_persistence([found], verdict_of(status, usual), acceptance()) == []


def rival_of(forecasts, metric="mae_log"):
    outcome, seeds, figures, e = judged(forecasts, metric)
    rule = acceptance().model_copy(update={"metric": metric})
    return find_rival(rule, "own", Weighed(forecasts, outcome, seeds), [figures]), e, figures


@pytest.mark.parametrize("metric", ["mae_log", "r2_log", "ic"])
def test_a_model_better_than_the_confirmed_candidate_is_named_with_its_figures(metric):
    rival, e, figures = rival_of(studied(other=0.1), metric)
    assert (rival.model, rival.others) == ("other", 1)
    assert (rival.figure, rival.of_candidate) == (figures["other"], figures["own"])
    assert rival.gain > 0.0 and rival.p_value < 0.01
    (told,) = of_a_rival(rival, verdict_of("confirmed", e), "better", 0.05)
    assert told.startswith("other has a ")
    assert f"of {figures['other']:.4g}, better than the {figures['own']:.4g} of own (p " in told
    end = f"own beats the baseline base ({figures['base']:.4g}), not the best model of this run."
    assert told.endswith(end)
    assert of_a_rival(rival, verdict_of("confirmed", e), "equal", 0.05) == []
    assert of_a_rival(rival, verdict_of("void", e), "better", 0.05) == []


def test_a_model_between_baseline_and_candidate_is_told_where_nothing_is_confirmed():
    rival, e, figures = rival_of(studied(other=0.45))
    assert rival.gain < 0.0 < rival.gain_over_baseline
    assert of_a_rival(rival, verdict_of("confirmed", e), "better", 0.05) == []
    (told,) = of_a_rival(rival, verdict_of("refuted", e), "better", 0.05)
    assert f"better than the {figures['base']:.4g} of the baseline base (p " in told
    weak = replace(rival, p_over_baseline=0.05)
    assert of_a_rival(weak, verdict_of("refuted", e), "better", 0.05) == []


def test_figures_have_as_many_digits_as_tell_them_apart():
    rival, e, _ = rival_of(studied(other=0.1))
    close = replace(rival, figure=0.309212, of_candidate=0.309231)
    (told,) = of_a_rival(close, verdict_of("confirmed", e), "better", 0.05)
    assert "of 0.30921, better than the 0.30923 of own" in told


def test_a_model_worse_than_the_baseline_is_no_rival():
    rival, e, _ = rival_of(studied(other=0.9))
    for status in ("confirmed", "refuted"):
        assert of_a_rival(rival, verdict_of(status, e), "better", 0.05) == []


def test_without_other_models_there_is_no_rival():
    assert rival_of(studied())[0] is None
    assert of_a_rival(None, verdict_of("confirmed"), "better", 0.05) == []


def test_a_copy_of_the_candidate_or_of_the_baseline_is_no_rival():
    forecasts = studied()
    for name in ("own", "base"):
        copied = {**forecasts.yhat, "copy": forecasts.yhat[name] * (1.0 + 1e-15)}
        both = {**forecasts.fits, "copy": forecasts.fits[name]}
        rival, e, _ = rival_of(replace(forecasts, yhat=copied, fits=both))
        for status in ("confirmed", "refuted"):
            told = of_a_rival(rival, verdict_of(status, e), "better", 0.05)
            assert told == [] or (name, status) == ("own", "refuted")


def test_p_values_are_adjusted_for_the_number_of_other_models():
    forecasts = studied(other=0.29, seed=3)
    alone = rival_of(forecasts)[0]
    third = {**forecasts.yhat, "third": forecasts.yhat["base"] + 1.0}
    fits = {**forecasts.fits, "third": forecasts.fits["base"]}
    rival, e, _ = rival_of(replace(forecasts, yhat=third, fits=fits))
    assert (rival.model, rival.others) == ("other", 2)
    assert rival.p_value == min(1.0, 2.0 * alone.p_value)
    (told,) = of_a_rival(replace(rival, gain=0.1), verdict_of("confirmed", e), "better", 0.05)
    assert "adjusted for 2 models" in told


def test_ties_are_named():
    assert of_ties((), "har") == []
    assert of_ties(("turned",), "har") == [
        "turned makes the same forecasts as the baseline har, up to rounding: this is a tie, not "
        "evidence."
    ]
