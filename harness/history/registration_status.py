"""Registration status of a hypothesis: registered, altered, or run on changed data.

What a card says of it is read from sealed records and registrations, never from derived files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.history.data_changes import Difference, Earlier
from harness.log.registrations import (
    DataRead,
    Registration,
    registrations,
    rule_difference,
    rule_of,
)
from harness.log.run_digests import RunDigest, all_digests, sealed_data, sealed_digests
from harness.log.store import Log
from harness.panel.revisions import ROUNDING, size_words
from harness.panel.sections import LARGEST_TOLERANCE
from harness.spec.reading import stored_hypothesis

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis

Compare = Callable[[Earlier], Difference | None]


@dataclass(frozen=True)
class Change:
    """An earlier run or registration of the hypothesis, or of a version of it, on other data.

    `run` is the run's id or `file` the registration's file, the other is None.
    """

    run: str | None
    file: str | None
    at: str
    data: DataRead
    difference: Difference

    @property
    def what(self) -> str:
        """What read the data, and when."""
        who = "The registration" if self.run is None else f"Run {self.run}"
        return f"{who} of {self.at[:10]}"

    def sentence(self, now: DataRead) -> str:
        """Why there can be no verdict."""
        which, then, found = "panel", self.data, self.difference
        if found.of_source and then.source and now.source:
            which, then, now = "source panel", then.source, now.source
        shown = f": {found.shown}" if found.shown else ""
        size = "" if math.isinf(found.size) else f"; {size_words(found.size)}"
        return (
            f"The {which} changed{shown}{size}. {self.what} read {then.panel} as "
            f"{_reach(then)}; this run read {_reach(now)}. To judge the claim on the changed "
            f"data, register it again (harness register).{_tolerable(found.size, then.panel)}"
        )

    def caution(self, now: DataRead) -> str:
        """The change of data for which there can be a verdict all the same."""
        which, then, found = "panel", self.data, self.difference
        if found.of_source and then.source and now.source:
            which, then, now = "source panel", then.source, now.source
        size = f"; {size_words(found.size)}" if found.revised else ""
        allowed = ""
        if found.size > ROUNDING:
            was = f"{then.tolerance:g}" if then.tolerance else "none"
            allowed = (
                f", within the revision_tolerance of {now.tolerance:g} that the panel declares"
            )
            if then.tolerance != now.tolerance:
                allowed += f" now ({was} when it was read then)"
        what = self.what[0].lower() + self.what[1:]
        return f"The {which} {then.panel} has changed since {what}: {found.shown}{size}{allowed}."


def _tolerable(size: float, panel: str) -> str:
    """How to declare that changes of this size are revisions, if they may be."""
    if size > LARGEST_TOLERANCE:
        return ""
    enough = min(LARGEST_TOLERANCE, float(f"{10 ** math.ceil(math.log10(size)):.0e}"))
    return (
        f" If its vendor revises past values by so little, declare revision_tolerance = {enough:g} "
        f"in [panel] of {panel}.toml."
    )


@dataclass(frozen=True)
class Version:
    """Another spec with the same name, or with the same comparison under another name.

    It has its first registration and its latest run, or None.
    """

    spec_hash: str
    registration: Registration | None
    run: RunDigest | None

    @property
    def at(self) -> str:
        """When it was last registered or run."""
        registered = self.registration.registered_at if self.registration else ""
        return max(registered, self.run.started if self.run else "")


@dataclass(frozen=True)
class History:
    """A hypothesis in the log: its own runs and those of its other versions, oldest first.

    `named` are the registrations of its name, `torn` the files of unreadable ones, `unreadable` its
    own runs with unreadable records; `changes` are the runs and registrations of all versions on
    other data, `slight` those whose data differ by no more than the panel tolerates.
    """

    hypothesis: Hypothesis
    own: tuple[RunDigest, ...]
    others: tuple[RunDigest, ...]
    named: tuple[Registration, ...]
    changes: tuple[Change, ...]
    slight: tuple[Change, ...]
    torn: tuple[str, ...]
    unreadable: tuple[str, ...]

    def current_registration(self) -> tuple[Registration | None, RunDigest | None]:
        """The first registration since the data last changed, and the first run on this data."""
        other = {key for change in self.changes for key in (change.run, change.file)}
        since = self.changes[-1].at if self.changes else ""
        # A registration after a change must hold the fingerprint of the changed data.
        mine = (
            r
            for r in self.named
            if r.spec_hash == self.hypothesis.spec_hash
            and r.file not in other
            and r.registered_at >= since
            and (not self.changes or r.data.fingerprint is not None)
        )
        runs = (run for run in self.own if run.run_id not in other)
        return next(mine, None), next(runs, None)

    def words(self, log: Log, started: str, data: DataRead) -> dict[str, Any]:
        """What the record of a run that began at `started` holds of this, sentences included.

        `data` are those that it read.
        """
        found, first = self.current_registration()
        before = found is not None and precedes(found, first, started)
        h = self.hypothesis
        begun = first.started if first else started
        alike = h.identity.name, h.comparison_hash
        versions = versions_before(alike, h.spec_hash, begun, self.others, self.named)
        sentences = [_registered(found, first, before, self.changes)]
        if found is not None and found.rule_version != h.rule_version:
            sentences.append(
                f"It was registered under version {found.rule_version} of the verdict rule, and is "
                f"judged by version {h.rule_version}."
            )
        if versions:
            sentences.append(_altered(log, h, versions))
        if self.torn:
            sentences.append(f"Not readable, and not counted: {', '.join(self.torn)}.")
        return {
            "registered_at": found.registered_at if found else None,
            "first_run_at": first.started if first else None,
            "first_run": first.run_id if first else None,
            "before": before,
            "anew": bool(self.changes) and found is not None,
            "altered": [version.spec_hash for version in versions],
            "files": [r.file for r in self.named],
            "unreadable": list(self.torn),
            "run_ids": [run.run_id for run in (*self.own, *self.others)],
            "revisions": [change.caution(data) for change in self.slight[-1:]],
            "words": " ".join(sentences),
        }


def history(
    log: Log,
    hypothesis: Hypothesis,
    runs: Sequence[RunDigest],
    data: DataRead,
    compare: Compare = lambda _: None,
) -> History:
    """What the log holds of a hypothesis that reads this data; `runs` are all runs of the log.

    `compare` says how the data that an earlier run or registration read differ from this data.
    """
    name, spec_hash = hypothesis.identity.name, hypothesis.spec_hash
    alike = name, hypothesis.comparison_hash
    others = [run for run in runs if run.spec_hash != spec_hash and _version_of(run, alike)]
    sealed, unreadable = sealed_data(log, [run for run in runs if run.spec_hash == spec_hash])
    asked = [
        run
        for run in runs
        if run.spec_hash != spec_hash
        and run.panel == data.panel
        and (_version_of(run, alike) or run.question == hypothesis.question_hash)
    ]
    versions, _ = sealed_data(log, asked)
    named, torn = registrations(log, name)
    found = sorted(
        _differences([*sealed, *versions], named, spec_hash, compare), key=lambda c: c.at
    )
    return History(
        hypothesis,
        own=tuple(run for run, *_ in sealed),
        others=tuple(others),
        named=tuple(named),
        changes=tuple(c for c in found if not c.difference.slight),
        slight=tuple(c for c in found if c.difference.slight),
        torn=tuple(torn),
        unreadable=tuple(unreadable),
    )


def current_registration(
    log: Log, hypothesis: Hypothesis, data: DataRead, compare: Compare
) -> tuple[Registration | None, RunDigest | None]:
    """The current registration of a hypothesis on this data, and its first run on it."""
    return history(log, hypothesis, all_digests(log)[0], data, compare).current_registration()


def precedes(
    registration: Registration, first: RunDigest | None, started: str | None = None
) -> bool:
    """Whether it came before the first run or, without one, before the run begun at `started`.

    The run's record says so; older ones do not, and hold whole seconds only.
    """
    if first is None:
        return started is None or registration.registered_at < started
    if first.registered is None:
        return registration.registered_at[:19] <= first.started[:19]
    return first.registered


def _version_of(run: RunDigest, alike: tuple[str, str | None]) -> bool:
    """Whether a run has this name, or the same comparison under another name."""
    return run.hypothesis == alike[0] or run.comparison == alike[1]


def versions_before(
    alike: tuple[str, str | None],
    spec_hash: str,
    moment: str,
    runs: Sequence[RunDigest],
    registered: Sequence[Registration],
) -> list[Version]:
    """The other versions that were registered or run before a time, latest last.

    `alike` is the name, and the hash of the comparison where it is known: a spec under another name
    with the same comparison is a version too. `runs` and `registered` are oldest first; those of
    other hypotheses among them are ignored.
    """
    first: dict[str, Registration] = {}
    for r in registered:
        if r.hypothesis == alike[0] and r.spec_hash != spec_hash and r.registered_at < moment:
            first.setdefault(r.spec_hash, r)
    latest = {
        run.spec_hash: run
        for run in runs
        if _version_of(run, alike) and run.spec_hash != spec_hash and run.started < moment
    }
    found = [Version(key, first.get(key), latest.get(key)) for key in {**first, **latest}]
    return sorted(found, key=lambda version: version.at)


def _differences(
    ran: Sequence[tuple[RunDigest, DataRead, str]],
    registered: Sequence[Registration],
    spec_hash: str,
    compare: Compare,
) -> Iterator[Change]:
    """All earlier runs and registrations of the hypothesis and its versions on other data."""
    latest = {run.spec_hash == spec_hash: run.run_id for run, *_ in ran}.values()
    last = {r.spec_hash == spec_hash: r.file for r in registered}.values()
    for run, data, spec in ran:
        same = run.spec_hash == spec_hash
        found = compare(Earlier(data, spec, run.run_id, same, run.run_id in latest))
        if found is not None:
            yield Change(run.run_id, None, run.started, data, found)
    for r in registered:
        same = r.spec_hash == spec_hash
        found = compare(Earlier(r.data, r.spec, None, same, r.file in last))
        if found is not None:
            yield Change(None, r.file, r.registered_at, r.data, found)


def _reach(data: DataRead) -> str:
    span = f"{str(data.start)[:10]} to {str(data.end)[:10]}"
    return f"{data.fingerprint} ({data.rows:,} rows, {span})"


def _registered(
    found: Registration | None, first: RunDigest | None, before: bool, changes: Sequence[Change]
) -> str:
    if found is None:
        other = next((c for c in changes if c.run is None), None)
        if other is not None:
            return f"Registered {other.at[:10]}, on data that has changed since, and not again."
        return "Not registered before its first run."
    day = found.registered_at[:10]
    if before and changes:
        return f"Registered again {day}, after the panel changed and before its first run on it."
    if before:
        return f"Registered {day}, before its first run."
    ran = f"run {first.run_id} of {first.started[:10]}" if first else "this one, under way by then"
    return f"Not registered before its first run ({ran}); registered {day}."


def _altered(log: Log, hypothesis: Hypothesis, versions: Sequence[Version]) -> str:
    """What the latest of these versions claimed, its verdict, and how many versions there are."""
    latest = versions[-1]
    run, rule = _sealed_run(log, latest)
    what = "another spec"
    if rule is not None:
        differs = "; ".join(rule_difference(rule, rule_of(hypothesis)))
        what = differs or "the same rule and another spec"
    short = latest.spec_hash[: len("sha256:") + 12]
    renamed = run is not None and run.hypothesis != hypothesis.identity.name
    parts = [f"as {run.hypothesis if run is not None and renamed else short} ({what})"]
    if latest.registration is not None:
        parts.append(f"registered {latest.registration.registered_at[:10]}")
    if run is not None:
        parts.append(f"run {run.run_id} of {run.started[:10]} ended {run.status}")
    many = f" It is the latest of {len(versions)} such versions." if len(versions) > 1 else ""
    return f"Altered before that: {', '.join(parts)}.{many}"


def _sealed_run(log: Log, version: Version) -> tuple[RunDigest | None, Mapping[str, Any] | None]:
    """A version's run from its record, and the version's rule; None for what is unknown."""
    found = sealed_digests(log, [version.run])[0] if version.run else []
    run = found[0] if found else None
    if version.registration is not None:
        return run, version.registration.rule
    if run is None:
        return None, None
    try:
        spec = stored_hypothesis(log.read(run.run_id))
    except HarnessError:  # a spec that this version of the code does not accept
        return run, None
    return run, rule_of(spec)
