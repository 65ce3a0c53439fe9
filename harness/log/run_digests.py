"""A one-line digest of every logged run, taken from its record.

Records are long and a log may hold thousands, so digests are cached in D/tried.jsonl, one line per
run, which the run itself or the next reader appends. The file can be deleted without loss. A digest
is valid while its record has the same size and modification time; a record that was changed is read
again, and refused. A line that was cut short is ignored.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from harness.errors import HarnessError
from harness.inference.evidence import GainAs
from harness.log.atomic_files import encode
from harness.log.registrations import DataRead
from harness.log.store import Log, RecordError

# Digests made by another version of `_digest_of` are made again: raise this with it.
_LAYOUT = 4


class RunDigest(NamedTuple):
    """A run: what it claimed, on which data, and every comparison it made.

    `columns`, `start`, `end`, `rows` and `meaning` are as in DataRead, `source` is
    `DataRead.words` of its source panel. `tested_from` and `tested_until` bound the test span
    (ISO 8601, UTC), None in a record that does not say; `target` says what was forecast at
    `horizon`. `comparisons` maps each candidate to its gain over `baseline` by `metric` and the
    one-sided p-value of "no gain", 1 where there is none; `models` are those with stored forecasts
    at `horizon`, in their order. `comparison` is the hash of what can change such a p-value,
    `claim` is `better` or `equal`. `registered`: whether it was registered before the first run of
    its hypothesis; None in older records.
    """

    run_id: str
    started: str
    hypothesis: str
    spec_hash: str
    comparison: str
    claim: str
    status: str
    panel: str
    fingerprint: str | None
    columns: Sequence[str]
    start: str | None
    end: str | None
    rows: int | None
    meaning: str | None
    source: Mapping[str, Any] | None
    tested_from: str | None
    tested_until: str | None
    target: str
    horizon: str
    metric: str
    baseline: str
    candidate: str
    gain_as: GainAs
    registered: bool | None
    models: Sequence[str]
    comparisons: Mapping[str, Sequence[float | None]]

    @property
    def data(self) -> DataRead:
        """The data that it read."""
        return DataRead(
            self.panel,
            self.fingerprint,
            tuple(self.columns),
            start=self.start,
            end=self.end,
            rows=self.rows,
            meaning=self.meaning,
            source=DataRead.of(self.source) if self.source else None,
        )

    def overlaps(self, tested: tuple[str, str]) -> bool:
        """Whether the test spans overlap; yes for a record that does not say."""
        if self.tested_from is None or self.tested_until is None:
            return True
        return self.tested_from < tested[1] and tested[0] < self.tested_until


def all_digests(log: Log) -> tuple[list[RunDigest], list[str]]:
    """All runs of the log, oldest first, and the ids of those whose records are unreadable."""
    cached = _load(log)
    found, fresh, unreadable = [], [], []
    for run_id in log.runs():
        try:
            stamp = _stamp(log, run_id)
            known = cached.get(run_id)
            if known is not None and known[0] == stamp:
                found.append(known[1])
                continue
            found.append(_digest_of(log.read(run_id)))
            fresh.append((stamp, found[-1]))
        except (OSError, RecordError):
            unreadable.append(run_id)
    _append(log, fresh)
    return sorted(found, key=lambda t: (t.started, t.run_id)), unreadable


def sealed_digests(log: Log, runs: Sequence[RunDigest]) -> tuple[list[RunDigest], list[str]]:
    """These runs from their sealed records, and the ids of those that are unreadable."""
    found, unreadable = [], []
    for run in runs:
        try:
            found.append(_digest_of(log.read(run.run_id)))
        except RecordError:
            unreadable.append(run.run_id)
    return found, unreadable


def append_digest(log: Log, record: Mapping[str, Any]) -> None:
    """Cache the digest of a run just published, so that no reader has to read its record."""
    with suppress(OSError):
        _append(log, [(_stamp(log, record["run_id"]), _digest_of(record))])


def target_words(settings: Mapping[str, Any]) -> str:
    """What is forecast and when, without the horizon: only runs that agree in it can compare."""
    keys = ("target", "scale", "unit", "floor", "interval", "every")
    return " ".join(str(settings.get(key)) for key in keys)


def _digest_of(record: Mapping[str, Any]) -> RunDigest:
    verdict, panel = record.get("verdict") or {}, record.get("panel") or {}
    tested_from, tested_until = _tested(record, verdict.get("horizon"))
    return RunDigest(
        run_id=record["run_id"],
        started=record["started"],
        hypothesis=record["hypothesis"],
        spec_hash=str(record.get("spec_hash")),
        comparison=record.get("comparison_hash") or _comparison_hash(record),
        claim=verdict.get("claim") or "better",
        status=str(record.get("status")),
        panel=str(panel.get("name")),
        fingerprint=panel.get("fingerprint"),
        columns=panel.get("columns") or [],
        start=panel.get("start"),
        end=panel.get("end"),
        rows=panel.get("rows"),
        meaning=panel.get("meaning"),
        source=DataRead.of(record["source"]).words() if record.get("source") else None,
        tested_from=tested_from,
        tested_until=tested_until,
        target=target_words(record.get("settings") or {}),
        horizon=str(verdict.get("horizon")),
        metric=str(verdict.get("metric")),
        baseline=str(verdict.get("baseline")),
        candidate=str(verdict.get("candidate")),
        gain_as=verdict.get("gain_as") or "difference",
        registered=(record.get("registration") or {}).get("before"),
        models=record["forecasts"].get(verdict.get("horizon")) or [],
        comparisons=_comparisons(record["tables"].get("tests") or {}),
    )


def _comparison_hash(record: Mapping[str, Any]) -> str:
    """For an older record without it: from its spec, or else the hash of the spec."""
    from harness.spec.reading import stored_hypothesis

    try:
        return stored_hypothesis(record).comparison_hash
    except (HarnessError, KeyError):
        return str(record.get("spec_hash"))


def _comparisons(tests: Mapping[str, Sequence[Any]]) -> dict[str, list[float | None]]:
    columns = (tests.get(key) or [] for key in ("candidate", "gain", "p_value"))
    found: dict[str, list[float | None]] = {}
    for candidate, gain, p in zip(*columns, strict=False):
        # The first test of a candidate is the one that counts.
        found.setdefault(str(candidate), [gain, 1.0 if p is None or math.isnan(p) else p])
    return found


def _tested(record: Mapping[str, Any], horizon: str | None) -> tuple[str | None, str | None]:
    """The first start and the last end of the test windows at the verdict's horizon."""
    folds = record["tables"].get("folds") or {}
    columns = (folds.get(key) or [] for key in ("horizon", "cut", "test_end"))
    spans = [(cut, end) for at, cut, end in zip(*columns, strict=False) if at == horizon]
    if not spans:
        return None, None
    return min(cut for cut, _ in spans), max(end for _, end in spans)


def _stamp(log: Log, run_id: str) -> list[int]:
    """Size and modification time of a run's record; OSError when it is gone."""
    # There are thousands of paths; as text they take a fifth of the time.
    stat = os.stat(f"{log.runs_directory}/run_id={run_id}/record.json")  # noqa: PTH116 - as text
    return [stat.st_size, stat.st_mtime_ns]


def _load(log: Log) -> dict[str, tuple[list[int], RunDigest]]:
    """The cached digests by run, each with its record's stamp; none without the file."""
    try:
        lines = (log.root / "tried.jsonl").read_bytes().splitlines()
    except OSError:
        return {}
    cached = {}
    for line in filter(None, lines):
        try:
            layout, stamp, words = json.loads(line)
            if layout == _LAYOUT:
                cached[words[0]] = stamp, RunDigest(*words)
        except (ValueError, TypeError):  # cut short: the run's record is read again
            continue
    return cached


def _append(log: Log, digests: Sequence[tuple[list[int], RunDigest]]) -> None:
    """Append each digest in one write, which no other writer can tear; a read-only log stays."""
    if not digests:
        return
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        handle = os.open(log.root / "tried.jsonl", flags, 0o666)
        try:
            for stamp, run in digests:
                # After a line that was cut short this one must still begin on its own.
                os.write(handle, b"\n" + encode([_LAYOUT, stamp, list(run)]))
        finally:
            os.close(handle)
