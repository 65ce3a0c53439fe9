"""How the fits of a run went, as tables of its record: coefficients, training, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.durations import iso_moment as _iso
from harness.tables import Table, table
from harness.types import FitReport, Forecasts, ModelFit


def fit_tables(forecasts: Mapping[str, Forecasts]) -> dict[str, Table]:
    """All tables of the fits, by their names in the record."""
    return {
        "coefficients": _coefficients(forecasts),
        "fits": _fits(forecasts),
        "fit_times": _fit_times(forecasts),
        "fit_notes": _fit_notes(forecasts),
        "training": _training(forecasts),
        "attention": _attention(forecasts),
        "net_weights": _net_weights(forecasts),
    }


def _coefficients(forecasts: Mapping[str, Forecasts]) -> Table:
    rows = [
        (number, _iso(cut), horizon, model, name, value)
        for horizon, part in forecasts.items()
        for model, fit in part.fits.items()
        for number, (cut, values) in enumerate(zip(fit.cuts, fit.shifted.tolist(), strict=True))
        for name, value in zip(fit.stated, values, strict=True)
    ]
    return table(("window", "cut", "horizon", "model", "name", "value"), rows)


def _fits(forecasts: Mapping[str, Forecasts]) -> Table:
    """`fits`: how every fit went."""
    columns = (
        "horizon", "model", "scope", "refit", "fit", "cut", "fits", "failed", "parameters",
        "epochs", "best_epoch",
    )  # fmt: skip
    rows = []
    for horizon, model, fit, k, r in _reports(forecasts):
        t = r.training
        went = (t.parameters, t.epochs, t.best) if t else (len(fit.names), 0, 0)
        where = horizon, model, fit.scope, fit.refit, k, _iso(fit.cuts[k])
        rows.append((*where, r.fits, r.failed, *went))
    return table(columns, rows)


def _fit_times(forecasts: Mapping[str, Forecasts]) -> Table:
    """`fit_times`: how long every fit took, and how many were cached."""
    columns = "horizon", "model", "fit", "fit_seconds", "predict_seconds", "kept"
    return table(
        columns,
        [
            (horizon, model, k, round(r.fit_seconds, 6), round(r.predict_seconds, 6), r.kept)
            for horizon, model, _, k, r in _reports(forecasts)
        ],
    )


def _reports(
    forecasts: Mapping[str, Forecasts],
) -> Iterator[tuple[str, str, ModelFit, int, FitReport]]:
    for horizon, part in forecasts.items():
        for model, fit in part.fits.items():
            for k, report in enumerate(fit.reports):
                yield horizon, model, fit, k, report


def _fit_notes(forecasts: Mapping[str, Forecasts]) -> Table:
    """`fit_notes`: what models counted during fits, where the count is not 0."""
    rows = [
        (horizon, model, k, note, count)
        for horizon, model, _, k, report in _reports(forecasts)
        if report.training is not None
        for note, count in report.training.notes.items()
        if count
    ]
    return table(("horizon", "model", "fit", "note", "count"), rows)


def _training(forecasts: Mapping[str, Forecasts]) -> Table:
    """`training`: the losses after every epoch, for fits that have epochs."""
    rows = [
        (horizon, model, k, split, epoch, loss)
        for horizon, model, _, k, report in _reports(forecasts)
        if report.training is not None
        for split in ("train", "validation", "lesson_train", "lesson_validation")
        for epoch, loss in enumerate(getattr(report.training, f"{split}_loss"), 1)
    ]
    return table(("horizon", "model", "fit", "split", "epoch", "loss"), rows)


def _net_weights(forecasts: Mapping[str, Forecasts]) -> Table:
    """`net_weights`: the weights of a net's parts after every epoch, where it has any."""
    rows = [
        (horizon, model, k, name, epoch, weight)
        for horizon, model, _, k, report in _reports(forecasts)
        if report.training is not None
        for name, path in report.training.weights.items()
        for epoch, weight in enumerate(path, 1)
    ]
    return table(("horizon", "model", "fit", "name", "epoch", "weight"), rows)


def _attention(forecasts: Mapping[str, Forecasts]) -> Table:
    """`attention`: the mean weight by steps back from the forecast origin, which is step 0."""
    rows = [
        (horizon, model, k, step, weight)
        for horizon, model, _, k, report in _reports(forecasts)
        if report.training is not None
        for step, weight in enumerate(reversed(report.training.attention))
    ]
    return table(("horizon", "model", "fit", "step", "weight"), rows)
