"""What `harness family` shows of a panel: every hypothesis tried on it, from the log alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError, nearest
from harness.history.family import Family, family_of
from harness.history.family_forecasts import Reach, full_check, reach_of
from harness.history.online import UNDECIDED, Decision
from harness.history.registration_status import precedes, versions_before
from harness.log.registrations import (
    DataRead,
    Registration,
    read_registration,
    registration_files,
)
from harness.log.run_digests import Key, LogDigests, RunDigest, read_digests
from harness.log.store import Log, RecordError


@dataclass(frozen=True)
class Entry:
    """One hypothesis of the panel's family: its runs, the verdict of the latest, adjusted p-values.

    `runs` are in the log, `gone` were and are known by their digests alone; `latest` is of either.
    `p_value`, `p_holm` and `p_bh` are those of its best candidate among all comparisons of the
    family; None for a hypothesis that was registered and not run, has no verdict, or claims
    equality. `online` are the decisions on that candidate's comparison at the level of its rule.
    `registered` is `yes` (before its first run), `altered` (before it, but another spec of the same
    name was registered or run earlier; or only another spec is registered), `later` (after its
    first run), or `no`. `panel` may have another name than the one asked for.
    """

    hypothesis: str
    spec_hash: str
    panel: str
    first_run: str | None
    runs: int
    registered: str
    gone: int = 0
    latest: RunDigest | None = None
    gain: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    p_bh: float | None = None
    online: Decision | None = None

    def as_json(self) -> dict[str, Any]:
        """Its row of `harness family --json`."""
        t = self.latest
        of = ("run_id", "status", "candidate", "baseline", "metric", "horizon")
        return {
            "hypothesis": self.hypothesis,
            "spec_hash": self.spec_hash,
            "panel": self.panel,
            "first_run": self.first_run,
            "runs": self.runs,
            "gone": self.gone,
            **{key: getattr(t, key) if t else None for key in of},
            "gain": self.gain,
            "gain_as": t.gain_as if t else None,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "p_bh": self.p_bh,
            **(self.online or UNDECIDED).words(),
            "registered": self.registered,
        }


@dataclass(frozen=True)
class FamilyReport:
    """Everything that was tried on a panel; `unreadable` runs and registrations are left out."""

    panel: str
    family: Family
    entries: tuple[Entry, ...]
    unreadable: tuple[str, ...]

    @property
    def runs(self) -> int:
        """How many runs of the family are in the log."""
        return len(self.family.members)

    @property
    def comparisons(self) -> int:
        """How many comparisons were tried in the family, those of runs that are gone included."""
        return self.family.comparisons


def report_family(log: Log, panel: str) -> FamilyReport:
    """The report of the panel of this name; UsageError when the log has nothing on it."""
    digests = read_digests(log)
    registered, torn = _all_registrations(log)
    every = [*digests.runs, *digests.missing]
    known = {run.panel for run in every} | {r.data.panel for r in registered}
    if panel not in known:
        near = nearest(panel, sorted(known))
        hint = f"; did you mean '{near}'?" if near else "" if known else "; the log is empty"
        raise UsageError(f"no run on panel '{panel}' in {log.root}{hint}")
    family = _family(digests, panel)
    names = {run.panel for run in family.runs} | {panel}
    prints = {run.fingerprint for run in family.runs} - {None}
    here = [r for r in registered if r.data.panel in names or r.data.fingerprint in prints]
    entries = tuple(_entries(digests.runs, family, registered, here))
    return FamilyReport(panel, family, entries, (*digests.unreadable, *torn))


def latest_runs(log: Log, panel: str) -> list[RunDigest]:
    """The latest run of every hypothesis of the panel's family, oldest first."""
    members = _family(read_digests(log), panel).members
    return list({run.spec_hash: run for run in members}.values())


def reach(log: Log, panel: str) -> Reach:
    """How much the reality checks of all hypotheses on the panel would read."""
    return reach_of(log, latest_runs(log, panel))


def check_all(log: Log, panel: str) -> Iterator[tuple[RunDigest, dict[str, Any]]]:
    """The full reality check of every hypothesis on the panel, one by one."""
    members = _family(read_digests(log), panel).members
    for run in latest_runs(log, panel):
        try:
            found = full_check(log, members, run)
        except RecordError as error:
            found = {"why": str(error)}
        yield run, found


def _family(digests: LogDigests, panel: str) -> Family:
    """The family of all that was tried on the panel of this name."""
    return family_of(digests, DataRead.unseen(panel), None)


def _all_registrations(log: Log) -> tuple[list[Registration], list[str]]:
    found, torn = [], []
    for file in registration_files(log):
        try:
            found.append(read_registration(log, file))
        except RecordError:
            torn.append(file)
    return sorted(found, key=lambda r: r.registered_at), torn


def _entries(
    runs: Sequence[RunDigest],
    family: Family,
    registered: Sequence[Registration],
    here: Sequence[Registration],
) -> Iterator[Entry]:
    """Every hypothesis of the family, then those that are registered `here` and were never run."""
    adjusted = family.adjusted()
    online: dict[float, Mapping[Key, Decision]] = {}  # by alpha
    members = {run.run_id for run in family.members}
    versions = _Versions(runs)
    by_spec: dict[str, list[RunDigest]] = {}
    for run in family.runs:
        by_spec.setdefault(run.spec_hash, []).append(run)
    for spec_hash, own in by_spec.items():
        latest = own[-1]
        claims = [r for r in here if r.spec_hash == spec_hash]
        state = _state(spec_hash, claims, own[0], versions.of(own[0]), registered)
        there = sum(run.run_id in members for run in own)
        head = latest.hypothesis, spec_hash, latest.panel, own[0].started, there, state
        gain, _ = latest.comparisons.get(latest.candidate, (None, None))
        key = latest.judged, latest.candidate
        judged = None if latest.claim == "equal" else adjusted.get(key)
        decided = None
        if judged and latest.alpha:
            if latest.alpha not in online:
                online[latest.alpha] = family.online(latest.alpha)
            decided = online[latest.alpha].get(key)
        p_value, p_holm, p_bh = judged or (None, None, None)
        gone = len(own) - there
        yield Entry(*head, gone, latest, gain, p_value, p_holm, p_bh, decided)
    for spec_hash in dict.fromkeys(r.spec_hash for r in here if r.spec_hash not in by_spec):
        claims = [r for r in here if r.spec_hash == spec_hash]
        state = _state(spec_hash, claims, None, versions.named(claims[0].hypothesis), registered)
        yield Entry(claims[0].hypothesis, spec_hash, claims[0].data.panel, None, 0, state)


class _Versions:
    """The runs of a log by hypothesis and by comparison, oldest first."""

    def __init__(self, runs: Sequence[RunDigest]) -> None:
        self._named: dict[str, list[RunDigest]] = {}
        self._compared: dict[str, list[RunDigest]] = {}
        for run in runs:
            self._named.setdefault(run.hypothesis, []).append(run)
            self._compared.setdefault(run.comparison, []).append(run)

    def named(self, hypothesis: str) -> list[RunDigest]:
        """The runs of the hypothesis of this name."""
        return self._named.get(hypothesis, [])

    def of(self, run: RunDigest) -> list[RunDigest]:
        """The runs that have its hypothesis' name or make its comparison."""
        both = [*self.named(run.hypothesis), *self._compared.get(run.comparison, [])]
        return sorted({r.run_id: r for r in both}.values(), key=lambda r: (r.started, r.run_id))


def _state(
    spec_hash: str,
    own: Sequence[Registration],
    first: RunDigest | None,
    runs: Sequence[RunDigest],
    registered: Sequence[Registration],
) -> str:
    """`Entry.registered`; `own` are the hypothesis' registrations, `first` its first run."""
    before = bool(own) and precedes(own[0], first)
    if first is not None and first.registered is not None:
        before = first.registered
    if own and not before:
        return "later"
    alike, begun = (
        ((first.hypothesis, first.comparison), first.started)
        if first
        else ((own[0].hypothesis, None), own[0].registered_at)
    )
    others = versions_before(alike, spec_hash, begun, runs, registered)
    if before:
        return "altered" if others else "yes"
    return "altered" if any(version.registration for version in others) else "no"
