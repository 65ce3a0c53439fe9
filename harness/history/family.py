"""The family of a run: everything that was tried on its panel, as the log knew it before the run.

The family of a run are all logged runs on the same panel whose test spans overlap its own: reruns
and variants, confirmed or not. Its size is the number of distinct comparisons, a candidate against
a baseline, that were ever judged on it. A rerun is no new comparison; neither is another name,
minimum gain or alpha.

The same panel has the same name, or another name and the same bytes. Runs on other test spans do
not belong to the family: a claim may be found on one span and judged on the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.history.registration_status import Contradiction, history
from harness.inference.multiple_testing import benjamini_hochberg, holm
from harness.log.registrations import DataRead, moment_words
from harness.log.run_digests import RunDigest, all_digests
from harness.log.store import Log

if TYPE_CHECKING:
    from harness.inference.evidence import Verdict
    from harness.spec.hypothesis import Hypothesis

Key = tuple[str, str]  # of a comparison: its hash (RunDigest.comparison) and the candidate


@dataclass(frozen=True)
class Known:
    """What the log knew before a run: its family, its registration, why it may be void.

    `members` are the runs of the family, oldest first; `registration` is what the record holds of
    the registration; `forbidden` are the sentences that forbid a verdict; `unreadable` are runs
    that were left out because their records cannot be read.
    """

    hypothesis: Hypothesis
    members: tuple[RunDigest, ...]
    registration: Mapping[str, Any]
    forbidden: tuple[str, ...]
    unreadable: tuple[str, ...]

    def words(self, verdict: Verdict) -> dict[str, Any]:
        """What the record holds of the family, this run included, without the reality check."""
        h, p = self.hypothesis, comparisons(self.members)
        tests = () if h.verdict.claim == "equal" else verdict.evidence
        own = {(h.comparison_hash, e.candidate): _number(e.p_value) for e in tests}
        _count(p, own, void=verdict.status == "void")
        adjusted = adjust(p)
        hashes = {m.spec_hash for m in self.members} | {h.spec_hash}
        return {
            "hypotheses": len(hashes),
            "runs": len(self.members) + 1,
            "reruns": len(self.members) + 1 - len(hashes),
            "comparisons": len(p),
            "candidates": [
                {"candidate": key[1], "p_value": p[key], "p_holm": adjusted[key][0],
                 "p_bh": adjusted[key][1]}
                for key in own
            ],
            "run_ids": [m.run_id for m in self.members],
            "unreadable": list(self.unreadable),
        }  # fmt: skip


def look_up(
    log: Log,
    hypothesis: Hypothesis,
    data: DataRead,
    tested: tuple[str, str],
    started: datetime,
    contradiction: Contradiction = lambda _: None,
) -> Known:
    """What the log knows about a hypothesis that is about to be judged on this data.

    `started` is when its run began; `contradiction` is as in `history`.
    """
    runs, unreadable = all_digests(log)
    past = history(log, hypothesis, runs, data, contradiction)
    registration = past.words(log, moment_words(started))
    changes = past.changes
    own = {run.run_id: run for run in past.own}
    believed = [own.get(run.run_id, run) for run in runs if run.run_id not in past.unreadable]
    return Known(
        hypothesis,
        tuple(family_of(believed, data, tested)),
        registration,
        () if registration["anew"] or not changes else (changes[-1].sentence(data),),
        tuple(sorted({*unreadable, *past.unreadable})),
    )


def family_of(
    runs: Sequence[RunDigest], data: DataRead, tested: tuple[str, str]
) -> list[RunDigest]:
    """The runs on the same panel whose test spans overlap `tested`."""
    return [run for run in runs if _same_panel(run.data, data) and run.overlaps(tested)]


def comparisons(runs: Sequence[RunDigest]) -> dict[Key, float]:
    """The latest p-value of every comparison of these runs, which are oldest first.

    The p-values of a void run are not valid: a comparison that only void runs made counts with
    p = 1. A claim of equality is not decided by p-values, and has none here.
    """
    found: dict[Key, float] = {}
    for run in runs:
        if run.claim != "equal":
            p = {
                (run.comparison, name): 1.0 if p is None else p
                for name, (_, p) in run.comparisons.items()
            }
            _count(found, p, void=run.status == "void")
    return found


def _count(found: dict[Key, float], p: Mapping[Key, float], *, void: bool) -> None:
    """Add the p-values of a later run."""
    found |= {key: 1.0 for key in p if key not in found} if void else p


def adjust(p: Mapping[Key, float]) -> dict[Key, tuple[float, float]]:
    """Each p-value adjusted for all of them: by Holm, by Benjamini and Hochberg."""
    values = np.array(list(p.values()), np.float64)
    both = zip(holm(values).tolist(), benjamini_hochberg(values).tolist(), strict=True)
    return dict(zip(p, both, strict=True))


def _same_panel(one: DataRead, other: DataRead) -> bool:
    same_bytes = one.fingerprint is not None and one.fingerprint == other.fingerprint
    return one.panel == other.panel or same_bytes


def _number(p: float) -> float:
    """A comparison without a p-value was made all the same: it counts with p = 1."""
    return 1.0 if math.isnan(p) else p
