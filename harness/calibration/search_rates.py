"""How often the best of many useless ideas passes: by its own p-value, and by its family's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.calibration.group_tables import markdown
from harness.calibration.rates import MOST_FALSE, over_worlds, percent
from harness.calibration.searches import DAYS, IDEAS, PARTS, SEARCHES, Found, Search, search

HEADING = "Searches"


@dataclass(frozen=True)
class SearchRates:
    """Over `worlds` worlds of a search: how often the best idea passes as a discovery.

    `own`: its own p-value is below alpha, and it is confirmed; `family`: Holm's over its family is
    below alpha too. `comparisons` is how many its family counts in the world that counts fewest.
    """

    search: Search
    worlds: int
    own: float
    family: float
    comparisons: int

    @property
    def met(self) -> bool:
        """Whether the family is right often enough, and has lost none of the ideas."""
        return self.family <= MOST_FALSE and self.comparisons == IDEAS

    def error(self, rate: float) -> float:
        """The standard error of a share of the worlds."""
        return math.sqrt(rate * (1.0 - rate) / self.worlds)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "search": self.search.name,
            "title": self.search.title,
            "ideas": IDEAS,
            "worlds": self.worlds,
            "comparisons": self.comparisons,
            "confirmed_own": self.own,
            "confirmed_family": self.family,
            "met": self.met,
        }


def search_rates(of: Search, found: Sequence[Found], alpha: float) -> SearchRates:
    """The rates over these worlds."""
    confirmed = [f for f in found if f.confirmed]
    return SearchRates(
        of,
        len(found),
        own=len(confirmed) / len(found),
        family=sum(f.p_holm < alpha for f in confirmed) / len(found),
        comparisons=min(f.comparisons for f in found),
    )


def calibrate_searches(
    names: Sequence[str],
    *,
    worlds: int,
    seed: int,
    alpha: float,
    workers: int,
    progress: Callable[[str], None] = lambda _: None,
) -> list[SearchRates]:
    """Rates of these searches over `worlds` worlds each; they do not depend on the workers."""
    tried = {n: partial(search, SEARCHES[n], seed, alpha=alpha) for n in names}
    found = over_worlds(tried, worlds, workers, progress)
    return [search_rates(SEARCHES[name], searched, alpha) for name, searched in found.items()]


def search_section(found: Sequence[SearchRates]) -> str:
    """The section of the page, as Markdown."""
    rows = [
        [
            f"`{r.search.name}`",
            r.search.title,
            str(r.comparisons),
            percent(r.own),
            percent(r.family),
        ]
        for r in found
    ]
    head = ["search", "where ideas are tried", "counted", "by its own p", "by its family's p"]
    missed = [f"`{r.search.name}`" for r in found if not r.met]
    outside = f" Not as wanted: {', '.join(missed)}." if missed else ""
    return (
        f"## {HEADING}\n\n"
        f"{IDEAS} useless ideas are tried one after another, and the best is kept: each is as "
        f"accurate as the baseline, with errors of its own, over {DAYS:,} days, or {PARTS} parts "
        "of them. Copies of the panel have another name and one value that differs in its seventh "
        "digit, or lack rows at the beginning, or are rounded. **by its own p**: how often the "
        "best is `confirmed` with a claim of any gain; **by its family's p**: how often Holm's p "
        "over the family that the log finds is below alpha as well (wanted: at most "
        f"{percent(MOST_FALSE)}); **counted**: the comparisons of the family, in the world in "
        f"which they are fewest (wanted: {IDEAS}).{outside}\n\n"
        f"{markdown(head, rows, words=2)}"
    )
