"""The rows of one symbol that linear models are swept over, and summaries of their residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.kernels.loader import clock
from harness.models.insanity_filter import Sanity
from harness.models.linear import Linear, Moments, linear_forecasts, window_moments
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, Fold, Samples, Window
from harness.walk.residuals.kept import NO_SUMMARY, ResidualPlan, ResidualSummary, stacked


class Series:
    """One symbol's rows as z (q, n), the target last, and the rows of its folds."""

    def __init__(
        self,
        models: Mapping[str, Linear],
        samples: Samples,
        folds: Sequence[Fold],
        beyond: Sequence[Window],
    ) -> None:
        self.names = tuple(dict.fromkeys(f for m in models.values() for f in m.features))
        self.z = np.ascontiguousarray(np.vstack((samples.rows.columns(self.names).X.T, samples.y)))
        self.first = np.array([_start(f) for f in folds], np.int64)
        self.last = np.array([_stop(f) for f in folds], np.int64)
        self._start = np.array([f.test.start for f in folds], np.int64)
        self._edges = np.cumsum([0, *(f.test.stop - f.test.start for f in folds)], dtype=np.int64)
        unknown = np.full(samples.y.size, np.nan)
        self.returns = unknown if samples.returns is None else samples.returns
        later = [w.train_start for w in beyond]
        self._boundaries = np.searchsorted(samples.rows.formed_at, later)

    def moments(self, windows: I64) -> Moments:
        """The moments of the training rows of these windows."""
        return window_moments(self.z, self.first[windows], self.last[windows], self._boundaries)

    def sanity(self, moments: Moments, windows: I64 | None = None) -> Sanity:
        """The filter of all windows' training rows, or of `windows` alone; `moments` are theirs."""
        if windows is None:
            return Sanity.of_windows(self.z[-1], self.first, self.last, moments.centre[:, -1])
        first, last = self.first[windows], self.last[windows]
        own = Sanity.of_windows(self.z[-1], first, last, moments.centre[:, -1])
        return own.among(windows, self.first.size)

    def forecasts(self, model: Linear, beta: F64, sanity: Sanity | None) -> tuple[F64, I64]:
        """Forecasts of every window's test rows in order, and how many were replaced (w,)."""
        line = linear_forecasts(self.z, self.names, model, beta, self._start, self._edges)
        if sanity is None:
            return line, np.zeros(beta.shape[0], np.int64)
        return sanity.replaced(line, self._edges)

    def residuals(self, model: Linear, beta: F64, windows: I64 | None = None) -> list[F64]:
        """Training residuals, window by window; beta (w, 1 + p) has a row per requested window."""
        pick = slice(None) if windows is None else windows
        first, last = self.first[pick], self.last[pick]
        edges = np.cumsum([0, *(last - first)], dtype=np.int64)
        fitted = linear_forecasts(self.z, self.names, model, beta, first, edges)
        y = self.z[-1]
        parts = np.split(fitted, edges[1:-1])
        return [y[a:b] - part for a, b, part in zip(first, last, parts, strict=True)]

    def in_training(
        self, model: Linear, beta: F64, windows: I64 | None = None
    ) -> list[tuple[F64, F64, F64]]:
        """(forecasts, residuals, returns) of the training rows, window by window."""
        pick = slice(None) if windows is None else windows
        spans = zip(self.first[pick], self.last[pick], strict=True)
        residuals = self.residuals(model, beta, windows)
        return [
            (self.z[-1, a:b] - e, e, self.returns[a:b])
            for (a, b), e in zip(spans, residuals, strict=True)
        ]

    def shifts(
        self,
        model: Linear,
        beta: F64,
        mean: F64,
        variance: F64,
        scale: TargetScale,
        windows: I64 | None = None,
    ) -> F64:
        """(var_shift, sigma_shift) of every requested window (w, 2)."""
        if scale.back != "smearing":
            return np.column_stack(scale.shifts(mean, variance))
        return np.array([scale.smearing_shifts(r) for r in self.residuals(model, beta, windows)])


class Summaries:
    """Summaries of a sweep's training residuals; their `seconds` do not count as fit time."""

    def __init__(self, keep: ResidualPlan) -> None:
        self.keep, self.seconds = keep, 0.0

    def of(
        self,
        model: Linear,
        parts: Sequence[tuple[Series, F64]],
        var_shift: F64,
        windows: I64 | None = None,
    ) -> ResidualSummary:
        """The summaries of every requested window (w, …), over the rows of all parts together.

        A part is a symbol's rows and its beta.
        """
        if not self.keep:
            return NO_SUMMARY
        began, of = clock(), self.keep.of
        trained = [series.in_training(model, beta, windows) for series, beta in parts]
        found = stacked(
            [
                of(*_joined(own), var_shift=shift)
                for own, shift in zip(zip(*trained, strict=True), var_shift, strict=True)
            ]
        )
        self.seconds += clock() - began
        return found


def _joined(parts: Sequence[tuple[F64, F64, F64]]) -> tuple[F64, F64, F64]:
    """One fit's forecasts, residuals and returns, over all parts' rows."""
    forecasts, residuals, returns = zip(*parts, strict=True)
    return np.concatenate(forecasts), np.concatenate(residuals), np.concatenate(returns)


def _start(fold: Fold) -> int:
    assert isinstance(fold.train, slice)
    return fold.train.start


def _stop(fold: Fold) -> int:
    assert isinstance(fold.train, slice)
    return fold.train.stop
