"""Estimates the training time of a walk's fits before the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from harness.models.pretraining import TimedPretraining
from harness.models.protocol import Forecaster, Trained
from harness.types import Fold, Samples
from harness.walk.fit_rows import fit_rows
from harness.walk.fold_fit import (
    Settings,
    leaves_out,
    named,
    pretraining_rows_of,
    wants_pretraining,
)
from harness.walk.residual_rows import TooFewRows, left_out


@dataclass(frozen=True)
class TrainingTime:
    """All fits of one model at one horizon: their number, `typical` and `most` seconds."""

    horizon: str
    model: str
    fits: int
    typical: float
    most: float


def training_time(
    name: str,
    model: Forecaster,
    fits: Sequence[tuple[Samples, Fold]],
    horizon: str,
    settings: Settings,
    pretraining: int = 0,
) -> TrainingTime:
    """The estimate for these fits: their number times that of a fit on their mean number of rows.

    The seconds of further fits, for residuals, are among them. Seconds are about linear in the
    rows, so the mean stands for all fits. Of the `pretraining` runs the last has the most rows and
    stands for all. RunError as from the fits: without training or held-out rows, with too few
    source rows, or if memory is too small for a batch.
    """
    assert isinstance(model, Trained)
    sizes = [size for samples, fold in fits for size in _sizes(model, samples, fold, settings)]
    mean = [round(fmean(column)) for column in zip(*sizes, strict=True)]
    with named(name, model, *fits[0]):
        one = model.estimate(*mean)
        typical, most = len(sizes) * float(one.typical), len(sizes) * float(one.most)
        if wants_pretraining(model, settings):
            # The earliest fit has the fewest source rows: too few raise before training.
            pretraining_rows_of(model, settings, min((fold for _, fold in fits), key=_limit))
            if isinstance(model, TimedPretraining):
                pretrained = model.pretraining_time(
                    pretraining_rows_of(model, settings, fits[-1][1])
                )
                typical += pretraining * pretrained.typical
                most += pretraining * pretrained.most
    return TrainingTime(horizon, name, len(fits), typical, most)


def pretraining_of(
    model: Forecaster, limits: Iterable[tuple[int, int]], settings: Settings
) -> set[tuple[str, int, int]]:
    """Pretraining runs before fits with these limits and seeds, shared by models with one key."""
    if not wants_pretraining(model, settings):
        return set()
    return {(model.pretraining_key, limit, seed) for limit, seed in limits}


def _limit(fold: Fold) -> int:
    return fold.window.limit


def _sizes(
    model: Forecaster, samples: Samples, fold: Fold, settings: Settings
) -> Iterator[tuple[int, int]]:
    """The number of training rows and of held-out rows; of the first stage if there is one.

    Of the fit, then of the further ones for its residuals.
    """
    every = [fit_rows(model, samples, fold, settings.embargo)]
    if leaves_out(model, settings):
        with suppress(TooFewRows):
            every += [part for part, _ in left_out(model, samples, fold, settings.embargo)]
    for seen in every:
        train, held_out = seen.train, seen.held_out
        if seen.first is not None:
            train, held_out = seen.first, seen.first_held_out
        n_train = np.arange(samples.y.size)[train].size
        yield int(n_train), 0 if held_out is None else held_out.size


def in_words(times: Sequence[TrainingTime]) -> str:
    """The estimate for all models in one line."""
    names, fits = ", ".join(t.model for t in times), sum(t.fits for t in times)
    typical, most = sum(t.typical for t in times), sum(t.most for t in times)
    return (
        f"{times[0].horizon}: training {names}: {fits:,} fit{'s' if fits != 1 else ''}, "
        f"about {_seconds(typical)} of one core, at most {_seconds(most)}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:,.0f} s"
