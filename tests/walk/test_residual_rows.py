"""Which rows a fit's residuals are of: none trained on, if the model follows these closely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from support.learning_worlds import HAR, SCALE, Learned, learned
from support.walks import EMBARGO, X0, spans
from support.worlds import LEVEL_SIGMA, LOG_SIGMA, Studious, make_samples, make_task

from harness.models.protocol import Forecaster, ModelError, make_model, overfits
from harness.models.table import KINDS
from harness.samples.splits import Fitting, left_out_in_turn, make_folds
from harness.samples.target_scale import TargetScale
from harness.types import F64, Fold, Rows, Samples, Window
from harness.walk.fit_cache import FitCache
from harness.walk.fold_fit import Settings, fit_fold
from harness.walk.residual_rows import HELD_OUT, LEFT_OUT, PARTS, TRAINING
from harness.walk.residuals.kept import ResidualPlan
from harness.walk.residuals.laws import COUNT, Laws
from harness.walk.residuals.tails import SCALE as TAIL_SCALE
from harness.walk.residuals.tails import Tails
from harness.walk.training_time import training_time
from harness.walk.walk_forward import walk_forward

HOUR = 3_600_000_000_000
SAMPLES = make_samples(600, seed=5, overlap=3)


@dataclass(frozen=True)
class Memory:
    """It knows its training rows by heart, with an error, and forecasts their mean for others.

    `rows` are the moments that each fit of it was trained on.
    """

    features: tuple[str, ...] = (X0,)
    validates: bool = False
    fails_under: int = 0
    by_heart: Any = None
    middle: float = 0.0
    look_back: ClassVar[int] = 0
    training: ClassVar[None] = None
    coefficients: ClassVar[dict[str, float]] = {}
    rows: ClassVar[list[list[int]]] = []
    missed: ClassVar[float] = 0.01

    def fit(self, rows: Rows, y: F64, *, validation: Any = None, seed: int = 0) -> Self:
        if y.size < self.fails_under:
            raise ModelError(f"{y.size} rows, wanted at least {self.fails_under}")
        self.rows.append(rows.formed_at.tolist())
        by_heart = dict(zip(zip(rows.formed_at, rows.symbol, strict=True), y, strict=True))
        return replace(self, by_heart=by_heart, middle=float(y.mean()))

    def predict(self, rows: Rows) -> F64:
        keys = zip(rows.formed_at, rows.symbol, strict=True)
        return np.array([self.by_heart.get(key, self.middle) - self.missed for key in keys])

    def made_by(self) -> dict[str, str]:
        return {}

    def weights(self) -> dict[str, np.ndarray]:
        return {}


@dataclass(frozen=True)
class Modest(Memory):
    overfits: ClassVar[bool] = False


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    Memory.rows.clear()
    yield


def fold(samples: Samples = SAMPLES, cut: int = 450, held_out: int = 90) -> Fold:
    start = int(samples.rows.formed_at[0])
    at = start + cut * HOUR
    window = Window(0, start, at - EMBARGO, at, at + 60 * HOUR, at - held_out * HOUR)
    return make_folds(samples, [window])[0]


def fitted(model: Any, samples: Samples = SAMPLES, at: Fold | None = None, **settings: Any) -> Any:
    scale = settings.pop("scale", LOG_SIGMA)
    return fit_fold("m", model, samples, Settings(EMBARGO, scale, **settings), at or fold(samples))


# --- what the way back loses


def kind(name: str, **params: Any) -> Forecaster:
    task = make_task("1d", every="1d", steps=1, bars=1, scale=SCALE)
    return make_model(name, KINDS[name].params(features=list(HAR), **params), task)


def lost(world: Learned, model: Forecaster) -> tuple[float, str]:
    """The share of QLIKE lost to the best shift for these forecasts, and which rows gave it."""
    found = fit_fold("m", model, world.samples, Settings(0, SCALE), world.fold)
    e = 2.0 * (world.truth - found.yhat)

    def qlike(shift: float) -> float:
        return float(np.mean(np.exp(e - shift) - (e - shift) - 1.0))

    best = float(np.log(np.mean(np.exp(e))))
    return qlike(found.shifts[0]) / qlike(best) - 1.0, found.report.residuals


FOREST = {"class": "sklearn.ensemble.RandomForestRegressor", "params": {"n_estimators": 25}}
CLOSE: dict[str, tuple[str, dict[str, Any]]] = {
    "forest": ("sklearn", FOREST),
    "trees": ("lightgbm", {}),
    "neighbours": ("sklearn", {"class": "sklearn.neighbors.KNeighborsRegressor"}),
}


@pytest.mark.parametrize("name", list(CLOSE))
def test_the_way_back_loses_little_for_a_model_that_follows_its_training_rows(name):
    of, params = CLOSE[name]
    losses = [lost(learned("ar1", 1_000, seed), kind(of, **params)) for seed in range(2)]
    assert {rows for _, rows in losses} == {LEFT_OUT}
    assert max(loss for loss, _ in losses) < 0.01


def test_the_way_back_of_trees_that_stop_early_rests_on_the_rows_held_out():
    world = learned("ar1", 2_000, 1)
    loss, rows = lost(world, kind("lightgbm", early_stopping=20))
    assert (rows, loss < 0.01) == (HELD_OUT, True)


@pytest.mark.parametrize(
    ("of", "params"),
    [
        ("ols", {}),
        ("wls", {"weight": "square(log(rv_1d))"}),
        ("log-ols", {}),
        ("sklearn", {"class": "sklearn.linear_model.LinearRegression"}),
        ("sklearn", {"class": "sklearn.linear_model.HuberRegressor"}),
        ("sklearn", {"class": "sklearn.svm.LinearSVR"}),
    ],
)
def test_a_line_keeps_the_residuals_of_its_training_rows(of, params):
    world = learned("ar1", 400, 0)
    if of == "wls":
        columns = np.column_stack((world.samples.rows.X, np.square(world.samples.rows.X[:, 0])))
        names = (*world.samples.rows.names, "square(log(rv_1d))")
        rows = replace(world.samples.rows, X=np.asfortranarray(columns), names=names)
        world = replace(world, samples=replace(world.samples, rows=rows))
    model = kind(of, **params)
    found = fit_fold("m", model, world.samples, Settings(0, SCALE), world.fold)
    rows = world.samples.rows.columns(model.features).take(world.fold.train)
    y = world.samples.y[world.fold.train]
    left = y - model.fit(rows, y).predict(rows)
    assert found.report.residuals == TRAINING
    assert found.shifts == pytest.approx(SCALE.smearing_shifts(left), rel=1e-12)


def test_a_line_with_few_rows_a_slope_is_no_modest_model():
    line = kind("sklearn", **{"class": "sklearn.linear_model.Ridge"})
    world = learned("ar1", 400, 0)
    rows = world.samples.rows.columns(line.features)
    few, many = (line.fit(rows.take(slice(0, n)), world.samples.y[:n]) for n in (59, 60))
    assert (overfits(line), overfits(few), overfits(many)) == (True, True, False)


def test_kinds_say_whether_they_follow_their_training_rows_closely():
    modest = ("persistence", "moving-average", "ewma", "garch", "gjr", "egarch", "arfima")
    task = make_task("1d", every="1d", steps=1, bars=1)
    given = {"moving-average": {"window": 5}}
    for name in modest:
        params = KINDS[name].params(**given.get(name, {}))
        assert not overfits(make_model(name, params, task)), name
    assert overfits(kind("lightgbm"))
    assert overfits(Memory())  # a model that does not say


# --- which rows


@pytest.mark.parametrize(("symbols", "ragged"), [(1, False), (1, True), (3, True)])
def test_rows_left_out_are_apart_from_those_left_by_the_embargo_on_both_sides(symbols, ragged):
    samples = make_samples(300, seed=1, overlap=5, symbols=symbols, ragged=ragged)
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    train = np.arange(samples.y.size)[7:-11]
    spans = left_out_in_turn(samples, train, 3, EMBARGO)
    assert len(spans) == 3
    assert np.concatenate([out for _, out in spans]).tolist() == train.tolist()
    for left, out in spans:
        before = resolved[left] <= formed[out].min() - EMBARGO
        after = formed[left] >= resolved[out].max() + EMBARGO
        assert (before | after).all()
        assert np.isin(left, train).all()
        # No other row is lost.
        near = np.setdiff1d(train, np.concatenate((left, out)))
        assert (resolved[near] > formed[out].min() - EMBARGO).all()
        assert (formed[near] < resolved[out].max() + EMBARGO).all()
    assert left_out_in_turn(samples, train[:0], 3, EMBARGO) == []


def test_residuals_are_of_forecasts_without_the_row_moved_to_the_mean_of_the_training_rows():
    result = fitted(Memory())
    at = fold()
    train = np.arange(SAMPLES.y.size)[at.train]
    assert len(Memory.rows) == 1 + PARTS
    left = np.empty(0)
    for rows, out in left_out_in_turn(SAMPLES, train, PARTS, EMBARGO):
        left = np.concatenate((left, SAMPLES.y[out] - SAMPLES.y[rows].mean() + Memory.missed))
    left = left - left.mean() + Memory.missed
    assert result.shifts == pytest.approx(LOG_SIGMA.shifts(left.mean(), left.var()), rel=1e-12)
    assert result.report.residuals == LEFT_OUT
    # The fit that forecasts has all rows.
    assert Memory.rows[0] == SAMPLES.rows.formed_at[train].tolist()


def test_a_model_that_stops_early_is_fitted_once_and_judged_on_the_rows_held_out():
    result = fitted(Memory(validates=True))
    assert (len(Memory.rows), result.report.residuals) == (1, HELD_OUT)
    middle, held_out = SAMPLES.y[: len(Memory.rows[0])].mean(), SAMPLES.y[450 - 90 : 450 - 6]
    spread = (held_out - middle).var()
    assert result.shifts == pytest.approx(LOG_SIGMA.shifts(Memory.missed, spread), rel=1e-9)


def test_tails_and_quantiles_are_made_of_the_same_rows():
    returns = np.exp(SAMPLES.y) * np.random.default_rng(1).standard_normal(SAMPLES.y.size)
    samples = replace(SAMPLES, returns=returns)
    tails = Tails((0.05,), ("historical",), 1, LOG_SIGMA)
    keep = ResidualPlan(tails, Laws((0.1, 0.9), ("residual",)))
    found = fitted(Memory(), samples, keep=keep)
    spans = left_out_in_turn(samples, fold().train, PARTS, EMBARGO)
    out = np.concatenate([out for _, out in spans])
    forecasts = np.concatenate(
        [np.full(out.size, SAMPLES.y[left].mean() - Memory.missed) for left, out in spans]
    )
    z = returns[out] / np.exp(forecasts + 0.5 * found.shifts[0])
    wanted = np.sqrt(np.mean(np.square(z)))
    assert found.summary.tails[0, 0, TAIL_SCALE] == pytest.approx(wanted, rel=1e-12)
    residuals = SAMPLES.y[out] - forecasts
    residuals += Memory.missed - residuals.mean()
    assert found.summary.laws[0, COUNT] == out.size
    wanted = np.quantile(residuals, (0.1, 0.9), method="inverted_cdf")
    assert found.summary.laws[0, 1:3] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    "scale", [replace(LOG_SIGMA, back="naive"), LEVEL_SIGMA], ids=["naive", "level"]
)
def test_where_nothing_is_made_of_residuals_there_is_no_further_fit(scale: TargetScale):
    keep = ResidualPlan(laws=Laws((0.1, 0.9), ("conformal",)))
    for settings in ({}, {"keep": keep}):
        Memory.rows.clear()
        result = fitted(Memory(), scale=scale, **settings)
        assert len(Memory.rows) == 1
        assert result.shifts == (0.0, 0.0)


def test_refits_for_conformal_quantiles_have_no_further_fits():
    end = int(SAMPLES.resolved_at.max())
    windows = [
        tuple(w._replace(validation=w.cut - 40 * HOUR) for w in spans(end, beyond=b))
        for b in (False, True)
    ]
    keep = ResidualPlan(laws=Laws((0.1, 0.9), ("conformal",)))
    settings = Settings(EMBARGO, LOG_SIGMA, keep=keep)
    made = walk_forward({"m": Memory()}, SAMPLES, windows[0], {"m": Fitting(*windows)}, settings)
    assert len(Memory.rows) == len(made.windows) * (1 + PARTS + 1)


# --- too few rows


@pytest.mark.parametrize(
    ("model", "at", "why"),
    [
        (Memory(validates=True), fold(held_out=30), "24 held-out rows, wanted at least 30"),
        (Memory(fails_under=400), fold(), "a fit without a third of them: 2"),
        (Memory(), fold(cut=30), "are left without a third of them"),
    ],
)
def test_too_few_rows_are_told_and_the_training_rows_stand_in(model, at, why):
    found = fitted(model, at=at)
    assert found.report.residuals == TRAINING
    assert why in found.report.unseen
    assert found.shifts == pytest.approx(LOG_SIGMA.shifts(Memory.missed, 0.0), abs=1e-9)


def test_a_tail_wants_a_residual_beyond_its_outermost_level():
    samples = replace(SAMPLES, returns=SAMPLES.y)
    for level, which in ((0.02, HELD_OUT), (0.01, TRAINING)):
        keep = ResidualPlan(Tails((level,), ("normal",), 1, LOG_SIGMA))
        found = fitted(Memory(validates=True), samples, keep=keep)
        assert found.report.residuals == which
    assert found.report.unseen == "84 held-out rows, wanted at least 99"


# --- kept, and foreseen


def test_a_kept_fit_knows_the_rows_left_out(tmp_path):
    store = FitCache(tmp_path / "fits", {"m": "by heart"})
    first, again = (fitted(Memory(), store=store) for _ in range(2))
    assert len(Memory.rows) == 1 + PARTS
    assert (first.shifts, first.report.residuals) == (again.shifts, again.report.residuals)
    # A target that resolves later moves a row out of a further fit, and into no other.
    resolved = SAMPLES.resolved_at.copy()
    resolved[fold().train.stop // PARTS - 8] += 2 * HOUR
    other = fitted(Memory(), replace(SAMPLES, resolved_at=resolved), store=store)
    assert other.report.kept == 0


def test_the_estimate_counts_the_fits_without_a_third_of_the_rows():
    settings = Settings(EMBARGO, LOG_SIGMA)
    close = replace(Close((X0,)))
    n = SAMPLES.y[fold().train].size
    rows = [left.size for left, _ in left_out_in_turn(SAMPLES, fold().train, PARTS, EMBARGO)]
    found = training_time("m", close, [(SAMPLES, fold())], "1h", settings)
    mean = round((n + sum(rows)) / (1 + PARTS))
    assert found.typical == pytest.approx((1 + PARTS) * 0.1 * mean)
    alone = training_time("m", Studious((X0,)), [(SAMPLES, fold())], "1h", settings)
    assert alone.typical == pytest.approx(0.1 * n)


@dataclass(frozen=True)
class Close(Studious):
    overfits: ClassVar[bool] = True
