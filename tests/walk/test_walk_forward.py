"""The walk: the sweep is the fold-by-fold fits; later data changes no earlier forecast."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from support.walks import (
    EMBARGO,
    FIRST_TEST,
    HOUR,
    LINEAR,
    SAMPLES,
    SCHEMES,
    TRAIN,
    X0,
    X1,
    X2,
    spans,
    walk,
)
from support.worlds import LOG_SIGMA, Elsewhere, Nearest, close_to, make_samples

from harness.durations import parse_duration
from harness.errors import RunError
from harness.models.linear import term_by_term
from harness.models.naive import Persistence
from harness.samples.splits import Fitting, make_folds, make_windows
from harness.types import Rows, Samples
from harness.walk.executors import HERE
from harness.walk.fold_fit import Settings, fit_fold
from harness.walk.walk_forward import walk_forward


@pytest.mark.parametrize("scheme", ["rolling", "expanding"])
@pytest.mark.parametrize("back", ["naive", "lognormal", "smearing"])
def test_the_sweep_gives_what_each_fold_fitted_alone_gives(scheme, back):
    scale = replace(LOG_SIGMA, back=back)
    swept = walk(LINEAR, scheme=scheme, scale=scale)
    folds = make_folds(SAMPLES, spans(int(SAMPLES.resolved_at[-1]), scheme))
    assert len(folds) == swept.edges.size - 1 == 11
    for name, model in LINEAR.items():
        for fold in folds:
            k = fold.window.position
            alone = fit_fold(name, model, SAMPLES, Settings(EMBARGO, scale), fold)
            yhat, stated, shifts = alone.yhat, alone.stated, alone.shifts
            part = swept.yhat[name][swept.edges[k] : swept.edges[k + 1]]
            fit = swept.fits[name]
            assert close_to(part, yhat, 1e-10), (name, k)
            assert close_to(fit.coefficients[k], list(stated.values()), 1e-10), (name, k)
            assert np.allclose((fit.var_shift[k], fit.sigma_shift[k]), shifts, 1e-9, 1e-12)
        assert fit.names == tuple(stated)


def test_every_forecast_is_that_of_numpy_on_the_rows_that_had_resolved():
    swept = walk({"all": LINEAR["all"]})
    formed, resolved = SAMPLES.rows.formed_at, SAMPLES.resolved_at
    for k, window in enumerate(spans(int(resolved[-1]))):
        train = (formed >= window.train_start) & (resolved <= window.cut - EMBARGO)
        test = (formed >= window.cut) & (formed < window.end)
        ones = np.column_stack((np.ones(formed.size), SAMPLES.rows.X))
        beta, *_ = np.linalg.lstsq(ones[train], SAMPLES.y[train])
        part = slice(swept.edges[k], swept.edges[k + 1])
        assert close_to(swept.yhat["all"][part], ones[test] @ beta, 1e-10)
        assert np.array_equal(swept.formed_at[part], formed[test])
        assert np.array_equal(swept.y[part], SAMPLES.y[test])
        assert np.array_equal(swept.resolved_at[part], resolved[test])
        assert (swept.window[part] == k).all()


def truncated(samples: Samples, end: int) -> Samples:
    """The samples that a panel ending at `end` gives."""
    keep = np.flatnonzero(samples.resolved_at <= end)
    return replace(
        samples,
        rows=samples.rows.take(keep),
        y=samples.y[keep],
        resolved_at=samples.resolved_at[keep],
    )


@pytest.mark.parametrize("scheme", ["rolling", "expanding"])
@pytest.mark.parametrize("symbols", [1, 2])
def test_ending_the_data_after_a_window_changes_no_forecast_of_it_or_before(scheme, symbols):
    samples = make_samples(500, seed=12, overlap=2, symbols=symbols)
    models = {**LINEAR, "nearest": Nearest((X0, X2))}
    whole = walk(models, samples, scheme=scheme)
    for k, window in enumerate(spans(int(samples.resolved_at[-1]), scheme)):
        for late in (0, 5):
            # The last targets of the window resolve after it: the panel must reach so far.
            end = window.end + (3 + late) * HOUR
            part = walk(models, truncated(samples, end), scheme=scheme, end=end)
            n = whole.edges[k + 1]
            assert part.edges.tolist() == whole.edges[: k + 2].tolist()
            for name in models:
                assert part.yhat[name].tobytes() == whole.yhat[name][:n].tobytes(), (name, k)
                mine, all_of = part.fits[name].shifted, whole.fits[name].shifted
                assert mine.tobytes() == all_of[: k + 1].tobytes(), (name, k)


def test_ragged_panels_are_fitted_fold_by_fold_on_the_rows_that_had_resolved():
    samples = make_samples(400, seed=13, overlap=5, symbols=2, ragged=True)
    got = walk({"all": LINEAR["all"]}, samples)
    ones = np.column_stack((np.ones(len(samples.y)), samples.rows.X))
    for k, window in enumerate(spans(int(samples.resolved_at.max()))):
        train = samples.rows.formed_at >= window.train_start
        train &= samples.resolved_at <= window.limit
        inside = samples.rows.formed_at >= window.cut
        inside &= samples.rows.formed_at < window.end
        beta, *_ = np.linalg.lstsq(ones[train], samples.y[train])
        part = got.yhat["all"][got.edges[k] : got.edges[k + 1]]
        assert close_to(part, ones[inside] @ beta, 1e-10)


def test_worker_processes_give_the_bytes_of_one_process():
    models = {"nearest": Nearest((X0, X2)), "all": LINEAR["all"]}
    alone = walk(models, executor=HERE)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        shared = walk(models, executor=Elsewhere(pool, 2))
    for name in models:
        assert shared.yhat[name].tobytes() == alone.yhat[name].tobytes()
        assert shared.fits[name].shifted.tobytes() == alone.fits[name].shifted.tobytes()
    assert alone.fits["nearest"].names == ("rows",)
    assert (alone.fits["nearest"].coefficients[:, 0] == [p.n_train for p in alone.proofs]).all()


def test_a_failed_fit_names_model_horizon_and_window():
    x = SAMPLES.rows.X.copy()
    x[100:340, 1] = 0.1
    samples = replace(SAMPLES, rows=replace(SAMPLES.rows, X=x))
    words = rf"model all, horizon 1h, window 4 \(2021-03-11 .*feature {X1} is constant"
    with pytest.raises(RunError, match=words):
        walk({"persistence": LINEAR["persistence"], "all": LINEAR["all"]}, samples)
    fold = make_folds(samples, spans(int(samples.resolved_at[-1])))[3]
    with pytest.raises(RunError, match=words):
        fit_fold("all", LINEAR["all"], samples, Settings(EMBARGO, LOG_SIGMA), fold)


class Infinite(Nearest):
    def predict(self, rows: Rows) -> np.ndarray:
        return np.full(len(rows.X), np.inf)


def test_a_forecast_that_is_no_number_is_an_error_with_its_window():
    with pytest.raises(RunError, match=r"model odd, .*window 1 .*a forecast is not finite"):
        walk({"odd": Infinite((X0,))})


def test_progress_tells_of_every_model():
    lines: list[str] = []
    walk({**LINEAR, "nearest": Nearest((X0,))}, progress=lines.append)
    assert lines == ["1h: 5 linear models, 11 fits", "1h: nearest, 11 fits"]


PANEL = make_samples(500, seed=14, overlap=2, symbols=3)
NEAREST = Nearest((X0, X2))


def test_effects_are_least_squares_with_a_dummy_for_every_symbol():
    rows, y = PANEL.rows, PANEL.y + 3.0 * PANEL.rows.symbol
    samples = replace(PANEL, y=y)
    got = walk({"all": LINEAR["all"]}, samples, scope="effects")
    dummies = rows.symbol[:, None] == np.arange(3)
    design = np.column_stack((dummies, rows.X))
    for k, window in enumerate(spans(int(samples.resolved_at.max()))):
        train = (rows.formed_at >= window.train_start) & (samples.resolved_at <= window.limit)
        inside = (rows.formed_at >= window.cut) & (rows.formed_at < window.end)
        beta, *_ = np.linalg.lstsq(design[train], y[train])
        part = slice(got.edges[k], got.edges[k + 1])
        assert close_to(got.yhat["all"][part], design[inside] @ beta, 1e-9)
        assert close_to(got.fits["all"].coefficients[k, 1:], beta[3:], 1e-9)
        residuals = (y - design @ beta)[train]
        wanted = LOG_SIGMA.shifts(0.0, residuals.var())
        assert np.allclose((got.fits["all"].var_shift[k], got.fits["all"].sigma_shift[k]), wanted)


@pytest.mark.parametrize("p", range(1, 12))
def test_sums_of_one_window_are_those_it_has_among_many(p):
    rng = np.random.default_rng(p)
    wide = rng.normal(size=(9, 20))
    values = wide[:, rng.permutation(20)[:p]]  # as picked columns are: not contiguous by row
    for weights in (rng.normal(size=p), rng.normal(size=(9, p))):
        many = term_by_term(values, weights)
        assert many == pytest.approx((values * weights).sum(axis=1))
        for k in range(9):
            own = weights if weights.ndim == 1 else weights[k : k + 1]
            assert term_by_term(values[k : k + 1].copy(), own)[0] == many[k]


@pytest.mark.parametrize("back", ["lognormal", "smearing"])
@pytest.mark.parametrize("refit", [None, "20h", "60h", "never"])
def test_by_asset_every_symbol_gets_what_it_gets_alone(refit, back):
    models = {"all": LINEAR["all"], "persistence": LINEAR["persistence"], "nearest": NEAREST}
    scale = replace(LOG_SIGMA, back=back)
    together = walk(models, PANEL, scope="asset", refit=refit, scale=scale)
    for code in range(3):
        alone = walk(
            models, PANEL.of(np.flatnonzero(PANEL.rows.symbol == code)), refit=refit, scale=scale
        )
        mine = together.symbol == code
        for name in models:
            assert close_to(together.yhat[name][mine], alone.yhat[name], 1e-10), name
            both = (
                together.fits[name].shifts(together.symbol),
                alone.fits[name].shifts(alone.symbol),
            )
            for some, all_of in zip(*both, strict=True):
                assert np.allclose(some[mine], all_of, 1e-8, 1e-12), name
    assert {r.fits for r in together.fits["nearest"].reports} == {3}


def test_a_pooled_fit_of_a_ragged_panel_is_that_of_all_rows_together():
    late = PANEL.of(np.flatnonzero((PANEL.rows.symbol < 2) | (PANEL.rows.formed_at > FIRST_TEST)))
    odd = np.where(late.rows.symbol == 1, HOUR, 0)  # no longer in the order of the decisions
    samples = replace(late, resolved_at=late.resolved_at + odd)
    got = walk({"all": LINEAR["all"]}, samples)
    ones = np.column_stack((np.ones(len(samples.y)), samples.rows.X))
    for k, window in enumerate(spans(int(samples.resolved_at.max()))):
        train = samples.rows.formed_at >= window.train_start
        train &= samples.resolved_at <= window.limit
        beta, *_ = np.linalg.lstsq(ones[train], samples.y[train])
        assert close_to(got.fits["all"].coefficients[k], beta, 1e-9)


def test_effects_of_targets_that_resolve_out_of_order_are_refused_not_fitted_apart():
    odd = np.where(PANEL.rows.formed_at // HOUR % 2 == 1, HOUR + HOUR // 2, 0)
    samples = replace(PANEL, resolved_at=PANEL.resolved_at + odd)
    pooled = walk({"all": LINEAR["all"]}, samples)
    assert np.isfinite(pooled.yhat["all"]).all()
    with pytest.raises(RunError, match=r"models all, horizon .*: wanted scope 'pooled' or 'asset'"):
        walk({"all": LINEAR["all"]}, samples, scope="effects")


def test_what_models_fitted_together_took_is_shared_evenly():
    for scope in ("pooled", "effects", "asset"):
        got = walk({name: LINEAR[name] for name in ("all", "reordered")}, PANEL, scope=scope)
        seconds = {r.fit_seconds for fit in got.fits.values() for r in fit.reports}
        assert len(seconds) == 1, scope
        assert seconds.pop() > 0.0


def test_fits_at_their_own_cadence_use_the_rows_known_when_each_was_made():
    got = walk({"all": LINEAR["all"], "nearest": NEAREST}, refit="12h")
    formed, resolved = SAMPLES.rows.formed_at, SAMPLES.resolved_at
    ones = np.column_stack((np.ones(formed.size), SAMPLES.rows.X))
    fit = got.fits["all"]
    assert (np.diff(fit.cuts) == 12 * HOUR).all()
    assert fit.edges[-1] == got.y.size == got.edges[-1]
    for k, cut in enumerate(fit.cuts):
        train = (formed >= cut - TRAIN.ns) & (resolved <= cut - EMBARGO)
        beta, *_ = np.linalg.lstsq(ones[train], SAMPLES.y[train])
        part = slice(fit.edges[k], fit.edges[k + 1])
        inside = np.searchsorted(formed, got.formed_at[part])
        assert close_to(got.yhat["all"][part], ones[inside] @ beta, 1e-10)
        assert (got.formed_at[part] >= cut).all() and (got.formed_at[part] < cut + 12 * HOUR).all()
    assert [p.refit for p in got.proofs] == ["12h"] * fit.cuts.size


def test_fitted_once_the_last_forecast_is_made_with_the_first_fit():
    got = walk({"all": LINEAR["all"], "nearest": NEAREST}, refit="never")
    every = walk({"all": LINEAR["all"], "nearest": NEAREST})
    n = every.edges[1]
    for name in got.yhat:
        assert close_to(got.yhat[name][:n], every.yhat[name][:n], 1e-12)
        assert got.fits[name].cuts.tolist() == [FIRST_TEST]
        assert not np.array_equal(got.yhat[name], every.yhat[name])
    assert got.edges.tolist() == every.edges.tolist()


@pytest.mark.parametrize("scope", ["effects", "asset"])
def test_a_symbol_with_too_few_training_rows_is_left_out_and_counted(scope):
    begin = FIRST_TEST + 20 * HOUR  # the third symbol comes after the first cut
    keep = np.flatnonzero((PANEL.rows.symbol < 2) | (PANEL.rows.formed_at >= begin))
    got = walk({"all": LINEAR["all"], "own": Persistence((X0,), False, (1.0,))}, PANEL.of(keep),
               scope=scope)  # fmt: skip
    assert set(got.unfitted) == {"S2"}
    rows = got.symbol == 2
    first = got.formed_at[rows].min()
    # 20 rows, each resolved three hours on and the embargo before the cut of its window.
    assert first >= begin + 20 * HOUR + 3 * HOUR + EMBARGO
    whole = int(np.sum((PANEL.rows.formed_at[keep] >= FIRST_TEST) & (PANEL.rows.symbol[keep] == 2)
                       & (PANEL.rows.formed_at[keep] < got.windows[-1].end)))  # fmt: skip
    assert got.unfitted["S2"] == whole - rows.sum()
    assert all(np.isfinite(v).all() for v in got.yhat.values())
    counts = [f.fits for f in got.fits["all"].reports]
    assert counts == ([1] * 11 if scope == "effects" else [2, 2, *[3] * 9])


class Stopping(Nearest):
    """Keeps what it was given to train and to stop on."""

    validates = True
    seen: ClassVar[list[tuple[Rows, Rows]]] = []

    def fit(self, rows, y, *, validation=None, seed=0):
        self.seen.append((rows, validation[0]))
        assert validation[0].formed_at.size == validation[1].size
        return super().fit(rows, y)


def test_rows_held_out_are_never_trained_on_and_lie_apart_from_those_that_are():
    scheme = replace(SCHEMES["rolling"], validation=parse_duration("30h"))
    end = int(SAMPLES.resolved_at.max())
    windows = make_windows(scheme, test=TRAIN, step=TRAIN, span_end=end, embargo=EMBARGO)
    fitting = Fitting(windows, windows)
    Stopping.seen.clear()
    walk_forward({"m": Stopping((X0,))}, SAMPLES, windows, {"m": fitting},
                 Settings(EMBARGO, LOG_SIGMA))  # fmt: skip
    assert len(Stopping.seen) == len(windows) > 1
    for window, (train, held_out) in zip(windows, Stopping.seen, strict=True):
        begin = window.cut - 30 * HOUR
        assert held_out.formed_at.min() == begin
        assert held_out.formed_at.max() == window.limit - 3 * HOUR
        assert train.formed_at.max() == begin - EMBARGO - 3 * HOUR
        assert train.formed_at.min() == window.train_start


def test_a_validation_span_without_rows_is_said_with_its_window():
    scheme = replace(SCHEMES["rolling"], validation=parse_duration("3h"))
    end = int(SAMPLES.resolved_at.max())
    windows = make_windows(scheme, test=TRAIN, step=TRAIN, span_end=end, embargo=EMBARGO)
    with pytest.raises(RunError, match=r"window 1 .*no rows held out, from 2021-"):
        walk_forward({"m": Stopping((X0,))}, SAMPLES, windows, {"m": Fitting(windows, windows)},
                     Settings(EMBARGO, LOG_SIGMA))  # fmt: skip
