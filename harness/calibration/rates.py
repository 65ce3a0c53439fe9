"""Rates of verdicts and coverage of intervals over many worlds of a setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from harness.calibration.settings import SETTINGS, Range, Setting
from harness.calibration.trials import Trial, try_world
from harness.inference.evidence import HALF, Evidence, no_gain
from harness.types import F64
from harness.walk.workers import Workers

COVERAGE = (0.87, 0.93)
MOST_FALSE = 0.06  # confirmations of a claim above the true gain
# Multiples of the true gain that are claimed where the candidate has an edge.
MULTIPLES = (0.5, 0.75, 1.0, 1.1, 1.3, 2.0)
MORE = 0.03  # claimed where it has none
_CHUNK = 100


@dataclass(frozen=True)
class Rates:
    """Shares of `worlds` worlds.

    `truth` is the true gain, known by symmetry or else estimated from all worlds with standard
    error `truth_error`. `confirmed` is at a claim of any gain; `confirmed_at` and `refuted_at` are
    at the minimum gains `claims`, by name (`claim_name`). `below` and `above`: the whole interval
    lies below or above the truth; `half_width` is the median; `plain`: a test that treats rows as
    independent rejects "no gain". `coverage_fewer` and `confirmed_fewer` are with the cosines that
    a warning of persistent loss differences names.
    """

    setting: Setting
    worlds: int
    truth: float
    truth_error: float
    half_width: float
    coverage: float
    below: float
    above: float
    confirmed: float
    plain: float
    coverage_fewer: float
    confirmed_fewer: float
    claims: dict[str, float]
    confirmed_at: dict[str, float]
    refuted_at: dict[str, float]

    def error(self, rate: float) -> float:
        """The standard error of a share of the worlds."""
        return math.sqrt(rate * (1.0 - rate) / self.worlds)

    @property
    def above_truth(self) -> dict[str, float]:
        """The claims above the true gain, by name, and the share of worlds that confirm them."""
        return {c: self.confirmed_at[c] for c, least in self.claims.items() if least > self.truth}

    @property
    def outside(self) -> tuple[str, ...]:
        """What is outside the wanted range, in words; empty if nothing is."""
        return tuple(words for words, *_ in self._outside())

    @property
    def met(self) -> bool:
        """Whether coverage and false confirmations are in the wanted range."""
        return not self.outside

    @property
    def close(self) -> bool:
        """Whether all that is outside may be so by chance: within two standard errors."""
        return all(
            abs(rate - min(max(rate, low), high)) <= 2.0 * self.error(rate)
            for _, rate, (low, high) in self._outside()
        )

    def _outside(self) -> Iterator[tuple[str, float, Range]]:
        """What is outside, in words, the rate and the range."""
        allowed = self.setting.wanted or (0.0, 1.0)
        checked = [
            (f"the interval covers {percent(self.coverage)}", self.coverage, COVERAGE),
            (f"any gain is confirmed in {percent(self.confirmed)}", self.confirmed, allowed),
        ]
        if not self.setting.null:
            # Larger claims are confirmed less often.
            for claim, rate in list(self.above_truth.items())[:1]:
                words = f"a claim of {claim} is confirmed in {percent(rate)}"
                checked.append((words, rate, (0.0, MOST_FALSE)))
        for words, rate, (low, high) in checked:
            if not low <= rate <= high:
                yield words, rate, (low, high)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: value for name, value in vars(self).items() if name != "setting"}
        s = self.setting
        named = {"setting": s.name, "group": s.group, "title": s.title, "beyond": s.beyond}
        return {**named, **own, "met": self.met, "outside": list(self.outside)}


def percent(share: float) -> str:
    """A share with one digit."""
    return f"{100 * share:.1f} %"


def claim_name(multiple: float) -> str:
    """The name of a claim of this multiple of the true gain."""
    return f"{multiple:g} times the truth"


def calibrate(
    names: Sequence[str],
    *,
    worlds: int,
    seed: int,
    alpha: float,
    workers: int,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Rates]:
    """Rates of these settings over `worlds` worlds each; they do not depend on the workers."""
    tried = {n: partial(try_world, SETTINGS[n], seed, alpha=alpha) for n in names}
    found = over_worlds(tried, worlds, workers, progress)
    return [rates(SETTINGS[name], trials, alpha) for name, trials in found.items()]


_Found = TypeVar("_Found")


def over_worlds(
    tried: Mapping[str, Callable[[int], _Found]],
    worlds: int,
    workers: int,
    progress: Callable[[str], None],
) -> dict[str, list[_Found]]:
    """By name, what each gives for every world, by its number."""
    found: dict[str, list[_Found]] = {name: [] for name in tried}
    with Workers(workers) as pool:
        for name, of in tried.items():
            for one in pool.suited(math.inf).map(of, range(worlds)):
                found[name].append(one)
                if len(found[name]) % _CHUNK == 0:
                    progress(f"{name}: {len(found[name]):,} of {worlds:,} worlds")
    return found


def rates(setting: Setting, trials: Sequence[Trial], alpha: float) -> Rates:
    """The rates over these trials, one per world of the setting."""
    low, high = _ends([t.found for t in trials])
    truth, error = _true_gain(setting, trials)
    below, above = float(np.mean(high < truth)), float(np.mean(low > truth))
    low_fewer, high_fewer = _ends([t.fewer for t in trials])
    none = no_gain(setting.gain_as)
    claims = _claims(setting, truth)
    statuses = {
        claim: [t.status(least, alpha, setting.gain_as) for t in trials]
        for claim, least in {"any": none, **claims}.items()
    }
    return Rates(
        setting=setting,
        worlds=len(trials),
        truth=truth,
        truth_error=error,
        half_width=float(np.median(high - low)) / 2.0,
        coverage=1.0 - below - above,
        below=below,
        above=above,
        confirmed=_share(statuses["any"], "confirmed"),
        plain=float(np.mean([t.plain < alpha for t in trials])),
        coverage_fewer=float(np.mean((low_fewer <= truth) & (truth <= high_fewer))),
        confirmed_fewer=float(np.mean(low_fewer > none)),
        claims=claims,
        confirmed_at={c: _share(statuses[c], "confirmed") for c in claims},
        refuted_at={c: _share(statuses[c], "refuted") for c in claims},
    )


def _ends(found: Sequence[Evidence]) -> tuple[F64, F64]:
    return np.array([e.gain_low for e in found]), np.array([e.gain_high for e in found])


def _true_gain(setting: Setting, trials: Sequence[Trial]) -> tuple[float, float]:
    """The true gain and its standard error, 0 where it is known.

    A share is estimated as the ratio of two means over all worlds, what is gained over what it is a
    share of; the mean of the shares is another figure, since a share is not linear in its whole.
    """
    if setting.truth is not None:
        return setting.truth, 0.0
    gain, whole = np.array([(t.found.gain, t.whole) for t in trials]).T
    truth = float(gain @ whole / whole.sum())
    deviations: F64 = whole * (gain - truth) / whole.mean()
    return truth, float(deviations.std(ddof=1)) / math.sqrt(gain.size)


def _claims(setting: Setting, truth: float) -> dict[str, float]:
    """Minimum gains by name, without those that no hypothesis can claim."""
    if setting.null:
        return {f"{MORE:.0%} more".replace("%", " %"): no_gain(setting.gain_as) + MORE}
    least, most = (HALF, 1.0) if setting.gain_as == "wins" else (0.0, math.inf)
    every = {claim_name(k): k * truth for k in MULTIPLES}
    return {name: claim for name, claim in every.items() if least <= claim < most}


def _share(statuses: Sequence[str], status: str) -> float:
    return sum(s == status for s in statuses) / len(statuses)
