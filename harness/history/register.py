"""Registers a hypothesis: its rule and the date go into the log before its first run.

The panel is measured as in a run, which gives its fingerprint and caches the measures for the first
run; nothing is fitted, forecast or scored. Where the data is not at hand, a hypothesis can be
registered without a fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import PanelError
from harness.history.data_changes import PresentData
from harness.history.registration_status import Compare, current_registration, precedes
from harness.log.registrations import DataRead, Registration, register, registration_path
from harness.log.run_digests import RunDigest
from harness.log.store import Log
from harness.panel.reading import find_panel
from harness.spec.hypothesis import Hypothesis
from harness.study.stages import measure_study
from harness.study.study import set_up


@dataclass(frozen=True)
class Registered:
    """A registered hypothesis; `new` is false when it was registered earlier.

    `missing` says why there is no fingerprint; `first` is a run that came before it, if any.
    """

    registration: Registration
    path: Path
    new: bool
    missing: str | None
    first: RunDigest | None

    def as_json(self) -> dict[str, Any]:
        """As `harness register --json` shows it."""
        r = self.registration
        return {
            "hypothesis": r.hypothesis,
            "spec_hash": r.spec_hash,
            "registered_at": r.registered_at,
            "new": self.new,
            "rule": dict(r.rule),
            "panel": r.data.panel,
            "fingerprint": r.data.fingerprint,
            "start": r.data.start,
            "end": r.data.end,
            "source": r.data.source.words() if r.data.source else None,
            "missing": self.missing,
            "run_before": self.first.run_id if self.first else None,
            "file": str(self.path),
        }


def register_hypothesis(
    hypothesis: Hypothesis,
    log: Log,
    *,
    search: Sequence[Path],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    progress: Callable[[str], None] = lambda _: None,
) -> Registered:
    """Register a hypothesis, unless it has a current registration on this data.

    UsageError for a mistake in the files, RunError when the disk refuses.
    """
    data, compare, missing = _read(hypothesis, log, search, progress)
    found, first = current_registration(log, hypothesis, data, compare)
    new = found is None
    if found is None:
        found = register(log, hypothesis, data, clock())
    earlier = first if first is not None and not precedes(found, first) else None
    return Registered(found, registration_path(log, found), new, missing, earlier)


def _read(
    hypothesis: Hypothesis, log: Log, search: Sequence[Path], progress: Callable[[str], None]
) -> tuple[DataRead, Compare, str | None]:
    """The data that a run would read and how earlier data compare, or why it cannot be read."""
    panel = find_panel(hypothesis.panel.name, search).name
    try:
        measured = measure_study(set_up(hypothesis, search), progress=progress)
    except PanelError as error:
        return DataRead.unseen(panel), lambda _: None, str(error)
    return measured.data, PresentData(measured, log, {}).difference, None
