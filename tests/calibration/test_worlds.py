"""Worlds whose truth is known: those that are walked, and those that simulate forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from harness.calibration.settings import GROUPS, SETTINGS
from harness.calibration.simulated_forecasts import SHOCKS, SlowSpan, Span
from harness.calibration.walked_forecasts import DRAWN, SCALE, Walked
from harness.calibration.worlds import DAILY, HOURLY, SAMPLINGS, TOGETHER, make_world
from harness.scores.metrics import METRICS
from harness.scores.scoring import series


def world(sampling, seed=3, loading=0.2):
    return make_world(sampling, loading, np.random.default_rng(seed))


def column(samples, name):
    return samples.rows.X[:, samples.rows.names.index(name)].reshape(-1, len(samples.symbols))


def drawn(source, seed=3):
    return source.forecasts(np.random.default_rng(seed))


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_a_target_is_what_the_har_feature_of_its_span_will_be(sampling):
    samples = world(sampling)
    y = samples.y.reshape(-1, sampling.assets)
    later = column(samples, f"har_{sampling.span}")
    assert np.array_equal(y[: -sampling.span], later[sampling.span :])
    assert np.array_equal(samples.last.reshape(y.shape), later)
    length = samples.resolved_at - samples.rows.formed_at
    assert set(length.tolist()) == {sampling.every * sampling.span}
    assert samples.overlap == sampling.span - 1
    assert np.isfinite(samples.rows.X).all() and np.isfinite(samples.y).all()


@pytest.mark.parametrize(("sampling", "common"), [(DAILY, 0.5), (TOGETHER, 0.9)])
def test_a_part_is_stationary_of_unit_variance_with_its_half_life(sampling, common):
    paths = [column(world(sampling, seed), "noise") for seed in range(5)]
    values = np.concatenate([p.ravel() for p in paths])
    assert values.var() == pytest.approx(1.0, abs=0.15)
    lagged = np.mean([np.mean(p[5:] * p[:-5]) for p in paths]) / values.var()
    assert lagged == pytest.approx(0.5, abs=0.07)  # the half-life of the part
    between = np.mean([np.corrcoef(p[:, 0], p[:, 1])[0, 1] for p in paths])
    assert between == pytest.approx(common, abs=0.12)


def test_what_a_and_b_do_comes_a_target_later_and_noise_does_nothing():
    samples = world(HOURLY, loading=0.3)
    y = samples.y
    found = {n: np.corrcoef(column(samples, n)[:, 0], y)[0, 1] for n in ("a", "b", "noise")}
    assert min(found["a"], found["b"]) > 0.2
    assert abs(found["noise"]) < 0.15


def test_only_models_that_draw_are_fitted_with_further_seeds():
    both = drawn(Walked("daily", (DRAWN,), (DRAWN,), 0.15, 3))
    assert [r.seed for r in both.repeats] == [1, 2]
    series = [both.yhat, *(r.yhat for r in both.repeats)]
    assert all(set(one) == {"baseline", "candidate"} for one in series)
    every = [tuple(yhat[:3]) for one in series for yhat in one.values()]
    assert len(set(every)) == 6
    one = drawn(Walked("daily", (), (DRAWN,), 0.15, 3))
    assert [set(r.yhat) for r in one.repeats] == [{"candidate"}] * 2
    assert one.fits["baseline"].names == ("intercept", "har_1", "har_5", "har_22")
    assert one.repeats[1].fits["candidate"].names[-1].startswith(DRAWN)
    two = drawn(Walked("daily", (), (DRAWN,), 0.15, 2, units=2))
    of = [fits["candidate"].names[4:] for fits in (two.fits, two.repeats[0].fits)]
    assert len({*of[0], *of[1]}) == 4


@pytest.mark.parametrize("name", SHOCKS)
def test_shocks_have_unit_variance_and_their_tails(name):
    shocks = SHOCKS[name](np.random.default_rng(1), (400_000, 1))
    assert shocks.mean() == pytest.approx(0.0, abs=0.01)
    assert shocks.var() == pytest.approx(1.0, abs=0.1 if name == "t3" else 0.02)
    far = np.mean(np.abs(shocks) > 4.0)
    # P(|t3| > 4 sqrt 3) = 0.0062; a day with a jump has a standard deviation of 2.95.
    expected = {
        "normal": 6.3e-5,
        "laplace": np.exp(-4.0 * np.sqrt(2.0)),
        "jumps": 0.0035,
        "t3": 0.0062,
    }
    assert far == pytest.approx(expected[name], rel=0.3)


@pytest.mark.parametrize("shocks", ["normal", "laplace"])
def test_errors_of_forecasts_have_their_sizes_and_a_mean_qlike_that_theory_knows(shocks):
    forecasts = drawn(Span(400_000, (0.15, 0.05), shocks))
    outcome, models = series(forecasts, SCALE, ranked=False)
    moment = {"normal": np.exp(2.0 * 0.25**2), "laplace": 1.0 / (1.0 - 2.0 * 0.25**2)}[shocks]
    for name, size in (("baseline", 0.15), ("candidate", 0.05)):
        spread = (outcome.log_sigma - models[name].log_sigma).std()
        assert spread == pytest.approx(np.hypot(0.25, size), rel=0.01)
        shift = 2.0 * (0.25**2 + size**2)
        theory = moment * np.exp(2.0 * size**2 - shift) - 1.0 + shift
        assert METRICS["qlike"].figure(outcome, models[name]) == pytest.approx(theory, rel=0.03)


def test_symbols_share_shocks_and_errors_and_some_change_places():
    forecasts = drawn(Span(20_000, (0.2, 0.1), symbols=10, common=0.5, swapped=0.3))
    y = forecasts.y.reshape(-1, 10)
    off = {name: yhat.reshape(-1, 10) - y for name, yhat in forecasts.yhat.items()}
    sizes = {name: np.hypot(0.25, [0.2] * 7 + [0.1] * 3) for name in ("baseline",)}
    sizes["candidate"] = np.hypot(0.25, [0.1] * 7 + [0.2] * 3)
    for name, size in sizes.items():
        np.testing.assert_allclose(off[name].std(axis=0), size, rtol=0.03)
        assert np.corrcoef(off[name][:, 0], off[name][:, 1])[0, 1] == pytest.approx(0.5, abs=0.03)
    apart = off["baseline"] - off["candidate"]
    assert abs(np.corrcoef(apart[:-1, 0], apart[1:, 0])[0, 1]) < 0.03
    shift = forecasts.fits["candidate"].shifts(forecasts.symbol)[0].reshape(-1, 10)
    np.testing.assert_allclose(shift[5], 2.0 * sizes["candidate"] ** 2)


@pytest.mark.parametrize("phi", [0.9, 0.98])
def test_a_slow_loss_difference_is_an_ar1_of_mean_zero(phi):
    outcome, models = series(drawn(SlowSpan(400_000, phi)), SCALE, ranked=False)
    losses = METRICS["r2_log"].losses
    d = losses(outcome, models["baseline"]) - losses(outcome, models["candidate"])
    error = d.std() * np.sqrt((1.0 + phi) / (1.0 - phi) / d.size)
    assert abs(d.mean()) < 4.0 * error
    for lag in (1, 10):
        assert np.corrcoef(d[lag:], d[:-lag])[0, 1] == pytest.approx(phi**lag, abs=0.03)


def test_settings_have_groups_and_the_truth_of_equal_models_is_known():
    assert [s.group for s in SETTINGS.values()] == sorted(
        (s.group for s in SETTINGS.values()), key=list(GROUPS).index
    )
    assert {s.group for s in SETTINGS.values()} == set(GROUPS)
    for s in SETTINGS.values():
        assert (s.cell is not None) == bool(GROUPS[s.group].by)
        if s.cell is not None:
            assert len(s.cell[0]) == len(GROUPS[s.group].by)
        if "equal" in s.name or s.group == "slow":
            assert s.truth == (0.5 if s.gain_as == "wins" else 0.0)
            assert s.null
        else:
            assert s.truth is None
    cells = [(s.group, s.cell) for s in SETTINGS.values() if s.cell is not None]
    assert len(set(cells)) == len(cells)
