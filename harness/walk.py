"""The walk forward: fold by fold, prove no leak, fit on the training rows, forecast the test rows.

Linear models are fitted together in one sweep over shared sums; any other model is fitted fold
by fold through `mapper`, the one seam for running folds in worker processes. Both give the same
bytes whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.models.linear import Linear, WindowError, WindowMoments, linear_forecasts
from harness.models.protocol import Forecaster, ModelError
from harness.scale import TargetScale
from harness.splits import make_folds, prove_no_leak
from harness.types import F64, I64, Fold, Forecasts, ModelFit, Samples, Window

Mapper = Callable[[Callable[..., object], Iterable[object]], Iterable[object]]
Fitted = tuple[F64, ModelFit]


def walk_forward(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    *,
    beyond: Sequence[Window],
    embargo: int,
    scale: TargetScale,
    seed: int = 0,
    mapper: Mapper = map,
    progress: Callable[[str], None] = lambda _: None,
) -> Forecasts:
    """Forecasts of every model on every test row of one horizon, with the leak proof per window.

    `beyond` are the windows that more data would add (splits.make_windows). RunError names the
    window and the model of a fit that failed, and the window of a leak.
    """
    folds = make_folds(samples, windows)
    proofs = prove_no_leak(samples, folds, embargo)
    edges = np.cumsum([0, *(p.n_test for p in proofs)], dtype=np.int64)
    test = _test_rows(folds)
    linear = {name: m for name, m in models.items() if isinstance(m, Linear)}
    done: dict[str, Fitted] = {}
    if linear and all(isinstance(f.train, slice) for f in folds):
        done |= _sweep(linear, samples, folds, beyond, edges, scale)
        progress(f"{samples.horizon}: {len(linear)} linear models, {len(folds)} windows")
    for name, model in models.items():
        if name not in done:
            done[name] = _fold_by_fold(name, model, samples, folds, scale, seed, mapper)
            progress(f"{samples.horizon}: {name}, {len(folds)} windows")
    rows = samples.rows
    return Forecasts(
        horizon=samples.horizon,
        symbols=samples.symbols,
        symbol=rows.symbol[test],
        formed_at=rows.formed_at[test],
        resolved_at=samples.resolved_at[test],
        window=np.repeat(np.arange(len(folds), dtype=np.int32), np.diff(edges)),
        edges=edges,
        y=samples.y[test],
        yhat={name: done[name][0] for name in models},
        fits={name: done[name][1] for name in models},
        proofs=proofs,
        overlap=samples.overlap,
    )


def _test_rows(folds: Sequence[Fold]) -> slice | I64:
    """All test rows: one slice where the windows follow each other without a gap."""
    if all(a.test.stop == b.test.start for a, b in pairwise(folds)):
        return slice(folds[0].test.start, folds[-1].test.stop)
    return np.concatenate([np.arange(f.test.start, f.test.stop) for f in folds])


def _sweep(
    models: Mapping[str, Linear],
    samples: Samples,
    folds: Sequence[Fold],
    beyond: Sequence[Window],
    edges: I64,
    scale: TargetScale,
) -> dict[str, Fitted]:
    names = tuple(dict.fromkeys(f for m in models.values() for f in m.features))
    z = np.ascontiguousarray(np.vstack((samples.rows.columns(names).X.T, samples.y)))
    first = np.array([f.train.start for f in folds], np.int64)
    last = np.array([f.train.stop for f in folds], np.int64)
    later = [w.train_start for w in beyond]
    moments = WindowMoments(z, first, last, np.searchsorted(samples.rows.formed_at, later))
    start = np.array([f.test.start for f in folds], np.int64)
    done: dict[str, Fitted] = {}
    for name, model in models.items():
        try:
            beta, mean, variance = moments.solve(model, names)
        except WindowError as error:
            raise _failed(name, samples.horizon, folds[error.window], error) from None
        yhat = linear_forecasts(z, names, model, beta, start, edges)
        if scale.back == "smearing":
            train_edges = np.cumsum([0, *(last - first)], dtype=np.int64)
            fitted = linear_forecasts(z, names, model, beta, first, train_edges)
            shifts = np.array(
                [
                    scale.smearing_shifts(samples.y[a:b] - part)
                    for a, b, part in zip(
                        first, last, np.split(fitted, train_edges[1:-1]), strict=True
                    )
                ]
            )
        else:
            shifts = np.column_stack(scale.shifts(mean, variance))
        done[name] = (
            yhat,
            ModelFit(
                name, model.coefficient_names, beta[:, model.stated], shifts[:, 0], shifts[:, 1]
            ),
        )
    return done


def _fold_by_fold(
    name: str,
    model: Forecaster,
    samples: Samples,
    folds: Sequence[Fold],
    scale: TargetScale,
    seed: int,
    mapper: Mapper,
) -> Fitted:
    results = list(mapper(partial(fit_fold, name, model, samples, scale, seed), folds))
    names = tuple(dict.fromkeys(key for r in results for key in r[1]))
    stated = np.array([[r[1].get(key, np.nan) for key in names] for r in results])
    shifts = np.array([r[2] for r in results])
    fit = ModelFit(name, names, stated.reshape(len(folds), -1), shifts[:, 0], shifts[:, 1])
    return np.concatenate([r[0] for r in results]), fit


def fit_fold(
    name: str, model: Forecaster, samples: Samples, scale: TargetScale, seed: int, fold: Fold
) -> tuple[F64, dict[str, float], tuple[float, float]]:
    """One model on one fold: test forecasts, coefficients, (var_shift, sigma_shift).

    RunError names window and model when the model cannot be fitted or forecasts no number.
    """
    rows = samples.rows.columns(model.features)
    train, y = rows.take(fold.train), samples.y[fold.train]
    try:
        fitted = model.fit(train, y, validation=None, seed=seed)
        yhat = fitted.predict(rows.take(fold.test))
        residuals = y - fitted.predict(train)
        if not (np.isfinite(yhat).all() and np.isfinite(residuals).all()):
            raise ModelError("a forecast is not finite")
    except ModelError as error:
        raise _failed(name, samples.horizon, fold, error) from None
    if scale.back == "smearing":
        shifts = scale.smearing_shifts(residuals)
    else:
        shifts = scale.shifts(residuals.mean(), residuals.var())
    return yhat, dict(fitted.coefficients), shifts


def _failed(name: str, horizon: str, fold: Fold, error: Exception) -> RunError:
    window = fold.window
    return RunError(
        f"model {name}, horizon {horizon}, window {window.index + 1} "
        f"({show_moment(window.cut)} to {show_moment(window.end)}): {error}"
    )
