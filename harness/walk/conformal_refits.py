"""Conformal laws of models that train on the rows held out too: from fits that have not seen them.

A model that stops early never trains on its validation slice, so its own residuals there calibrate
it. Any other model is walked once more over the same windows, fitted on the training rows before
the slice alone, purged as before a test, and tested on the slice. Those residuals calibrate the
forecasts of its fit on all training rows: one on fewer rows, so as a rule no better.
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
    """The windows of fits before the slices held out, which are what they test (ns)."""
    return tuple(_before_slice(w, embargo) for w in windows)


def _before_slice(window: Window, embargo: int) -> Window:
    begin = window.validation
    assert begin is not None, "a walk with conformal laws has rows held out"
    return window._replace(limit=begin - embargo, cut=begin, end=window.cut, validation=None)


def with_conformal(
    walked: Walked,
    laws: Laws,
    samples: Samples,
    slices: Sequence[Fold],
    blind: Walked,
    limits: Sequence[int],
) -> Walked:
    """The walk with the conformal laws of its fits, of each symbol alone where it has its own.

    `blind` are forecasts of the test rows of `slices`, which are one fit's each. Of these rows
    those count that have resolved by the fit's own limit (UTC ns).
    """
    assert walked.left.laws is not None, "a walk that is asked for laws has them"
    found, place, start = walked.left.laws.copy(), laws.conformal, 0
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
    return replace(walked, left=walked.left._replace(laws=found))


@contextmanager
def told() -> Iterator[None]:
    """A RunError inside as one that says which fits these are."""
    try:
        yield
    except RunError as error:
        raise RunError(f"conformal laws, fits before the rows held out: {error}") from None
