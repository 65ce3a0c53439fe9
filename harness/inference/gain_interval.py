"""Intervals of gains that are ratios of means, by inversion of the test.

A relative gain is the mean loss saved over the baseline's mean loss; a gain in R² is the mean loss
saved over the variance of the outcome. "The ratio is r" says that the mean of saved - r * whole is
zero, which a t-test decides without a ratio being formed. The interval holds the r that it does not
reject (Fieller 1954, J. R. Statist. Soc. B 16). So interval and p-value agree at every r; the delta
method at the estimated ratio would contradict the test, and covers too seldom in short samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_HALVINGS = 200  # at most: a bisection ends earlier, where floats do


@dataclass(frozen=True)
class MeanLosses:
    """The mean of `saved` and of `whole`, what it is a share of, and the covariance of both means.

    A gain that is no share has whole = 1 and no variance in it.
    """

    saved: float
    whole: float
    var_saved: float
    cov: float
    var_whole: float

    @property
    def ratio(self) -> float:
        """saved / whole; NaN where whole is 0."""
        return self.saved / self.whole if self.whole else math.nan

    def error(self, weight: float) -> float:
        """The standard error of the mean of saved - weight * whole."""
        v = self.var_saved - weight * (2.0 * self.cov - weight * self.var_whole)
        return math.sqrt(max(v, 0.0)) if math.isfinite(v) else math.nan

    def statistic(self, ratio: float) -> float:
        """Student's t of "saved / whole = ratio"; 0 where there is no variance."""
        error = self.error(ratio)
        return (self.saved - ratio * self.whole) / error if error > 0.0 else 0.0

    def interval(self, t: float) -> tuple[float, float]:
        """The ratios at which |statistic| <= t; infinite where no ratio on that side is rejected.

        `whole` is the mean of values of at least zero, so a ratio is above r if and only if
        saved - r * whole has a positive mean. That decides which side is open where the whole's own
        mean is not clearly above zero.
        """
        if not math.isfinite(self.ratio + t):
            return math.nan, math.nan
        q = t * t
        a = self.whole**2 - q * self.var_whole
        b = self.saved * self.whole - q * self.cov
        # b^2 - a c, expanded: the difference of the two would lose the digits that matter.
        inner = self.whole**2 * self.var_saved + self.saved**2 * self.var_whole
        inner -= 2.0 * self.saved * self.whole * self.cov
        inner += q * (self.cov**2 - self.var_saved * self.var_whole)
        root = t * math.sqrt(max(inner, 0.0))
        if a > 0.0:
            return (b - root) / a, (b + root) / a
        if inner <= 0.0 or a == 0.0:
            return -math.inf, math.inf
        ends = sorted(((b - root) / a, (b + root) / a))
        return (ends[1], math.inf) if self.ratio >= ends[1] else (-math.inf, ends[0])


class GainScale(Protocol):
    """How a gain follows from mean losses: its statistic at a value, interval, standard error."""

    def statistic(self, means: MeanLosses, gain: float) -> float:
        """Student's t of "the gain is this one"."""

    def interval(self, means: MeanLosses, t: float) -> tuple[float, float]:
        """The gains at which |statistic| <= t."""

    def error(self, means: MeanLosses) -> float:
        """The standard error of the gain by the delta method."""


class Ratio:
    """The gain is saved / whole."""

    def statistic(self, means: MeanLosses, gain: float) -> float:
        """See GainScale."""
        return means.statistic(gain)

    def interval(self, means: MeanLosses, t: float) -> tuple[float, float]:
        """See GainScale."""
        return means.interval(t)

    def error(self, means: MeanLosses) -> float:
        """See GainScale."""
        return means.error(means.ratio) / means.whole if means.whole else math.nan


class RootRatio:
    """The gain is 1 - sqrt(1 - saved / whole): relative, of a metric that is a root of a mean."""

    def statistic(self, means: MeanLosses, gain: float) -> float:
        """See GainScale."""
        return means.statistic(1.0 - (1.0 - gain) ** 2)

    def interval(self, means: MeanLosses, t: float) -> tuple[float, float]:
        """See GainScale."""
        low, high = means.interval(t)
        return _root_gain(low), _root_gain(high)

    def error(self, means: MeanLosses) -> float:
        """See GainScale."""
        slope = 2.0 * (1.0 - _root_gain(means.ratio))
        return Ratio().error(means) / slope if slope > 0.0 else math.nan


class RootDifference:
    """The gain is sqrt(whole) - sqrt(whole - saved), with the root of `whole` to first order."""

    def statistic(self, means: MeanLosses, gain: float) -> float:
        """See GainScale."""
        if not means.whole > 0.0:
            return 0.0
        share = gain / math.sqrt(means.whole)
        error = means.error(share)
        wanted = (2.0 - share) * share * means.whole
        return (means.saved - wanted) / error if error > 0.0 else 0.0

    def interval(self, means: MeanLosses, t: float) -> tuple[float, float]:
        """See GainScale."""
        error = self.error(means)
        if not (means.whole > 0.0 and math.isfinite(error + t)):
            return math.nan, math.nan
        root = math.sqrt(means.whole)
        gain = root * _root_gain(means.ratio)
        if error == 0.0:
            return gain, gain
        low = _crossing(lambda g: self.statistic(means, g) - t, gain, -t * error, -math.inf)
        high = _crossing(lambda g: -self.statistic(means, g) - t, gain, t * error, root)
        return low, high

    def error(self, means: MeanLosses) -> float:
        """See GainScale."""
        rest = means.whole - means.saved
        if not (means.whole > 0.0 and rest > 0.0):
            return math.nan
        own, base = 0.5 / math.sqrt(rest), 0.5 / math.sqrt(means.whole)
        return own * means.error(1.0 - base / own)


def _root_gain(ratio: float) -> float:
    """1 - sqrt(1 - ratio); 1, the most, where the ratio is above 1."""
    return 1.0 - math.sqrt(max(1.0 - ratio, 0.0)) if not math.isnan(ratio) else math.nan


def _crossing(f: Callable[[float], float], start: float, step: float, end: float) -> float:
    """Where f first crosses zero from below on the way from `start`; `end` if not before it."""
    inside, far = start, start + step
    while f(far) < 0.0:
        inside, step = far, 2.0 * step
        far += step
        if not math.isfinite(far) or (math.isfinite(end) and (far - end) * step > 0.0):
            far = end
            break
    if not math.isfinite(far) or f(far) < 0.0:
        return end
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + far)
        if middle in (inside, far):
            break
        inside, far = (middle, far) if f(middle) < 0.0 else (inside, middle)
    return far
