"""Searches: useless ideas tried one after another, until the best of them is judged by its family.

Every idea is a forecast as accurate as the baseline, with errors of its own, so no idea gains. The
ideas of a search are judged one by one, on a panel, on copies of it and on parts, and each run
leaves the digest that a log would keep. Then the best is run again, and its p-value is adjusted for
the family that the log finds for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.calibration.simulated_forecasts import KNOWN, SHOCK, forecasts_of
from harness.calibration.trials import of_any_gain
from harness.calibration.worlds import DAY, LEVEL, START, autoregression
from harness.durations import show_moment
from harness.history.family import family_of
from harness.inference.evidence import Evidence
from harness.log.run_digests import LogDigests, RunDigest
from harness.log.target_sketch import sketch_of
from harness.types import F64, Forecasts

GROUP = "searches"  # the name of all of them together
IDEAS = 30
DAYS = 1_250  # five years of trading days
PARTS = 10
_ERROR = 0.1  # standard deviation of the error of every forecast of ln sigma
_METRIC = "qlike"


@dataclass(frozen=True)
class Place:
    """Where an idea is judged: days `first` to `end` of the world, in a panel of this name.

    `moved` is what is added to ln sigma of each day there (days,), as rounding does.
    """

    panel: str
    first: int
    end: int
    moved: F64 | float = 0.0


Places = Callable[[int, np.random.Generator], Place]  # of the idea of this number


def _on_the_panel(_: int, __: np.random.Generator) -> Place:
    return Place("panel", 0, DAYS)


def _on_copies(idea: int, rng: np.random.Generator) -> Place:
    """A copy with another name: one value moved in its last digits, first rows gone, or rounded."""
    name, way = f"copy-{idea}", idea % 3
    if way == 0:
        moved = np.zeros(DAYS)
        moved[rng.integers(DAYS)] = 1e-7
        return Place(name, 0, DAYS, moved)
    if way == 1:
        return Place(name, 1 + idea // 3, DAYS)
    return Place(name, 0, DAYS, 1e-4 * rng.standard_normal(DAYS))


def _on_parts(idea: int, _: np.random.Generator) -> Place:
    """Half a year of the panel."""
    days = DAYS // PARTS
    first = idea % PARTS * days
    return Place("panel", first, first + days)


def _everywhere(idea: int, rng: np.random.Generator) -> Place:
    """The panel, a copy, half a year, and half a year of a copy, in turn."""
    places = (_on_the_panel, _on_copies, _on_parts, _on_parts)
    place = places[idea % 4](idea, rng)
    if idea % 4 < 3:
        return place
    return Place(f"copy-{idea}", place.first, place.end, 1e-4 * rng.standard_normal(DAYS))


@dataclass(frozen=True)
class Search:
    """A search of `IDEAS` ideas in one kind of places; `title` says where."""

    name: str
    title: str
    places: Places


SEARCHES = {
    s.name: s
    for s in (
        Search("search-panel", "all on one panel", _on_the_panel),
        Search("search-copies", "each on a copy of the panel under a new name", _on_copies),
        Search("search-parts", "each on one of ten half-years of the panel", _on_parts),
        Search("search-anywhere", "on the panel, copies, parts and parts of copies", _everywhere),
    )
}


@dataclass(frozen=True)
class Found:
    """The best idea of a search: its own p-value, Holm's over its family, and what that counted.

    `confirmed` is whether the verdict on it is, at a claim of any gain.
    """

    confirmed: bool
    p_value: float
    p_holm: float
    comparisons: int


def search(of: Search, seed: int, world: int, *, alpha: float) -> Found:
    """Search one world, which depends on seed, search and number alone."""
    rng = np.random.default_rng([seed, list(SEARCHES).index(of.name), world])
    known = LEVEL + KNOWN * autoregression(0.97, rng.standard_normal((DAYS, 1)))
    y = known + SHOCK * rng.standard_normal((DAYS, 1))
    baseline = known + _ERROR * rng.standard_normal((DAYS, 1))
    runs: list[RunDigest] = []
    for idea in range(IDEAS):
        place = of.places(idea, rng)
        forecast = known + _ERROR * rng.standard_normal((DAYS, 1))
        judged = _judged(place, y, baseline, forecast)
        evidence, status = of_any_gain(judged, _METRIC, "relative", world, alpha=alpha)
        runs.append(_digest(idea, place, judged, evidence, status))
    best = min(runs, key=_own_p)
    family = family_of(LogDigests(runs, [], []), best.data, best.targets)
    p, by_holm, _ = family.adjusted()[best.judged, best.candidate]
    return Found(best.status == "confirmed", p, by_holm, family.comparisons)


def _judged(place: Place, y: F64, baseline: F64, forecast: F64) -> Forecasts:
    """The forecasts at a place of the world; y and forecasts are (days, 1)."""
    days = slice(place.first, place.end)
    there = (y + np.reshape(place.moved, (-1, 1)))[days]
    shift = np.full((1, 1), 2.0 * (SHOCK**2 + _ERROR**2))
    return forecasts_of(there, [baseline[days], forecast[days]], [shift] * 2, first_day=place.first)


def _digest(
    idea: int, place: Place, judged: Forecasts, evidence: Evidence, status: str
) -> RunDigest:
    """What a log would keep of the run; ideas are run a day after another."""
    targets = sketch_of(judged.formed_at, judged.symbol, judged.symbols, judged.y)
    name, started = f"idea-{idea}", show_moment(START + DAY * (DAYS + idea))
    first, end = (show_moment(START + DAY * day) for day in (place.first, place.end))
    e = evidence
    return RunDigest(
        run_id=name, started=started, hypothesis=name, spec_hash=name, comparison=name,
        claim="better", status=status, panel=place.panel, fingerprint=None, columns=(),
        start=first, end=end, rows=judged.y.size, meaning=None, source=None, tested_from=first,
        tested_until=end, target="", horizon=e.horizon, metric=e.metric, baseline=e.baseline,
        candidate=e.candidate, gain_as="relative", registered=True, models=(),
        comparisons={e.candidate: (e.gain, e.p_value)}, targets=targets,
    )  # fmt: skip


def _own_p(run: RunDigest) -> float:
    p = run.comparisons[run.candidate][1]
    return math.inf if p is None else p
