"""Linear models over all windows at once: rows are summed once, windows merge the sums.

Pooled: one set of coefficients for all symbols. With effects: shared slopes and an intercept per
symbol (least squares with a dummy per symbol, Wooldridge 2010, Econometric Analysis of Cross
Section and Panel Data, section 10.5). By asset: each symbol is fitted alone. Symbols are swept one
after the other, so the cost is linear in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.kernels.loader import clock
from harness.models.insanity_filter import Sanity
from harness.models.linear import Linear, Moments, WindowError, term_by_term
from harness.samples.splits import make_folds
from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, FitReport, Fold, Samples, Window, middle
from harness.walk.residuals.kept import NO_SUMMARY, NOTHING, ResidualPlan, ResidualSummary
from harness.walk.sweep_rows import Series, Summaries


@dataclass(frozen=True)
class Walked:
    """A model's forecasts of the test rows (n,) in their order, and its w fits as in ModelFit.

    A forecast is NaN if the row's symbol has too few training rows. `summaries` are of the fits'
    residuals.
    """

    yhat: F64
    names: tuple[str, ...]
    coefficients: F64
    var_shift: F64
    sigma_shift: F64
    reports: tuple[FitReport, ...]
    summaries: ResidualSummary = NO_SUMMARY


@dataclass(frozen=True)
class Part:
    """One symbol's samples and folds, and the positions of its test rows among all test rows."""

    samples: Samples
    folds: list[Fold]
    places: I64

    def trained(self, least: int) -> I64:
        """Positions of the folds in which it has `least` training rows and any test rows."""
        rows = np.array([self.samples.y[f.train].size for f in self.folds])
        tested = np.array([f.test.stop > f.test.start for f in self.folds])
        return np.flatnonzero((rows >= least) & tested)

    def split(self) -> I64:
        """Where each fold's test rows begin and end among this symbol's (w + 1,)."""
        return np.cumsum([0, *(f.test.stop - f.test.start for f in self.folds)], dtype=np.int64)


def by_symbol(samples: Samples, folds: Sequence[Fold]) -> Iterator[Part]:
    """Every symbol's part of the folds; test rows are in the order of the folds."""
    edges = np.cumsum([0, *(f.test.stop - f.test.start for f in folds)], dtype=np.int64)
    for code in range(len(samples.symbols)):
        positions = np.flatnonzero(samples.rows.symbol == code)
        part = samples.of(positions)
        own = make_folds(part, [f.window for f in folds])
        places = [
            positions[f.test] - whole.test.start + edge
            for f, whole, edge in zip(own, folds, edges[:-1], strict=True)
        ]
        yield Part(part, own, np.concatenate(places))


def sweep(
    models: Mapping[str, Linear],
    samples: Samples,
    folds: Sequence[Fold],
    beyond: Sequence[Window],
    scale: TargetScale,
    keep: ResidualPlan = NOTHING,
) -> dict[str, Walked]:
    """Models of one symbol with training rows in slices; SweepError names a failed window."""
    began = clock()
    series = Series(models, samples, folds, beyond)
    moments = series.moments(np.arange(len(folds)))
    done: dict[str, Walked] = {}
    reports, summaries = _Reports(models, len(folds)), Summaries(keep)
    for name, model in models.items():
        beta, mean, variance = _solved(name, moments, model, series.names)
        shifts = series.shifts(model, beta, mean, variance, scale)
        sanity = series.sanity(moments) if model.insanity else None
        yhat, reports.replaced[name] = series.forecasts(model, beta, sanity)
        done[name] = Walked(
            yhat,
            model.coefficient_names,
            model.stated(beta, moments.centre, series.names),
            shifts[:, 0],
            shifts[:, 1],
            (),
            summaries.of(model, [(series, beta)], shifts[:, 0]),
        )
    return reports.added(done, clock() - began - summaries.seconds)


def sweep_together(
    models: Mapping[str, Linear],
    parts: Sequence[Part],
    beyond: Sequence[Window],
    scale: TargetScale,
    *,
    effects: bool,
    least: int,
    keep: ResidualPlan = NOTHING,
) -> dict[str, Walked]:
    """Slopes shared by all symbols; with effects, an intercept per symbol with `least` rows."""
    began, w = clock(), len(parts[0].folds)
    swept = [Series(models, p.samples, p.folds, beyond) for p in parts]
    every = np.arange(w)
    moments = [series.moments(every) for series in swept]
    total = moments[0]
    for own in moments[1:]:
        total = total.plus(own)
    within = replace(total, gram=np.sum([m.gram for m in moments], axis=0)) if effects else total
    size = sum(p.places.size for p in parts)
    done: dict[str, Walked] = {}
    reports, summaries = _Reports(models, w), Summaries(keep)
    for name, model in models.items():
        names = swept[0].names
        beta, mean, variance = _solved(name, within, model, names)
        yhat, residuals, fitted = np.full(size, np.nan), [], []
        sane = _sanities(model, swept, moments, None if effects else total)
        for part, series, own, sanity in zip(parts, swept, moments, sane, strict=True):
            local = _own_intercept(own, beta, model, names, least) if effects else beta
            yhat[part.places], count = series.forecasts(model, local, sanity)
            reports.replaced[name] += count
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
            summaries.of(model, fitted, shifts[:, 0]),
        )
    return reports.added(done, clock() - began - summaries.seconds)


def sweep_apart(
    models: Mapping[str, Linear],
    parts: Sequence[Part],
    beyond: Sequence[Window],
    scale: TargetScale,
    *,
    least: int,
    keep: ResidualPlan = NOTHING,
) -> dict[str, Walked]:
    """Every symbol fitted alone, in windows in which it has `least` training rows."""
    w, s, size = len(parts[0].folds), len(parts), sum(p.places.size for p in parts)
    yhat = {name: np.full(size, np.nan) for name in models}
    stated = {name: np.full((w, s, len(m.coefficient_names)), np.nan) for name, m in models.items()}
    shifts = {name: np.full((2, w, s), np.nan) for name in models}
    kept = {name: keep.unknown(w, s) for name in models}
    reports, summaries = _Reports(models, w), Summaries(keep)
    fitted, began = np.zeros(w, np.int64), clock()
    for code, part in enumerate(parts):
        known = part.trained(least)
        fitted[known] += 1
        if not known.size:
            continue
        series = Series(models, part.samples, part.folds, beyond)
        moments = series.moments(known)
        for name, model in models.items():
            beta = np.full((w, 1 + len(model.regressors)), np.nan)
            where = f" of {part.samples.symbols[code]}"
            beta[known], mean, variance = _solved(name, moments, model, series.names, known, where)
            found = series.shifts(model, beta[known], mean, variance, scale, known)
            shifts[name][:, known, code] = found.T
            if keep:
                own = summaries.of(model, [(series, beta[known])], found[:, 0], known)
                kept[name].put((known, code), own)
            stated[name][known, code] = model.stated(beta[known], moments.centre, series.names)
            sanity = series.sanity(moments, known) if model.insanity else None
            yhat[name][part.places], count = series.forecasts(model, beta, sanity)
            reports.replaced[name] += count
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
            kept[name],
        )
        for name, model in models.items()
    }
    return reports.added(done, clock() - began - summaries.seconds, fitted)


class SweepError(Exception):
    """A model that could not be fitted in one window: its name, the window's position, why."""

    def __init__(self, model: str, window: int, reason: str) -> None:
        super().__init__(reason)
        self.model, self.window = model, window


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
    """The shared slopes with one symbol's intercepts; NaN if it has under `least` rows."""
    columns = [names.index(f) for f in model.regressors]
    local = beta.copy()
    local[:, 0] = own.centre[:, -1] - term_by_term(own.centre[:, columns], beta[:, 1:])
    local[own.n < least, 0] = np.nan
    return local


def _sanities(
    model: Linear, swept: Sequence[Series], moments: Sequence[Moments], total: Moments | None
) -> Sequence[Sanity | None]:
    """The filter of every symbol, or of all rows together if `total`, their moments, is given."""
    if not model.insanity:
        return [None] * len(swept)
    own = [series.sanity(m) for series, m in zip(swept, moments, strict=True)]
    if total is None:
        return own
    return [Sanity.together(own, total.centre[:, -1])] * len(own)


class _Reports:
    """The fit reports of a sweep; `replaced` counts a model's filtered forecasts by window (w,).

    The models and windows of a sweep share their sums, so its time is shared evenly.
    """

    def __init__(self, models: Mapping[str, Linear], windows: int) -> None:
        self._models, self._windows = models, windows
        self.replaced = {name: np.zeros(windows, np.int64) for name in models}

    def added(
        self, done: Mapping[str, Walked], seconds: float, fits: I64 | None = None
    ) -> dict[str, Walked]:
        """The models with their reports; `fits` is the number of symbols fitted (w,), else 1."""
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
            yield replace(report, training=model.report(count))
