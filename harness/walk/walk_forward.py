"""The walk forward: prove that no fold leaks, fit on training rows, forecast test rows.

Linear models are fitted together in sweeps over shared sums, and some other models in a chain of
fits per symbol. All others are fitted fold by fold by an `executor`, which may use other processes.
The forecasts are the same bytes for any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from harness.errors import RunError
from harness.models.linear import Linear
from harness.models.protocol import Chained, Forecaster, Seeded, Trained
from harness.samples.splits import Fitting, alike, make_folds, prove_no_leak
from harness.types import F64, I64, Fold, Forecasts, LeakProof, Progress, Samples, Window, middle
from harness.walk.chained_fits import chained
from harness.walk.common_rows import over_common_rows
from harness.walk.conformal_refits import before_slices, named_refits, with_conformal
from harness.walk.executors import HERE, Executor
from harness.walk.fit_jobs import Job, is_cached, numbered, results
from harness.walk.fit_reports import merged
from harness.walk.fold_fit import Settings, failed, without_residuals
from harness.walk.fold_result import FoldResult
from harness.walk.linear_sweep import (
    Part,
    SweepError,
    Walked,
    by_symbol,
    sweep,
    sweep_apart,
    sweep_together,
)
from harness.walk.residuals.kept import stacked
from harness.walk.training_time import TrainingTime, in_words, pretraining_of, training_time


def _silent(_: str) -> None:
    """Discards progress messages."""


def walk_forward(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    fittings: Mapping[str, Fitting],
    settings: Settings,
    *,
    executor: Executor | None = None,
    progress: Progress = _silent,
    epochs: Progress = _silent,
) -> Forecasts:
    """Forecasts of every model on every test row of one horizon, with the leak proofs of all fits.

    `windows` are the scored test windows; `fittings` say when and for which symbols each model is
    fitted. A test row is left out for all models, and counted, if its symbol has too few training
    rows for a model fitted by symbol. RunError names the window and model of a failed fit, or the
    window of a leak.

    `executor` runs the fits if training takes long enough; without one they run in this process and
    no training time is estimated. `progress` gets what is done and, before training, the estimated
    time; `epochs` gets the epochs of fits in this process, or the finished fits of other processes.
    """
    walk = _Walk(samples, windows, settings, progress)
    walk.prove(fittings)
    blind = walk.before_slices(models, fittings)
    runs = HERE
    if executor is not None:
        times = walk.every_time(models, fittings, blind)
        if times:
            progress(in_words(times))
        runs = executor.suited(sum(t.typical for t in times))
    done, repeats = walk.walked(models, fittings, runs, epochs)
    done |= walk.calibrated(done, models, fittings, blind, runs, epochs)
    return walk.forecasts(done, repeats, fittings)


@dataclass(frozen=True)
class Foreseen:
    """The leak proofs of all fits of a walk, and the training time of models that train long."""

    proofs: tuple[LeakProof, ...]
    times: tuple[TrainingTime, ...]


def foresee(
    models: Mapping[str, Forecaster],
    samples: Samples,
    windows: Sequence[Window],
    fittings: Mapping[str, Fitting],
    settings: Settings,
) -> Foreseen:
    """A walk without training: the time of models that train is estimated, others are walked.

    RunError as from `walk_forward`, except for errors that only training would show.
    """
    walk = _Walk(samples, windows, settings, _silent)
    trained = {name: m for name, m in models.items() if isinstance(m, Trained)}
    walk.prove(fittings)
    blind = walk.before_slices(models, fittings)
    rest = {name: m for name, m in models.items() if name not in trained}
    if rest:
        walk.forecasts(*walk.walked(rest, fittings, HERE, _silent), fittings)
    return Foreseen(walk.every_proof, walk.every_time(models, fittings, blind))


class _Walk:
    """The rows of one horizon, with folds and leak proofs by how often models are refitted."""

    def __init__(
        self,
        samples: Samples,
        windows: Sequence[Window],
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.samples, self.settings, self.progress = samples, settings, progress
        self.folds = make_folds(samples, windows)
        self.proofs: dict[str, tuple[LeakProof, ...]] = {}
        self._fitted: dict[str, list[Fold]] = {}
        self._parts: dict[str, list[Part]] = {}

    def prove(self, fittings: Mapping[str, Fitting]) -> None:
        """Prove the folds of all fits before the first fit."""
        for fitting in fittings.values():
            self.folds_of(fitting)

    def folds_of(self, fitting: Fitting) -> list[Fold]:
        """The folds of the fits, proven free of leaks; refits without test rows are dropped."""
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
        """The same folds by symbol."""
        if fitting.refit not in self._parts:
            folds = self.folds_of(fitting)
            self._parts[fitting.refit] = list(by_symbol(self.samples, folds))
        return self._parts[fitting.refit]

    @property
    def every_proof(self) -> tuple[LeakProof, ...]:
        """The proofs of all fits, grouped by refit frequency."""
        return tuple(p for proofs in self.proofs.values() for p in proofs)

    def times(
        self, models: Mapping[str, Forecaster], fittings: Mapping[str, Fitting]
    ) -> tuple[TrainingTime, ...]:
        """The training time of these models' fits that are not cached."""
        found: list[TrainingTime] = []
        counted: set[tuple[str, int, int]] = set()
        for name, model in models.items():
            fitting, seeds = fittings[name], self._seeds(model)
            every = (job for seed in seeds for job in self._jobs(name, model, fitting, seed))
            jobs = [job for job in every if not is_cached(job, self.settings)]
            limits = {(job.fold.window.limit, job.seed) for job in jobs}
            pretraining = pretraining_of(model, limits, self.settings) - counted
            counted |= pretraining
            if jobs:
                fits = [(job.samples, job.fold) for job in jobs]
                time = training_time(
                    name, model, fits, self.samples.horizon, self.settings, len(pretraining)
                )
                found.append(time)
        return tuple(found)

    def every_time(
        self, models: Mapping[str, Forecaster], fittings: Mapping[str, Fitting], blind: Blind
    ) -> tuple[TrainingTime, ...]:
        """The same, and of the refits for conformal distributions."""
        trained = {name: m for name, m in models.items() if isinstance(m, Trained)}
        found = self.times(trained, fittings)
        for walk, own in blind:
            with named_refits():
                times = walk.times({n: m for n, m in trained.items() if n in own}, own)
            found += tuple(replace(t, model=f"{t.model} without held-out rows") for t in times)
        return found

    def before_slices(
        self, models: Mapping[str, Forecaster], fittings: Mapping[str, Fitting]
    ) -> Blind:
        """Walks that refit models for conformal distributions (conformal_refits.py), proven too."""
        found: Blind = []
        if not (laws := self.settings.keep.laws) or not laws.conformal:
            return found
        settings = without_residuals(self.settings)
        refitted = {name: model for name, model in models.items() if not model.validates}
        for fitting, names in alike(refitted, fittings):
            own = [f.window for f in self.folds_of(fitting)]
            windows = before_slices(own, settings.embargo)
            walk = _Walk(self.samples, windows, settings, self.progress)
            again = Fitting(windows, fitting.beyond, scope=fitting.scope)
            with named_refits():
                walk.prove({"": again})
            found.append((walk, dict.fromkeys(names, again)))
        return found

    def calibrated(
        self,
        done: Mapping[str, Walked],
        models: Mapping[str, Forecaster],
        fittings: Mapping[str, Fitting],
        blind: Blind,
        executor: Executor,
        epochs: Progress,
    ) -> dict[str, Walked]:
        """The models that are refitted for conformal distributions, with these distributions."""
        found: dict[str, Walked] = {}
        laws = self.settings.keep.laws
        if laws is None:
            return found
        for walk, own in blind:
            with named_refits():
                seen, _ = walk.walked({n: models[n] for n in own}, own, executor, epochs)
            for name, again in seen.items():
                limits = [f.window.limit for f in self.folds_of(fittings[name])]
                found[name] = with_conformal(
                    done[name], laws, self.samples, walk.folds, again, limits
                )
        return found

    def _seeds(self, model: Forecaster) -> range:
        """The seeds that it is fitted with: one, unless its fits depend on the seed."""
        drawn = isinstance(model, Seeded) and model.seeded
        return range(self.settings.seed, self.settings.seed + (self.settings.seeds if drawn else 1))

    def _apart(self, fitting: Fitting) -> bool:
        return fitting.scope != "pooled" and len(self.samples.symbols) > 1

    def walked(
        self,
        models: Mapping[str, Forecaster],
        fittings: Mapping[str, Fitting],
        executor: Executor,
        epochs: Progress,
    ) -> tuple[dict[str, Walked], dict[int, dict[str, Walked]]]:
        """Every model's fits and forecasts, and by seed those of the further seeds."""
        done: dict[str, Walked] = {}
        for fitting, names in alike(models, fittings):
            done |= self._linear({n: models[n] for n in names}, fitting)
        for name, model in models.items():
            if name not in done and isinstance(model, Chained):
                done[name] = self._symbol_by_symbol(
                    fittings[name], partial(chained, name, model, self.settings)
                )
                self._told(name, fittings[name])
        left = [(seed, n) for n in models if n not in done for seed in self._seeds(models[n])]
        left.sort(key=lambda one: one[0])
        jobs = [job for seed, n in left for job in self._jobs(n, models[n], fittings[n], seed)]
        made = results(jobs, self.settings, executor, epochs)
        repeats: dict[int, dict[str, Walked]] = {}
        for seed, name in left:
            found = self._one_by_one(fittings[name], made)
            if name in done:
                repeats.setdefault(seed, {})[name] = found
            else:
                done[name] = found
            self._told(name, fittings[name], seed)
        return {name: done[name] for name in models}, repeats

    def _one_by_one(self, fitting: Fitting, made: Iterator[FoldResult]) -> Walked:
        if self._apart(fitting):
            return self._symbol_by_symbol(fitting, lambda _, known: islice(made, known.size))
        return self._fold_by_fold(list(islice(made, len(self.folds_of(fitting)))))

    def _linear(self, models: Mapping[str, Forecaster], fitting: Fitting) -> dict[str, Walked]:
        """Linear models that are fitted at the same times for the same symbols, in one sweep."""
        linear = {name: m for name, m in models.items() if isinstance(m, Linear) and m.swept}
        done = self._sweep(linear, fitting, apart=self._apart(fitting)) if linear else {}
        if done:
            self._told(_count(len(done), "linear model"), fitting)
        return done

    def _told(self, what: str, fitting: Fitting, seed: int | None = None) -> None:
        fits = _count(len(self.folds_of(fitting)), "fit")
        with_seed = f", seed {seed}" if seed is not None and self.settings.seeds > 1 else ""
        self.progress(f"{self.samples.horizon}: {what}{with_seed}, {fits}")

    def forecasts(
        self,
        done: Mapping[str, Walked],
        repeats: Mapping[int, Mapping[str, Walked]],
        fittings: Mapping[str, Fitting],
    ) -> Forecasts:
        """The results over the test rows that every model could forecast."""
        fitted = {name: (fittings[name], self.folds_of(fittings[name])) for name in done}
        least = self.settings.min_train
        return over_common_rows(
            self.samples, self.folds, done, repeats, fitted, self.every_proof, least
        )

    def _sweep(
        self, models: Mapping[str, Linear], fitting: Fitting, *, apart: bool
    ) -> dict[str, Walked]:
        folds, beyond = self.folds_of(fitting), fitting.beyond
        scale, least, keep = self.settings.scale, self.settings.min_train, self.settings.keep
        try:
            # Whether rows of several symbols resolve in order may depend on later rows. Sweeping
            # symbol by symbol gives the same bits either way.
            if len(self.samples.symbols) == 1 and all(isinstance(f.train, slice) for f in folds):
                return sweep(models, self.samples, folds, beyond, scale, keep)
            parts = self.parts(fitting)
            if not all(isinstance(f.train, slice) for part in parts for f in part.folds):
                # A symbol's targets do not resolve in order: these models are fitted fold by fold.
                if apart and fitting.scope == "effects":
                    raise RunError(
                        f"models {', '.join(models)}, horizon {self.samples.horizon}: wanted scope "
                        "'pooled' or 'asset': scope 'effects' needs every symbol's targets to "
                        "resolve in the order of their forecast origins"
                    )
                return {}
            if apart and fitting.scope == "asset":
                return sweep_apart(models, parts, beyond, scale, least=least, keep=keep)
            return sweep_together(
                models, parts, beyond, scale, effects=apart, least=least, keep=keep
            )
        except SweepError as error:
            raise failed(error.model, self.samples, folds[error.window], error) from None

    def _fold_by_fold(self, results: Sequence[FoldResult]) -> Walked:
        names = tuple(dict.fromkeys(key for r in results for key in r.stated))
        stated = np.array([[r.stated.get(key, np.nan) for key in names] for r in results])
        shifts = np.array([r.shifts for r in results])
        return Walked(
            np.concatenate([r.yhat for r in results]),
            names,
            stated.reshape(len(results), -1),
            shifts[:, 0],
            shifts[:, 1],
            tuple(r.report for r in results),
            stacked([r.summary for r in results]),
        )

    def _jobs(self, name: str, model: Forecaster, fitting: Fitting, seed: int) -> Iterator[Job]:
        """The fits of one model, in the order in which their results are used."""
        samples = self.samples
        with_seed = f", seed {seed}" if self.settings.seeds > 1 else ""
        which = f"{samples.horizon}: {name}{with_seed}"
        if not self._apart(fitting):
            yield from numbered(name, model, samples, self.folds_of(fitting), seed, which)
            return
        for part in self.parts(fitting):
            folds = [part.folds[k] for k in part.trained(self.settings.min_train)]
            if folds:
                symbol = part.samples.symbols[part.samples.rows.symbol[0]]
                label = f"{which}, {symbol}"
                yield from numbered(name, model, part.samples, folds, seed, label)

    def _symbol_by_symbol(self, fitting: Fitting, results_of: _ResultsOf) -> Walked:
        parts, w = self.parts(fitting), len(self.folds_of(fitting))
        alone = len(parts) == 1
        yhat = np.full(sum(p.places.size for p in parts), np.nan)
        shifts = np.full((2, w, len(parts)), np.nan)
        found: list[list[FoldResult]] = [[] for _ in range(w)]
        summaries = self.settings.keep.unknown(w, len(parts))
        stated: dict[str, F64] = {}
        for code, part in enumerate(parts):
            known = np.arange(w) if alone else part.trained(self.settings.min_train)
            edges = part.split()
            for k, result in zip(known, results_of(part, known), strict=True):
                yhat[part.places[edges[k] : edges[k + 1]]] = result.yhat
                shifts[:, k, code] = result.shifts
                summaries.put((k, code), result.summary)
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
            summaries,
        )


# Walks of refits for conformal distributions, with the fittings of their models by name.
Blind = list[tuple[_Walk, dict[str, Fitting]]]
# From a symbol's rows and some of its folds to its fits, in the order of the folds.
_ResultsOf = Callable[[Part, I64], Iterable[FoldResult]]


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' if n != 1 else ''}"
