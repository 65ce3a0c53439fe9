"""Splits a fold into training, validation and first-stage rows."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import RunError
from harness.models.protocol import FEWEST_STAGE_ROWS, FIRST_STAGE_HELD_OUT, Forecaster, Staged
from harness.samples.splits import hold_out, in_stages, where
from harness.types import I64, Fold, Samples


@dataclass(frozen=True)
class FitRows:
    """Positions in the samples: training rows, and held-out rows of a model that stops early.

    `first` and `first_held_out` are the rows of a first stage; they are not among the others.
    """

    train: slice | I64
    held_out: I64 | None = None
    first: I64 | None = None
    first_held_out: I64 | None = None


def fit_rows(model: Forecaster, samples: Samples, fold: Fold, embargo: int) -> FitRows:
    """The rows of this model's fit on this fold; purged by the embargo between any two parts.

    RunError if a part that it needs is empty, or too small for a stage.
    """
    train, held_out = hold_out(samples, fold, embargo) if model.validates else (fold.train, None)
    if not isinstance(model, Staged):
        return FitRows(train, held_out)
    first, later = in_stages(samples, train, model.share, embargo)
    first_held_out = None
    if model.first_validates:
        first, first_held_out = in_stages(samples, first, 1.0 - FIRST_STAGE_HELD_OUT, embargo)
    sizes = [part.size for part in (first, first_held_out, later) if part is not None]
    if min(sizes) < FEWEST_STAGE_ROWS:
        *before, last = map(str, sizes)
        raise RunError(
            f"{where(samples, fold.window)}: {' and '.join(before)} rows for the first stage, "
            f"{last} for the second, wanted at least {FEWEST_STAGE_ROWS}: {samples.horizon} and "
            "the embargo lie between them; a longer walk_forward.train or another share?"
        )
    return FitRows(later, held_out, first, first_held_out)
