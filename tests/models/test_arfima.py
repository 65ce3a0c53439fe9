"""Long memory: the estimate of d, the filters, and the forecasts of ARFIMA(1,d,0)."""

from __future__ import annotations

import numpy as np
import pytest
from support.worlds import LEVEL_SIGMA, LOG_SIGMA, make_task

from harness.models.arfima import difference_weights, forecast_weights, local_whittle
from harness.models.protocol import Chained, Forecaster, ModelError, make_model
from harness.models.table import KINDS
from harness.samples.target_scale import TargetScale
from harness.types import F64, History, Rows

FILTER = 40


def simulated(n: int, d: float, phi: float = 0.0, *, seed: int = 1) -> F64:
    """ARFIMA(1,d,0) with unit errors: its MA(infinity) form over n earlier errors as well."""
    e = np.random.default_rng(seed).standard_normal(2 * n)
    response = difference_weights(-d, n)
    for j in range(1, n):
        response[j] += phi * response[j - 1]
    return np.convolve(e, response, "valid")[-n:]


def rows_of(x: F64, feature: str, look_back: int, *, symbols: int = 1) -> Rows:
    """Every place of the series that has its past, for each of so many like symbols."""
    at = np.arange(look_back - 1, x.size)
    history = History(np.tile(x, symbols)[None], (feature,), x.size * np.arange(symbols + 1))
    places = np.concatenate([at + k * x.size for k in range(symbols)])
    symbol = np.repeat(np.arange(symbols, dtype=np.int32), at.size)
    return Rows(history.values[0, places][:, None], (feature,), symbol, places, history, places)


def model_of(scale: TargetScale = LOG_SIGMA, steps: int = 1, **params: object) -> Forecaster:
    task = make_task(f"{steps}d", every="1d", steps=steps, bars=1, scale=scale)
    return make_model("arfima", KINDS["arfima"].params(**{"filter": FILTER, **params}), task)


@pytest.mark.parametrize("d", [-0.2, 0.0, 0.2, 0.4, 0.6])
def test_local_whittle_finds_the_memory_of_a_simulated_series(d):
    # Its standard error is 1 / (2 sqrt(m)), 0.034 here.
    n, m = 4_000, int(4_000**0.65)
    found = [local_whittle(5.0 + 3.0 * simulated(n, d, seed=seed)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(d, abs=0.03)
    assert np.std(found) == pytest.approx(0.5 / np.sqrt(m), rel=0.5)


def test_local_whittle_is_the_least_of_its_criterion():
    x = simulated(700, 0.35)
    m = int(700**0.65)
    frequency = 2.0 * np.pi / 700 * np.arange(1, m + 1)
    t = np.arange(700)
    power = np.array([abs(np.sum(x * np.exp(-1j * f * t))) ** 2 for f in frequency])

    def criterion(d: float) -> float:
        return np.log(np.mean(frequency ** (2 * d) * power)) - 2 * d * np.mean(np.log(frequency))

    grid = np.linspace(-0.49, 0.99, 1_481)
    best = grid[np.argmin([criterion(d) for d in grid])]
    assert local_whittle(x) == pytest.approx(best, abs=6e-4)


def test_a_series_with_more_memory_than_allowed_stays_at_the_bound():
    assert local_whittle(np.cumsum(simulated(2_000, 0.3))) == pytest.approx(0.99)


@pytest.mark.parametrize("d", [-0.3, 0.0, 0.4])
def test_fractional_differences_undo_fractional_sums(d):
    assert difference_weights(0.4, 4) == pytest.approx([1.0, -0.4, -0.12, -0.064])
    undone = np.convolve(difference_weights(d, 60), difference_weights(-d, 60))[:60]
    assert undone == pytest.approx(np.eye(60)[0], abs=1e-13)


@pytest.mark.parametrize(("d", "phi"), [(0.4, 0.0), (0.3, 0.5), (0.0, 0.7), (-0.2, -0.4)])
def test_weights_ahead_are_the_recursion_of_one_step_forecasts(d, phi):
    past = np.random.default_rng(2).standard_normal(30)
    a = -np.convolve([1.0, -phi], difference_weights(d, 36))[1:36]
    known = list(past)  # oldest first; what lies before it counts as the mean
    for k, weights in enumerate(forecast_weights(d, phi, 30, 5)):
        ahead = sum(weight * value for weight, value in zip(a, reversed(known), strict=False))
        assert weights @ past[::-1] == pytest.approx(ahead, rel=1e-11), k
        known.append(ahead)


def test_a_first_order_autoregression_is_forecast_by_powers_of_phi():
    weights = forecast_weights(0.0, 0.6, 20, 4)
    assert weights[:, 0] == pytest.approx([0.6, 0.36, 0.216, 0.1296])
    assert weights[:, 1:] == pytest.approx(np.zeros((4, 19)), abs=1e-15)


@pytest.mark.parametrize(("d", "phi"), [(0.4, 0.0), (0.35, 0.4), (0.2, -0.3)])
def test_a_fit_finds_the_parameters_of_a_simulated_series(d, phi):
    x = -4.0 + 0.4 * simulated(6_000, d, phi)
    model = model_of(filter=200)
    rows = rows_of(x, model.features[0], 200)
    fitted = model.fit(rows, rows.X[:, 0])
    found = fitted.coefficients
    assert found["d"] == pytest.approx(d, abs=0.08)
    assert found["phi"] == pytest.approx(phi, abs=0.1)
    assert found["mu"] == pytest.approx(rows.X.mean())
    assert fitted.training.parameters == 3
    assert model.training is None
    assert not model.coefficients


def test_it_forecasts_long_memory_better_than_an_autoregression_does():
    x = -4.0 + 0.4 * simulated(6_000, 0.4)
    model = model_of(filter=200)
    rows = rows_of(x[:-1], model.features[0], 200)
    y = x[200:]
    fitted = model.fit(rows.take(slice(0, 3_000)), y[:3_000])
    late = slice(3_000, None)
    error = y[late] - fitted.predict(rows.take(late))
    slope, level = np.polyfit(rows.X[:3_000, 0], y[:3_000], 1)
    plain = y[late] - (level + slope * rows.X[late, 0])
    assert np.mean(error**2) < 0.93 * np.mean(plain**2)
    assert np.mean(error**2) == pytest.approx(0.16, rel=0.06)  # that of the errors themselves


@pytest.mark.parametrize(
    "scale", [LOG_SIGMA, LEVEL_SIGMA, TargetScale("log", "variance", "naive", 1e-9)]
)
def test_a_forecast_is_the_mean_variance_of_the_steps_moved_to_the_targets_level(scale):
    x = -4.0 + 0.4 * simulated(600, 0.4)
    model = model_of(scale, steps=3)
    rows = rows_of(x, model.features[0], FILTER)
    y = scale.of_variance(np.exp(2.0 * rows.X[:, 0])) * 1.1
    train = slice(0, 400)
    fitted = model.fit(rows.take(train), y[train])
    named = fitted.coefficients
    mu = named["mu"]
    weights = forecast_weights(named["d"], named["phi"], FILTER, 3)
    past = rows.sequences(FILTER)[:, ::-1, 0] - mu  # newest first
    want = scale.of_variance(np.mean(np.exp(2.0 * (mu + past @ weights.T)), axis=1))
    want = want + named["offset"] if scale.is_log else want * named["offset"]
    assert fitted.predict(rows) == pytest.approx(want, rel=1e-10)
    assert fitted.predict(rows.take(train)).mean() == pytest.approx(y[train].mean(), rel=1e-10)


def test_a_forecast_has_the_same_bits_whatever_rows_are_asked_for_with_it():
    model = model_of(steps=4)
    rows = rows_of(-4.0 + 0.4 * simulated(700, 0.4), model.features[0], FILTER)
    fitted = model.fit(rows.take(slice(0, 400)), rows.X[:400, 0])
    together = fitted.predict(rows)
    one = [fitted.predict(rows.take(np.array([k])))[0] for k in range(380, 420)]
    assert np.array_equal(together[380:420], one)
    assert np.array_equal(together[:400], fitted.predict(rows.take(slice(0, 400))))


def test_rows_that_were_dropped_are_no_neighbours_and_another_symbol_no_past():
    x = -4.0 + 0.4 * simulated(500, 0.4, 0.5)
    model = model_of()
    rows = rows_of(x, model.features[0], FILTER, symbols=2)
    second = rows.take(np.flatnonzero(rows.symbol == 1))
    first = rows.take(np.flatnonzero(rows.symbol == 0))
    fits = [model.fit(r, r.X[:, 0]) for r in (first, second)]
    assert fits[0].coefficients == fits[1].coefficients
    assert np.array_equal(fits[0].predict(second), fits[0].predict(first))
    odd = first.take(np.arange(0, 440, 2))  # no row has its neighbour: phi cannot be told
    assert model.fit(odd, odd.X[:, 0]).coefficients["phi"] == 0.0
    with pytest.raises(ModelError, match="rows of 2 symbols, wanted one"):
        model.fit(rows, rows.X[:, 0])
    assert not isinstance(model, Chained)


def test_what_cannot_be_fitted_is_named():
    model = model_of()
    rows = rows_of(simulated(300, 0.3), model.features[0], FILTER)
    with pytest.raises(ModelError, match="99 training rows, wanted 100 or more"):
        model.fit(rows.take(slice(0, 99)), rows.X[:99, 0])
    flat = rows_of(np.full(300, -4.0), model.features[0], FILTER)
    with pytest.raises(ModelError, match=r"is -4 in all 261 training rows"):
        model.fit(flat, flat.X[:, 0])
    assert model.look_back == FILTER
