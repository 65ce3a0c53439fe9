"""The settings: two models in worlds whose truth is known, by what they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.calibration.simulated_forecasts import SHOCKS, SlowSpan, Span
from harness.calibration.walked_forecasts import DRAWN, Walked
from harness.calibration.worlds import SAMPLINGS
from harness.inference.evidence import HALF, GainAs
from harness.types import Forecasts

Range = tuple[float, float]
EQUAL: Range = (0.03, 0.07)  # wanted false confirmations at a level of 5 % if models are equal
NESTED: Range = (0.0, 0.065)  # if the candidate is the baseline with noise: no better, or worse


class World(Protocol):
    """What makes the forecasts of one world."""

    def forecasts(self, rng: np.random.Generator) -> Forecasts:
        """One world's forecasts by `baseline` and `candidate`."""
        ...


@dataclass(frozen=True)
class Group:
    """Settings that show one thing: `heading` and `shows`, a sentence or two, are for the page.

    With `by`, headings of row labels, the settings are cells of a grid. With `fewer` the page also
    shows rates with the cosines that a warning of persistent loss differences names.
    """

    name: str
    heading: str
    shows: str
    by: tuple[str, ...] = ()
    fewer: bool = False


GROUPS = {
    g.name: g
    for g in (
        Group(
            "walked",
            "Models fitted in a walk forward",
            "Two least squares models in worlds whose features are known to move volatility, or "
            "not to: overlapping targets of one series, and 20 assets that share half of their "
            "variance.",
        ),
        Group(
            "together",
            "Symbols that are almost one",
            "The same with 20 assets that share nine tenths of their variance: many rows, and "
            "little more information than in one series.",
        ),
        Group(
            "seeds",
            "Models that depend on a seed",
            "The candidate, or both models, draw features by a seed; the gain is the mean over 3 "
            "or 5 seeds.",
        ),
        Group(
            "wins",
            "Shares of symbols won",
            "The gain is the share of 20 symbols on which the candidate has the better QLIKE. One "
            "half is no gain. The true gain is the share that a span of this length shows on "
            "average.",
        ),
        Group(
            "short",
            "Short spans and heavy tails",
            "Two simulated forecasts of one series: few days, and shocks of ln σ with heavy tails, "
            "which make a mean QLIKE, and so a relative gain, uncertain above and below the "
            "fraction bar. Rare shocks add to both losses alike, so a span that happens to have "
            "few of them shows too large a relative gain and seems sure of it.",
            ("forecasts", "gain", "shocks of ln σ"),
        ),
        Group(
            "slow",
            "Slow loss differences",
            "Two simulated forecasts, equally accurate, whose loss difference is an AR(1): one is "
            "better for weeks or months, then the other. A card warns of such differences and says "
            "what the verdict would be with fewer cosines.",
            ("AR(1) coefficient of the loss difference",),
            fewer=True,
        ),
    )
}


@dataclass(frozen=True)
class Setting:
    """Two models in worlds of one kind, compared by `metric` with its gain as `gain_as`.

    `truth` is the true gain where it is known by symmetry, None where it is estimated. `wanted` is
    the range of false confirmations at a level of 5 %, None if the candidate has an edge. `cell` is
    the row and the column in the grid of its group. `beyond` says why the method falls short
    there, empty if it is expected to be.
    """

    name: str
    title: str
    group: str
    world: World
    metric: str
    gain_as: GainAs
    truth: float | None = None
    wanted: Range | None = None
    cell: tuple[tuple[str, ...], str] | None = None
    beyond: str = ""

    @property
    def null(self) -> bool:
        """Whether the candidate has no edge."""
        return self.wanted is not None


def _walked() -> Iterator[Setting]:
    cases: tuple[tuple[str, str, GainAs], ...] = (
        ("hourly", "r2_log", "difference"),
        ("daily", "qlike", "relative"),
    )
    for sampling, metric, gain_as in cases:
        where = SAMPLINGS[sampling].title
        yield Setting(
            f"{sampling}-equal",
            f"two models equally accurate, neither nests the other; {where}",
            "walked",
            Walked(sampling, ("a",), ("b",), 0.15),
            metric,
            gain_as,
            truth=0.0,
            wanted=EQUAL,
        )
        yield Setting(
            f"{sampling}-nested",
            f"HAR and the same with a feature of noise; {where}",
            "walked",
            Walked(sampling, (), ("noise",), 0.15),
            metric,
            gain_as,
            wanted=NESTED,
        )
        for loading in (0.05, 0.1, 0.15, 0.2):
            yield _with_edge(sampling, "walked", loading, metric, gain_as)


def _with_edge(sampling: str, group: str, loading: float, metric: str, gain_as: GainAs) -> Setting:
    return Setting(
        f"{sampling}-gain-{loading:g}",
        f"HAR and the same with a feature that moves ln σ by {loading:g}; "
        f"{SAMPLINGS[sampling].title}",
        group,
        Walked(sampling, (), ("a",), loading),
        metric,
        gain_as,
    )


def _together() -> Iterator[Setting]:
    yield Setting(
        "together-equal",
        f"two models equally accurate, neither nests the other; {SAMPLINGS['together'].title}",
        "together",
        Walked("together", ("a",), ("b",), 0.15),
        "qlike",
        "relative",
        truth=0.0,
        wanted=EQUAL,
    )
    for loading in (0.1, 0.2):
        yield _with_edge("together", "together", loading, "qlike", "relative")


def _seeds() -> Iterator[Setting]:
    where = SAMPLINGS["daily"].title
    skewed = (
        "Gains of single seeds are skewed and vary as much as their mean. Seeds that happen to "
        "gain little also differ little, so the interval is narrow and lies below the true gain "
        "too often: true claims are refuted too often, false ones are not confirmed."
    )
    cases = (
        ("equal", "both models draw two features", (DRAWN,), 2),
        ("gain", "HAR and the same with two features drawn", (), 2),
        ("skewed", "HAR and the same with one feature drawn", (), 1),
    )
    for seeds in (3, 5):
        for name, title, baseline, units in cases:
            yield Setting(
                f"seeds-{seeds}-{name}",
                f"{title} by each of {seeds} seeds; {where}",
                "seeds",
                Walked("daily", baseline, (DRAWN,), 0.15, seeds, units),
                "qlike",
                "relative",
                truth=0.0 if baseline else None,
                wanted=EQUAL if baseline else None,
                beyond=skewed if name == "skewed" else "",
            )


def _wins() -> Iterator[Setting]:
    days, symbols = 250, 20
    in_steps = (
        "A share of 20 symbols moves in steps of 5 points, and its interval is the hull of two. "
        "Where few symbols are in doubt it is wider than it need be, which is the safe side."
    )
    equal, edge, apart = (0.1, 0.1), (0.11, 0.1), (0.13, 0.09)
    half = "share half of their variance"
    cases: tuple[tuple[str, str, Range, float, float], ...] = (
        ("equal", f"equal forecasts of symbols that {half}", equal, 0.5, 0.0),
        ("equal-together", "equal forecasts of symbols that are almost one", equal, 0.9, 0.0),
        ("equal-mixed", "each forecast better on half of the symbols", apart, 0.5, 0.5),
        ("edge", f"a small edge on symbols that {half}", edge, 0.5, 0.0),
        ("edge-together", "a small edge on symbols that are almost one", edge, 0.9, 0.0),
        ("edge-mixed", "an edge on 7 of 10 symbols, as large a loss on 3", apart, 0.5, 0.3),
    )
    for name, title, errors, common, swapped in cases:
        null = name.startswith("equal")
        yield Setting(
            f"wins-{name}",
            f"{title}; {symbols} symbols, {days} days",
            "wins",
            Span(days, errors, symbols=symbols, common=common, swapped=swapped),
            "qlike",
            "wins",
            truth=HALF if null else None,
            wanted=EQUAL if null else None,
            beyond=in_steps if name.endswith("mixed") else "",
        )


_DAYS = 60, 120, 250, 1_000


def _short() -> Iterator[Setting]:
    no_mean = (
        "Under Student's t shocks of ln σ the mean QLIKE does not exist: its moment is infinite."
    )
    slow_variance = (
        "A gain in R² is a share of the variance of ln σ in the span. Where ln σ remembers for "
        "weeks (AR(1) coefficient 0.97), that variance differs between spans by more than one span "
        "shows, and the interval is too narrow; with a short memory it covers."
    )
    metrics: tuple[tuple[str, str, str, GainAs], ...] = (
        ("qlike", "relative QLIKE", "qlike", "relative"),
        ("r2", "difference of R² (log)", "r2_log", "difference"),
    )
    kinds = ("equal", "equally accurate", (0.1, 0.1)), ("edge", "with an edge", (0.15, 0.05))
    for kind, words, errors in kinds:
        for short, gain, metric, gain_as in metrics:
            for shocks in SHOCKS:
                beyond = ""
                if metric == "r2_log" and kind == "edge":
                    beyond = slow_variance
                elif metric == "qlike" and shocks == "t3":
                    beyond = no_mean
                if beyond == no_mean and kind == "edge":
                    continue  # there is no true gain to claim
                for days in _DAYS:
                    yield Setting(
                        f"short-{short}-{kind}-{shocks}-{days}",
                        f"two forecasts {words}, {shocks} shocks, {days} days, {gain}",
                        "short",
                        Span(days, errors, shocks),
                        metric,
                        gain_as,
                        truth=0.0 if kind == "equal" else None,
                        wanted=EQUAL if kind == "equal" else None,
                        cell=((words, gain, shocks), f"{days:,} days"),
                        beyond=beyond,
                    )
    for days in _DAYS:
        yield Setting(
            f"short-r2-edge-forgetful-{days}",
            f"the same with normal shocks and a short memory of ln σ, {days} days",
            "short",
            Span(days, (0.15, 0.05), memory=0.5),
            "r2_log",
            "difference",
            cell=(("with an edge", "difference of R² (log)", "normal, short memory"),
                  f"{days:,} days"),
        )  # fmt: skip


def _slow() -> Iterator[Setting]:
    slower = (
        "A loss difference that is slower than the periods from which its long-run variance is "
        "estimated (31 days and longer of 250, 49 and longer of 1,000) varies less at these than "
        "in the long run, and the interval is too narrow."
    )
    for phi in (0.9, 0.95, 0.98):
        for days in (250, 1_000):
            yield Setting(
                f"slow-{phi:g}-{days}",
                f"a loss difference with AR(1) coefficient {phi:g}, {days} days",
                "slow",
                SlowSpan(days, phi),
                "r2_log",
                "difference",
                truth=0.0,
                wanted=EQUAL,
                cell=((f"{phi:g}",), f"{days:,} days"),
                beyond=slower,
            )


# A setting's place is the seed of its worlds: new ones come last.
SETTINGS = {
    s.name: s for part in (_walked, _together, _seeds, _wins, _short, _slow) for s in part()
}
