"""Which rows a fit's residuals are of: shifts from logs, tails and distributions are made of them.

A model with few parameters misses its training rows by as much as other rows. Any other model
misses them by less, and what is made of these residuals would be too small. Its residuals are those
of rows that it was not trained on: the held-out ones if it stops early, else all training rows, a
third of them at a time, each forecast by a further fit without it (`protocol.overfits`). Their mean
is that of the training residuals: following rows closely does not change it, and few rows would
move it by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import RunError
from harness.models.foreign import in_words, require_forecasts
from harness.models.protocol import (
    FEWEST_STAGE_ROWS,
    Forecaster,
    ModelError,
    Recursive,
    overfits,
)
from harness.samples.splits import left_out_in_turn
from harness.types import F64, I64, Fold, Rows, Samples
from harness.walk.fit_rows import FitRows, fit_rows

METHOD = 2  # 1: those of the training rows, for every model
PARTS = 3
TRAINING, HELD_OUT, LEFT_OUT = "training", "held out", "left out"
Refit = Callable[[FitRows], Forecaster]


class TooFewRows(Exception):
    """Why a fit has no residuals of rows that it was not trained on."""


@dataclass(frozen=True)
class Unseen:
    """Forecasts (m,) of the rows at these positions (m,), by a fit that was not trained on them.

    `which` rows: HELD_OUT or LEFT_OUT.
    """

    at: I64
    forecasts: F64
    which: str

    def residuals(self, y: F64, mean: float) -> F64:
        """The residuals (m,) from the targets of all samples, moved to this mean."""
        found = y[self.at] - self.forecasts
        return found + (mean - found.mean())


def unseen_forecasts(
    fitted: Forecaster,
    model: Forecaster,
    rows: Rows,
    samples: Samples,
    fold: Fold,
    seen: FitRows,
    embargo: int,
    fewest: int,
    refit: Refit,
) -> Unseen | None:
    """The forecasts of rows that a fit was not trained on; None for a model with few parameters.

    `rows` are all rows of the samples as the model may see them; `refit` fits it on other rows.
    TooFewRows if there are fewer than `fewest` held-out rows, or if no fit is possible without a
    third of the training rows.
    """
    if not overfits(fitted):
        return None
    if seen.held_out is not None:
        least = max(fewest, FEWEST_STAGE_ROWS)
        if seen.held_out.size < least:
            raise TooFewRows(f"{seen.held_out.size:,} held-out rows, wanted at least {least}")
        forecasts = _forecasts(fitted, rows, seen.held_out)
        return Unseen(seen.held_out, forecasts, HELD_OUT)
    found, at = [], []
    for left, out in left_out(model, samples, fold, embargo):
        try:
            with in_words(model):
                found.append(_forecasts(refit(left), rows, out))
        except ModelError as error:
            raise TooFewRows(f"a fit without a third of them: {error}") from None
        at.append(out)
    return Unseen(np.concatenate(at), np.concatenate(found), LEFT_OUT)


def left_out(
    model: Forecaster, samples: Samples, fold: Fold, embargo: int
) -> list[tuple[FitRows, I64]]:
    """The rows of each further fit, and the training rows left out of it.

    A recursive model learns from all returns up to its last row, so only the last rows can be left
    out of it. TooFewRows if a fit would have under a third of the training rows.
    """
    spans = left_out_in_turn(samples, fold.train, PARTS, embargo)
    if isinstance(model, Recursive) and model.recursive:
        spans = spans[-1:]
    count, found = samples.y[fold.train].size, []
    for train, out in spans:
        if 3 * train.size < count:
            raise TooFewRows(
                f"{train.size:,} of {count:,} are left without a third of them and without what "
                "the purge and the embargo take, wanted at least a third"
            )
        try:
            found.append((fit_rows(model, samples, fold._replace(train=train), embargo), out))
        except RunError as error:
            raise TooFewRows(f"a fit without a third of them: {error}") from None
    return found


def _forecasts(fitted: Forecaster, rows: Rows, at: I64) -> F64:
    found = fitted.predict(rows.take(at))
    require_forecasts(found, at.size)
    if not np.isfinite(found).all():
        raise ModelError("a forecast is not finite")
    return found
