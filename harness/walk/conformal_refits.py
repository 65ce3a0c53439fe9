"""Conformal distributions of models without early stopping, from refits before the held-out rows.

A model that stops early never trains on its validation slice, so its residuals there calibrate its
conformal distribution. Any other model is refitted in the same windows on the training rows before
the slice, purged as before a test window, and tested on the slice. These residuals calibrate the
forecasts of its fit on all training rows; the refit has fewer rows, so it is usually no better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from harness.errors import RunError
from harness.types import Fold, Samples, Window
from harness.walk.linear_sweep import Walked
from harness.walk.residuals.laws import Laws


def before_slices(windows: Sequence[Window], embargo: int) -> tuple[Window, ...]:
    """The windows of the refits, whose test rows are the held-out slices (ns)."""
    return tuple(_before_slice(w, embargo) for w in windows)


def _before_slice(window: Window, embargo: int) -> Window:
    begin = window.validation
    assert begin is not None, "conformal distributions need held-out rows"
    return window._replace(limit=begin - embargo, cut=begin, end=window.cut, validation=None)


def with_conformal(
    walked: Walked,
    laws: Laws,
    samples: Samples,
    slices: Sequence[Fold],
    blind: Walked,
    limits: Sequence[int],
) -> Walked:
    """The walk with the conformal distributions of its fits, by symbol if fitted by symbol.

    `blind` are the refits' forecasts of the test rows of `slices`, one slice per fit. Only rows
    that had resolved by the fit's own limit (UTC ns) count.
    """
    assert walked.summaries.laws is not None, "the walk keeps distributions if it has refits"
    found, place, start = walked.summaries.laws.copy(), laws.conformal, 0
    for k, (fold, limit) in enumerate(zip(slices, limits, strict=True)):
        y, symbol = samples.y[fold.test], samples.rows.symbol[fold.test]
        residuals = y - blind.yhat[start : start + y.size]
        start += y.size
        known = np.isfinite(residuals) & (samples.resolved_at[fold.test] <= limit)
        if found.ndim == 3:
            found[k, place] = laws.calibrated(residuals[known])
        else:
            for code in range(found.shape[1]):
                found[k, code, place] = laws.calibrated(residuals[known & (symbol == code)])
    return replace(walked, summaries=walked.summaries._replace(laws=found))


@contextmanager
def named_refits() -> Iterator[None]:
    """Adds to a RunError that it is of the refits for conformal distributions."""
    try:
        yield
    except RunError as error:
        raise RunError(
            f"conformal distributions, refits before the held-out rows: {error}"
        ) from None
