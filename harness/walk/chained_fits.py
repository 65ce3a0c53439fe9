"""Chains of fits of one symbol's model, each started from the fit before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.kernels.loader import clock
from harness.models.foreign import require_fitted, shown
from harness.models.protocol import ChainedForecaster, Forecaster
from harness.types import I64
from harness.walk.fit_rows import FitRows
from harness.walk.fold_fit import Settings, named, unseen_by
from harness.walk.fold_result import FoldResult, result_of
from harness.walk.linear_sweep import Part


def chained(
    name: str, model: ChainedForecaster, settings: Settings, part: Part, known: I64
) -> Iterator[FoldResult]:
    """A symbol's fits at the folds `known`, each started from the fit before."""
    folds = [part.folds[k] for k in known]
    rows, y = shown(model, part.samples.rows.columns(model.features), part.samples.y)
    chain: Iterator[Forecaster] | None = None
    made, seconds = [], 0.0
    for fold in folds:
        with named(name, model, part.samples, fold):
            began = clock()
            if chain is None:
                chain = model.fit_chain(rows, y, [f.train for f in folds], seed=settings.seed)
            fitted = next(chain, None)
            seconds += clock() - began
            require_fitted(model, fitted)
            assert fitted is not None, "a chain has a fit for every training set"
            seen, samples = FitRows(fold.train), part.samples
            began = clock()
            unseen = unseen_by(fitted, model, rows, y, samples, seen, settings, fold)
            seconds += clock() - began
            scale, keep = settings.scale, settings.keep
            made.append(result_of(fitted, rows, samples, fold, seen, scale, keep, 0.0, unseen))
    # A chain may fit many folds in one step, so its time is shared evenly.
    for result in made:
        report = replace(result.report, fit_seconds=seconds / len(folds))
        yield replace(result, report=report)
