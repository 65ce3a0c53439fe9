"""A one-line digest of every logged run, taken from its record.

Records are long and a log may hold thousands, so digests are cached (digest_file.py), one line per
run, which the run itself or the next reader appends. A digest is valid while its record has the
same size and modification time; a record that was changed is read again, and refused. Digests of
runs that are gone stay: they say what was tried by them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from harness.errors import HarnessError, one_line
from harness.inference.evidence import GainAs
from harness.log.digest_file import Line, append_lines, copy_lines, read_lines
from harness.log.registrations import DataRead
from harness.log.store import Log, RecordError
from harness.log.target_sketch import Sketch
from harness.panel.contents import beginning

# Digests made by another version of `_digest_of` are made again: raise this with it.
_LAYOUT = 5
_READABLE = (4, 5)  # of runs that are gone, also digests of older versions
_MOST_IDS = 5
_TEXTS = ("run_id", "started", "hypothesis", "spec_hash", "comparison", "claim", "status", "panel")


Key = tuple[str, str]  # of a comparison: RunDigest.judged and the candidate


class RunDigest(NamedTuple):
    """A run: what it claimed, on which data, and every comparison it made.

    `columns`, `start`, `end`, `rows` and `meaning` are as in DataRead, `source` is
    `DataRead.words` of its source panel. `tested_from` and `tested_until` bound the test span
    (ISO 8601, UTC), None in a record that does not say; `target` says what was forecast at
    `horizon`. `comparisons` maps each candidate to its gain over `baseline` by `metric` and the
    one-sided p-value of "no gain", 1 where there is none; `models` are those with stored forecasts
    at `horizon`, in their order. `comparison` is the hash of what can change such a p-value,
    `claim` is `better` or `equal`. `registered`: whether it was registered before the first run of
    its hypothesis; None in older records. `alpha` is the level of its rule. `gone` are the ids of
    runs that its record names and that were neither in the log nor known by a digest when this one
    was made, `lost` is how many comparisons its record counts that no digest knew. `targets` is the
    sketch of the targets that it was judged on (`target_sketch`), None in older records. `seconds`
    is how long the run took. `beginning` has hashes of the data, all but their last day
    (contents.beginning), if the record has them; `question` is the hash of what it compared on
    which data (Hypothesis.question_hash).
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
    alpha: float | None = None
    gone: Sequence[str] = ()
    lost: int = 0
    seconds: float = 0.0
    beginning: Mapping[str, Any] | None = None
    question: str | None = None
    targets: str | None = None

    @property
    def keys(self) -> Iterator[Key]:
        """Its comparisons that count, each by its hash and candidate; a claim of equality has none.

        Such a claim is not decided by p-values against "no gain".
        """
        return ((self.judged, name) for name in self.comparisons if self.claim != "equal")

    @property
    def judged(self) -> str:
        """What was compared and on which data."""
        return judged_words(self.comparison, self.tested_from)

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


class LogDigests(NamedTuple):
    """What the digests say of a log.

    `runs` are its runs, oldest first, `unreadable` the ids of those whose records cannot be read.
    `missing` are the digests, kept from before, of runs that are gone or unreadable now.
    """

    runs: list[RunDigest]
    unreadable: list[str]
    missing: list[RunDigest]

    @property
    def gone(self) -> list[str]:
        """The ids of runs that were in the log and are not, as records and digests tell."""
        told = {name for run in (*self.runs, *self.missing) for name in (run.run_id, *run.gone)}
        return sorted(told.difference([run.run_id for run in self.runs], self.unreadable))


def all_digests(log: Log) -> tuple[list[RunDigest], list[str]]:
    """All runs of the log, oldest first, and the ids of those whose records are unreadable."""
    found = read_digests(log)
    return found.runs, found.unreadable


def read_digests(log: Log) -> LogDigests:
    """The digests of all runs of the log, and of those that were in it."""
    cached = _load(log)
    found: dict[str, RunDigest] = {}
    fresh: list[tuple[list[int], str, _Named]] = []
    unreadable = []
    for run_id in log.runs():
        try:
            stamp = _stamp(log, run_id)
            known = cached.get(run_id)
            if known is not None and known[0] == stamp:
                found[run_id] = known[1]
                continue
            record = log.read(run_id)
            named, found[run_id] = _named(record), _digest_of(record)
            fresh.append((stamp, run_id, named))
        except (OSError, RecordError):
            unreadable.append(run_id)
    missing = {run_id: known[1] for run_id, known in cached.items() if run_id not in found}
    every = missing | found
    told = {name for run in every.values() for name in run.gone}
    for _, run_id, named in fresh:
        found[run_id] = _with_gone(found[run_id], named, every, told.union(unreadable))
        told.update(found[run_id].gone)
    _append(log, [(stamp, found[run_id]) for stamp, run_id, _ in fresh])
    return LogDigests(_by_time(found.values()), unreadable, _by_time(missing.values()))


def copy_digests(log: Log, to: Log, run_ids: Collection[str]) -> None:
    """Cache these runs' digests in another log, which has the same records of them or none."""
    read_digests(log)  # which brings the cache up to date
    copy_lines(log, to, run_ids)


class _Named(NamedTuple):
    """What a record names: the runs of its family, all runs, and how many comparisons it counts."""

    family: Collection[str]
    runs: Collection[str]
    comparisons: int


def _named(record: Mapping[str, Any]) -> _Named:
    family, registration = record.get("family") or {}, record.get("registration") or {}
    try:
        members = {*family.get("run_ids", []), *family.get("gone", [])}
        named = members.union(registration.get("run_ids", []))
        return _Named(members, named, int(family.get("comparisons", 0)))
    except (AttributeError, TypeError, ValueError):
        raise RecordError(f"run {record['run_id']}: its family: not as a run writes it") from None


def _with_gone(
    run: RunDigest, named: _Named, known: Mapping[str, RunDigest], told: Collection[str]
) -> RunDigest:
    """The digest with what its record names and no digest knows; `told` ids are left to others."""
    unknown = named.runs - known.keys()
    if not unknown:
        return run._replace(gone=[])
    of = [run, *(known[name] for name in named.family if name in known)]
    lost = named.comparisons - len({key for one in of for key in one.keys})
    return run._replace(gone=sorted(unknown.difference(told)), lost=max(lost, 0))


def gone_words(gone: Sequence[str], of: str) -> str:
    """In a sentence: these runs of a family or of a log are gone."""
    if not gone:
        return f"No run of {of} is gone."
    ids = ", ".join(gone[:_MOST_IDS]) + (", …" if len(gone) > _MOST_IDS else "")
    head = f"{len(gone):,} runs of {of} are" if len(gone) > 1 else f"1 run of {of} is"
    return (
        f"{head} gone from the log: {ids}. What was tried there counts, with p = 1 where "
        "the p-value is not known."
    )


def _by_time(runs: Iterable[RunDigest]) -> list[RunDigest]:
    return sorted(runs, key=lambda run: (run.started, run.run_id))


def sealed_digests(log: Log, runs: Sequence[RunDigest]) -> tuple[list[RunDigest], list[str]]:
    """These runs from their sealed records, and the ids of those that are unreadable."""
    found, unreadable = sealed_data(log, runs)
    return [run for run, *_ in found], unreadable


def sealed_data(
    log: Log, runs: Sequence[RunDigest]
) -> tuple[list[tuple[RunDigest, DataRead, str]], list[str]]:
    """As `sealed_digests`, with all that each record says of the data read, and the spec's text."""
    found, unreadable = [], []
    for run in runs:
        try:
            record = log.read(run.run_id)
        except RecordError:
            unreadable.append(run.run_id)
            continue
        data = DataRead.of(record.get("panel") or {}, record.get("source"))
        # What is gone is told by the log, not by one record.
        digest = _digest_of(record)._replace(gone=run.gone, lost=run.lost)
        found.append((digest, data, str(record.get("spec"))))
    return found, unreadable


def append_digest(log: Log, record: Mapping[str, Any]) -> None:
    """Cache the digest of a run just published, so that no reader has to read its record."""
    with suppress(OSError):
        _append(log, [(_stamp(log, record["run_id"]), _digest_of(record))])


def judged_words(comparison: str, tested_from: str | None) -> str:
    """A comparison and the beginning of its test.

    A run over more data repeats a comparison; one whose test begins elsewhere is another look.
    """
    return comparison if tested_from is None else f"{comparison} from {tested_from}"


def target_words(settings: Mapping[str, Any]) -> str:
    """What is forecast and when, without the horizon: only runs that agree in it can compare."""
    keys = ("target", "scale", "unit", "floor", "interval", "every")
    return " ".join(str(settings.get(key)) for key in keys)


def sealed_holm(record: Mapping[str, Any]) -> float | None:
    """The Holm-adjusted p of the deciding candidate in its family, as a record has it, or None."""
    rows = (record.get("family") or {}).get("candidates") or []
    best = (record.get("verdict") or {}).get("candidate")
    return next((row["p_holm"] for row in rows if row["candidate"] == best), None)


def _digest_of(record: Mapping[str, Any]) -> RunDigest:
    """The digest of a record; RecordError for one with a value of another kind than runs write."""
    try:
        return _digest(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        run_id = record["run_id"]
        raise RecordError(f"run {run_id}: not as a run writes it: {one_line(error)}") from None


def _digest(record: Mapping[str, Any]) -> RunDigest:
    verdict, panel = record.get("verdict") or {}, record.get("panel") or {}
    family = record.get("family") or {}
    tested_from, tested_until = _tested(record, verdict.get("horizon"))
    return RunDigest(
        run_id=record["run_id"],
        started=_checked_time(record["started"]),
        hypothesis=record["hypothesis"],
        spec_hash=str(record.get("spec_hash")),
        comparison=record.get("comparison_hash")
        or _hash_of_spec(record, "comparison_hash")
        or str(record.get("spec_hash")),
        claim=verdict.get("claim") or "better",
        status=str(record.get("status")),
        panel=str(panel.get("name")),
        fingerprint=panel.get("fingerprint"),
        columns=panel.get("columns") or [],
        start=panel.get("start"),
        end=panel.get("end"),
        rows=panel.get("rows"),
        meaning=panel.get("meaning"),
        source=replace(DataRead.of(record["source"]), contents=None).words()
        if record.get("source")
        else None,
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
        alpha=None if verdict.get("alpha") is None else float(verdict["alpha"]),
        gone=list(family.get("gone") or []),
        lost=int(family.get("lost") or 0),
        seconds=float(record.get("seconds") or 0.0),
        beginning=beginning(panel.get("contents")),
        question=record.get("question_hash") or _hash_of_spec(record, "question_hash"),
        targets=_checked_sketch(record.get("targets")),
    )


def _hash_of_spec(record: Mapping[str, Any], name: str) -> str | None:
    """A hash that an older record does not hold, from its spec; None for one not read today."""
    from harness.spec.reading import stored_hypothesis

    try:
        found: str = getattr(stored_hypothesis(record), name)
    except (HarnessError, KeyError):
        return None
    return found


def _comparisons(tests: Mapping[str, Sequence[Any]]) -> dict[str, list[float | None]]:
    columns = (tests.get(key) or [] for key in ("candidate", "gain", "p_value"))
    found: dict[str, list[float | None]] = {}
    for candidate, gain, p in zip(*columns, strict=False):
        p = 1.0 if p is None or math.isnan(p) else p
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_value: got {one_line(p)}, wanted a number from 0 to 1")
        # The first test of a candidate is the one that counts.
        found.setdefault(str(candidate), [gain, p])
    return found


def _checked_time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"started: got {one_line(text)}, wanted a time with its zone")
    return text


def _checked_sketch(text: Any) -> str | None:
    if text is not None:
        Sketch.read(text)
    return text


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


def _load(log: Log) -> dict[str, tuple[list[int] | None, RunDigest]]:
    """The cached digests by run; with its record's stamp where it still stands for the record.

    One of an older version does not, nor one whose sketch is lost.
    """
    cached: dict[str, tuple[list[int] | None, RunDigest]] = {}
    for line in read_lines(log):
        if line.layout not in _READABLE:
            continue
        try:
            run = RunDigest(*line.words)
            _checked_time(run.started)
        except (TypeError, ValueError):
            continue
        if all(isinstance(getattr(run, key), str) for key in _TEXTS):
            stands = line.layout == _LAYOUT and line.whole
            cached[run.run_id] = line.stamp if stands else None, run
    return cached


def _append(log: Log, digests: Sequence[tuple[list[int], RunDigest]]) -> None:
    append_lines(log, [Line(_LAYOUT, stamp, list(run)) for stamp, run in digests])
