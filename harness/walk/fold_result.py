"""What a fit gives to the walk, and how the cache of fits stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from harness.kernels.loader import clock
from harness.models.foreign import require_forecasts, stated_by, training_of
from harness.models.linear import Linear
from harness.models.protocol import Forecaster, ModelError
from harness.samples.target_scale import TargetScale
from harness.types import F64, FitReport, Fold, Rows, Samples, Training
from harness.walk.fit_reports import report_of
from harness.walk.fit_rows import FitRows
from harness.walk.residual_rows import TRAINING, Unseen
from harness.walk.residuals.kept import NO_SUMMARY, ResidualPlan, ResidualSummary


@dataclass(frozen=True)
class FoldResult:
    """One model on one fold: test forecasts, coefficients, back-transformation shifts, report.

    `summary` are the summaries of its residuals that Settings.keep asks for.
    """

    yhat: F64
    stated: Mapping[str, float]
    shifts: tuple[float, float]
    report: FitReport
    summary: ResidualSummary = NO_SUMMARY


def result_of(
    fitted: Forecaster,
    rows: Rows,
    samples: Samples,
    fold: Fold,
    seen: FitRows,
    scale: TargetScale,
    keep: ResidualPlan,
    seconds: float,
    unseen: Unseen | str | None = None,
) -> FoldResult:
    """The forecasts of a fitted model on a fold, with shifts from its residuals.

    `rows` are those of the samples, with the model's features; `seen` those that the fit had.
    Residuals are of `unseen` rows or, with None or a reason why there are none, of the training
    rows.
    """
    began, y, at = clock(), samples.y, seen.train
    yhat = fitted.predict(rows.take(fold.test))
    predicted = clock() - began
    trained = rows.take(at)
    inside = fitted.line(trained) if isinstance(fitted, Linear) else fitted.predict(trained)
    require_forecasts(yhat, fold.test.stop - fold.test.start)
    require_forecasts(inside, y[at].size)
    residuals = y[at] - inside
    if not (np.isfinite(yhat).all() and np.isfinite(residuals).all()):
        raise ModelError("a forecast is not finite")
    forecasts, which = y[at] - residuals, TRAINING
    if isinstance(unseen, Unseen):
        at, which, forecasts = unseen.at, unseen.which, unseen.forecasts
        residuals = unseen.residuals(y, float(residuals.mean()))
    shifts = _shifts(scale, residuals)
    if isinstance(fitted, Linear):
        training = fitted.noted(rows.take(fold.test))
    else:
        training = training_of(fitted)
    report = report_of(fitted, training, trained, inside, seconds, predicted)
    why = unseen if isinstance(unseen, str) else ""
    report = replace(report, residuals=which, unseen=why)
    calibrating = None
    if seen.held_out is not None and keep.laws is not None and keep.laws.conformal:
        calibrating = y[seen.held_out] - fitted.predict(rows.take(seen.held_out))
    returns = keep.returns(samples, at)
    summary = keep.of(forecasts, residuals, returns, shifts[0], calibrating)
    return FoldResult(yhat, stated_by(fitted), shifts, report, summary)


def _shifts(scale: TargetScale, residuals: F64) -> tuple[float, float]:
    if scale.back == "smearing":
        return scale.smearing_shifts(residuals)
    var_shift, sigma_shift = scale.shifts(residuals.mean(), residuals.var())
    return float(var_shift), float(sigma_shift)


def packed(
    result: FoldResult, weights: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The result and the model's weights as arrays and words."""
    arrays = {"yhat": result.yhat, **{f"weight.{key}": w for key, w in weights.items()}}
    summary = result.summary._asdict().items()
    arrays |= {key: values for key, values in summary if values is not None}
    words = {"stated": result.stated, "shifts": result.shifts, "report": asdict(result.report)}
    return arrays, words


def unpacked(arrays: Mapping[str, np.ndarray], words: Mapping[str, Any]) -> FoldResult:
    """The result from its arrays and words, as a kept one."""
    report = dict(words["report"])
    report["weights"] = _tuples(report["weights"])
    if (training := report["training"]) is not None:
        weights = _tuples(training["weights"])
        report["training"] = Training(**_tuples(training) | {"weights": weights})
    first, second = words["shifts"]
    return FoldResult(
        arrays["yhat"],
        words["stated"],
        (first, second),
        FitReport(**report | {"kept": 1}),
        ResidualSummary(arrays.get("tails"), arrays.get("laws")),
    )


def _tuples(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words with lists turned back into tuples, which JSON does not have."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in words.items()}
