"""What `harness family` shows of a panel: every hypothesis tried on it, from the log alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.errors import UsageError, nearest
from harness.history.family import adjust, comparisons, family_of
from harness.history.family_forecasts import Reach, full_check, reach_of
from harness.history.registration_status import precedes, versions_before
from harness.log.registrations import (
    Registration,
    read_registration,
    registration_files,
)
from harness.log.run_digests import RunDigest, all_digests
from harness.log.store import Log, RecordError


@dataclass(frozen=True)
class Entry:
    """One hypothesis on the panel: its runs, the verdict of the latest, adjusted p-values.

    `p_value`, `p_holm` and `p_bh` are those of the best candidate among all comparisons of the
    latest run's family; None for a hypothesis that was registered and not run, has no verdict, or
    claims equality.
    `registered` is `yes` (before its first run), `altered` (before it, but another spec of the same
    name was registered or run earlier; or only another spec is registered), `later` (after its
    first run), or `no`. `panel` may have another name than the one asked for, with the same bytes.
    """

    hypothesis: str
    spec_hash: str
    panel: str
    first_run: str | None
    runs: int
    registered: str
    latest: RunDigest | None = None
    gain: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    p_bh: float | None = None

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
            **{key: getattr(t, key) if t else None for key in of},
            "gain": self.gain,
            "gain_as": t.gain_as if t else None,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "p_bh": self.p_bh,
            "registered": self.registered,
        }


@dataclass(frozen=True)
class FamilyReport:
    """Everything that was tried on a panel; `unreadable` runs and registrations are left out."""

    panel: str
    runs: int
    comparisons: int
    entries: tuple[Entry, ...]
    unreadable: tuple[str, ...]


def report_family(log: Log, panel: str) -> FamilyReport:
    """The report of the panel of this name; UsageError when the log has nothing on it."""
    runs, unreadable = all_digests(log)
    registered, torn = _all_registrations(log)
    known = {run.panel for run in runs} | {r.data.panel for r in registered}
    if panel not in known:
        near = nearest(panel, sorted(known))
        hint = f"; did you mean '{near}'?" if near else "" if known else "; the log is empty"
        raise UsageError(f"no run on panel '{panel}' in {log.root}{hint}")
    mine = _on_panel(runs, panel, runs)
    entries = tuple(_entries(runs, mine, registered, _on_panel(registered, panel, runs)))
    return FamilyReport(panel, len(mine), len(comparisons(mine)), entries, (*unreadable, *torn))


def latest_runs(log: Log, panel: str) -> list[RunDigest]:
    """The latest run of every hypothesis on the panel, oldest first."""
    runs = all_digests(log)[0]
    return list({run.spec_hash: run for run in _on_panel(runs, panel, runs)}.values())


def reach(log: Log, panel: str) -> Reach:
    """How much the reality checks of all hypotheses on the panel would read."""
    return reach_of(log, latest_runs(log, panel))


def check_all(log: Log, panel: str) -> Iterator[tuple[RunDigest, dict[str, Any]]]:
    """The full reality check of every hypothesis on the panel, one by one."""
    runs = all_digests(log)[0]
    for run in latest_runs(log, panel):
        try:
            found = full_check(log, _family(runs, run), run)
        except RecordError as error:
            found = {"why": str(error)}
        yield run, found


_Read = TypeVar("_Read", RunDigest, Registration)


def _on_panel(what: Sequence[_Read], panel: str, runs: Sequence[RunDigest]) -> list[_Read]:
    """Those on the panel of this name, or on another one with the bytes that its runs read."""
    prints = {run.fingerprint for run in runs if run.panel == panel} - {None}
    return [one for one in what if one.data.panel == panel or one.data.fingerprint in prints]


def _all_registrations(log: Log) -> tuple[list[Registration], list[str]]:
    found, torn = [], []
    for file in registration_files(log):
        try:
            found.append(read_registration(log, file))
        except RecordError:
            torn.append(file)
    return sorted(found, key=lambda r: r.registered_at), torn


def _family(runs: Sequence[RunDigest], run: RunDigest) -> list[RunDigest]:
    tested = (run.tested_from or "", run.tested_until or "9999")
    return family_of(runs, run.data, tested)


def _entries(
    runs: Sequence[RunDigest],
    mine: Sequence[RunDigest],
    registered: Sequence[Registration],
    here: Sequence[Registration],
) -> Iterator[Entry]:
    """Every hypothesis of `mine`, then those that are registered `here` and were never run."""
    adjusted: dict[tuple[str | None, ...], Any] = {}
    for spec_hash in dict.fromkeys(run.spec_hash for run in mine):
        own = [run for run in mine if run.spec_hash == spec_hash]
        latest = own[-1]
        span = latest.tested_from, latest.tested_until, latest.panel, latest.fingerprint
        if span not in adjusted:
            p = comparisons(_family(runs, latest))
            adjusted[span] = {key: (p[key], *both) for key, both in adjust(p).items()}
        claims = [r for r in here if r.spec_hash == spec_hash]
        state = _state(spec_hash, claims, own[0], runs, registered)
        head = latest.hypothesis, spec_hash, latest.panel, own[0].started, len(own), state, latest
        gain, _ = latest.comparisons.get(latest.candidate, (None, None))
        key = latest.comparison, latest.candidate
        judged = None if latest.claim == "equal" else adjusted[span].get(key)
        yield Entry(*head, gain, *(judged or (None, None, None)))
    ran = {run.spec_hash for run in mine}
    for spec_hash in dict.fromkeys(r.spec_hash for r in here if r.spec_hash not in ran):
        claims = [r for r in here if r.spec_hash == spec_hash]
        state = _state(spec_hash, claims, None, runs, registered)
        yield Entry(claims[0].hypothesis, spec_hash, claims[0].data.panel, None, 0, state)


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
