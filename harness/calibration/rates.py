"""Rates of verdicts and coverage of intervals over many worlds of a setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from harness.calibration.trials import SETTINGS, Setting, Trial, try_world
from harness.walk.workers import Workers

COVERAGE = (0.87, 0.93)
_CHUNK = 25


@dataclass(frozen=True)
class Rates:
    """Shares of `worlds` worlds.

    `truth` is the mean gain over all worlds, which intervals should cover; `truth_error` is its
    standard error. `confirmed` is at a minimum gain of 0; `confirmed_at` and `refuted_at` are at
    the minimum gains `claims`, by name. `below` and `above`: the whole interval lies below or above
    the truth; `plain`: a test that treats rows as independent rejects "no gain".
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
    claims: dict[str, float]
    confirmed_at: dict[str, float]
    refuted_at: dict[str, float]

    def error(self, rate: float) -> float:
        """The standard error of a share of the worlds."""
        return math.sqrt(rate * (1.0 - rate) / self.worlds)

    @property
    def met(self) -> bool:
        """Whether coverage is in range, and false confirmations too if there is no edge."""
        low, high = self.setting.wanted or (0.0, 1.0)
        return COVERAGE[0] <= self.coverage <= COVERAGE[1] and low <= self.confirmed <= high

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: value for name, value in vars(self).items() if name != "setting"}
        return {"setting": self.setting.name, "title": self.setting.title, **own, "met": self.met}


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
    found = []
    with Workers(workers) as pool:
        for name in names:
            tried = partial(try_world, SETTINGS[name], seed, alpha=alpha)
            trials = []
            for trial in pool.suited(math.inf).map(tried, range(worlds)):
                trials.append(trial)
                if len(trials) % _CHUNK == 0:
                    progress(f"{name}: {len(trials):,} of {worlds:,} worlds")
            found.append(rates(SETTINGS[name], trials, alpha))
    return found


def rates(setting: Setting, trials: Sequence[Trial], alpha: float) -> Rates:
    """The rates over these trials, one per world of the setting."""
    gain = np.array([t.found.gain for t in trials])
    low = np.array([t.found.gain_low for t in trials])
    high = np.array([t.found.gain_high for t in trials])
    truth = float(gain.mean())
    below, above = float(np.mean(high < truth)), float(np.mean(low > truth))
    claims = {"three": 0.03} if setting.null else {"half": truth / 2, "twice": 2 * truth}
    statuses = {
        claim: [t.status(least, alpha, setting.gain_as) for t in trials]
        for claim, least in {"none": 0.0, **claims}.items()
        if least >= 0.0
    }
    return Rates(
        setting=setting,
        worlds=len(trials),
        truth=truth,
        truth_error=float(gain.std(ddof=1)) / math.sqrt(gain.size),
        half_width=float(np.mean(high - low)) / 2.0,
        coverage=1.0 - below - above,
        below=below,
        above=above,
        confirmed=_share(statuses["none"], "confirmed"),
        plain=float(np.mean([t.plain < alpha for t in trials])),
        claims=claims,
        confirmed_at={c: _share(s, "confirmed") for c, s in statuses.items() if c != "none"},
        refuted_at={c: _share(s, "refuted") for c, s in statuses.items() if c != "none"},
    )


def _share(statuses: Sequence[str], status: str) -> float:
    return sum(s == status for s in statuses) / len(statuses)
