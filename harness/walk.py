"""The walk forward: fold by fold, prove no leak, fit on the training rows, forecast the test rows.

Linear models are fitted together in sweeps over shared sums; any other model is fitted fold by
fold through `mapper`, the one seam for running folds in worker processes, or symbol by symbol in
a chain of fits. All give the same bytes whatever the number of workers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.models.linear import Linear
from harness.models.protocol import Chained, Forecaster, ModelError
from harness.outlook import watched
from harness.scale import TargetScale
from harness.splits import Fitting, hold_out, make_folds, prove_no_leak
from harness.sweeps import (
    Part,
    SweepError,
    Walked,
    by_symbol,
    sweep,
    sweep_apart,
    sweep_together,
)
from harness.types import (
    F64,
    I64,
    FitReport,
    Fold,
    Forecasts,
    LeakProof,
    ModelFit,
    Rows,
    Samples,
    Training,
    Window,
    middle,
)

Mapper = Callable[[Callable[..., object], Iterable[object]], Iterable[object]]
MIN_TRAIN = 100  # training rows from which on a symbol is fitted by itself


@dataclass(frozen=True)
class Settings:
    """What every fit of a walk shares: the embargo (ns), the target's scale, the seed.

    `min_train` is how many training rows a symbol needs to be fitted by itself.
    """

    embargo: int
    scale: TargetScale
    seed: int = 0
    min_train: int = MIN_TRAIN


def walk_forward(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    fittings: Mapping[str, Fitting],
    settings: Settings,
    *,
    mapper: Mapper = map,
    progress: Callable[[str], None] = lambda _: None,
) -> Forecasts:
    """Forecasts of every model on every test row of one horizon, with the leak proofs of all fits.

    `windows` are scored; `fittings` say when and for whom each model is fitted. A test row whose
    symbol has too few training rows for a model fitted by symbol is left out for all models and
    counted. RunError names the window and the model of a fit that failed, and the window of a
    leak.
    """
    walk = _Walk(samples, windows, settings, mapper)
    done: dict[str, Walked] = {}
    for fitting in dict.fromkeys(fittings.values()):
        mine = {name: m for name, m in models.items() if fittings[name] == fitting}
        done |= walk.together(mine, fitting, progress)
    return _forecasts(walk, {name: done[name] for name in models}, fittings)


class _Walk:
    """The rows to forecast, and folds and proofs by the windows of the fits."""

    def __init__(
        self, samples: Samples, windows: Sequence[Window], settings: Settings, mapper: Mapper
    ) -> None:
        self.samples, self.windows, self.settings = samples, tuple(windows), settings
        self.folds = make_folds(samples, windows)
        self.test = _test_rows(self.folds)
        self.mapper = mapper
        self.proofs: dict[str, tuple[LeakProof, ...]] = {}
        self._fitted: dict[tuple[Window, ...], list[Fold]] = {}
        self._parts: dict[tuple[Window, ...], list[Part]] = {}

    def folds_of(self, fitting: Fitting) -> list[Fold]:
        """The folds of the fits, proven; a refit with nothing to forecast is none."""
        found = self._fitted.get(fitting.windows)
        if found is None:
            if fitting.refit == "window":
                found = self.folds
            else:
                every = make_folds(self.samples, fitting.windows)
                found = [f for f in every if f.test.stop > f.test.start]
            self._fitted[fitting.windows] = found
        if fitting.refit not in self.proofs:
            self.proofs[fitting.refit] = prove_no_leak(
                self.samples, found, self.settings.embargo, fitting.refit
            )
        return found

    def parts(self, fitting: Fitting) -> list[Part]:
        """The same by symbol."""
        if fitting.windows not in self._parts:
            used = [f.window for f in self.folds_of(fitting)]
            self._parts[fitting.windows] = list(by_symbol(self.samples, used, self.test))
        return self._parts[fitting.windows]

    def together(
        self, models: Mapping[str, Forecaster], fitting: Fitting, progress: Callable[[str], None]
    ) -> dict[str, Walked]:
        """Models that are fitted at the same times for the same symbols."""
        folds = self.folds_of(fitting)
        linear = {name: m for name, m in models.items() if isinstance(m, Linear)}
        apart = fitting.scope != "pooled" and len(self.samples.symbols) > 1
        done = self._sweep(linear, fitting, apart=apart) if linear else {}
        if done:
            progress(f"{self.samples.horizon}: {len(done)} linear models, {len(folds)} windows")
        for name, model in models.items():
            if name not in done:
                if apart or isinstance(model, Chained):
                    shown = self._watched(name, model, folds, progress, len(self.parts(fitting)))
                    done[name] = self._symbol_by_symbol(name, shown, fitting)
                else:
                    shown = self._watched(name, model, folds, progress)
                    done[name] = self._fold_by_fold(name, shown, folds)
                progress(f"{self.samples.horizon}: {name}, {len(folds)} windows")
        return done

    def _sweep(
        self, models: Mapping[str, Linear], fitting: Fitting, *, apart: bool
    ) -> dict[str, Walked]:
        folds, beyond = self.folds_of(fitting), fitting.beyond
        scale, least = self.settings.scale, self.settings.min_train
        try:
            if not apart and all(isinstance(f.train, slice) for f in folds):
                return sweep(models, self.samples, folds, beyond, scale)
            parts = self.parts(fitting)
            if not all(isinstance(f.train, slice) for part in parts for f in part.folds):
                return {}  # a symbol whose targets do not resolve in order: fold by fold
            if apart and fitting.scope == "asset":
                return sweep_apart(models, parts, beyond, scale, least=least)
            return sweep_together(models, parts, beyond, scale, effects=apart, least=least)
        except SweepError as error:
            raise _failed(error.model, self.samples, folds[error.window], error) from None

    def _watched(
        self,
        name: str,
        model: Forecaster,
        folds: Sequence[Fold],
        progress: Callable[[str], None],
        parts: int = 1,
    ) -> Forecaster:
        if self.mapper is not map:  # `progress` does not go into other processes
            return model
        embargo = self.settings.embargo
        return watched(name, model, self.samples, folds, embargo, progress, parts)

    def _fold_by_fold(self, name: str, model: Forecaster, folds: Sequence[Fold]) -> Walked:
        one = partial(fit_fold, name, model, self.samples, self.settings)
        results = list(self.mapper(one, folds))
        names = tuple(dict.fromkeys(key for r in results for key in r.stated))
        stated = np.array([[r.stated.get(key, np.nan) for key in names] for r in results])
        shifts = np.array([r.shifts for r in results])
        return Walked(
            np.concatenate([r.yhat for r in results]),
            names,
            stated.reshape(len(folds), -1),
            shifts[:, 0],
            shifts[:, 1],
            tuple(r.report for r in results),
        )

    def _symbol_by_symbol(self, name: str, model: Forecaster, fitting: Fitting) -> Walked:
        parts, w = self.parts(fitting), len(self.folds_of(fitting))
        alone = len(parts) == 1
        yhat = np.full(sum(p.places.size for p in parts), np.nan)
        shifts = np.full((2, w, len(parts)), np.nan)
        found: list[list[FoldResult]] = [[] for _ in range(w)]
        stated: dict[str, F64] = {}
        for code, part in enumerate(parts):
            known = np.arange(w) if alone else part.trained(self.settings.min_train)
            edges = part.split()
            for k, result in zip(known, self._one_symbol(name, model, part, known), strict=True):
                yhat[part.places[edges[k] : edges[k + 1]]] = result.yhat
                shifts[:, k, code] = result.shifts
                found[k].append(result)
                for key, value in result.stated.items():
                    column = stated.setdefault(key, np.full((w, len(parts)), np.nan))
                    column[k, code] = value
        return Walked(
            yhat,
            tuple(stated),
            np.column_stack([np.empty((w, 0)), *(middle(v) for v in stated.values())]),
            shifts[0, :, 0] if alone else shifts[0],
            shifts[1, :, 0] if alone else shifts[1],
            tuple(_merged([r.report for r in results]) for results in found),
        )

    def _one_symbol(
        self, name: str, model: Forecaster, part: Part, known: I64
    ) -> Iterator[FoldResult]:
        folds = [part.folds[k] for k in known]
        if not isinstance(model, Chained):
            yield from map(partial(fit_fold, name, model, part.samples, self.settings), folds)
            return
        rows, scale = part.samples.rows.columns(model.features), self.settings.scale
        chain = model.fit_chain(
            rows, part.samples.y, [f.train for f in folds], seed=self.settings.seed
        )
        for fold in folds:
            with _named(name, part.samples, fold):
                began = time.perf_counter()
                fitted = next(chain)
                seconds = time.perf_counter() - began
                result = _result(fitted, rows, part.samples.y, fold, fold.train, scale, seconds)
            yield result


@dataclass(frozen=True)
class FoldResult:
    """One model on one fold: test forecasts, what it states, the way back, how the fit went."""

    yhat: F64
    stated: Mapping[str, float]
    shifts: tuple[float, float]
    report: FitReport


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
    with _named(name, samples, fold):
        began = time.perf_counter()
        fitted = model.fit(rows.take(train), y[train], validation=validation, seed=settings.seed)
        seconds = time.perf_counter() - began
        return _result(fitted, rows, y, fold, train, settings.scale, seconds)


def _result(
    fitted: Forecaster,
    rows: Rows,
    y: F64,
    fold: Fold,
    train: slice | I64,
    scale: TargetScale,
    seconds: float,
) -> FoldResult:
    began = time.perf_counter()
    yhat = fitted.predict(rows.take(fold.test))
    predicted = time.perf_counter() - began
    residuals = y[train] - fitted.predict(rows.take(train))
    if not (np.isfinite(yhat).all() and np.isfinite(residuals).all()):
        raise ModelError("a forecast is not finite")
    if scale.back == "smearing":
        shifts = scale.smearing_shifts(residuals)
    else:
        shifts = scale.shifts(residuals.mean(), residuals.var())
    training = fitted.training
    failed = int(training is not None and not training.converged)
    report = FitReport(1, failed, seconds, predicted, training)
    return FoldResult(yhat, dict(fitted.coefficients), shifts, report)


@contextmanager
def _named(name: str, samples: Samples, fold: Fold) -> Iterator[None]:
    """ModelError as a RunError that names model, symbol and window."""
    try:
        yield
    except ModelError as error:
        raise _failed(name, samples, fold, error) from None


def _merged(reports: Sequence[FitReport]) -> FitReport:
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


def _test_rows(folds: Sequence[Fold]) -> slice | I64:
    """All test rows: one slice where the windows follow each other without a gap."""
    if all(a.test.stop == b.test.start for a, b in pairwise(folds)):
        return slice(folds[0].test.start, folds[-1].test.stop)
    return np.concatenate([np.arange(f.test.start, f.test.stop) for f in folds])


def _forecasts(
    walk: _Walk, done: Mapping[str, Walked], fittings: Mapping[str, Fitting]
) -> Forecasts:
    """Everything over the test rows that every model could forecast."""
    samples, test = walk.samples, walk.test
    known = np.all([np.isfinite(d.yhat) for d in done.values()], axis=0)
    sizes = [f.test.stop - f.test.start for f in walk.folds]
    edges = np.cumsum([0, *sizes], dtype=np.int64)
    window = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    symbol, unfitted = samples.rows.symbol[test], {}
    if not known.all():
        left = np.bincount(symbol[~known], minlength=len(samples.symbols))
        unfitted = {samples.symbols[c]: int(left[c]) for c in np.flatnonzero(left)}
        _require_some(walk, known, edges)
    kept = np.concatenate(([0], np.cumsum(known)))
    pick = slice(None) if known.all() else np.flatnonzero(known)
    fits = {}
    for name, d in done.items():
        folds = walk.folds_of(fittings[name])
        own = np.cumsum([0, *(f.test.stop - f.test.start for f in folds)], dtype=np.int64)
        fits[name] = ModelFit(
            model=name,
            names=d.names,
            coefficients=d.coefficients,
            var_shift=d.var_shift,
            sigma_shift=d.sigma_shift,
            cuts=np.array([f.window.cut for f in folds], np.int64),
            edges=kept[own],
            reports=d.reports,
            scope=fittings[name].scope,
            refit=fittings[name].refit,
        )
    return Forecasts(
        horizon=samples.horizon,
        symbols=samples.symbols,
        symbol=symbol[pick],
        formed_at=samples.rows.formed_at[test][pick],
        resolved_at=samples.resolved_at[test][pick],
        window=window[pick],
        windows=walk.windows,
        edges=kept[edges],
        y=samples.y[test][pick],
        last=samples.last[test][pick],
        yhat={name: d.yhat[pick] for name, d in done.items()},
        fits=fits,
        proofs=tuple(p for proofs in walk.proofs.values() for p in proofs),
        overlap=samples.overlap,
        unfitted=unfitted,
    )


def _require_some(walk: _Walk, known: np.ndarray, edges: I64) -> None:
    for fold, a, b in zip(walk.folds, edges[:-1], edges[1:], strict=True):
        if not known[a:b].any():
            raise RunError(
                f"window {fold.window.index + 1} ({show_moment(fold.window.cut)}), horizon "
                f"{walk.samples.horizon}: no symbol has walk_forward.min_train = "
                f"{walk.settings.min_train} training rows for the models fitted by symbol"
            )


def _failed(name: str, samples: Samples, fold: Fold, error: Exception) -> RunError:
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
