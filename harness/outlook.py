"""Models that train for long: how long all their fits will take, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from harness.models.protocol import Forecaster, Trained
from harness.splits import hold_out
from harness.types import FitTime, Fold, Samples


def fit_time(
    model: Trained, samples: Samples, folds: Sequence[Fold], embargo: int, parts: int = 1
) -> FitTime:
    """Seconds of a fit on every fold, or of one for each of `parts` symbols on every fold.

    A few steps are timed once; folds count with their mean number of rows, symbols as if they
    had equally many.
    """
    sizes = [_sizes(model, samples, fold, embargo) for fold in folds]
    rows, held_out = (round(fmean(s) / parts) for s in zip(*sizes, strict=True))
    one, fits = model.estimate(max(rows, 1), held_out), len(folds) * parts
    return FitTime(fits * one.typical, fits * one.most, one.epoch)


def _sizes(model: Trained, samples: Samples, fold: Fold, embargo: int) -> tuple[int, int]:
    """Rows to train on, rows held out."""
    if model.validates:
        train, held_out = hold_out(samples, fold, embargo)
        return train.size, held_out.size
    train = fold.train
    return (train.stop - train.start if isinstance(train, slice) else train.size), 0


def watched(
    name: str,
    model: Forecaster,
    samples: Samples,
    folds: Sequence[Fold],
    embargo: int,
    progress: Callable[[str], None],
    parts: int = 1,
) -> Forecaster:
    """The model, saying first how long its fits may take and then every epoch, if it is such."""
    if not isinstance(model, Trained):
        return model
    time, where = fit_time(model, samples, folds, embargo, parts), f"{samples.horizon}: {name}"
    fits = len(folds) * parts
    many = f" for {fits:,} fits" if fits > 1 else ""
    progress(f"{where}, about {_span(time.typical)}{many}, {_span(time.most)} at most")
    return model.watched(lambda said: progress(f"{where}, {said}"))


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
