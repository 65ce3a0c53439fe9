"""White's reality check and Hansen's SPA against the arch package, and the bootstrap beneath."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import SPA

from harness.inference.blocks import bootstrap_sums
from harness.inference.reality_check import reality_check


def correlated(n: int, k: int, seed: int) -> np.ndarray:
    """Skewed gains with a common shock and memory, of different sizes."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (n, k)) - 2.0 + rng.standard_t(5, (n, 1))
    for t in range(1, n):
        x[t] += 0.5 * x[t - 1]
    return x * np.linspace(0.5, 3.0, k)


def resampled_means(x: np.ndarray, block: float, seed: int, draws: int) -> np.ndarray:
    return bootstrap_sums(x, block, draws, seed) / x.shape[0]


def of_arch(gains: np.ndarray, name: str) -> float:
    spa = SPA(np.zeros(gains.shape[0]), -gains, block_size=12, reps=800, seed=6)
    spa.compute()
    return float(spa.pvalues[name])


@pytest.mark.parametrize(("shift", "seed"), [(0.0, 1), (0.12, 2), (0.4, 3), (-1.0, 4)])
def test_both_p_values_are_those_of_arch(shift, seed):
    gains = correlated(3_000, 5, seed) + shift * np.array([1.0, -4.0, 0.5, -20.0, 0.2])
    found = reality_check(gains, 0, 12.0, 5, draws=4_000)
    assert found.white == pytest.approx(of_arch(gains, "upper"), abs=0.05)
    # arch 8 takes means as they are, whatever its studentize says: they are studentized for it.
    means = resampled_means(gains - gains.mean(axis=0), 12.0, 7, 4_000)
    wanted = of_arch(gains / means.std(axis=0), "consistent")
    if gains.mean(axis=0).max() <= 0.0:
        wanted = 1.0  # the statistic is at least 0, and so is every draw, but not in arch
    assert found.spa == pytest.approx(wanted, abs=0.05)


def test_resampled_means_scatter_as_the_series_does():
    x = np.random.default_rng(7).gamma(1.0, 2.0, (500, 2))
    means = resampled_means(x, 1.0, 8, 4_000)
    assert means.mean(axis=0) == pytest.approx(x.mean(axis=0), abs=5 * 2.0 / np.sqrt(500 * 4_000))
    assert means.std(axis=0) == pytest.approx(x.std(axis=0) / np.sqrt(500), rel=0.05)


def test_blocks_keep_the_memory_of_a_series():
    n, phi = 1_500, 0.8
    rng = np.random.default_rng(9)
    x = rng.standard_normal((n, 1))
    for t in range(1, n):
        x[t] += phi * x[t - 1]
    x -= x.mean()
    for block in (60.0, 5.0, 1.0):
        found = resampled_means(x, block, 10, 4_000).std() * n**0.5
        assert found == pytest.approx(long_run_of_draws(x[:, 0], block) ** 0.5, rel=0.05)


def long_run_of_draws(x, block):
    """n times the variance of a stationary bootstrap's mean: Politis & Romano (1994), lemma 1."""
    n, lags, stay = x.size, np.arange(1, x.size), 1.0 - 1.0 / block
    weights = (1.0 - lags / n) * stay**lags + lags / n * stay ** (n - lags)
    covariances = np.array([x[: n - lag] @ x[lag:] / n for lag in lags])
    return x @ x / n + 2.0 * weights @ covariances


def test_every_sample_has_as_many_rows_as_the_series():
    ones = resampled_means(np.ones((37, 1)), 5.0, 11, 3_000)
    assert np.allclose(ones, 1.0, rtol=1e-12)


def test_a_candidate_that_is_the_benchmark_gains_nothing():
    found = reality_check(np.zeros((100, 2)), 0, 5.0, 12)
    assert (found.white, found.spa) == (1.0, 1.0)


def test_noise_is_rejected_about_as_often_as_it_should_be():
    rng = np.random.default_rng(13)
    p = []
    for k in range(300):
        found = reality_check(rng.standard_normal((200, 4)), 0, 5.9, k, draws=200)
        p.append((found.white, found.spa))
    assert np.mean(np.array(p) < 0.1, axis=0) == pytest.approx([0.1, 0.1], abs=0.06)
