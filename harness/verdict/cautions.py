"""Warnings on a card: few data, outages, weak baselines, many comparisons, split of assets."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.inference.evidence import Verdict
from harness.samples.target_scale import TargetScale
from harness.types import F64, Forecasts
from harness.verdict.words import p_value

if TYPE_CHECKING:
    from harness.scores.distribution.assess import DistributionRow

_ROWS_PER_COEFFICIENT = 10
_FEWEST_COSINES = 8
_FAR = 2.0  # times the QLIKE of a constant; a baseline that is only noisy stays below
_CLOSED = 5 * 86_400_000_000_000  # ns that an exchange may be closed at the start of a span


def cautions(
    forecasts: Mapping[str, Forecasts], scale: TargetScale, verdict: Verdict, start: int
) -> list[str]:
    """Warnings, the most serious first; `start` is the start of the data (UTC ns)."""
    found = []
    for horizon, part in forecasts.items():
        floored = int(np.sum(scale.at_floor(scale.log_sigma(part.y))))
        if floored:
            found.append(
                f"{floored:,} of {part.y.size:,} targets at {horizon} are at the floor (no price "
                "moved: an outage or filled bars). Their logs and QLIKE depend on the floor and "
                "can decide a ranking; MAPE leaves them out."
            )
        most = max((len(fit.names) for fit in part.fits.values()), default=0)
        least = min(p.n_train for p in part.proofs)
        if most and least < _ROWS_PER_COEFFICIENT * most:
            found.append(
                f"A window at {horizon} has only {least} training rows for {most} coefficients."
            )
        short = sum(p.train_start < start - _CLOSED for p in part.proofs)
        if short:
            found.append(
                f"{short} of {len(part.proofs)} windows at {horizon} train on less than the "
                "declared span: it starts before the data."
            )
    best = verdict.best
    if not best.symbols and best.cosines < _FEWEST_COSINES:
        found.append(
            f"{best.n:,} forecast origins with targets over {best.overlap + 1} of them leave only "
            f"{best.cosines} degrees of freedom: treat test and interval with caution."
        )
    return found


def of_the_baseline(metric: str, kind: str) -> list[str]:
    """Warns of a baseline that must lose by construction."""
    if metric != "direction" or kind != "persistence":
        return []
    return [
        "Persistence forecasts no change, so it is never right about the direction: a coin toss "
        "gains 0.5 over it."
    ]


def of_a_weak_baseline(name: str, qlike: float, outcome: F64) -> list[str]:
    """Warns of a baseline with far higher QLIKE than the best constant forecast.

    `qlike` is the baseline's, `outcome` (n,) are realised variances, whose mean is that constant.
    """
    constant = float(np.log(np.mean(outcome)) - np.mean(np.log(outcome)))
    if not qlike > _FAR * constant:
        return []
    return [
        f"The QLIKE of the baseline {name} is {qlike:.4g}; a constant forecast, the mean variance "
        f"of all test rows, has {constant:.4g} in hindsight: a gain over this baseline says little."
    ]


def of_the_laws(found: Sequence[DistributionRow], levels: Sequence[float]) -> list[str]:
    """Warns of conformal quantiles for which no fit has enough rows."""
    models = [row.model for row in found if row.law == "conformal" and row.n == 0]
    if not models:
        return []
    rarest = min(*levels, 1.0 - max(levels))
    return [
        f"No conformal quantiles for {', '.join(dict.fromkeys(models))}: a tail level of "
        f"{rarest:g} needs {math.ceil(1.0 / rarest - 1e-9) - 1:,} held-out rows in each fit's "
        "training span (distribution.levels)."
    ]


def of_the_records(min_record: float | None) -> list[str]:
    """Warns of symbols selected by the completeness of their data over the whole span."""
    if min_record is None:
        return []
    return [
        f"Symbols with bars at less than {min_record:.0%} of the times are left out, which is "
        "known only at the end of the data: results hold for symbols that survived and were "
        "seldom suspended."
    ]


def of_the_source(tested: Sequence[str], source: Sequence[str], same_panel: bool) -> list[str]:
    """Warns of symbols that are used both for pretraining and for testing."""
    both = set(tested) & set(source) if same_panel else set()
    if not both:
        return []
    return [
        f"{len(both):,} of the {len(tested):,} symbols are also used for pretraining: this is no "
        "split over assets (panel.unseen)."
    ]


def of_the_training(forecasts: Forecasts, models: Collection[str]) -> list[str]:
    """Warns of models whose validation loss was still falling when their fits ended."""
    found = []
    for model in models:
        again = (seed.fits[model] for seed in forecasts.repeats if model in seed.fits)
        trainings = [r.training for fit in (forecasts.fits[model], *again) for r in fit.reports]
        ended = [t.best == t.epochs for t in trainings if t is not None and t.validation_loss]
        if ended and all(ended):
            found.append(model)
    if not found:
        return []
    return [
        f"{', '.join(found)}: in every fit the last epoch was the best on the validation rows, so "
        "more epochs might do better."
    ]


def of_the_family(verdict: Verdict, family: Mapping[str, Any], alpha: float) -> list[str]:
    """Warns of a confirmed gain that is not significant among all comparisons of its family.

    `family` is as in the record.
    """
    holm = {row["candidate"]: row["p_holm"] for row in family["candidates"]}
    best = verdict.best.candidate
    if verdict.status != "confirmed" or holm.get(best, 0.0) < alpha:
        return []
    return [
        f"Among all {family['comparisons']:,} comparisons on this panel, the Holm-adjusted p of "
        f"{best} is {p_value(holm[best], alpha)}, not below {alpha:g}: the best of so many may "
        "look this good by luck."
    ]
