"""Restricts the forecasts of all models to their common test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from harness.durations import show_moment
from harness.errors import RunError
from harness.samples.splits import Fitting
from harness.types import I64, Fold, Forecasts, LeakProof, ModelFit, Repeat, Samples
from harness.walk.linear_sweep import Walked


def all_test_rows(folds: Sequence[Fold]) -> slice | I64:
    """All test rows: one slice if the windows follow each other without a gap."""
    if all(a.test.stop == b.test.start for a, b in pairwise(folds)):
        return slice(folds[0].test.start, folds[-1].test.stop)
    return np.concatenate([np.arange(f.test.start, f.test.stop) for f in folds])


def over_common_rows(
    samples: Samples,
    folds: Sequence[Fold],
    done: Mapping[str, Walked],
    repeats: Mapping[int, Mapping[str, Walked]],
    fitted: Mapping[str, tuple[Fitting, Sequence[Fold]]],
    proofs: tuple[LeakProof, ...],
    min_train: int,
) -> Forecasts:
    """The results over the test rows that every model could forecast.

    `repeats` are, by seed, the fits with further seeds. `fitted` is each model's fitting and the
    folds of its fits. RunError for a window in which no symbol has `min_train` training rows.
    """
    test = all_test_rows(folds)
    known = np.all([np.isfinite(d.yhat) for d in done.values()], axis=0)
    edges = _edges(folds)
    window = np.repeat(np.arange(len(folds), dtype=np.int32), np.diff(edges))
    symbol, unfitted = samples.rows.symbol[test], {}
    if not known.all():
        left = np.bincount(symbol[~known], minlength=len(samples.symbols))
        unfitted = {samples.symbols[c]: int(left[c]) for c in np.flatnonzero(left)}
        _require_some(samples.horizon, folds, known, edges, min_train)
    kept = np.concatenate(([0], np.cumsum(known)))
    pick = slice(None) if known.all() else np.flatnonzero(known)
    ends: dict[str, tuple[I64, I64]] = {}
    for fitting, own in fitted.values():
        if fitting.refit not in ends:
            cuts = np.array([f.window.cut for f in own], np.int64)
            ends[fitting.refit] = cuts, kept[_edges(own)]

    def fits(walked: Mapping[str, Walked]) -> dict[str, ModelFit]:
        how = {name: fitted[name][0] for name in walked}
        return {n: _fit(n, d, how[n], *ends[how[n].refit]) for n, d in walked.items()}

    return Forecasts(
        horizon=samples.horizon,
        symbols=samples.symbols,
        symbol=symbol[pick],
        formed_at=samples.rows.formed_at[test][pick],
        resolved_at=samples.resolved_at[test][pick],
        window=window[pick],
        windows=tuple(f.window for f in folds),
        edges=kept[edges],
        y=samples.y[test][pick],
        last=samples.last[test][pick],
        yhat={name: d.yhat[pick] for name, d in done.items()},
        fits=fits(done),
        proofs=proofs,
        overlap=samples.overlap,
        unfitted=unfitted,
        returns=None if samples.returns is None else samples.returns[test][pick],
        repeats=tuple(
            Repeat(seed, {name: d.yhat[pick] for name, d in again.items()}, fits(again))
            for seed, again in repeats.items()
        ),
    )


def _fit(name: str, walked: Walked, fitting: Fitting, cuts: I64, edges: I64) -> ModelFit:
    return ModelFit(
        model=name,
        names=walked.names,
        coefficients=walked.coefficients,
        var_shift=walked.var_shift,
        sigma_shift=walked.sigma_shift,
        cuts=cuts,
        edges=edges,
        reports=walked.reports,
        scope=fitting.scope,
        refit=fitting.refit,
        tails=walked.summaries.tails,
        laws=walked.summaries.laws,
    )


def _edges(folds: Sequence[Fold]) -> I64:
    """Where the test rows of each fold begin and end among all of them (w + 1,)."""
    return np.cumsum([0, *(f.test.stop - f.test.start for f in folds)], dtype=np.int64)


def _require_some(
    horizon: str, folds: Sequence[Fold], known: np.ndarray, edges: I64, min_train: int
) -> None:
    for fold, a, b in zip(folds, edges[:-1], edges[1:], strict=True):
        if not known[a:b].any():
            raise RunError(
                f"window {fold.window.position + 1} ({show_moment(fold.window.cut)}), horizon "
                f"{horizon}: no symbol has walk_forward.min_train = {min_train} "
                "training rows for the models fitted by symbol"
            )
