"""How the fits of a run went, as tables of its record: coefficients, training, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.durations import iso_moment as _iso
from harness.tables import Table, table
from harness.types import FitReport, Forecasts, ModelFit
from harness.walk.fit_reports import over_seeds
from harness.walk.residual_rows import METHOD, TRAINING


def fit_tables(forecasts: Mapping[str, Forecasts], seed: int) -> dict[str, Table]:
    """All tables of the fits, by their names in the record; `seed` is the first."""
    return {
        "coefficients": _coefficients(forecasts),
        "fits": _fits(forecasts),
        "fit_times": _fit_times(forecasts),
        "fit_notes": _fit_notes(forecasts),
        "training": _training(forecasts),
        "seed_training": _seed_training(forecasts, seed),
        "attention": _attention(forecasts),
        "net_weights": _net_weights(forecasts),
    }


def residual_method(forecasts: Mapping[str, Forecasts]) -> dict[str, int]:
    """The method of residuals, if those of a fit are not of its training rows: by name, else {}."""
    rows = {report.residuals for _, _, _, _, report in _reports(forecasts)}
    return {"residuals": METHOD} if rows - {TRAINING} else {}


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
    """`fits`: how every fit went, over all seeds; epochs are those of the first seed."""
    columns = (
        "horizon", "model", "scope", "refit", "fit", "cut", "fits", "failed", "parameters",
        "epochs", "best_epoch", "batch", "most_epochs", "residuals", "unseen",
    )  # fmt: skip
    rows = []
    for horizon, model, fit, k, r in _reports(forecasts):
        t = r.training
        went = (len(fit.names), 0, 0, 0, 0)
        if t:
            went = (t.parameters, t.epochs, t.best, t.batch, t.most_epochs)
        where = horizon, model, fit.scope, fit.refit, k, _iso(fit.cuts[k])
        rows.append((*where, r.fits, r.failed, *went, r.residuals, r.unseen))
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
    """The reports of all fits; with several seeds one for all of them (over_seeds)."""
    for horizon, part in forecasts.items():
        for model, fit in part.fits.items():
            again = [r.fits[model].reports for r in part.repeats if model in r.fits]
            for k, reports in enumerate(zip(fit.reports, *again, strict=True)):
                yield horizon, model, fit, k, over_seeds(reports)


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


def _seed_training(forecasts: Mapping[str, Forecasts], first: int) -> Table:
    """`seed_training`: how every fit with every seed went, for fits that have epochs."""
    columns = (
        "horizon", "model", "seed", "fit", "fits", "epochs", "best_epoch", "train_loss",
        "validation_loss",
    )  # fmt: skip
    rows = [
        (
            horizon, model, seed, k, r.fits, t.epochs, t.best, _at(t.train_loss, t.best),
            _at(t.validation_loss, t.best),
        )
        for horizon, part in forecasts.items()
        for seed, fits in ((first, part.fits), *((r.seed, r.fits) for r in part.repeats))
        for model, fit in fits.items()
        for k, r in enumerate(fit.reports)
        if (t := r.training) is not None and t.epochs
    ]  # fmt: skip
    return table(columns, rows)


def _at(losses: Sequence[float], epoch: int) -> float | None:
    return losses[epoch - 1] if losses and epoch else None


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
