"""One model on one fold: fitted on its training rows, forecasts of its test rows, how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.kernels.loader import clock
from harness.models.linear import Linear
from harness.models.protocol import Forecaster, ModelError
from harness.risk.tails import Tails
from harness.scale import TargetScale
from harness.splits import hold_out
from harness.types import F64, I64, FitReport, Fold, Rows, Samples, Training

MIN_TRAIN = 100  # training rows from which on a symbol is fitted by itself


@dataclass(frozen=True)
class Settings:
    """What every fit of a walk shares: the embargo (ns), the target's scale, the seed.

    `min_train` is how many training rows a symbol needs to be fitted by itself. `tails` is what
    each fit keeps of its standardised training residuals; the samples then have returns.
    """

    embargo: int
    scale: TargetScale
    seed: int = 0
    min_train: int = MIN_TRAIN
    tails: Tails | None = None


@dataclass(frozen=True)
class FoldResult:
    """One model on one fold: test forecasts, what it states, the way back, how the fit went.

    `tails` of its training residuals, where they are asked for.
    """

    yhat: F64
    stated: Mapping[str, float]
    shifts: tuple[float, float]
    report: FitReport
    tails: F64 | None = None


def fit_fold(
    name: str, model: Forecaster, samples: Samples, settings: Settings, fold: Fold
) -> FoldResult:
    """Fit one model on one fold and forecast its test rows.

    A model that stops early never trains on the rows held out for it. RunError names window and
    model when the model cannot be fitted or forecasts no number.
    """
    rows, y = samples.rows.columns(model.features), samples.y
    train, validation = fold.train, None
    if model.validates:
        train, held_out = hold_out(samples, fold, settings.embargo)
        validation = rows.take(held_out), y[held_out]
    with named(name, samples, fold):
        began = clock()
        fitted = model.fit(rows.take(train), y[train], validation=validation, seed=settings.seed)
        seconds = clock() - began
        return result_of(fitted, rows, samples, fold, train, settings, seconds)


def result_of(
    fitted: Forecaster,
    rows: Rows,
    samples: Samples,
    fold: Fold,
    train: slice | I64,
    settings: Settings,
    seconds: float,
) -> FoldResult:
    """The forecasts of a fitted model on a fold, its shifts by the rows it was trained on.

    `rows` are those of the samples, with the model's features.
    """
    began, y, scale = clock(), samples.y, settings.scale
    yhat = fitted.predict(rows.take(fold.test))
    predicted = clock() - began
    linear = isinstance(fitted, Linear)
    residuals = y[train] - (fitted.line if linear else fitted.predict)(rows.take(train))
    if not (np.isfinite(yhat).all() and np.isfinite(residuals).all()):
        raise ModelError("a forecast is not finite")
    if scale.back == "smearing":
        shifts = scale.smearing_shifts(residuals)
    else:
        shifts = scale.shifts(residuals.mean(), residuals.var())
    training = fitted.noted(rows.take(fold.test)) if linear else fitted.training
    lost = int(training is not None and not training.converged)
    report = FitReport(1, lost, seconds, predicted, training)
    tails = None
    if settings.tails is not None:
        tails = settings.tails.of(samples.returns[train], y[train] - residuals, shifts[0])
    return FoldResult(yhat, dict(fitted.coefficients), shifts, report, tails)


@contextmanager
def named(name: str, samples: Samples, fold: Fold) -> Iterator[None]:
    """ModelError as a RunError that names model, symbol and window."""
    try:
        yield
    except ModelError as error:
        raise failed(name, samples, fold, error) from None


def merged(reports: Sequence[FitReport]) -> FitReport:
    """The fits of several symbols in one window; a single fit is told in full."""
    if len(reports) == 1:
        return reports[0]
    told = [r.training for r in reports if r.training is not None]
    training = None
    if told:
        training = Training(
            parameters=max(t.parameters for t in told),
            converged=all(t.converged for t in told),
            epochs=round(fmean(t.epochs for t in told)),
            best=round(fmean(t.best for t in told)),
            notes=dict(sum((Counter(t.notes) for t in told), Counter())),
        )
        if told[0].attention:
            weights = np.mean([t.attention for t in told], axis=0)
            training = replace(training, attention=tuple(weights.tolist()))
    return FitReport(
        len(reports),
        sum(r.failed for r in reports),
        sum(r.fit_seconds for r in reports),
        sum(r.predict_seconds for r in reports),
        training,
    )


def failed(name: str, samples: Samples, fold: Fold, error: Exception) -> RunError:
    """The error as one that names model, horizon, symbol where it is one of several, window."""
    window = fold.window
    whose = f", {samples.symbols[samples.rows.symbol[0]]}" if _single(samples) else ""
    return RunError(
        f"model {name}, horizon {samples.horizon}{whose}, window {window.index + 1} "
        f"({show_moment(window.cut)} to {show_moment(window.end)}): {error}"
    )


def _single(samples: Samples) -> bool:
    """Whether these are one symbol's rows out of a panel of several."""
    symbol = samples.rows.symbol
    return len(samples.symbols) > 1 and bool((symbol == symbol[0]).all())
