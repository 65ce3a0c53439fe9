"""Reports of fits: of one, of several symbols' fits, of fits with several seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from harness.models.protocol import Composite, Forecaster
from harness.types import F64, FitReport, Rows, Training

_MANY = 1_024  # training rows, the last ones, on which a model is compared with its part
# Of the spread of the part's forecasts. Less than this beside it changes a squared error by less
# than a per cent, as long as errors are a fifth of that spread or more.
_NOTHING = 1e-3


def report_of(
    fitted: Forecaster,
    training: Training | None,
    trained: Rows,
    inside: F64,
    fit_seconds: float,
    predict_seconds: float,
) -> FitReport:
    """The report of one fit; `inside` (n,) are its forecasts of the rows that it trained on."""
    if training is None:
        return FitReport(1, 0, fit_seconds, predict_seconds)
    kept = training.best - 1  # under 0: the weights from before the first epoch
    weights = training.weights.items() if kept >= 0 else ()
    return FitReport(
        1,
        int(not training.converged),
        fit_seconds,
        predict_seconds,
        training,
        cut_short=dict.fromkeys(training.cut_short, 1),
        alone=_alone(fitted, trained, inside),
        weights={name: (path[kept],) for name, path in weights if path},
    )


def _alone(fitted: Forecaster, trained: Rows, inside: F64) -> dict[str, int]:
    """The part whose forecasts are the model's, but for a constant; empty if it has none."""
    if not isinstance(fitted, Composite):
        return {}
    last = slice(max(inside.size - _MANY, 0), inside.size)
    part = fitted.of_part(trained.take(last))
    added = inside[last] - part
    return {fitted.part: 1} if np.std(added) <= _NOTHING * np.std(part) else {}


def over_seeds(reports: Sequence[FitReport]) -> FitReport:
    """The report of one window's fits with several seeds; `training` is the first's, but notes."""
    first, every = reports[0].training, merged(reports)
    if first is None or every.training is None:
        return every
    return replace(every, training=replace(first, notes=every.training.notes))


def merged(reports: Sequence[FitReport]) -> FitReport:
    """One report of several symbols' fits in one window; a single fit keeps all its details."""
    if len(reports) == 1:
        return reports[0]
    known = [r.training for r in reports if r.training is not None]
    training = None
    if known:
        training = Training(
            parameters=max(t.parameters for t in known),
            converged=all(t.converged for t in known),
            epochs=round(fmean(t.epochs for t in known)),
            best=round(fmean(t.best for t in known)),
            batch=max(t.batch for t in known),
            most_epochs=max(t.most_epochs for t in known),
            notes=_sums(t.notes for t in known),
        )
        if known[0].attention:
            weights = np.mean([t.attention for t in known], axis=0)
            training = replace(training, attention=tuple(weights.tolist()))
    names = dict.fromkeys(name for r in reports for name in r.weights)
    return FitReport(
        len(reports),
        sum(r.failed for r in reports),
        sum(r.fit_seconds for r in reports),
        sum(r.predict_seconds for r in reports),
        training,
        sum(r.kept for r in reports),
        _sums(r.cut_short for r in reports),
        _sums(r.alone for r in reports),
        {name: tuple(w for r in reports for w in r.weights.get(name, ())) for name in names},
        " and ".join(sorted({which for r in reports for which in r.residuals.split(" and ")})),
        next((r.unseen for r in reports if r.unseen), ""),
    )


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter[str]()))
