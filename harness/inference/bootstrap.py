"""A bootstrap of the gain in any metric, with the same draws for all models.

A metric is a function of means over rows: of its loss, or of a few moments. These are summed by
forecast origin once; a draw is then a sum of blocks of them.

Intervals are basic bootstrap intervals (Hall 1992, The Bootstrap and Edgeworth Expansion, section
1.2): gain - q, q a quantile of draws - gain. A percentile interval would count a metric's bias
twice. Blocks understate the variance in short samples, so the draws give the shape only: their
standard deviation becomes the standard error of the verdict's own test, and a quantile of theirs
the Student's t of the same probability. The p-value uses the same draws, so test and interval
agree. Of 1,500 samples each, 90 % intervals covered before and now, in percent, at n of 60, 130
and 300: with independent normal gains 85 -> 90, 87 -> 89, 87 -> 89; with targets over 4 origins
71 -> 89, 78 -> 88, 84 -> 89; with log-normal gains of skewness 6 81 -> 86, 85 -> 87, 87 -> 88.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.inference.blocks import block_length, bootstrap_sums, long_enough
from harness.inference.diebold_mariano import cosine_terms, standard_error
from harness.inference.evidence import GainAs
from harness.inference.studentised import normal_of, share, student_of
from harness.scores.forecast_origins import ForecastOrigins
from harness.scores.losses import Values
from harness.scores.means import Means
from harness.scores.metrics import METRICS
from harness.types import F64

DRAWS = 1_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class BootstrapGain:
    """The gain of one model, positive for better, in the metric's unit or as a share.

    `standard_error` is that of the verdict's test; `statistic` is the gain over it; `p_value`,
    one-sided against "no gain", is the share of draws that exceed the gain by at least the gain,
    on the scale of Student's t. Standard error and interval are NaN where the metric is undefined
    or the sample is too short for blocks (`long_enough`); statistic and p_value are then 0 and 1/2.
    """

    gain: float
    standard_error: float
    statistic: float
    p_value: float
    low: float
    high: float
    level: float
    n: int
    overlap: int
    block: float
    draws: int
    seed: int


def bootstrap_gains(
    outcome: Values,
    models: Mapping[str, Values],
    *,
    baseline: str,
    candidates: Sequence[str],
    metric: str,
    gain_as: GainAs,
    overlap: int,
    origins: ForecastOrigins,
    level: float = 0.9,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, BootstrapGain]:
    """The gain of each candidate over the baseline, with its interval, from shared draws.

    Stationary bootstrap (Politis & Romano 1994, JASA 89) over forecast origins; the block length is
    the longest `block_length` of any candidate's gain.

    Args:
        outcome, models: the series, (n,) each, in time order.
        baseline, candidates: names among the models.
        metric: one of METRICS.
        gain_as: relative: as a share of the baseline's figure.
        overlap: following origins whose targets share bars with a target.
        origins: the rows of each forecast origin.
        level: of the interval, two-sided.
        draws: their number; with 1,000 a p-value of 5 % has a standard error of 0.7 points.
        seed: of the draws.

    Raises:
        ValueError: for values that are not finite, or none.
    """
    names = [baseline, *(c for c in candidates if c != baseline)]
    means, enough = METRICS[metric].means, long_enough(origins.n, overlap)
    with np.errstate(divide="ignore", invalid="ignore"):
        series = [models[name] for name in names]
        moved = [METRICS[metric].influence(outcome, f) for f in series]
        columns, places = _columns(means, outcome, series, moved, origins)
        block = _block(moved, overlap, origins)
        whole = _figures(means, columns.sum(axis=0, keepdims=True), places)
        if enough and np.isfinite(columns).all():
            drawn = _figures(means, bootstrap_sums(columns, block, draws, seed), places)
        else:
            drawn = np.empty((len(names), 0))
        unknown = BootstrapGain(
            gain=math.nan,
            standard_error=math.nan,
            statistic=0.0,
            p_value=0.5,
            low=math.nan,
            high=math.nan,
            level=level,
            n=origins.n,
            overlap=overlap,
            block=block,
            draws=0,
            seed=seed,
        )
        found = {}
        for k, name in enumerate(names):
            if name in candidates:
                gain, draw = (_gain(f[0], f[k], metric, gain_as) for f in (whole, drawn))
                psi = _influence(moved[k], moved[0], metric, gain_as, gain, whole[0])
                error = _error(origins.averages(psi), overlap)
                found[name] = _summary(unknown, gain, draw, error, float(np.abs(whole).max()))
    return found


def _figures(means: Means, sums: F64, places: Sequence[slice]) -> F64:
    """The metric of each model (models, draws) from the sums over each draw (draws, k)."""
    averages = sums[:, 1:] / sums[:, :1]
    shared = averages[:, : places[0].start]
    return np.array([means.figure(shared, averages[:, place]) for place in places])


def _columns(
    means: Means,
    outcome: Values,
    models: Sequence[Values],
    moved: Sequence[F64],
    origins: ForecastOrigins,
) -> tuple[F64, list[slice]]:
    """Sums by origin of row counts and the columns of outcome and models; each model's slice."""
    parts = [np.ones(origins.rows), *means.outcome(outcome)]
    places = []
    for f, psi in zip(models, moved, strict=True):
        own = means.model(outcome, f, psi)
        places.append(slice(len(parts) - 1, len(parts) - 1 + len(own)))
        parts += own
    return origins.sums(np.column_stack(parts)), places


def _block(moved: Sequence[F64], overlap: int, origins: ForecastOrigins) -> float:
    """The longest block length of any model's gain over the first model."""
    gains = [origins.averages(psi - moved[0]) for psi in moved[1:]]
    known = [x for x in gains if np.isfinite(x).all()] or [np.zeros(origins.n)]
    return max(block_length(x, overlap) for x in known)


def _gain(base: F64, candidate: F64, metric: str, gain_as: GainAs) -> F64:
    gain = candidate - base if METRICS[metric].higher else base - candidate
    return gain / base if gain_as == "relative" else gain


def _influence(own: F64, base: F64, metric: str, gain_as: GainAs, gain: F64, level: F64) -> F64:
    """Every row's influence on the gain (1,), from those on the figures; `level` (1,): the base."""
    psi = _gain(base, own, metric, "difference")
    return (psi - gain * base) / level if gain_as == "relative" else psi


def _error(psi: F64, overlap: int) -> float:
    """The standard error of the mean of psi (n,); NaN where psi has no finite variance."""
    if not math.isfinite(float(psi @ psi)):
        return math.nan
    return standard_error(psi, cosine_terms(psi.size, overlap))


def _summary(
    unknown: BootstrapGain, whole: F64, drawn: F64, error: float, size: float
) -> BootstrapGain:
    """Summarise the draws (m,) of a gain (1,); draws with an undefined figure are left out.

    `error` is its standard error, that of the draws where it has none. `size` is the size of the
    figures: variation below its rounding counts as none.
    """
    gain, drawn = float(whole[0]), drawn[np.isfinite(drawn)]
    if drawn.size < 2 or not math.isfinite(gain):
        return replace(unknown, gain=gain)
    spread = float(drawn.std(ddof=1))
    still = not spread > _ROUNDING * max(size, abs(gain))
    if still:
        settled = replace(unknown, gain=gain, standard_error=0.0, draws=drawn.size)
        return replace(settled, statistic=0.0, p_value=0.5, low=gain, high=gain)
    se = error if error > 0.0 else spread
    df, tail = cosine_terms(unknown.n, unknown.overlap), (1.0 - unknown.level) / 2.0
    drawn = (drawn - gain) / spread
    lower, upper = np.quantile(drawn, (tail, 1.0 - tail)).tolist()
    return replace(
        unknown,
        gain=gain,
        standard_error=se,
        statistic=gain / se,
        p_value=share(drawn >= normal_of(gain / se, df)),
        low=gain - se * student_of(upper, df),
        high=gain - se * student_of(lower, df),
        draws=drawn.size,
    )
