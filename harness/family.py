"""The family of a run: everything that was tried on its panel, and what the log knew before it.

A run's family are all runs of the log on the same panel whose tested spans overlap its own: reruns
and variants, confirmed or not. Its size is the number of distinct comparisons, a hypothesis'
candidate against its baseline, ever judged on it; a rerun is no new comparison.

The same panel is a panel of the same name, or one of another name that gave the same bytes. What
was tested at other times is no part of the family: a claim may be found on one span and judged on
the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.ability.multiple import benjamini_hochberg, holm
from harness.log import Log
from harness.registrations import (
    DataRead,
    Registration,
    registrations,
    rule_difference,
    rule_of,
)
from harness.tried import Tried, all_tried

if TYPE_CHECKING:
    from harness.hypothesis import Hypothesis
    from harness.types import Evidence

Key = tuple[str, str]  # of a comparison: the hypothesis' hash and the candidate
Contradiction = Callable[[str], str | None]


@dataclass(frozen=True)
class Known:
    """What the log knew before a run: its family, its registration, why it may be void.

    `members` are the runs of the family, oldest first; `registration` is what the record keeps of
    it; `forbidden` are the sentences that forbid a verdict; `unreadable` are runs left out because
    their records cannot be read.
    """

    spec_hash: str
    members: tuple[Tried, ...]
    registration: Mapping[str, Any]
    forbidden: tuple[str, ...]
    unreadable: tuple[str, ...]

    def p_values(self, evidence: Sequence[Evidence]) -> dict[Key, float]:
        """The p-value of every comparison of the family: its latest, this run's last of all."""
        found = comparisons(self.members)
        # Where there is no p-value the comparison still was made, and found nothing.
        own = {(self.spec_hash, e.candidate): _number(e.p_value) for e in evidence}
        return {key: p for key, p in found.items() if key not in own} | own

    def holm(self, evidence: Sequence[Evidence]) -> dict[str, float]:
        """Candidate -> its p-value adjusted by Holm among all comparisons of the family."""
        adjusted = adjust(self.p_values(evidence))
        return {e.candidate: adjusted[self.spec_hash, e.candidate][0] for e in evidence}

    def words(self, evidence: Sequence[Evidence]) -> dict[str, Any]:
        """What the record keeps of the family, the reality check aside."""
        p = self.p_values(evidence)
        adjusted = adjust(p)
        keys = [(self.spec_hash, e.candidate) for e in evidence]
        hashes = {m.spec_hash for m in self.members} | {self.spec_hash}
        return {
            "hypotheses": len(hashes),
            "runs": len(self.members) + 1,
            "reruns": len(self.members) + 1 - len(hashes),
            "comparisons": len(p),
            "candidates": [
                {"candidate": key[1], "p_value": p[key], "p_holm": adjusted[key][0],
                 "p_bh": adjusted[key][1]}
                for key in keys
            ],
            "run_ids": [m.run_id for m in self.members],
            "unreadable": list(self.unreadable),
        }  # fmt: skip


def look_up(
    log: Log,
    hypothesis: Hypothesis,
    data: DataRead,
    tested: tuple[str, str],
    contradiction: Contradiction = lambda _: None,
) -> Known:
    """What the log knows of a hypothesis that is about to be judged on this data.

    `contradiction(run_id)` says in words what shows that the data which that earlier run stored
    is not the beginning of this data, None where nothing does.
    """
    runs, unreadable = all_tried(log)
    members = family_of(runs, data, tested)
    own = [run for run in runs if run.spec_hash == hypothesis.spec_hash]
    named, torn = registrations(log, hypothesis.identity.name)
    changes = _changes(own, named, hypothesis.spec_hash, data, contradiction)
    registration = _registration(hypothesis, own, named, changes)
    if torn:
        registration["words"] += f" Not readable, and not counted: {', '.join(torn)}."
    forbidden = [] if registration["anew"] or not changes else [changes[-1].sentence(data)]
    return Known(
        hypothesis.spec_hash,
        tuple(members),
        registration,
        tuple(forbidden),
        tuple(unreadable),
    )


def standing(
    log: Log, hypothesis: Hypothesis, data: DataRead
) -> tuple[Registration | None, Tried | None]:
    """The registration that stands for a hypothesis on this data, and its first run on it."""
    own = [run for run in all_tried(log)[0] if run.spec_hash == hypothesis.spec_hash]
    named, _ = registrations(log, hypothesis.identity.name)
    changes = _changes(own, named, hypothesis.spec_hash, data, lambda _: None)
    return _standing(hypothesis.spec_hash, own, named, changes)


def family_of(runs: Sequence[Tried], data: DataRead, tested: tuple[str, str]) -> list[Tried]:
    """The runs on the same panel that were tested at some moment of `tested`."""
    return [run for run in runs if _same_panel(run.data, data) and run.overlaps(tested)]


def comparisons(runs: Sequence[Tried]) -> dict[Key, float]:
    """The p-value of every comparison of these runs, oldest first: the latest of each."""
    return {(r.spec_hash, name): p for r in runs for name, (_, p) in r.comparisons.items()}


def adjust(p: Mapping[Key, float]) -> dict[Key, tuple[float, float]]:
    """Holm's and Benjamini-Hochberg's adjusted p-values among all of these."""
    values = np.array(list(p.values()), np.float64)
    both = zip(holm(values).tolist(), benjamini_hochberg(values).tolist(), strict=True)
    return dict(zip(p, both, strict=True))


def _same_panel(one: DataRead, other: DataRead) -> bool:
    same_bytes = one.fingerprint is not None and one.fingerprint == other.fingerprint
    return one.panel == other.panel or same_bytes


@dataclass(frozen=True)
class _Change:
    """An earlier run or registration of the hypothesis that read other data."""

    key: str  # the run's id or the registration's file
    at: str
    what: str
    data: DataRead
    shown: str | None

    def sentence(self, now: DataRead) -> str:
        """Why no verdict can be given."""
        shown = f": {self.shown}" if self.shown else ""
        return (
            f"The panel changed{shown}. {self.what} of {self.at[:10]} read {self.data.panel} as "
            f"{_reach(self.data)}; this run read {_reach(now)}. To judge the claim on the changed "
            "data, register it anew (harness register)."
        )


def _reach(data: DataRead) -> str:
    span = f"{str(data.start)[:10]} to {str(data.end)[:10]}"
    return f"{data.fingerprint} ({data.rows:,} rows, {span})"


def _changes(
    own: Sequence[Tried],
    named: Sequence[Registration],
    spec_hash: str,
    now: DataRead,
    contradiction: Contradiction,
) -> list[_Change]:
    """Every earlier run and registration of the hypothesis on other data, oldest first."""
    found = []
    grown = [run for run in own if run.data.differs_from(now) and run.data.grew_into(now)]
    # The latest of them has stored the most; one file of forecasts is read.
    latest = grown[-1].run_id if grown else None
    for run in own:
        shown = contradiction(run.run_id) if run.run_id == latest else None
        if shown or run.data.changed_into(now):
            found.append(_Change(run.run_id, run.started, f"Run {run.run_id}", run.data, shown))
    found += [
        _Change(r.file, r.registered_at, "The registration", r.data, None)
        for r in named
        if r.spec_hash == spec_hash and r.data.changed_into(now)
    ]
    return sorted(found, key=lambda change: change.at)


def _registration(
    hypothesis: Hypothesis,
    own: Sequence[Tried],
    named: Sequence[Registration],
    changes: Sequence[_Change],
) -> dict[str, Any]:
    """Whether the hypothesis was registered before its first run on this data, in words too."""
    found, first = _standing(hypothesis.spec_hash, own, named, changes)
    before = found is not None and precedes(found, first)
    return {
        "registered_at": found.registered_at if found else None,
        "first_run_at": first.started if first else None,
        "first_run": first.run_id if first else None,
        "before": before,
        "anew": bool(changes) and found is not None,
        "files": [r.file for r in named],
        "words": _words(hypothesis, found, first, before, bool(changes), named),
    }


def _standing(
    spec_hash: str,
    own: Sequence[Tried],
    named: Sequence[Registration],
    changes: Sequence[_Change],
) -> tuple[Registration | None, Tried | None]:
    """The first registration since the data last changed, and the first run on this data."""
    other = {change.key for change in changes}
    since = changes[-1].at if changes else ""
    mine = [
        r
        for r in named
        if r.spec_hash == spec_hash and r.file not in other and r.registered_at >= since
    ]
    runs = [run for run in own if run.run_id not in other]
    return mine[0] if mine else None, runs[0] if runs else None


def precedes(registration: Registration, first: Tried | None) -> bool:
    """Whether it precedes the first run; runs know it but for old ones, which tell seconds only."""
    if first is None or first.registered:
        return True
    return first.registered is None and registration.registered_at[:19] <= first.started[:19]


def _words(
    hypothesis: Hypothesis,
    found: Registration | None,
    first: Tried | None,
    before: bool,
    changed: bool,
    named: Sequence[Registration],
) -> str:
    if found is not None and before:
        day = found.registered_at[:10]
        if changed:
            return f"Registered anew {day}, after the panel changed and before its first run on it."
        return f"Registered {day}, before its first run."
    others = [r for r in named if r.spec_hash != hypothesis.spec_hash]
    if others and found is None:
        return _altered(hypothesis, others[-1])
    if found is not None and first is not None:
        ran = f"run {first.run_id} of {first.started[:10]}"
        later = found.registered_at[:10]
        return f"Not registered before its first run ({ran}); registered {later}."
    return "Not registered before its first run."


def _altered(hypothesis: Hypothesis, registered: Registration) -> str:
    what = "; ".join(rule_difference(registered.rule, rule_of(hypothesis)))
    short = registered.spec_hash[: len("sha256:") + 12]
    rule = f"another rule ({what})" if what else "the same rule and another spec"
    return f"Altered: registered {registered.registered_at[:10]} as {short} with {rule}."


def _number(p: float) -> float:
    return 1.0 if math.isnan(p) else p
