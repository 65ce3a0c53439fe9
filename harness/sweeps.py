"""Linear models over all windows at once: rows are summed once, windows merge the sums.

Pooled, one set of coefficients serves all symbols; with effects the slopes are shared and every
symbol has an intercept of its own (least squares with a dummy per symbol, Wooldridge 2010,
Econometric Analysis of Cross Section and Panel Data, section 10.5); by asset each symbol is fitted
alone. Symbols are swept one after the other, so cost is linear in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.kernels.loader import clock
from harness.models.insanity import Sanity
from harness.models.linear import (
    Linear,
    Moments,
    WindowError,
    linear_forecasts,
    window_moments,
)
from harness.risk.tails import Tails
from harness.scale import TargetScale
from harness.splits import make_folds
from harness.types import F64, I64, FitReport, Fold, Samples, Window, middle


@dataclass(frozen=True)
class Walked:
    """A model's forecasts of the test rows (n,) in their order, and its w fits as in ModelFit.

    A forecast is NaN where the row's symbol had too few rows to be fitted on.
    """

    yhat: F64
    names: tuple[str, ...]
    coefficients: F64
    var_shift: F64
    sigma_shift: F64
    reports: tuple[FitReport, ...]
    tails: F64 | None = None


@dataclass(frozen=True)
class Part:
    """One symbol's rows in a walk: its samples, its folds, and where its test rows stand."""

    samples: Samples
    folds: list[Fold]
    places: I64

    def trained(self, least: int) -> I64:
        """The folds (positions) in which it has `least` training rows and something to forecast."""
        rows = np.array([self.samples.y[f.train].size for f in self.folds])
        tested = np.array([f.test.stop > f.test.start for f in self.folds])
        return np.flatnonzero((rows >= least) & tested)

    def split(self) -> I64:
        """Where each fold's test rows begin and end among this symbol's (w + 1,)."""
        return np.cumsum([0, *(f.test.stop - f.test.start for f in self.folds)], dtype=np.int64)


def by_symbol(samples: Samples, windows: Sequence[Window], test: slice | I64) -> Iterator[Part]:
    """The walk's parts, symbol after symbol; `test` are the walk's test rows."""
    place = np.full(samples.y.size, -1, np.int64)
    place[test] = np.arange(place[test].size)
    for code in range(len(samples.symbols)):
        positions = np.flatnonzero(samples.rows.symbol == code)
        part = samples.of(positions)
        folds = make_folds(part, windows)
        tested = [positions[f.test] for f in folds]
        yield Part(part, folds, place[np.concatenate(tested)])


def sweep(
    models: Mapping[str, Linear],
    samples: Samples,
    folds: Sequence[Fold],
    beyond: Sequence[Window],
    scale: TargetScale,
    tails: Tails | None = None,
) -> dict[str, Walked]:
    """One symbol's models, training rows in slices. SweepError names the window of a failure."""
    began = clock()
    series = _Series(models, samples, folds, beyond)
    moments = series.moments(np.arange(len(folds)))
    done: dict[str, Walked] = {}
    told, kept = _Told(models, len(folds)), _Tailed(tails)
    for name, model in models.items():
        beta, mean, variance = _solved(name, moments, model, series.names)
        shifts = series.shifts(model, beta, mean, variance, scale)
        sanity = series.sanity(moments) if model.insanity else None
        yhat, told.replaced[name] = series.forecasts(model, beta, sanity)
        done[name] = Walked(
            yhat,
            model.coefficient_names,
            model.stated(beta, moments.centre, series.names),
            shifts[:, 0],
            shifts[:, 1],
            (),
            kept.of(model, [(series, beta)], shifts[:, 0]),
        )
    return told.beside(done, clock() - began - kept.seconds)


def sweep_together(
    models: Mapping[str, Linear],
    parts: Sequence[Part],
    beyond: Sequence[Window],
    scale: TargetScale,
    *,
    effects: bool,
    least: int,
    tails: Tails | None = None,
) -> dict[str, Walked]:
    """Slopes shared by all symbols; with effects, a symbol's own intercept from `least` rows on."""
    began, w = clock(), len(parts[0].folds)
    swept = [_Series(models, p.samples, p.folds, beyond) for p in parts]
    every = np.arange(w)
    moments = [series.moments(every) for series in swept]
    total = moments[0]
    for own in moments[1:]:
        total = total.plus(own)
    within = replace(total, gram=np.sum([m.gram for m in moments], axis=0)) if effects else total
    size = sum(p.places.size for p in parts)
    done: dict[str, Walked] = {}
    told, kept = _Told(models, w), _Tailed(tails)
    for name, model in models.items():
        names = swept[0].names
        beta, mean, variance = _solved(name, within, model, names)
        yhat, residuals, fitted = np.full(size, np.nan), [], []
        sane = _sanities(model, swept, moments, None if effects else total)
        for part, series, own, sanity in zip(parts, swept, moments, sane, strict=True):
            local = _own_intercept(own, beta, model, names, least) if effects else beta
            yhat[part.places], count = series.forecasts(model, local, sanity)
            told.replaced[name] += count
            if scale.back == "smearing":
                residuals.append(series.residuals(model, np.nan_to_num(local)))
            fitted.append((series, local))
        if scale.back == "smearing":
            shifts = np.array(
                [scale.smearing_shifts(np.concatenate(r)) for r in zip(*residuals, strict=True)]
            )
        else:
            shifts = np.column_stack(scale.shifts(mean * (not effects), variance))
        done[name] = Walked(
            yhat,
            model.coefficient_names,
            model.stated(beta, total.centre, names),
            shifts[:, 0],
            shifts[:, 1],
            (),
            kept.of(model, fitted, shifts[:, 0]),
        )
    return told.beside(done, clock() - began - kept.seconds)


def sweep_apart(
    models: Mapping[str, Linear],
    parts: Sequence[Part],
    beyond: Sequence[Window],
    scale: TargetScale,
    *,
    least: int,
    tails: Tails | None = None,
) -> dict[str, Walked]:
    """Every symbol fitted alone, in the windows in which it has `least` training rows."""
    w, s, size = len(parts[0].folds), len(parts), sum(p.places.size for p in parts)
    yhat = {name: np.full(size, np.nan) for name in models}
    stated = {name: np.full((w, s, len(m.coefficient_names)), np.nan) for name, m in models.items()}
    shifts = {name: np.full((2, w, s), np.nan) for name in models}
    tailed = {n: np.full((w, s, *tails.unknown.shape), np.nan) if tails else None for n in models}
    told, kept = _Told(models, w), _Tailed(tails)
    fitted, began = np.zeros(w, np.int64), clock()
    for code, part in enumerate(parts):
        known = part.trained(least)
        fitted[known] += 1
        if not known.size:
            continue
        series = _Series(models, part.samples, part.folds, beyond)
        moments = series.moments(known)
        for name, model in models.items():
            beta = np.full((w, 1 + len(model.regressors)), np.nan)
            where = f" of {part.samples.symbols[code]}"
            beta[known], mean, variance = _solved(name, moments, model, series.names, known, where)
            found = series.shifts(model, beta[known], mean, variance, scale, known)
            shifts[name][:, known, code] = found.T
            if tails:
                own = [(series, beta[known])]
                tailed[name][known, code] = kept.of(model, own, found[:, 0], known)
            stated[name][known, code] = model.stated(beta[known], moments.centre, series.names)
            sanity = series.sanity(moments, known) if model.insanity else None
            yhat[name][part.places], count = series.forecasts(model, beta, sanity)
            told.replaced[name] += count
    done = {
        name: Walked(
            yhat[name],
            model.coefficient_names,
            np.column_stack([middle(c) for c in np.moveaxis(stated[name], 2, 0)])
            if model.coefficient_names
            else np.empty((w, 0)),
            shifts[name][0],
            shifts[name][1],
            (),
            tailed[name],
        )
        for name, model in models.items()
    }
    return told.beside(done, clock() - began - kept.seconds, fitted)


class SweepError(Exception):
    """A model that could not be fitted in one window: its name, the window's position, why."""

    def __init__(self, model: str, window: int, reason: str) -> None:
        super().__init__(reason)
        self.model, self.window = model, window


class _Series:
    """One stretch of rows, z (q, n) with the target last, and the folds cut out of it."""

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
        self.returns = samples.returns
        later = [w.train_start for w in beyond]
        self._boundaries = np.searchsorted(samples.rows.formed_at, later)

    def moments(self, windows: I64) -> Moments:
        """Of the training rows of these windows."""
        return window_moments(self.z, self.first[windows], self.last[windows], self._boundaries)

    def sanity(self, moments: Moments, windows: I64 | None = None) -> Sanity:
        """Of the training rows of all windows, whose moments these are, or of `windows` alone."""
        if windows is None:
            return Sanity.of_windows(self.z[-1], self.first, self.last, moments.centre[:, -1])
        first, last = self.first[windows], self.last[windows]
        own = Sanity.of_windows(self.z[-1], first, last, moments.centre[:, -1])
        return own.among(windows, self.first.size)

    def forecasts(self, model: Linear, beta: F64, sanity: Sanity | None) -> tuple[F64, I64]:
        """Of the test rows of every window, one after the other; how many are replaced (w,)."""
        line = linear_forecasts(self.z, self.names, model, beta, self._start, self._edges)
        if sanity is None:
            return line, np.zeros(beta.shape[0], np.int64)
        return sanity.replaced(line, self._edges)

    def residuals(self, model: Linear, beta: F64, windows: I64 | None = None) -> list[F64]:
        """Of the training rows, window by window; beta (w, 1 + p) has a row per window asked."""
        pick = slice(None) if windows is None else windows
        first, last = self.first[pick], self.last[pick]
        edges = np.cumsum([0, *(last - first)], dtype=np.int64)
        fitted = linear_forecasts(self.z, self.names, model, beta, first, edges)
        y = self.z[-1]
        parts = np.split(fitted, edges[1:-1])
        return [y[a:b] - part for a, b, part in zip(first, last, parts, strict=True)]

    def in_training(
        self, model: Linear, beta: F64, windows: I64 | None = None
    ) -> list[tuple[F64, F64]]:
        """(returns, forecasts) of the training rows, window by window, as `residuals` has them."""
        pick = slice(None) if windows is None else windows
        spans = zip(self.first[pick], self.last[pick], strict=True)
        residuals = self.residuals(model, beta, windows)
        return [
            (self.returns[a:b], self.z[-1, a:b] - e)
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
        """(var_shift, sigma_shift) of every window asked (w, 2)."""
        if scale.back != "smearing":
            return np.column_stack(scale.shifts(mean, variance))
        return np.array([scale.smearing_shifts(r) for r in self.residuals(model, beta, windows)])


class _Tailed:
    """The tails of a sweep's fits, where asked for; `seconds` they took are no part of a fit."""

    def __init__(self, tails: Tails | None) -> None:
        self.tails, self.seconds = tails, 0.0

    def of(
        self,
        model: Linear,
        parts: Sequence[tuple[_Series, F64]],
        var_shift: F64,
        windows: I64 | None = None,
    ) -> F64 | None:
        """Of every window asked (w, …), over all parts' rows together; a part is rows and beta."""
        if self.tails is None:
            return None
        began, of = clock(), self.tails.of
        trained = [series.in_training(model, beta, windows) for series, beta in parts]
        joined = [
            tuple(map(np.concatenate, zip(*own, strict=True))) for own in zip(*trained, strict=True)
        ]
        found = np.array([of(*rows, s) for rows, s in zip(joined, var_shift, strict=True)])
        self.seconds += clock() - began
        return found


def _start(fold: Fold) -> int:
    assert isinstance(fold.train, slice)
    return fold.train.start


def _stop(fold: Fold) -> int:
    assert isinstance(fold.train, slice)
    return fold.train.stop


def _solved(
    name: str,
    moments: Moments,
    model: Linear,
    names: Sequence[str],
    windows: I64 | None = None,
    where: str = "",
) -> tuple[F64, F64, F64]:
    try:
        return moments.solve(model, names)
    except WindowError as error:
        window = error.window if windows is None else int(windows[error.window])
        raise SweepError(name, window, f"{error}{where}") from None


def _own_intercept(own: Moments, beta: F64, model: Linear, names: Sequence[str], least: int) -> F64:
    """The shared slopes with one symbol's intercepts; NaN where it has under `least` rows."""
    columns = [names.index(f) for f in model.regressors]
    local = beta.copy()
    slopes = np.einsum("wp,wp->w", own.centre[:, columns], beta[:, 1:])
    local[:, 0] = own.centre[:, -1] - slopes
    local[own.n < least, 0] = np.nan
    return local


def _sanities(
    model: Linear, swept: Sequence[_Series], moments: Sequence[Moments], total: Moments | None
) -> list[Sanity | None]:
    """Every symbol's own, or that of all rows together, whose moments are `total`."""
    if not model.insanity:
        return [None] * len(swept)
    own = [series.sanity(m) for series, m in zip(swept, moments, strict=True)]
    if total is None:
        return own
    return [Sanity.together(own, total.centre[:, -1])] * len(own)


class _Told:
    """What a sweep tells of its fits: `replaced` model -> forecasts that the filter replaced (w,).

    The models and windows of a sweep share their sums, so they share what it took, evenly.
    """

    def __init__(self, models: Mapping[str, Linear], windows: int) -> None:
        self._models, self._windows = models, windows
        self.replaced = {name: np.zeros(windows, np.int64) for name in models}

    def beside(
        self, done: Mapping[str, Walked], seconds: float, fits: I64 | None = None
    ) -> dict[str, Walked]:
        """The models with their reports; `fits` are as many as symbols fitted (w,), else 1."""
        took = seconds / (len(self._models) * self._windows)
        each = [1] * self._windows if fits is None else fits.tolist()
        plain = {n: FitReport(n, 0, took, 0.0) for n in set(each)}
        return {
            name: replace(walked, reports=tuple(self._reports(name, [plain[n] for n in each])))
            for name, walked in done.items()
        }

    def _reports(self, name: str, plain: Sequence[FitReport]) -> Iterator[FitReport]:
        model = self._models[name]
        if not model.insanity:
            yield from plain
            return
        for report, count in zip(plain, self.replaced[name].tolist(), strict=True):
            yield replace(report, training=model.told(count))
