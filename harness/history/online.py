"""Online decisions about the comparisons of a family, in the order in which they were tried.

Holm's and Benjamini and Hochberg's p-values change with every comparison that is tried later. An
online decision does not: its level depends on what was known when the comparison was first run, so
it stands over a log that goes on for years (`inference/online_testing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from harness.durations import ns_of
from harness.inference.online_testing import lord, saffron
from harness.log.run_digests import Key, RunDigest

_PROCEDURES = {"lord": lord, "saffron": saffron}


class Attempt(NamedTuple):
    """A run's comparisons with their p-values, which are not `valid` if it is void; UTC ns."""

    p: Mapping[Key, float]
    valid: bool
    started: int
    ended: int


@dataclass(frozen=True)
class Decision:
    """The levels at which "no gain" was tested in a comparison, and whether it was rejected.

    By procedure, `lord` (LORD++) and `saffron`; None where there was no test.
    """

    level: Mapping[str, float | None]
    rejected: Mapping[str, bool | None]

    def words(self) -> dict[str, Any]:
        """As records and JSON hold it: `lord_level`, `lord_rejected`, and so for `saffron`."""
        levels = {f"{name}_level": level for name, level in self.level.items()}
        return levels | {f"{name}_rejected": found for name, found in self.rejected.items()}


UNDECIDED = Decision(dict.fromkeys(_PROCEDURES), dict.fromkeys(_PROCEDURES))


def attempts_of(runs: Iterable[RunDigest]) -> Iterator[Attempt]:
    """The attempts of these runs; comparisons without a p-value have 1."""
    for run in runs:
        started = ns_of(datetime.fromisoformat(run.started))
        p = {key: run.comparisons[key[1]][1] for key in run.keys}
        known = {key: 1.0 if value is None else value for key, value in p.items()}
        yield Attempt(known, run.status != "void", started, started + round(1e9 * run.seconds))


def decide_online(attempts: Sequence[Attempt], lost: int, alpha: float) -> dict[Key, Decision]:
    """The decision on every comparison at its first valid attempt; without one with p = 1.

    `lost` more were tried of which nothing else is known: they come first, with p = 1.
    """
    tried = _first_tried(attempts)
    keys = sorted(tried, key=lambda key: tried[key][1:])
    rows = [tried[key] for key in keys]
    begin = rows[0][1] if rows else 0
    of = np.array([(begin, begin)] * lost + [row[1:] for row in rows], np.int64).reshape(-1, 2)
    p = [1.0] * lost + [row[0] for row in rows]
    made = {name: test(p, alpha, of[:, 0], of[:, 1]) for name, test in _PROCEDURES.items()}
    return {
        key: Decision(
            {name: float(tests.level[k]) for name, tests in made.items()},
            {name: bool(tests.rejected[k]) for name, tests in made.items()},
        )
        for k, key in enumerate(keys, lost)
    }


def _first_tried(attempts: Sequence[Attempt]) -> dict[Key, tuple[float, int, int]]:
    """By comparison its p-value and when that attempt started and ended."""
    found: dict[Key, tuple[float, int, int]] = {}
    judged: set[Key] = set()
    for attempt in sorted(attempts, key=lambda a: (a.started, a.ended)):
        when = attempt.started, attempt.ended
        for key in attempt.p.keys() - judged:
            if attempt.valid:
                found[key] = attempt.p[key], *when
                judged.add(key)
            else:
                found.setdefault(key, (1.0, *when))
    return found
