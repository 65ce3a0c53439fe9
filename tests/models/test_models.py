"""Models against hand computation and NumPy; ways back from logs; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.worlds import LOG_SIGMA, close_to, make_samples, make_task

from harness.models.linear import Linear, linear_forecasts, window_moments
from harness.models.protocol import ModelError, make_model
from harness.models.table import KINDS
from harness.samples.features import evaluate, parse_feature
from harness.samples.target_scale import TargetScale
from harness.types import Rows

TASK = make_task()


def rows_of(x: np.ndarray) -> Rows:
    n, p = x.shape
    names = tuple(f"x{j}_1h" for j in range(p))
    return Rows(np.asfortranarray(x), names, np.zeros(n, np.int32), np.arange(n))


def lstsq(x: np.ndarray, y: np.ndarray, *, intercept: bool = True) -> np.ndarray:
    """Coefficients, intercept first, from centred data."""
    if not intercept:
        return np.concatenate(([0.0], np.linalg.lstsq(x, y)[0]))
    slopes, *_ = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean())
    return np.concatenate(([y.mean() - x.mean(axis=0) @ slopes], slopes))


@pytest.mark.parametrize("intercept", [True, False])
def test_ordinary_least_squares_has_the_coefficients_of_numpy(intercept):
    samples = make_samples(300, seed=1, features=4)
    model = Linear(samples.rows.names, intercept=intercept).fit(samples.rows, samples.y)
    want = lstsq(samples.rows.X, samples.y, intercept=intercept)
    assert close_to(list(model.coefficients.values()), want[not intercept :], 1e-10)
    assert list(model.coefficients) == [*(["intercept"] if intercept else []), *samples.rows.names]
    fitted = want[0] + samples.rows.X @ want[1:]
    assert close_to(model.predict(samples.rows), fitted, 1e-10)


def test_a_model_picks_its_own_features_whatever_their_order_in_the_rows():
    samples = make_samples(200, seed=2, features=4)
    model = Linear(("x2_1h", "x0_1h")).fit(samples.rows, samples.y)
    want = lstsq(samples.rows.X[:, [2, 0]], samples.y)
    assert close_to(list(model.coefficients.values()), want, 1e-10)
    assert close_to(
        model.predict(samples.rows), want[0] + samples.rows.X[:, [2, 0]] @ want[1:], 1e-10
    )


@pytest.mark.parametrize("spread", [1e-1, 1e-3])
def test_features_with_a_large_offset_keep_their_digits(spread):
    rng = np.random.default_rng(3)
    small = spread * rng.gamma(2.0, 1.0, (500, 2))
    y = small @ [3.0, -1.0] / spread + 0.1 * rng.gumbel(size=500)
    # Powers of two keep the sum exact, so that both fits see the same data.
    small = np.round(small * 2**36) / 2**36
    x = small + 1_024.0
    rows = rows_of(x)
    got = Linear(rows.names).fit(rows, y).predict(rows)
    want = lstsq(small, y)
    want = want[0] + small @ want[1:]
    assert np.max(np.abs(got - want)) <= 1e-9 * np.max(np.abs(want))
    if spread == 1e-3:
        gram = np.column_stack((np.ones(500), x))
        normal = np.linalg.solve(gram.T @ gram, gram.T @ y)
        assert np.max(np.abs(gram @ normal - want)) > 1e-8, "raw normal equations would do"


@pytest.mark.parametrize("value", [0.0, 0.1, -13.815510557964274, 1e6])
def test_a_constant_feature_is_named(value):
    samples = make_samples(1_000, seed=4, features=2)
    rows = rows_of(np.column_stack((samples.rows.X, np.full(1_000, value))))
    with pytest.raises(ModelError, match="feature x2_1h is constant or a combination"):
        Linear(rows.names).fit(rows, samples.y)


@pytest.mark.parametrize("combine", [lambda x: 2.0 * x[:, 0] - x[:, 1], lambda x: x[:, 1] + 7.0])
def test_a_collinear_feature_is_named(combine):
    samples = make_samples(100, seed=5, features=2)
    rows = rows_of(np.column_stack((samples.rows.X, combine(samples.rows.X))))
    with pytest.raises(ModelError, match="feature x2_1h is constant or a combination"):
        Linear(rows.names).fit(rows, samples.y)


def test_a_nearly_collinear_feature_is_still_solved():
    samples = make_samples(100, seed=5, features=2)
    near = samples.rows.X[:, 0] + 1e-3 * np.random.default_rng(0).gumbel(size=100)
    rows = rows_of(np.column_stack((samples.rows.X, near)))
    model = Linear(rows.names).fit(rows, samples.y)
    want = lstsq(rows.X, samples.y)
    assert np.allclose(model.predict(rows), want[0] + rows.X @ want[1:], rtol=1e-8)


def test_too_few_training_rows_are_counted_in_the_error():
    samples = make_samples(4, features=3)
    with pytest.raises(ModelError, match="4 training rows for 4 parameters"):
        Linear(samples.rows.names).fit(samples.rows, samples.y)
    assert Linear(samples.rows.names, intercept=False).fit(samples.rows, samples.y).beta


def hand_mean(x: np.ndarray, window: int) -> list[float]:
    return [
        np.mean(x[t - window + 1 : t + 1]) if t >= window - 1 else np.nan for t in range(x.size)
    ]


def hand_ewma(x: np.ndarray, decay: float) -> list[float]:
    out: list[float] = []
    for t in range(x.size):
        terms = x[t::-1]
        weights = [(1.0 - decay) * decay**k for k in range(len(terms) - 1)]
        weights.append(decay ** (len(terms) - 1))
        out.append(float(np.dot(weights, terms)))
    return out


@pytest.mark.parametrize(
    ("kind", "params", "by_hand"),
    [
        ("persistence", {}, lambda own, period: np.log(own)),
        ("moving-average", {"window": 1}, lambda own, v: 0.5 * np.log(v)),
        ("moving-average", {"window": 3}, lambda own, v: 0.5 * np.log(hand_mean(v, 3))),
        ("ewma", {"decay": 0.7}, lambda own, v: 0.5 * np.log(hand_ewma(v, 0.7))),
    ],
)
def test_baselines_forecast_what_one_computes_by_hand(kind, params, by_hand):
    own, period = np.random.default_rng(6).gamma(2.0, 1e-3, (2, 40))
    model = make_model(kind, KINDS[kind].params(**params), TASK)
    (feature,) = model.features
    columns, units = {"rv_4h": own, "rv_1h": period}, {"rv_4h": "sigma", "rv_1h": "sigma"}
    x = evaluate(parse_feature(feature), columns, units, 1e-6)
    kept = np.isfinite(x)
    x, y = x[kept], np.log(own)[kept]
    rows = Rows(x[:, None].copy(), model.features, np.zeros(x.size, np.int32), np.arange(x.size))
    fitted = model.fit(rows, y)
    expected = np.asarray(by_hand(own, np.square(period)))[kept]
    moved = 0.0 if kind == "persistence" else np.mean(y - expected)
    assert close_to(fitted.predict(rows), expected + moved, 1e-12)
    assert list(fitted.coefficients.values()) == pytest.approx([moved] * (kind != "persistence"))


@pytest.mark.parametrize("unit", ["sigma", "variance"])
def test_least_squares_of_logs_forecasts_the_mean_of_the_level(unit):
    samples = make_samples(400, seed=6, features=2)
    rows, log_measure = samples.rows, samples.y
    params = {"features": list(rows.names)}

    def fitted(scale: str, y: np.ndarray, **more: object):
        task = make_task(scale=TargetScale(scale, unit, "none", 1e-9))
        return make_model("log-ols", KINDS["log-ols"].params(**params, **more), task).fit(rows, y)

    plain = Linear(rows.names).fit(rows, log_measure)
    log_forecast, level = plain.predict(rows), np.exp(log_measure)
    smeared, naive = fitted("level", level), fitted("level", level, back="naive")
    residuals = log_measure - log_forecast
    assert close_to(naive.predict(rows), np.exp(log_forecast), 1e-12)
    want = np.exp(log_forecast) * np.mean(np.exp(residuals))
    assert close_to(smeared.predict(rows), want, 1e-12)
    assert smeared.coefficients == pytest.approx(plain.coefficients)
    assert close_to(fitted("log", log_measure).predict(rows), log_forecast, 1e-12)


def test_ols_takes_its_features_at_the_horizon():
    params = KINDS["ols"].params(features=["log(rv_h)", "log1p(j_1h)", "log(rv_4h)"])
    model = make_model("ols", params, TASK)
    assert model.features == ("log(rv_4h)", "log1p(j_1h)")


@pytest.mark.parametrize("fixed", [None, (1.0,)])
@pytest.mark.parametrize("intercept", [True, False])
def test_residual_moments_are_those_of_the_training_residuals(fixed, intercept):
    samples = make_samples(120, seed=7, features=1)
    model = Linear(samples.rows.names, intercept=intercept and fixed is None, fixed=fixed)
    z = np.vstack((samples.rows.X.T, samples.y))
    first, last = np.array([0, 20, 50]), np.array([60, 90, 120])
    beta, mean, variance = window_moments(z, first, last).solve(model, samples.rows.names)
    edges = np.array([0, 60, 130, 200])
    fitted = linear_forecasts(z, samples.rows.names, model, beta, first, edges)
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        e = samples.y[a:b] - fitted[edges[k] : edges[k + 1]]
        assert mean[k] == pytest.approx(e.mean(), rel=1e-9, abs=1e-12)
        assert variance[k] == pytest.approx(e.var(), rel=1e-10)


@pytest.mark.parametrize("unit", ["sigma", "variance"])
def test_ways_back_from_logs_are_their_formulas(unit):
    rng = np.random.default_rng(8)
    e, f = rng.gumbel(size=200) * 0.4, rng.normal(-7.0, 0.5, 9)
    half = 0.5 if unit == "variance" else 1.0
    ln_sigma, residual = half * f, half * e

    def ways(back: str) -> tuple[np.ndarray, np.ndarray]:
        scale = TargetScale("log", unit, back, 1e-9)
        moments = e.mean(), e.var()
        shifts = scale.smearing_shifts(e) if back == "smearing" else scale.shifts(*moments)
        return scale.variance(f, shifts[0]), scale.sigma(f, shifts[1])

    m, v = residual.mean(), residual.var()
    for back, variance, sigma in [
        ("naive", 1.0, 1.0),
        ("lognormal", np.exp(2 * m + 2 * v), np.exp(m + v / 2)),
        ("smearing", np.mean(np.exp(2 * residual)), np.mean(np.exp(residual))),
    ]:
        got_variance, got_sigma = ways(back)
        assert close_to(got_variance, np.exp(2 * ln_sigma) * variance, 1e-12), back
        assert close_to(got_sigma, np.exp(ln_sigma) * sigma, 1e-12), back


def test_the_lognormal_way_back_is_the_mean_of_a_lognormal():
    rng = np.random.default_rng(9)
    x = 0.3 + 0.5 * rng.standard_normal(400_000)
    var_shift, sigma_shift = LOG_SIGMA.shifts(x.mean(), x.var())
    assert np.exp(var_shift) == pytest.approx(np.mean(np.exp(2 * x)), rel=0.01)
    assert np.exp(sigma_shift) == pytest.approx(np.mean(np.exp(x)), rel=0.01)


@pytest.mark.parametrize("unit", ["sigma", "variance"])
def test_forecasts_in_levels_are_floored_and_counted(unit):
    scale = TargetScale("level", unit, "none", 0.1)
    y = np.array([-1.0, 0.0, 0.04, 0.5])
    sigma = np.maximum(y, 0.1) if unit == "sigma" else np.sqrt(np.maximum(y, 0.01))
    assert close_to(scale.sigma(y), sigma, 1e-14)
    assert close_to(scale.variance(y), sigma**2, 1e-14)
    assert close_to(scale.log_sigma(y), np.log(sigma), 1e-14)
    assert scale.floored(y) == (3 if unit == "sigma" else 2)


def test_a_sigma_s_logarithm_goes_back_to_the_root_of_the_mean_square():
    samples = make_samples(400, seed=5)
    sigma = np.exp(0.3 * samples.y)
    task = make_task(scale=TargetScale("level", "sigma", "none", 1e-6))
    params = KINDS["log-ols"].params(features=list(samples.rows.names), back="variance")
    model = make_model("log-ols", params, task).fit(samples.rows, sigma)
    assert np.mean(np.square(sigma / model.predict(samples.rows))) == pytest.approx(1.0)


def test_an_exponential_average_is_riskmetrics_own_without_rescaling():
    moved, plain = (
        make_model("ewma", KINDS["ewma"].params(rescale=rescale), TASK) for rescale in (True, False)
    )
    assert plain.features == moved.features
    assert (plain.intercept, moved.intercept) == (False, True)
