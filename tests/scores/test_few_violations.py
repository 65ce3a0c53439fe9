"""p-values of VaR backtests with few violations: against enumeration, loops and their own size."""

from __future__ import annotations

import bisect
import itertools

import numpy as np
import pytest
from scipy import stats

from harness.scores.risk import few_violations
from harness.scores.risk.backtests import (
    LAGS,
    conditional_coverage,
    dynamic_quantile,
    independence,
    kupiec,
)
from harness.scores.risk.few_violations import DRAWS, few

N, LEVEL = 10, 0.2


@pytest.fixture(scope="module")
def every_series():
    """All 1,024 series of ten rows, and their probabilities."""
    series = [np.array(bits) for bits in itertools.product((False, True), repeat=N)]
    return series, np.array([LEVEL ** h.sum() * (1 - LEVEL) ** (N - h.sum()) for h in series])


@pytest.mark.parametrize("test", [kupiec, conditional_coverage])
def test_a_p_value_is_the_probability_of_all_series_with_a_statistic_as_large(every_series, test):
    series, weight = every_series
    found = [test(hits, LEVEL) for hits in series]
    statistic = np.array([f.statistic for f in found])
    wanted = [weight[statistic >= s - 1e-9].sum() for s in statistic]
    assert [f.p_value for f in found] == pytest.approx(wanted, abs=1e-12)


def test_independence_is_tested_among_all_orders_of_as_many_violations(every_series):
    series, _ = every_series
    found = [independence(hits, LEVEL) for hits in series]
    statistic, count = np.array(
        [(f.statistic, h.sum()) for f, h in zip(found, series, strict=True)]
    ).T
    wanted = [
        np.mean(statistic[count == x] >= s - 1e-9) for s, x in zip(statistic, count, strict=True)
    ]
    assert [f.p_value for f in found] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("n", "level"), [(250, 0.01), (300, 0.05)])
def test_simulated_quantile_statistics_are_those_of_the_test_on_every_series(n, level):
    var = -0.01 - 0.02 * np.random.default_rng(1).gamma(2.0, 1.0, n)
    draws = few_violations._draws(n, level, LAGS, 3)
    hits = np.zeros((DRAWS, n), bool)
    hits[draws.series, draws.row] = True
    assert hits.mean() == pytest.approx(level, rel=0.05)
    own = few_violations._dynamic_quantiles(var, level, LAGS, 3)
    wanted = [dynamic_quantile(row, level, var, 3).statistic for row in hits[:200]]
    assert own[:200] == pytest.approx(wanted, rel=1e-9)
    for row in range(5):
        p = dynamic_quantile(hits[row], level, var, 3).p_value
        assert p == (1 + np.sum(own >= own[row] - 1e-9)) / (1 + DRAWS)


def test_a_constant_var_is_no_regressor_in_a_simulated_series_either():
    n, level = 1_500, 0.025
    constant, own = np.full(n, -0.0234), few_violations._draws(n, level, LAGS, 1)
    found = few_violations._dynamic_quantiles(constant, level, LAGS, 1)
    assert found == pytest.approx(own.by_lags / (level * (1 - level)), rel=1e-12)


def test_the_same_seed_gives_the_same_p_value_and_another_one_nearly():
    rng = np.random.default_rng(4)
    hits, var = rng.random(400) < 0.03, -0.02 - 0.01 * rng.random(400)
    p = [dynamic_quantile(hits, 0.02, var, seed).p_value for seed in (1, 1, 2)]
    assert p[0] == p[1] != p[2]
    assert p[0] == pytest.approx(p[2], abs=0.08)


SIZES = {
    # n, level: share of samples in which chi-squared p-values of coverage are below 5 %, and the
    # bounds of the exact ones, of coverage and of conditional coverage.
    (250, 0.01): (0.095, (0.01, 0.05), (0.02, 0.05)),
    (500, 0.01): (0.071, (0.01, 0.05), (0.02, 0.05)),
    (500, 0.05): (0.054, (0.03, 0.05), (0.04, 0.05)),
}


@pytest.mark.parametrize(("n", "level"), SIZES)
def test_exact_tests_of_coverage_reject_at_most_as_often_as_they_say(n, level):
    before, alone, joint = SIZES[n, level]
    statistic, weight = few_violations._rates(n, level)
    assert weight.sum() == pytest.approx(1.0)
    assert weight[stats.chi2(1).sf(statistic) < 0.05].sum() == pytest.approx(before, abs=0.001)
    p = np.array([few_violations.coverage_p(n, level, s) for s in statistic])
    assert alone[0] <= weight[p < 0.05].sum() <= alone[1]
    statistic, weight = few_violations._rates_and_orders(n, level)
    assert weight.sum() == pytest.approx(1.0)
    values = np.unique(statistic.round(9))
    # p falls with the statistic: the first value that is rejected, by bisection.
    bound = (
        values[
            bisect.bisect(
                values, -0.05, key=lambda s: -few_violations.conditional_coverage_p(n, level, s)
            )
        ]
        - 1e-8
    )
    assert joint[0] <= weight[statistic >= bound].sum() <= joint[1]


@pytest.mark.parametrize(("n", "level", "before"), [(250, 0.01, 0.07), (500, 0.01, 0.1)])
def test_the_simulated_quantile_test_rejects_as_often_as_it_says(n, level, before):
    """Chi-squared p-values rejected 9 and 17 % of 2,000 such samples at 5 %."""
    rng, p = np.random.default_rng(5), np.empty((400, 2))
    for k, row in enumerate(p):
        var = -0.02 * np.exp(np.cumsum(rng.normal(0.0, 0.1, n)))
        found = dynamic_quantile(rng.random(n) < level, level, var, k // 40)
        row[:] = found.p_value, stats.chi2(LAGS + 2).sf(found.statistic)
    own, chi2 = np.mean(p < 0.05, axis=0)
    assert 0.025 <= own <= 0.075
    assert chi2 > before > 0.05


def test_series_are_simulated_only_where_few_violations_are_expected(monkeypatch):
    monkeypatch.setattr(few_violations, "_draws", None)
    n = round(few_violations.FEW / 0.05)
    assert few(n - 1, 0.05)
    assert not few(n, 0.05)
    var = -0.02 - 0.01 * np.random.default_rng(6).random(n)
    assert dynamic_quantile(np.arange(n) % 20 == 0, 0.05, var, 0).p_value > 0.0


def test_kupiec_without_a_violation_is_not_rejected_where_that_is_likely():
    """250 days at 1 %: no violation in 8 % of such years; chi-squared gave p = 0.025."""
    found = kupiec(np.zeros(250, bool), 0.01)
    assert stats.chi2(1).sf(found.statistic) == pytest.approx(0.025, abs=1e-3)
    assert found.p_value > 0.05
