"""Registrations: what was claimed, with which rule, and when, before the first run.

A registration is one file under D/registrations that is never changed. Its name holds the date, the
hypothesis and the first digits of two hashes, of the spec and of the file itself. So a torn or
edited file is refused, and a run reads only the files of its own name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import iso_moment
from harness.log.atomic_files import encode, sync, write
from harness.log.store import Log, RecordError, read_bytes, read_object
from harness.panel.contents import short_hash, stored_contents
from harness.panel.identity import panel_identity
from harness.spec.sections import RULE_VERSION, Acceptance

if TYPE_CHECKING:
    from harness.panel.spec import PanelSpec
    from harness.samples.measured import PanelFacts
    from harness.spec.hypothesis import Hypothesis

_NAME = re.compile(r"\d{4}-\d\d-\d\d-([a-z0-9][a-z0-9-]*)-[0-9a-f]{8}-([0-9a-f]{16})\.json")
_TEXTS = ("registered_at", "hypothesis", "spec_hash", "spec")
# The keys of [verdict], which make the rule, in the order in which sentences name them, with
# what each is where a registration is older than the key.
RULE = {f.alias or name: f.get_default() for name, f in Acceptance.model_fields.items()}


@dataclass(frozen=True)
class DataRead:
    """What was read of a panel: the fingerprint of its bytes and the span that they cover.

    `columns` are those that the fingerprint covers, `start` and `end` the first bar's start and
    the last bar's end (ISO 8601, UTC); `meaning` is the hash of the panel file (panel_identity).
    The fingerprint is None where the data was not at hand, `meaning` in older records.
    `source` is what was read of the source panel of pretrained models, if any. `contents` says
    what was read by month (Contents.words), `selection` hashes the keys that select symbols; both
    are None in older records. `tolerance` is the panel's revision_tolerance.
    """

    panel: str
    fingerprint: str | None
    columns: tuple[str, ...]
    start: str | None
    end: str | None
    rows: int | None
    meaning: str | None = None
    source: DataRead | None = None
    contents: Mapping[str, Any] | None = None
    selection: str | None = None
    tolerance: float | None = None

    @classmethod
    def of(cls, words: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> DataRead:
        """From the `panel` and the `source` of a record or of a registration."""
        return cls(
            str(words.get("name")),
            words.get("fingerprint"),
            tuple(words.get("columns") or ()),
            start=words.get("start"),
            end=words.get("end"),
            rows=words.get("rows"),
            meaning=words.get("meaning"),
            source=cls.of(source) if source else None,
            contents=stored_contents(words.get("contents")),
            selection=words.get("selection"),
            tolerance=words.get("tolerance"),
        )

    @classmethod
    def by(
        cls,
        spec: PanelSpec,
        columns: Sequence[str],
        facts: PanelFacts,
        selection: Sequence[Any],
        source: DataRead | None = None,
    ) -> DataRead:
        """What was read to measure these columns of a panel; `selection` as JSON values."""
        return cls(
            spec.name,
            facts.fingerprint,
            tuple(columns),
            iso_moment(facts.start),
            iso_moment(facts.end),
            facts.rows,
            panel_identity(spec, columns),
            source,
            facts.contents.words(),
            short_hash(selection),
            spec.revision_tolerance,
        )

    def words(self) -> dict[str, Any]:
        """As records and registrations hold it; the source is a key of its own there."""
        return {
            "name": self.panel,
            "fingerprint": self.fingerprint,
            "columns": list(self.columns),
            "start": self.start,
            "end": self.end,
            "rows": self.rows,
            "meaning": self.meaning,
            "contents": self.contents,
            "selection": self.selection,
            "tolerance": self.tolerance,
        }

    @classmethod
    def unseen(cls, panel: str) -> DataRead:
        """A panel whose data is not at hand."""
        return cls(panel, None, (), None, None, None)

    def grew_into(self, later: DataRead) -> bool:
        """Whether the later data could be this data with more at its end."""
        if self.end is None or later.end is None:
            return False
        return self.start == later.start and self.end < later.end


@dataclass(frozen=True)
class Registration:
    """One registration: its file's name and what it holds.

    `rule_version` is the version of the verdict rule in force when it was written.
    """

    file: str
    registered_at: str
    hypothesis: str
    spec_hash: str
    spec: str
    rule: Mapping[str, Any]
    data: DataRead
    rule_version: int = 1


def rule_of(hypothesis: Hypothesis) -> dict[str, Any]:
    """The acceptance rule as plain JSON values, as the file states it."""
    v = hypothesis.verdict
    own = {field.alias or name: getattr(v, name) for name, field in type(v).model_fields.items()}
    return {key: own[key] for key in RULE} | {
        "candidates": list(v.candidates),
        "horizon": str(v.horizon),
    }


def moment_words(at: datetime) -> str:
    """A time as records and registrations hold it, in UTC; the texts sort like the times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def register(log: Log, hypothesis: Hypothesis, data: DataRead, at: datetime) -> Registration:
    """Write a registration, whole or not at all, and return it; RunError when the disk refuses."""
    registered_at = moment_words(at)
    name = hypothesis.identity.name
    entry = {
        "registered_at": registered_at,
        "hypothesis": name,
        "spec_hash": hypothesis.spec_hash,
        "spec": hypothesis.text,
        "rule": rule_of(hypothesis),
        "rule_version": RULE_VERSION,
        "panel": data.words(),
        "source": data.source.words() if data.source else None,
    }
    content = encode(entry)
    short = hypothesis.spec_hash.removeprefix("sha256:")[:8]
    file = f"{registered_at[:10]}-{name}-{short}-{_seal(content)}.json"
    with log.scratch() as scratch:
        write(scratch / file, content)
        folder = log.root / "registrations"
        folder.mkdir(exist_ok=True)
        # A link, unlike a rename, fails when the name is taken.
        os.link(scratch / file, folder / file)
        sync(folder)
    return read_registration(log, file)


def registration_files(log: Log) -> list[str]:
    """The file names of all registrations, ascending: by date, then by hypothesis."""
    found = log.names(log.root / "registrations")
    return sorted(name for name in found if name.endswith(".json"))


def read_registration(log: Log, file: str) -> Registration:
    """One registration; RecordError for a file that was changed."""
    path = log.root / "registrations" / file
    content = read_bytes(path)
    entry = read_object(path, content)
    named = _NAME.fullmatch(file)
    if named is None or named[2] != _seal(content) or named[1] != entry.get("hypothesis"):
        raise RecordError(f"{path}: changed since it was written")
    if not all(isinstance(entry.get(key), str) for key in _TEXTS):
        raise RecordError(f"{path}: wanted the keys {', '.join(_TEXTS)}, all text")
    if not all(isinstance(entry.get(key), dict) for key in ("rule", "panel")):
        raise RecordError(f"{path}: wanted the keys rule, panel, both tables")
    return Registration(
        file,
        registered_at=entry["registered_at"],
        hypothesis=entry["hypothesis"],
        spec_hash=entry["spec_hash"],
        spec=entry["spec"],
        rule=entry["rule"],
        data=DataRead.of(entry["panel"], entry.get("source")),
        rule_version=entry.get("rule_version", 1),
    )


def registrations(log: Log, hypothesis: str) -> tuple[list[Registration], list[str]]:
    """The registrations of this hypothesis, oldest first, and the unreadable files."""
    found, unreadable = [], []
    for file in registration_files(log):
        named = _NAME.fullmatch(file)
        if named is None or named[1] != hypothesis:
            continue
        try:
            found.append(read_registration(log, file))
        except RecordError:
            unreadable.append(file)
    return sorted(found, key=lambda r: (r.registered_at, r.file)), unreadable


def rule_difference(rule: Mapping[str, Any], other: Mapping[str, Any]) -> Sequence[str]:
    """The differences of two rules: `min_gain 0.03, now 0.01`."""
    pairs = {key: (rule.get(key, usual), other.get(key, usual)) for key, usual in RULE.items()}
    return [f"{key} {_words(a)}, now {_words(b)}" for key, (a, b) in pairs.items() if a != b]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seal(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def registration_path(log: Log, registration: Registration) -> Path:
    """The path of a registration."""
    return log.root / "registrations" / registration.file
