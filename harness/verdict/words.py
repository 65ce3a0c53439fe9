"""How gains, intervals, p-values and the reasons of a verdict are worded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.inference.evidence import Evidence, GainAs, no_gain
from harness.scores.metrics import METRICS

if TYPE_CHECKING:
    from harness.spec.sections import Acceptance


class Words:
    """Sentences about the evidence for one of the candidates, by the rule's own terms."""

    def __init__(self, rule: Acceptance, candidates: int) -> None:
        self.gain_as, self.candidates, self.alpha = rule.gain_as, candidates, rule.alpha
        self.min_gain, self.more = rule.min_gain, rule.min_gain != no_gain(rule.gain_as)
        self.shared = candidates > 1 and rule.claim == "better"
        self.pointwise = rule.rule == "point"
        self.where = f" in {rule.regime}" if rule.regime else ""

    def show(self, e: Evidence) -> Show:
        """The format of its gains."""
        return Show(e.metric, self.gain_as)

    def reach(self, e: Evidence) -> str:
        """Its gain or loss."""
        show = self.show(e)
        if self.gain_as == "wins":
            where = f"{show(e.gain)} of {e.symbols:,} symbols{self.where}"
            return f"{e.candidate} has a better {e.metric} than {e.baseline} on {where}"
        if e.gain >= 0.0:
            return f"{e.candidate} gains {show(e.gain)} over {e.baseline}{self.where}"
        return f"{e.candidate} loses {show(-e.gain).lstrip('+')} to {e.baseline}{self.where}"

    def interval(self, e: Evidence) -> str:
        """Its interval with its level."""
        together = f" (for {self.candidates} candidates together)" * self.shared
        return f"{100.0 * e.level:.0f} % interval {self.show(e).interval(e)}{together}"

    def seeds(self, e: Evidence) -> str:
        """The range of its gain over the seeds."""
        show, count = self.show(e), len(e.seeds)
        least, greatest = show(min(e.seeds)), show(max(e.seeds))
        gains = "shares" if self.gain_as == "wins" else "gains"
        return f"This is the mean over {count} seeds, with {gains} from {least} to {greatest}."

    def test(self, e: Evidence, p: float) -> str:
        """The test's name and its adjusted p-value, given."""
        named = "Diebold-Mariano test"
        if self.gain_as == "wins":
            named = "Block bootstrap test"
        elif METRICS[e.metric].loss is None:
            named += " on influence values"
        words = p_value(p, self.alpha)
        words = words if words.startswith("<") else f"= {words}"
        adjusted = f" (adjusted for {self.candidates} candidates)" if self.candidates > 1 else ""
        return f"{named}, p {words}{adjusted}"

    def power(self, e: Evidence) -> str:
        """The minimum detectable gain, as a sentence."""
        what = "share of the symbols" if self.gain_as == "wins" else "gain"
        if math.isnan(e.detectable):
            return f"No {what} is detectable at 80 % power."
        least = self.show(e)(e.detectable)
        return f"Minimum detectable {what} at 80 % power: {least}.{self._to_confirm(e)}"

    def _to_confirm(self, e: Evidence) -> str:
        """What the true gain has to be for the claim to be confirmed, as another sentence."""
        true = self.min_gain + e.detectable - no_gain(self.gain_as)
        if not self.more or self.pointwise or (self.gain_as != "difference" and true >= 1.0):
            return ""
        what = "share" if self.gain_as == "wins" else "gain"
        return (
            f" To confirm the claim with that power, the true {what} must be {self.show(e)(true)}."
        )

    def claim(self, e: Evidence) -> str:
        """What is claimed, as the object of a sentence."""
        return f"the {self.show(e)(self.min_gain)} claimed" if self.more else "any gain"

    def confirmed(self, e: Evidence, pointwise: bool) -> tuple[str, ...]:
        """Why a claim is confirmed."""
        reach, null, p = self.reach(e), "No gain", e.p_adjusted
        if not self.more:
            reach = f"{reach}, as claimed (any gain)"
        elif pointwise:
            reach = f"{reach} as estimated, at least {self.claim(e)}"
        else:
            reach = f"{reach}; the {self.interval(e)} lies above {self.claim(e)}"
            null, p = f"At most {self.show(e)(self.min_gain)}", e.p_claim
        return f"{reach}.", f'"{null}" is rejected at {self.alpha:g}: {self.test(e, p)}.'

    def refuted(self, e: Evidence, shown: bool) -> tuple[str, ...]:
        """Why a claim is refuted."""
        others = ", and so do those of the other candidates" if self.candidates > 1 else ""
        present = "A gain is shown" if shown else '"No gain" is not rejected'
        excluded = f"{self.reach(e)}; the {self.interval(e)} excludes {self.claim(e)}{others}."
        return excluded, f"{present}: {self.test(e, e.p_adjusted)}."

    def inconclusive(self, e: Evidence, shown: bool) -> tuple[str, ...]:
        """Which of three it is: a gain but not its size, no gain, or no power to show either."""
        if math.isnan(e.gain_high):
            return (f"{self.reach(e)}. Nothing could be shown: {too_few(e)}.",)
        reach, test = f"{self.reach(e)}.", self.test(e, e.p_adjusted)
        if e.standard_error == 0.0 and e.gain == no_gain(self.gain_as):
            return (f"{reach} No gain is shown: on every row both have the same loss.",)
        if shown:
            size = f"not that it is {self.claim(e)}: the {self.interval(e)} reaches below"
            return f"{reach} A gain is shown ({test}), but {size}.", self.power(e)
        if self.more and not e.detectable <= self.min_gain:
            why = f"{self.claim(e)} may be missed even if true. {self.power(e)}"
            sure = f'"No gain" is not rejected ({test}); {self.interval(e)}.'
            return f"{reach} Nothing could be shown: {why}", sure
        includes = f"no gain and {self.claim(e)}" if self.more else "gains and losses"
        why = f"No gain is shown ({test}): the {self.interval(e)} includes {includes}."
        return f"{reach} {why}", self.power(e)


def too_few(e: Evidence) -> str:
    """What there is too little of for an interval."""
    if e.periods:
        shifts = "1 shift is" if e.periods == 1 else f"{e.periods} shifts are"
        return f"{shifts} too few for an interval"
    reach = f" with targets over {e.overlap + 1} of them" if e.overlap else ""
    return f"{e.n} forecast origins{reach} are too few for an interval"


def p_value(p: float, alpha: float | None = None) -> str:
    """A p-value to two digits, or "< 1e-16"; near `alpha` as many as show on which side it is."""
    if p < 1e-16:
        return "< 1e-16"
    for digits in range(2, 6):
        text = f"{p:.{digits}g}"
        if alpha is None or (float(text) != alpha and (float(text) < alpha) == (p < alpha)):
            break
    return text


class Show:
    """The format of gains: points for R², percent for shares, else the metric's unit."""

    def __init__(self, metric: str, gain_as: GainAs) -> None:
        self.metric, self.gain_as = metric, gain_as

    @property
    def unit(self) -> str:
        """The unit in words, for headings."""
        if self.gain_as == "relative":
            return f"% of the baseline's {self.metric}"
        if self.gain_as == "wins":
            return f"% of the symbols, by {self.metric}"
        return (
            "pp R² (log)"
            if self.metric == "r2_log"
            else f"{self.metric}, {METRICS[self.metric].unit}"
        )

    def interval(self, e: Evidence | Mapping[str, Any]) -> str:
        """The interval of an evidence, or of a row that stores it; its open ends in words."""
        of = e.get if isinstance(e, Mapping) else partial(getattr, e)
        low, high, unbounded = of("gain_low"), of("gain_high"), of("unbounded")
        if unbounded == "both":
            return "without bounds"
        if unbounded == "below":
            return f"without lower bound to {self(high)}"
        if unbounded == "above":
            return f"{self(low)} without upper bound"
        if low is None or high is None or math.isnan(low):
            return "n/a"
        return f"{self(low)} to {self(high)}"

    def __call__(self, gain: float | None) -> str:
        """One gain with its sign; a share of the symbols without one.

        None (NaN in a record) and NaN are `n/a`.
        """
        if gain is None or math.isnan(gain):
            return "n/a"
        if self.gain_as == "wins":
            return f"{100 * gain:.1f} %"
        if self.gain_as == "relative":
            return f"{100 * gain:+.2f} %"
        if self.metric == "r2_log":
            return f"{100 * gain:+.2f} pp"
        return f"{gain:+.4g}"
