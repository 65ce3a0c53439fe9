"""The walk: the sweep is the fold-by-fold fits; later data changes no earlier forecast."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from worlds import LOG_SIGMA, Nearest, close_to, make_samples

from harness.durations import NS_PER_MINUTE, parse_duration
from harness.errors import RunError
from harness.models.linear import Linear
from harness.models.naive import Persistence
from harness.models.protocol import Forecaster
from harness.scale import TargetScale
from harness.splits import make_folds, make_windows
from harness.types import Forecasts, Rows, Samples, Window
from harness.walk import fit_fold, walk_forward

HOUR = 60 * NS_PER_MINUTE
SAMPLES = make_samples(500, seed=11, features=3, overlap=2)
FIRST_TEST = int(SAMPLES.rows.formed_at[0]) + 150 * HOUR
EMBARGO = 3 * HOUR
X0, X1, X2 = SAMPLES.rows.names
LINEAR: dict[str, Forecaster] = {
    "persistence": Persistence((X0,), intercept=False, fixed=(1.0,)),
    "one": Linear((X1,)),
    "all": Linear((X0, X1, X2)),
    "reordered": Linear((X2, X0)),
    "through-zero": Linear((X0, X2), intercept=False),
}


def spans(end: int, scheme: str = "rolling", *, beyond: bool = False) -> tuple[Window, ...]:
    return make_windows(
        scheme=scheme,
        train=parse_duration("5d"),
        test=parse_duration("30h"),
        step=parse_duration("30h"),
        first_test=FIRST_TEST,
        span_end=end,
        embargo=EMBARGO,
        beyond=beyond,
    )


def walk(
    models: dict[str, Forecaster],
    samples: Samples = SAMPLES,
    *,
    scheme: str = "rolling",
    scale: TargetScale = LOG_SIGMA,
    end: int | None = None,
    **settings: object,
) -> Forecasts:
    end = end or int(samples.resolved_at.max())
    return walk_forward(
        models,
        samples,
        spans(end, scheme),
        beyond=spans(end, scheme, beyond=True),
        embargo=EMBARGO,
        scale=scale,
        **settings,
    )


@pytest.mark.parametrize("scheme", ["rolling", "expanding"])
@pytest.mark.parametrize("back", ["naive", "lognormal", "smearing"])
def test_the_sweep_gives_what_each_fold_fitted_alone_gives(scheme, back):
    scale = replace(LOG_SIGMA, back=back)
    swept = walk(LINEAR, scheme=scheme, scale=scale)
    folds = make_folds(SAMPLES, spans(int(SAMPLES.resolved_at[-1]), scheme))
    assert len(folds) == swept.edges.size - 1 == 11
    for name, model in LINEAR.items():
        for fold in folds:
            k = fold.window.index
            yhat, stated, shifts = fit_fold(name, model, SAMPLES, scale, 0, fold)
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
    alone = walk(models, mapper=map)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        shared = walk(models, mapper=pool.map)
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
        fit_fold("all", LINEAR["all"], samples, LOG_SIGMA, 0, fold)


class Infinite(Nearest):
    def predict(self, rows: Rows) -> np.ndarray:
        return np.full(len(rows.X), np.inf)


def test_a_forecast_that_is_no_number_is_an_error_with_its_window():
    with pytest.raises(RunError, match=r"model odd, .*window 1 .*a forecast is not finite"):
        walk({"odd": Infinite((X0,))})


def test_progress_tells_of_every_model():
    lines: list[str] = []
    walk({**LINEAR, "nearest": Nearest((X0,))}, progress=lines.append)
    assert lines == ["1h: 5 linear models, 11 windows", "1h: nearest, 11 windows"]
