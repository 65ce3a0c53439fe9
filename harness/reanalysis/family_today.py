"""The families of stored runs as the log knows them now: what was tried after a run counts too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.history.family import Family, family_of
from harness.log.run_digests import LogDigests, RunDigest, gone_words, sealed_holm
from harness.verdict.words import p_value


@dataclass(frozen=True)
class FamilyToday:
    """A run's family now: so many `comparisons`, and the ids of runs of it that are `gone`.

    `p_holm` is the Holm-adjusted p of the run's decisive candidate among all of them; None for a
    claim of equality and for a run without a verdict.
    """

    run: RunDigest
    comparisons: int
    p_holm: float | None
    gone: tuple[str, ...]

    @property
    def warning(self) -> str | None:
        """What a confirmed verdict that is not significant in its family is told."""
        alpha, p = self.run.alpha, self.p_holm
        if self.run.status != "confirmed" or p is None or alpha is None or p < alpha:
            return None
        return (
            f"confirmed alone; among the {self.comparisons:,} comparisons of its family the "
            f"Holm-adjusted p of {self.run.candidate} is {p_value(p, alpha)}, not below {alpha:g}"
        )

    def as_json(self) -> dict[str, Any]:
        """Its keys of `harness show --json` and `harness list --json`."""
        return {
            "comparisons": self.comparisons,
            "p_holm": self.p_holm,
            "gone": list(self.gone),
            "warning": self.warning,
        }

    def since(self, record: Mapping[str, Any]) -> list[str]:
        """What differs from the family in the run's record, in sentences; none if nothing does."""
        found, sealed = [], record.get("family") or {}
        then = sealed.get("comparisons")
        if then != self.comparisons:
            before = "the card does not count them" if then is None else f"{then:,} on the card"
            found.append(
                f"Comparisons in the family of this run: {self.comparisons:,} today ({before})."
            )
        p = sealed_holm(record)
        if self.p_holm is not None and self.p_holm != p:
            before = "none on the card" if p is None else f"{p_value(p)} on the card"
            found.append(
                f"The Holm-adjusted p of {self.run.candidate} among all of them is "
                f"{p_value(self.p_holm)} today ({before})."
            )
        if set(self.gone) != set(sealed.get("gone") or []):
            found.append(gone_words(self.gone, "this family"))
        return found


def families_today(digests: LogDigests, runs: Iterable[RunDigest]) -> dict[str, FamilyToday]:
    """Run id -> its family now, for these runs of the log."""
    found: dict[str, FamilyToday] = {}
    families: dict[str, tuple[Family, dict[tuple[str, str], tuple[float, float, float]]]] = {}
    for run in runs:
        if run.run_id not in families:
            family = family_of(digests, run.data, run.targets)
            judged = family, family.adjusted()
            families |= {member.run_id: judged for member in family.members}
        family, adjusted = families[run.run_id]
        p = None if run.claim == "equal" else adjusted.get((run.judged, run.candidate))
        holm = p[1] if p else None
        found[run.run_id] = FamilyToday(run, len(adjusted) + family.lost, holm, family.gone)
    return found
