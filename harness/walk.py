"""The walk forward: fold by fold, prove no leak, fit on the training rows, forecast the test rows.

Linear models are fitted together in sweeps over shared sums; any other model is fitted fold by
fold through `mapper`, the one seam for running folds in worker processes, or symbol by symbol in
a chain of fits. All give the same bytes whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.fold_fits import FoldResult, Settings, failed, fit_fold, merged, named, result_of
from harness.kernels.loader import clock
from harness.models.linear import Linear
from harness.models.protocol import Chained, Forecaster, Trained
from harness.splits import Fitting, make_folds, prove_no_leak
from harness.sweeps import (
    Part,
    SweepError,
    Walked,
    by_symbol,
    sweep,
    sweep_apart,
    sweep_together,
)
from harness.training_time import TrainingTime, in_words, training_time
from harness.types import F64, I64, Fold, Forecasts, LeakProof, ModelFit, Samples, Window, middle

Mapper = Callable[[Callable[..., object], Iterable[object]], Iterable[object]]
Tell = Callable[[str], None]


def _silent(_: str) -> None:
    """Nobody listens."""


def walk_forward(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    fittings: Mapping[str, Fitting],
    settings: Settings,
    *,
    mapper: Mapper = map,
    progress: Tell = _silent,
    epochs: Tell = _silent,
) -> Forecasts:
    """Forecasts of every model on every test row of one horizon, with the leak proofs of all fits.

    `windows` are scored; `fittings` say when and for whom each model is fitted. A test row whose
    symbol has too few training rows for a model fitted by symbol is left out for all models and
    counted. RunError names the window and the model of a fit that failed, and the window of a
    leak.

    `progress` is told what has been done and, before models are trained, what that will take;
    `epochs` how far a fit that trains is, where `mapper` leaves it in this process.
    """
    walk = _Walk(samples, windows, settings, mapper, progress, epochs)
    times = walk.times({n: m for n, m in models.items() if isinstance(m, Trained)}, fittings)
    if times:
        progress(in_words(times))
    done: dict[str, Walked] = {}
    for fitting, names in _alike(fittings):
        done |= walk.together({n: models[n] for n in names}, fitting)
    return _forecasts(walk, {name: done[name] for name in models}, fittings)


@dataclass(frozen=True)
class Foreseen:
    """The proofs of all fits of a walk, and what those of models that train will take."""

    proofs: tuple[LeakProof, ...]
    times: tuple[TrainingTime, ...]


def foresee(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    fittings: Mapping[str, Fitting],
    settings: Settings,
) -> Foreseen:
    """A walk that trains nothing: models that do are estimated, the others are walked.

    RunError as from `walk_forward`, but for what only training would show.
    """
    walk = _Walk(samples, windows, settings, map, _silent, _silent)
    trained = {name: m for name, m in models.items() if isinstance(m, Trained)}
    done: dict[str, Walked] = {}
    for fitting, names in _alike(fittings):
        walk.folds_of(fitting)
        done |= walk.together({n: models[n] for n in names if n not in trained}, fitting)
    if done:
        _forecasts(walk, done, fittings)
    return Foreseen(walk.every_proof, walk.times(trained, fittings))


def _alike(fittings: Mapping[str, Fitting]) -> list[tuple[Fitting, list[str]]]:
    """The models that are fitted at the same times for the same symbols."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, fitting in fittings.items():
        found.setdefault((fitting.refit, fitting.scope), []).append(name)
    return [(fittings[names[0]], names) for names in found.values()]


class _Walk:
    """The rows to forecast, and folds and proofs by the windows of the fits."""

    def __init__(
        self,
        samples: Samples,
        windows: Sequence[Window],
        settings: Settings,
        mapper: Mapper,
        progress: Tell,
        epochs: Tell,
    ) -> None:
        self.samples, self.windows, self.settings = samples, tuple(windows), settings
        self.progress, self.epochs = progress, epochs
        self.folds = make_folds(samples, windows)
        self.test = _test_rows(self.folds)
        self.mapper = mapper
        self.proofs: dict[str, tuple[LeakProof, ...]] = {}
        self._fitted: dict[str, list[Fold]] = {}
        self._parts: dict[str, list[Part]] = {}

    def folds_of(self, fitting: Fitting) -> list[Fold]:
        """The folds of the fits, proven; a refit with nothing to forecast is none."""
        found = self._fitted.get(fitting.refit)
        if found is None:
            if fitting.refit == "window":
                found = self.folds
            else:
                every = make_folds(self.samples, fitting.windows)
                found = [f for f in every if f.test.stop > f.test.start]
            self._fitted[fitting.refit] = found
            self.proofs[fitting.refit] = prove_no_leak(
                self.samples, found, self.settings.embargo, fitting.refit
            )
        return found

    def parts(self, fitting: Fitting) -> list[Part]:
        """The same by symbol."""
        if fitting.refit not in self._parts:
            used = [f.window for f in self.folds_of(fitting)]
            self._parts[fitting.refit] = list(by_symbol(self.samples, used, self.test))
        return self._parts[fitting.refit]

    @property
    def every_proof(self) -> tuple[LeakProof, ...]:
        """The proofs of all fits, by how often they are made."""
        return tuple(p for proofs in self.proofs.values() for p in proofs)

    def times(
        self, models: Mapping[str, Forecaster], fittings: Mapping[str, Fitting]
    ) -> tuple[TrainingTime, ...]:
        """What the fits of these models, which train, will take."""
        where = {"horizon": self.samples.horizon, "embargo": self.settings.embargo}
        return tuple(
            training_time(name, model, self._fits(fittings[name]), **where)
            for name, model in models.items()
        )

    def _fits(self, fitting: Fitting) -> list[tuple[Samples, Fold]]:
        """The rows and the fold of every fit of a model that is not linear."""
        if not self._apart(fitting):
            return [(self.samples, fold) for fold in self.folds_of(fitting)]
        least = self.settings.min_train
        return [
            (p.samples, p.folds[k]) for p in self.parts(fitting) for k in p.trained(least).tolist()
        ]

    def _apart(self, fitting: Fitting) -> bool:
        return fitting.scope != "pooled" and len(self.samples.symbols) > 1

    def together(self, models: Mapping[str, Forecaster], fitting: Fitting) -> dict[str, Walked]:
        """Models that are fitted at the same times for the same symbols."""
        folds = self.folds_of(fitting)
        linear = {name: m for name, m in models.items() if isinstance(m, Linear) and m.swept}
        apart, progress = self._apart(fitting), self.progress
        done = self._sweep(linear, fitting, apart=apart) if linear else {}
        if done:
            linear_models = _count(len(done), "linear model")
            progress(f"{self.samples.horizon}: {linear_models}, {_count(len(folds), 'fit')}")
        for name, model in models.items():
            if name not in done:
                if apart or isinstance(model, Chained):
                    done[name] = self._symbol_by_symbol(name, model, fitting)
                else:
                    done[name] = self._fold_by_fold(name, model, folds)
                progress(f"{self.samples.horizon}: {name}, {_count(len(folds), 'fit')}")
        return done

    def _sweep(
        self, models: Mapping[str, Linear], fitting: Fitting, *, apart: bool
    ) -> dict[str, Walked]:
        folds, beyond = self.folds_of(fitting), fitting.beyond
        scale, least = self.settings.scale, self.settings.min_train
        tails = self.settings.tails
        try:
            # Whether rows of several symbols resolve in order may change with later ones: bits too.
            if len(self.samples.symbols) == 1 and all(isinstance(f.train, slice) for f in folds):
                return sweep(models, self.samples, folds, beyond, scale, tails)
            parts = self.parts(fitting)
            if not all(isinstance(f.train, slice) for part in parts for f in part.folds):
                # A symbol whose targets do not resolve in order: fold by fold, if one fit serves.
                if apart and fitting.scope == "effects":
                    raise RunError(
                        f"models {', '.join(models)}, horizon {self.samples.horizon}: wanted scope "
                        "'pooled' or 'asset': the targets of a symbol do not resolve in the order "
                        "of their decisions, for which there is no fit with effects"
                    )
                return {}
            if apart and fitting.scope == "asset":
                return sweep_apart(models, parts, beyond, scale, least=least, tails=tails)
            ask = {"effects": apart, "least": least, "tails": tails}
            return sweep_together(models, parts, beyond, scale, **ask)
        except SweepError as error:
            raise failed(error.model, self.samples, folds[error.window], error) from None

    def _fold_by_fold(self, name: str, model: Forecaster, folds: Sequence[Fold]) -> Walked:
        label = f"{self.samples.horizon}: {name}"
        results = list(self._fit(name, model, self.samples, folds, self.mapper, label))
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
            np.array([r.tails for r in results]) if self.settings.tails else None,
        )

    def _fit(
        self,
        name: str,
        model: Forecaster,
        samples: Samples,
        folds: Sequence[Fold],
        mapper: Mapper,
        label: str,
    ) -> Iterable[FoldResult]:
        """The folds one by one; a model that trains in this process tells of its epochs."""
        if mapper is not map or not isinstance(model, Trained):
            yield from mapper(partial(fit_fold, name, model, samples, self.settings), folds)
            return
        for number, fold in enumerate(folds, 1):
            tell = partial(self._tell_epoch, f"{label}, fit {number} of {len(folds)}")
            yield fit_fold(name, model.watched(tell), samples, self.settings, fold)

    def _tell_epoch(self, label: str, epoch: str) -> None:
        self.epochs(f"{label}: {epoch}")

    def _symbol_by_symbol(self, name: str, model: Forecaster, fitting: Fitting) -> Walked:
        parts, w = self.parts(fitting), len(self.folds_of(fitting))
        alone = len(parts) == 1
        yhat = np.full(sum(p.places.size for p in parts), np.nan)
        shifts = np.full((2, w, len(parts)), np.nan)
        found: list[list[FoldResult]] = [[] for _ in range(w)]
        asked = self.settings.tails
        tails = np.full((w, len(parts), *asked.unknown.shape), np.nan) if asked else None
        stated: dict[str, F64] = {}
        for code, part in enumerate(parts):
            known = np.arange(w) if alone else part.trained(self.settings.min_train)
            edges = part.split()
            for k, result in zip(known, self._one_symbol(name, model, part, known), strict=True):
                yhat[part.places[edges[k] : edges[k + 1]]] = result.yhat
                shifts[:, k, code] = result.shifts
                if tails is not None:
                    tails[k, code] = result.tails
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
            tuple(merged([r.report for r in results]) for results in found),
            tails,
        )

    def _one_symbol(
        self, name: str, model: Forecaster, part: Part, known: I64
    ) -> Iterator[FoldResult]:
        folds = [part.folds[k] for k in known]
        if not isinstance(model, Chained):
            symbol = part.samples.symbols[part.samples.rows.symbol[0]]
            label = f"{self.samples.horizon}: {name}, {symbol}"
            yield from self._fit(name, model, part.samples, folds, map, label)
            return
        rows = part.samples.rows.columns(model.features)
        chain = model.fit_chain(
            rows, part.samples.y, [f.train for f in folds], seed=self.settings.seed
        )
        results, seconds = [], 0.0
        for fold in folds:
            with named(name, part.samples, fold):
                began = clock()
                fitted = next(chain)
                seconds += clock() - began
                ask = fold, fold.train, self.settings
                results.append(result_of(fitted, rows, part.samples, *ask, 0.0))
        # A chain fits many folds at a step, so what it took is shared evenly.
        for result in results:
            report = replace(result.report, fit_seconds=seconds / len(folds))
            yield replace(result, report=report)


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
    edges = _edges(walk.folds)
    window = np.repeat(np.arange(len(walk.folds), dtype=np.int32), np.diff(edges))
    symbol, unfitted = samples.rows.symbol[test], {}
    if not known.all():
        left = np.bincount(symbol[~known], minlength=len(samples.symbols))
        unfitted = {samples.symbols[c]: int(left[c]) for c in np.flatnonzero(left)}
        _require_some(walk, known, edges)
    kept = np.concatenate(([0], np.cumsum(known)))
    pick = slice(None) if known.all() else np.flatnonzero(known)
    fits, made = {}, {}
    for name, d in done.items():
        refit = fittings[name].refit
        if refit not in made:
            folds = walk.folds_of(fittings[name])
            made[refit] = np.array([f.window.cut for f in folds], np.int64), kept[_edges(folds)]
        cuts, own = made[refit]
        fits[name] = ModelFit(
            model=name,
            names=d.names,
            coefficients=d.coefficients,
            var_shift=d.var_shift,
            sigma_shift=d.sigma_shift,
            cuts=cuts,
            edges=own,
            reports=d.reports,
            scope=fittings[name].scope,
            refit=refit,
            tails=d.tails,
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
        proofs=walk.every_proof,
        overlap=samples.overlap,
        unfitted=unfitted,
        returns=None if samples.returns is None else samples.returns[test][pick],
    )


def _edges(folds: Sequence[Fold]) -> I64:
    """Where the test rows of each fold begin and end among all of them (w + 1,)."""
    return np.cumsum([0, *(f.test.stop - f.test.start for f in folds)], dtype=np.int64)


def _require_some(walk: _Walk, known: np.ndarray, edges: I64) -> None:
    for fold, a, b in zip(walk.folds, edges[:-1], edges[1:], strict=True):
        if not known[a:b].any():
            raise RunError(
                f"window {fold.window.index + 1} ({show_moment(fold.window.cut)}), horizon "
                f"{walk.samples.horizon}: no symbol has walk_forward.min_train = "
                f"{walk.settings.min_train} training rows for the models fitted by symbol"
            )


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' if n != 1 else ''}"
