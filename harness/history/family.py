"""The family of a run: everything that was tried on its targets, as the log knew it.

The family of a run are all logged runs that are linked with it, directly or through others: on a
panel of the same name, on the same bytes (all that was read, or one price column), or judged on the
same targets (`target_sketch`), whatever the panel is called and whatever was rounded, renamed or
cut off. Test spans need not overlap: what is looked for in ten half-years of one panel is one
search. Reruns and variants belong to it, confirmed or not, and so do runs that are gone, as far as
digests or later records tell of them.

Its size is the number of distinct comparisons, a candidate against a baseline, that were ever
judged in it. A rerun is no new comparison, also over more data; neither is another name, minimum
gain or alpha. The same comparison on a copy of the panel, or with a test that begins elsewhere,
counts again: nothing that was tried can leave the count.

    family = family_of(read_digests(log), data, targets)
    adjust(family.p_values, family.lost)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.durations import ns_of
from harness.history.online import Attempt, Decision, attempts_of, decide_online
from harness.history.registration_status import Compare, history
from harness.inference.multiple_testing import benjamini_hochberg, holm
from harness.log.registrations import DataRead, moment_words
from harness.log.run_digests import Key, LogDigests, RunDigest, judged_words, read_digests
from harness.log.store import Log
from harness.log.target_sketch import Sketch, alike, sketch_of
from harness.panel.contents import beginning
from harness.types import PRICES

if TYPE_CHECKING:
    from harness.inference.evidence import Verdict
    from harness.samples.target_scale import TargetScale
    from harness.spec.hypothesis import Hypothesis
    from harness.types import Samples

METHOD = 2  # of the family in a record: raise it where the same log gives another family
_NEW_ROWS = 0.1  # of a sketch's origins, that make it worth comparing beside larger ones


@dataclass(frozen=True)
class Family:
    """Runs that are linked, oldest first.

    `members` are in the log; `missing` are known by digests alone, since their records are gone or
    unreadable; `gone` are the ids of all runs that the others name and that the log has not. `lost`
    is how many comparisons of theirs are known by number alone.
    """

    members: tuple[RunDigest, ...]
    missing: tuple[RunDigest, ...]
    gone: tuple[str, ...]
    lost: int

    @property
    def runs(self) -> list[RunDigest]:
        """All of which there are digests, oldest first."""
        return sorted((*self.members, *self.missing), key=lambda run: (run.started, run.run_id))

    @property
    def p_values(self) -> dict[Key, float]:
        """The latest p-value of every comparison but those that are `lost`."""
        return comparisons(self.runs)

    @property
    def comparisons(self) -> int:
        """How many comparisons were tried."""
        return len(self.p_values) + self.lost

    def adjusted(self) -> dict[Key, tuple[float, float, float]]:
        """Each p-value, and adjusted by Holm, and by Benjamini and Hochberg."""
        p = self.p_values
        return {key: (p[key], *both) for key, both in adjust(p, self.lost).items()}

    def online(self, alpha: float) -> dict[Key, Decision]:
        """The online decisions on its comparisons, in the order in which they were tried."""
        return decide_online([*attempts_of(self.runs)], self.lost, alpha)


@dataclass(frozen=True)
class Known:
    """What the log knew before a run: its family, its registration, why it may be void.

    `started` is when its run began, `tested_from` when its first test window does; `registration`
    is what the record holds of the registration; `forbidden` are the sentences that forbid a
    verdict; `unreadable` are runs whose records cannot be read: what is known of them is what
    digests from before say.
    """

    hypothesis: Hypothesis
    started: datetime
    tested_from: str
    family: Family
    registration: Mapping[str, Any]
    forbidden: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def members(self) -> tuple[RunDigest, ...]:
        """The runs of the family that are in the log, oldest first."""
        return self.family.members

    def words(self, verdict: Verdict) -> dict[str, Any]:
        """What the record holds of the family, this run included, without the reality check."""
        h, p, members = self.hypothesis, self.family.p_values, self.family.members
        tests = () if h.verdict.claim == "equal" else verdict.evidence
        judged = judged_words(h.comparison_hash, self.tested_from)
        own = {(judged, e.candidate): _number(e.p_value) for e in tests}
        void = verdict.status == "void"
        _count(p, own, void=void)
        adjusted = adjust(p, self.family.lost)
        now = ns_of(self.started)
        attempts = [*attempts_of(self.family.runs), Attempt(own, not void, now, now)]
        online = decide_online(attempts, self.family.lost, h.verdict.alpha)
        hashes = {m.spec_hash for m in members} | {h.spec_hash}
        return {
            "hypotheses": len(hashes),
            "runs": len(members) + 1,
            "reruns": len(members) + 1 - len(hashes),
            "comparisons": len(p) + self.family.lost,
            "candidates": [
                {"candidate": key[1], "p_value": p[key], "p_holm": adjusted[key][0],
                 "p_bh": adjusted[key][1], **online[key].words()}
                for key in own
            ],
            "run_ids": [m.run_id for m in members],
            "unreadable": list(self.unreadable),
            "gone": list(self.family.gone),
            "lost": self.family.lost,
        }  # fmt: skip


def look_up(
    log: Log,
    hypothesis: Hypothesis,
    data: DataRead,
    targets: str | None,
    tested_from: str,
    started: datetime,
    compare: Compare = lambda _: None,
) -> Known:
    """What the log knows about a hypothesis that is about to be judged on this data.

    `targets` is the sketch of its targets, `tested_from` the beginning of its first test window
    (ISO 8601, UTC), `started` is when its run began; `compare` is as in `history`.
    """
    digests = read_digests(log)
    past = history(log, hypothesis, digests.runs, data, compare)
    registration = past.words(log, moment_words(started), data)
    changes = past.changes
    own = {run.run_id: run for run in past.own}
    kept = [run for run in digests.runs if run.run_id not in past.unreadable]
    refused = [run for run in digests.runs if run.run_id in past.unreadable]
    unreadable = sorted({*digests.unreadable, *past.unreadable})
    believed = LogDigests(
        [own.get(run.run_id, run) for run in kept], unreadable, [*digests.missing, *refused]
    )
    return Known(
        hypothesis,
        started,
        tested_from,
        family_of(believed, data, targets),
        registration,
        () if registration["anew"] or not changes else (changes[-1].sentence(data),),
        tuple(unreadable),
    )


def targets_sketch(samples: Samples, scale: TargetScale) -> str:
    """The sketch of the targets of all rows, but for those at the floor."""
    log_sigma = scale.log_sigma(samples.y)
    known = np.where(scale.at_floor(log_sigma), np.nan, log_sigma)
    return sketch_of(samples.rows.formed_at, samples.rows.symbol, samples.symbols, known)


def family_of(digests: LogDigests, data: DataRead, targets: str | None) -> Family:
    """The family of a run on this data, judged on targets of this sketch (None: not known)."""
    missing = {run.run_id for run in digests.missing}
    linked = linked_runs([*digests.runs, *digests.missing], data, targets)
    members = [run for run in linked if run.run_id not in missing]
    told = {name for run in linked for name in (run.run_id, *run.gone)}
    return Family(
        tuple(members),
        tuple(run for run in linked if run.run_id in missing),
        tuple(name for name in digests.gone if name in told),
        max((run.lost for run in linked), default=0),
    )


def linked_runs(runs: Sequence[RunDigest], data: DataRead, targets: str | None) -> list[RunDigest]:
    """Those of the runs that are linked with this data and targets, directly or through others."""
    groups = _groups(runs)
    own = {*_links(data.panel, data.fingerprint, beginning(data.contents))}
    found = [group for group in groups if not own.isdisjoint(group.links)]
    left = [group for group in groups if group not in found]
    new = [Sketch.read(targets)] if targets and left else []
    if left:
        new += [sketch for group in found for sketch in group.sketches]
    while new and left:
        outside = [(group, sketch) for group in left for sketch in group.sketches]
        met = np.zeros(len(outside), bool)
        for sketch in new:
            met |= alike(sketch, [other for _, other in outside])
        joined = {group for (group, _), is_met in zip(outside, met, strict=True) if is_met}
        found += joined
        left = [group for group in left if group not in joined]
        new = [sketch for group in joined for sketch in group.sketches]
    kept = {run.run_id for group in found for run in group.runs}
    return [run for run in runs if run.run_id in kept]


@dataclass(frozen=True, eq=False)
class _Group:
    """Runs on panels of the same name, the same bytes, or with a price column of the same bytes."""

    runs: tuple[RunDigest, ...]

    @property
    def links(self) -> set[tuple[str, str]]:
        """The names of their panels, the bytes that they read, and those of price columns."""
        return {link for run in self.runs for link in _links_of(run)}

    @cached_property
    def sketches(self) -> list[Sketch]:
        """The sketches of their targets, the largest first, without those that hold little else."""
        texts = {run.targets for run in self.runs if run.targets}
        if len(texts) == 1:
            return [Sketch.read(texts.pop())]
        kept: list[Sketch] = []
        seen: set[bytes] = set()
        for sketch in map(Sketch.read, sorted(texts, key=lambda text: (-len(text), text))):
            rows = sketch.rows()
            if len(rows - seen) > _NEW_ROWS * len(rows):
                kept.append(sketch)
                seen |= rows
        return kept


def _groups(runs: Sequence[RunDigest]) -> list[_Group]:
    """The runs by name, bytes and price columns of their panels."""
    first: dict[tuple[str, str], int] = {}  # name or bytes -> the number of a run
    group = list(range(len(runs)))

    def root(k: int) -> int:
        while group[k] != k:
            group[k] = group[group[k]]
            k = group[k]
        return k

    for k, run in enumerate(runs):
        for key in _links_of(run):
            group[root(k)] = root(first.setdefault(key, k))
    parts: dict[int, list[RunDigest]] = {}
    for k, run in enumerate(runs):
        parts.setdefault(root(k), []).append(run)
    return [_Group(tuple(part)) for part in parts.values()]


def _links_of(run: RunDigest) -> Iterator[tuple[str, str]]:
    return _links(run.panel, run.fingerprint, run.beginning)


def _links(
    panel: str, fingerprint: str | None, begun: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    """What a run has in common with others on its panel, however that is called."""
    yield "name", panel
    if fingerprint is not None:
        yield "bytes", fingerprint
    if begun is not None and begun["first"] != begun["last"]:
        yield from (("price", of) for name, of in begun["hashes"].items() if name in PRICES)


def comparisons(runs: Sequence[RunDigest]) -> dict[Key, float]:
    """The latest p-value of every comparison of these runs, which are oldest first.

    The p-values of a void run are not valid: a comparison that only void runs made counts with
    p = 1. A claim of equality is not decided by p-values, and has none here.
    """
    found: dict[Key, float] = {}
    for run in runs:
        if run.claim != "equal":
            p = {
                (run.judged, name): 1.0 if p is None else p
                for name, (_, p) in run.comparisons.items()
            }
            _count(found, p, void=run.status == "void")
    return found


def _count(found: dict[Key, float], p: Mapping[Key, float], *, void: bool) -> None:
    """Add the p-values of a later run."""
    found |= {key: 1.0 for key in p if key not in found} if void else p


def adjust(p: Mapping[Key, float], lost: int = 0) -> dict[Key, tuple[float, float]]:
    """Each p-value adjusted for all of them: by Holm, by Benjamini and Hochberg.

    `lost` more were tried of which no p-value is known: they count with p = 1.
    """
    values = np.array([*p.values(), *[1.0] * lost], np.float64)
    both = zip(holm(values).tolist(), benjamini_hochberg(values).tolist(), strict=True)
    return dict(zip(p, both, strict=False))


def _number(p: float) -> float:
    """A comparison without a p-value was made all the same: it counts with p = 1."""
    return 1.0 if math.isnan(p) else p
