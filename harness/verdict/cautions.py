"""What a reader of the card should know before believing it: many tried, thin data, outages."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.inference.evidence import Verdict
from harness.samples.target_scale import TargetScale
from harness.types import F64, Forecasts
from harness.verdict.rule import p_value

if TYPE_CHECKING:
    from harness.scores.distribution.assess import DistributionRow

_ROWS_PER_COEFFICIENT = 10
_FEWEST_COSINES = 8
_FAR = 2.0  # times the QLIKE of a constant: a baseline that is merely noisy is not meant
_CLOSED = 5 * 86_400_000_000_000  # ns that an exchange may be closed where a span begins


def cautions(
    forecasts: Mapping[str, Forecasts], scale: TargetScale, verdict: Verdict, start: int
) -> list[str]:
    """Sentences, the most serious first; `start` is where the data begin (UTC ns)."""
    found = []
    for horizon, part in forecasts.items():
        floored = int(np.sum(scale.at_floor(scale.log_sigma(part.y))))
        if floored:
            found.append(
                f"{floored:,} of {part.y.size:,} targets at {horizon} lie at the floor "
                "(no price moved: an outage, or filled bars); logs and QLIKE there depend on the "
                "floor, and such rows can decide a ranking; MAPE leaves them out."
            )
        most = max((len(fit.names) for fit in part.fits.values()), default=0)
        least = min(p.n_train for p in part.proofs)
        if most and least < _ROWS_PER_COEFFICIENT * most:
            found.append(
                f"A window at {horizon} has {least} training rows for {most} coefficients."
            )
        short = sum(p.train_start < start - _CLOSED for p in part.proofs)
        if short:
            found.append(
                f"{short} of {len(part.proofs)} windows at {horizon} train on less than the "
                "declared span: it begins before the data."
            )
    best = verdict.best
    if not best.symbols and best.cosines < _FEWEST_COSINES:
        found.append(
            f"{best.n:,} decision times with targets over {best.overlap + 1} of them leave "
            f"{best.cosines} degrees of freedom: take test and interval with care."
        )
    return found


def of_the_baseline(metric: str, kind: str) -> list[str]:
    """The sentence of a baseline that cannot but lose, if it is one."""
    if metric != "direction" or kind != "persistence":
        return []
    return [
        "Persistence forecasts no change, so it is never right about the direction: a coin gains "
        "0.5 over it."
    ]


def of_a_weak_baseline(name: str, qlike: float, outcome: F64) -> list[str]:
    """The sentence of a baseline that one number beats by far, if it does.

    `qlike` is its own, `outcome` (n,) the variances that came, whose mean is that number.
    """
    alone = float(np.log(np.mean(outcome)) - np.mean(np.log(outcome)))
    if not qlike > _FAR * alone:
        return []
    return [
        f"{name}, the baseline, has a QLIKE of {qlike:.4g}, where the mean variance of all rows "
        f"tested, one number known only afterwards, has {alone:.4g}: to gain over it says little."
    ]


def of_the_laws(found: Sequence[DistributionRow], levels: Sequence[float]) -> list[str]:
    """The sentence of conformal laws that no fit has rows enough for, if there are any."""
    models = [row.model for row in found if row.law == "conformal" and row.n == 0]
    if not models:
        return []
    rarest = min(*levels, 1.0 - max(levels))
    return [
        f"No conformal quantiles of {', '.join(dict.fromkeys(models))}: levels as far out as "
        f"{rarest:g} need {math.ceil(1.0 / rarest - 1e-9) - 1:,} rows held out of a fit's training "
        "span (distribution.levels)."
    ]


def of_the_records(min_record: float | None) -> list[str]:
    """The sentence of symbols chosen by how whole their records turned out to be, if they were."""
    if min_record is None:
        return []
    return [
        f"Symbols with bars at less than {min_record:.0%} of the times are left out, which is "
        "known only where the data end: what is said holds for symbols that lasted and were "
        "seldom suspended."
    ]


def of_the_source(tested: Sequence[str], taught: Sequence[str], same_panel: bool) -> list[str]:
    """The sentence of symbols that are both learned from and tested on, if there are any."""
    both = set(tested) & set(taught) if same_panel else set()
    if not both:
        return []
    return [
        f"{len(both):,} of the {len(tested):,} symbols are among those that were learned from: "
        "this is no split over assets (panel.unseen)."
    ]


def of_the_training(forecasts: Forecasts, models: Collection[str]) -> list[str]:
    """The sentence of models that were still learning when their fits ended, if there are any."""
    found = []
    for model in models:
        again = (seed.fits[model] for seed in forecasts.repeats if model in seed.fits)
        told = [r.training for fit in (forecasts.fits[model], *again) for r in fit.reports]
        ended = [t.best == t.epochs for t in told if t is not None and t.validation_loss]
        if ended and all(ended):
            found.append(model)
    if not found:
        return []
    return [
        f"{', '.join(found)}: the last epoch was the best on the rows held out in every fit, so "
        "more epochs might have done better."
    ]


def of_the_family(verdict: Verdict, family: Mapping[str, Any], alpha: float) -> list[str]:
    """The sentence of a confirmed gain that is not significant among all that was tried, if so.

    `family` is as the record keeps it.
    """
    holm = {row["candidate"]: row["p_holm"] for row in family["candidates"]}
    best = verdict.best.candidate
    if verdict.status != "confirmed" or holm.get(best, 0.0) < alpha:
        return []
    return [
        f"Held against all {family['comparisons']:,} comparisons made on this panel, the p of "
        f"{best} is {p_value(holm[best])} (Holm), not under {alpha:g}: of so many tried, one may "
        "look as good as this by luck."
    ]
