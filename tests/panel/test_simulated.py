"""The simulator: what it says it makes is what its bars show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from harness.durations import NS_PER_MINUTE, parse_moment
from harness.panel.sources import simulated
from harness.panel.sources.simulated import _covariance, _stationary_gaussian, simulate
from harness.panel.sources.table import SimulatedParams

FACTORS = [{"half_life_days": 0.2, "sd": 0.3}, {"half_life_days": 20.0, "sd": 0.4}]
FINE = {"tick": 1e-6, "start_price": 1_000.0}


def parameters(**changes) -> SimulatedParams:
    base = {
        "seed": 7,
        "start": "2021-01-01",
        "days": 20,
        "annual_vol": 0.6,
        "log_vol": "components",
        "components": FACTORS,
    }
    return SimulatedParams.model_validate({**base, **changes})


ROUGH = {"log_vol": "rough", "components": None, "log_vol_sd": 0.5, "memory_days": 10.0}


def days_of(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1_440)


def daily(frame) -> np.ndarray:
    """Log returns (days, 1440) of one-minute bars."""
    close = np.concatenate((frame["open"].to_numpy()[:1], frame["close"].to_numpy()))
    return days_of(np.diff(np.log(close)))


def test_bars_are_consistent_and_stand_on_the_asked_grid():
    frame, truth = simulate(parameters(jumps_per_day=20.0, jump_scale=10.0, tick=0.01))
    low, high = frame["low"].to_numpy(), frame["high"].to_numpy()
    for name in ("open", "close"):
        assert (low <= frame[name].to_numpy()).all()
        assert (frame[name].to_numpy() <= high).all()
    assert low.min() > 0
    assert (frame["open"][1:].to_numpy() == frame["close"][:-1].to_numpy()).all()
    ticks = frame["close"].to_numpy() * 100
    assert np.abs(ticks - np.rint(ticks)).max() < 1e-6
    ts = frame["ts"].to_physical().to_numpy()
    assert ts[0] == parse_moment("2021-01-01")
    assert (np.diff(ts) == NS_PER_MINUTE).all()
    assert len(frame) == len(truth.sigma) == len(truth.jumps) == 20 * 1_440


def test_the_same_seed_gives_the_same_bytes_and_another_seed_or_symbol_does_not():
    def closes(seed: int, symbol: int) -> bytes:
        frame, _ = simulate(parameters(seed=seed, days=2), symbol=symbol)
        return frame["close"].to_numpy().tobytes()

    assert closes(7, 0) == closes(7, 0)
    assert len({closes(7, 0), closes(8, 0), closes(7, 1)}) == 3


def test_realised_variance_of_a_day_estimates_the_true_one():
    frame, truth = simulate(parameters(days=60, **FINE))
    ratio = (daily(frame) ** 2).sum(1) / (days_of(truth.sigma) ** 2).sum(1)
    # The ratio's sd is at least sqrt(2/1440) = 3.7 % a day; the mean over 60 days is within 2 %.
    assert abs(ratio.mean() - 1) < 0.02
    assert np.abs(ratio - 1).max() < 0.25


def test_bipower_variation_is_robust_to_jumps_where_realised_variance_is_not():
    frame, truth = simulate(parameters(days=60, jumps_per_day=3.0, jump_scale=20.0, **FINE))
    returns, sigma2 = daily(frame), (days_of(truth.sigma) ** 2).sum(1)
    bipower = np.pi / 2 * (np.abs(returns[:, 1:]) * np.abs(returns[:, :-1])).sum(1)
    jump2 = (days_of(truth.jumps) ** 2).sum(1)
    assert jump2.sum() > 0.5 * sigma2.sum()
    assert abs((returns**2).sum() / (sigma2.sum() + jump2.sum()) - 1) < 0.03
    assert abs(bipower.sum() / sigma2.sum() - 1) < 0.12
    assert (truth.jumps != 0).sum() == pytest.approx(180, abs=4 * np.sqrt(180))


@pytest.mark.parametrize("hurst", [0.1, 0.3, 0.5])
def test_the_hurst_exponent_estimated_from_the_true_volatility_is_the_one_asked_for(hurst):
    _, truth = simulate(parameters(days=100, hurst=hurst, **ROUGH))
    x, lags = np.log(truth.sigma), np.array([1, 2, 4, 8, 16])
    spread = [np.mean((x[lag:] - x[:-lag]) ** 2) for lag in lags]
    slope = np.polyfit(np.log(lags), np.log(spread), 1)[0]
    assert slope / 2 == pytest.approx(hurst, abs=0.03)


@pytest.mark.parametrize("kind", [{"hurst": 0.2, **ROUGH}, {}])
def test_the_log_volatility_has_the_stated_covariance(kind):
    covariance = _covariance(parameters(**kind), np.arange(65) / 16)
    rng = np.random.default_rng(3)
    paths = np.array([_stationary_gaussian(covariance, rng)[:65] for _ in range(4_000)])
    found = (paths[:, :1] * paths).mean(0)
    # Each is a mean of 4,000 products whose sd is at most sqrt(2) times the variance.
    assert np.abs(found - covariance).max() < 4 * np.sqrt(2 / 4_000) * covariance[0]


def test_the_mean_variance_is_the_annual_one_and_the_daily_cycle_leaves_it():
    quick = [{"half_life_days": 0.05, "sd": 0.3}]
    flat = simulate(parameters(days=200, components=quick))[1].sigma
    cycle = simulate(parameters(days=200, components=quick, diurnal=0.6))[1].sigma
    assert (flat**2).mean() * 365 * 1_440 == pytest.approx(0.36, rel=0.05)
    assert (cycle**2).mean() == pytest.approx((flat**2).mean(), rel=0.05)
    by_minute = (days_of(cycle) ** 2 / days_of(flat) ** 2)[0]
    assert by_minute.argmax() == 16 * 60
    assert by_minute.max() == pytest.approx(1.6)
    assert by_minute.min() == pytest.approx(0.4)


def test_student_shocks_have_unit_variance_and_heavier_tails_than_normal_ones():
    frame, truth = simulate(parameters(days=100, student_df=5.0, **FINE))
    shocks = daily(frame).ravel() / truth.sigma
    assert shocks.std() == pytest.approx(1, abs=0.03)
    assert (np.abs(shocks) > 4).mean() > 20 * 6.3e-5


def test_high_and_low_reach_as_far_as_a_brownian_path_does():
    frame, truth = simulate(parameters(days=30, **FINE))
    reach = np.log(frame["high"].to_numpy() / frame["open"].to_numpy()) / truth.sigma
    drop = np.log(frame["open"].to_numpy() / frame["low"].to_numpy()) / truth.sigma
    # The maximum of a Brownian path is |N(0, 1)| in law: mean sqrt(2 / pi), mean square 1.
    for extreme in (reach, drop):
        assert extreme.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
        assert (extreme**2).mean() == pytest.approx(1, abs=0.04)


def test_bars_read_again_are_not_made_again_and_those_of_another_source_are(monkeypatch):
    made, true = [], simulated._bars
    monkeypatch.setattr(simulated, "_bars", lambda *a: made.append(a[2]) or true(*a))
    request = SimpleNamespace(bar=NS_PER_MINUTE, start=None, end=None, columns={"close": "close"})
    simulated._kept.cache_clear()
    (first,) = simulated.Simulated(parameters(), request).bars()
    request.end = parse_moment("2021-01-03")
    (part,) = simulated.Simulated(parameters(), request).bars()
    assert made == [0]
    assert (part.columns["close"] == first.columns["close"][: 2 * 1_440]).all()
    (other,) = simulated.Simulated(parameters(seed=8), request).bars()
    assert made == [0, 0]
    assert (part.columns["close"] != other.columns["close"]).any()
