"""The metrics of VaR and ES as metrics: figures, influence, rows left out, ties, tests, wins."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.worlds import LOG_SIGMA, make_forecasts

from harness.inference.diebold_mariano import diebold_mariano
from harness.inference.findings import Compared, findings
from harness.inference.wins import evidence_of_wins
from harness.scores.metrics import METRICS, OF_RISK, columns_of, metrics_of, of_volatility
from harness.scores.risk.forecasts import DecidedTail, Violations
from harness.scores.risk.losses import fz_loss, joint_loss, quantile_loss
from harness.scores.scoring import score, score_groups, series
from harness.verdict.cautions import of_the_violations
from harness.walk.residuals.tails import Tails

TAILS = Tails((0.05, 0.2), ("normal", "t"), 1, LOG_SIGMA)
LOSSES = {
    "quantile_loss": lambda y, a, q, _: quantile_loss(y, a, q),
    "joint_loss": joint_loss,
    "fz_loss": fz_loss,
}


def world(n=300, seed=1, symbols=1, unknown=0.0):
    """Returns of unit scale, a good and a bad forecast of it, tails of normal residuals."""
    rng = np.random.default_rng(seed)
    log_sigma = np.repeat(0.5 * np.sin(np.arange(n) / 9.0), symbols)
    y, returns = log_sigma + 0.1 * rng.normal(size=n * symbols), rng.standard_t(6, n * symbols)
    returns = np.exp(log_sigma) * returns
    returns[rng.random(n * symbols) < unknown] = np.nan
    yhat = {"good": log_sigma, "bad": np.zeros(n * symbols)}
    part = make_forecasts(y, yhat, windows=3, symbols=symbols)
    own = np.stack([TAILS.of(rng.normal(size=2_000), np.zeros(2_000), 0.0)] * 3)
    fits = {name: replace(fit, tails=own) for name, fit in part.fits.items()}
    return replace(part, returns=returns, fits=fits)


def read(part, law=0, level=0):
    return series(part, LOG_SIGMA, decided=DecidedTail(TAILS, law, level))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("metric", OF_RISK)
def test_a_figure_is_the_mean_loss_of_the_known_rows_pooled_by_window_and_by_group(metric, level):
    part = world(unknown=0.1)
    outcome, models = read(part, 1, level)
    known, tail = np.isfinite(part.returns), models["good"].tail
    assert tail.level == TAILS.levels[level]
    losses = LOSSES[metric](part.returns, tail.level, tail.var, tail.es)
    scores = score(part, LOG_SIGMA, outcome, models)
    assert scores.value("good", metric) == pytest.approx(losses[known].mean(), rel=1e-12)
    groups = [np.flatnonzero(known[:50]), np.arange(60, 90)]
    by_window = [losses[a:b][known[a:b]].mean() for a, b in pairwise(part.edges)]
    assert scores.by_window("good", metric) == pytest.approx(by_window, rel=1e-12)
    found = score_groups(outcome, models, groups)["good"]
    place = columns_of(found).index(metric)
    assert found[:, place] == pytest.approx([np.nanmean(losses[g]) for g in groups], rel=1e-12)


def test_scores_have_columns_of_risk_only_where_there_is_a_tail():
    part = world()
    plain, _ = series(part, LOG_SIGMA)
    risky, _ = read(part)
    assert metrics_of(plain) == of_volatility()
    assert set(metrics_of(risky)) - set(of_volatility()) == set(OF_RISK)


@pytest.mark.parametrize("metric", OF_RISK)
def test_influence_moves_the_mean_as_one_more_copy_of_a_row_would(metric):
    part = world(80, unknown=0.2)
    outcome, models = read(part)
    m, losses = METRICS[metric], METRICS[metric].loss.values(outcome, models["bad"])
    influence = m.influence(outcome, models["bad"])
    assert abs(influence.mean()) < 1e-12
    figure = m.figure(outcome, models["bad"])
    assert losses == pytest.approx(figure + influence, rel=1e-12)
    raw = LOSSES[metric](part.returns, 0.05, models["bad"].tail.var, models["bad"].tail.es)
    known = np.isfinite(raw)
    step = 1e-6
    for row in (0, 7, 33):
        weight = np.full(80, 1.0 / 80)
        weight[row] += step
        moved = np.sum((weight * raw)[known]) / weight[known].sum()
        assert (moved - figure) / step == pytest.approx(influence[row], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("metric", OF_RISK)
def test_forecasts_that_differ_by_rounding_tie(metric):
    part = world(unknown=0.05)
    yhat = {"one": part.yhat["good"], "two": part.yhat["good"] * (1.0 + 1e-15) + 1e-16}
    fit = part.fits["good"]
    nearly = replace(fit, tails=fit.tails * (1.0 + 1e-15))
    part = replace(part, yhat=yhat, fits={"one": fit, "two": nearly})
    outcome, models = read(part)
    m = METRICS[metric]
    assert np.array_equal(*(m.losses(outcome, models[name]) for name in yhat))
    other = replace(fit, tails=fit.tails * 1.1)
    _, models = read(replace(part, fits={"one": fit, "two": other}))
    assert m.figure(outcome, models["one"]) != m.figure(outcome, models["two"])


def test_all_models_are_scored_on_the_rows_where_every_tail_is_known():
    part = world()
    fit = part.fits["bad"]
    late = replace(fit, tails=np.concatenate([np.full_like(fit.tails[:1], np.nan), fit.tails[1:]]))
    outcome, models = read(replace(part, fits={**part.fits, "bad": late}))
    assert np.isnan(outcome.returns[:100]).all()
    assert np.isfinite(outcome.returns[100:]).all()
    good, whole = models["good"].tail, part.returns
    wanted = fz_loss(whole[100:], 0.05, good.var[100:], good.es[100:]).mean()
    assert METRICS["fz_loss"].figure(outcome, models["good"]) == pytest.approx(wanted, rel=1e-12)
    found = Violations.of(outcome, models)
    assert (found.rows, found.left_out) == (200, 100)
    assert found.by_model["good"] == np.sum(whole[100:] < good.var[100:])
    (words,) = of_the_violations(replace(found, rows=2_000), ("bad", "good"))
    assert "100 of 2,100 forecasts are not scored" in words


def test_an_infinite_forecast_has_an_infinite_loss_and_no_silent_zero():
    part = world()
    broken = {**part.yhat, "bad": np.where(np.arange(300) == 5, np.inf, part.yhat["bad"])}
    outcome, models = read(replace(part, yhat=broken))
    for metric in OF_RISK:
        assert not math.isfinite(METRICS[metric].figure(outcome, models["bad"]))
        assert math.isfinite(METRICS[metric].figure(outcome, models["good"]))


@pytest.mark.parametrize("metric", OF_RISK)
def test_tests_of_ability_are_on_the_losses_of_the_tail(metric):
    part = world(unknown=0.0)
    outcome, models = read(part)
    compared = Compared(
        outcome, models, part.formed_at, part.resolved_at, 0, baseline="bad", candidates=("good",),
        metric=metric, gain_as="difference", log_target=True, unit="sigma",
    )  # fmt: skip
    found = {f.test: f for f in findings(compared)}
    d = METRICS[metric].losses(outcome, models["bad"]) - METRICS[metric].losses(
        outcome, models["good"]
    )
    statistic, _ = diebold_mariano(d, 0)
    assert found["giacomini-white"].effect == pytest.approx(d.mean())
    assert math.copysign(1.0, statistic) == math.copysign(1.0, d.mean())
    assert found["bootstrap"].effect == pytest.approx(d.mean())
    assert found["bootstrap"].low < d.mean() < found["bootstrap"].high


@pytest.mark.parametrize("metric", OF_RISK)
def test_wins_count_the_symbols_with_a_lower_loss(metric):
    part = world(60, symbols=12, unknown=0.1)
    outcome, models = read(part)
    (found,) = evidence_of_wins(
        part, outcome, [models], baseline="bad", candidates=("good",), metric=metric, alpha=0.05,
        seed=1,
    )  # fmt: skip
    groups = [np.flatnonzero(part.symbol == k) for k in range(12)]
    figures = score_groups(outcome, models, groups)
    place = columns_of(figures["good"]).index(metric)
    won = figures["good"][:, place] < figures["bad"][:, place]
    assert found.gain == pytest.approx(won.mean())


def test_a_warning_says_how_many_violations_were_expected_and_seen():
    enough = Violations(0.01, 5_000, 0, {"a": 40, "b": 61})
    assert of_the_violations(enough, ("a", "b")) == []
    assert of_the_violations(None, ("a", "b")) == []
    (few,) = of_the_violations(Violations(0.01, 250, 0, {"a": 1, "b": 0}), ("a", "b"))
    assert "VaR at 1 % over 250 forecasts: 2.5 violations are expected" in few
    assert "there are 1 of a, 0 of b." in few
    (none,) = of_the_violations(Violations(0.01, 80, 0, {"a": 0, "b": 0}), ("a", "b"))
    assert "0.8 violations are expected" in none
    assert "the verdict says nothing about risk" in none


def test_only_the_loss_of_var_is_never_negative():
    assert METRICS["quantile_loss"].has_share
    assert not METRICS["joint_loss"].has_share
    assert not METRICS["fz_loss"].has_share
