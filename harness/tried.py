"""What was ever tried: one short entry per run of the log, out of its record.

Records are long and a log may hold thousands, so the entries are kept in D/tried.json: derived,
deleted at no loss, and brought up to date by whoever reads it. An entry stands for as long as its
record has the size and time of change it had; a record that was changed is read, and refused, anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.errors import RunError
from harness.log import Log, RecordError
from harness.registrations import DataRead

# Entries made by another version of `_entry` are made anew: raise this with it.
_LAYOUT = 1


@dataclass(frozen=True)
class Tried:
    """A run: what it claimed, on which data, and every comparison it made.

    `tested` are the moments from which and until which its forecasts were made (ISO 8601, UTC),
    None for a record that does not say; `target` says what was forecast at `horizon`;
    `comparisons` maps each candidate to (gain over `baseline` by `metric`, one-sided p-value
    against "no gain", 1 where there is none); `models` are those whose forecasts it has stored at
    `horizon`, in their order. `registered` is whether it was, before the first
    run of its hypothesis; None in records from before registrations.
    """

    run_id: str
    started: str
    hypothesis: str
    spec_hash: str
    status: str
    data: DataRead
    tested: tuple[str, str] | None
    target: str
    horizon: str
    metric: str
    baseline: str
    candidate: str
    relative: bool
    registered: bool | None
    models: tuple[str, ...]
    comparisons: Mapping[str, tuple[float | None, float]]

    def overlaps(self, tested: tuple[str, str]) -> bool:
        """Whether both were tested at some moment; for a record that does not say, yes."""
        if self.tested is None:
            return True
        return self.tested[0] < tested[1] and tested[0] < self.tested[1]


def all_tried(log: Log) -> tuple[list[Tried], list[str]]:
    """Every run of the log, oldest first, and the ids of those whose records cannot be read."""
    kept, fresh, unreadable = _load(log), False, []
    entries: dict[str, list[Any]] = {}
    for run_id in log.runs():
        try:
            stat = (log.runs_directory / f"run_id={run_id}" / "record.json").stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
            found = kept.get(run_id)
            if found is None or found[:2] != stamp:
                found, fresh = [*stamp, _entry(log.read(run_id))], True
            entries[run_id] = found
        except (OSError, RecordError):
            unreadable.append(run_id)
    runs = [_tried(run_id, words) for run_id, (_, _, words) in entries.items()]
    if fresh:
        _keep(log, entries)
    return sorted(runs, key=lambda t: (t.started, t.run_id)), unreadable


def target_words(settings: Mapping[str, Any]) -> str:
    """What is forecast and when, but for the horizon: two runs may share decisions only then."""
    keys = ("target", "scale", "unit", "floor", "interval", "every")
    return " ".join(str(settings.get(key)) for key in keys)


def _entry(record: Mapping[str, Any]) -> dict[str, Any]:
    verdict, panel = record.get("verdict") or {}, record.get("panel") or {}
    tests = record["tables"].get("tests") or {}
    rows = zip(
        *(tests.get(key) or [] for key in ("candidate", "gain", "p_value")),
        strict=False,
    )
    comparisons: dict[str, list[float | None]] = {}
    for candidate, gain, p in rows:  # the first test of a candidate is the one that decides
        comparisons.setdefault(str(candidate), [gain, 1.0 if p is None else p])
    return {
        "started": record["started"],
        "hypothesis": record["hypothesis"],
        "spec_hash": str(record.get("spec_hash")),
        "status": str(record.get("status")),
        "data": {k: panel.get(k) for k in ("name", "fingerprint", "columns", "start", "end")}
        | {"rows": panel.get("rows")},
        "tested": _tested(record, verdict.get("horizon")),
        "target": target_words(record.get("settings") or {}),
        **{k: str(verdict.get(k)) for k in ("horizon", "metric", "baseline", "candidate")},
        "relative": verdict.get("gain_as") == "relative",
        "registered": (record.get("registration") or {}).get("before"),
        "models": record["forecasts"].get(verdict.get("horizon")) or [],
        "comparisons": comparisons,
    }


def _tested(record: Mapping[str, Any], horizon: str | None) -> list[str] | None:
    """The first start and the last end of the tested windows at the verdict's horizon."""
    folds = record["tables"].get("folds") or {}
    columns = (folds.get(key) or [] for key in ("horizon", "cut", "test_end"))
    spans = [(cut, end) for at, cut, end in zip(*columns, strict=False) if at == horizon]
    return [min(cut for cut, _ in spans), max(end for _, end in spans)] if spans else None


def _tried(run_id: str, words: Mapping[str, Any]) -> Tried:
    tested = words["tested"]
    return Tried(
        run_id,
        **{
            **words,
            "data": DataRead.of(words["data"]),
            "models": tuple(words["models"]),
            "tested": None if tested is None else tuple(tested),
            "comparisons": {name: tuple(pair) for name, pair in words["comparisons"].items()},
        },
    )


def _load(log: Log) -> dict[str, list[Any]]:
    """The kept entries by run; none where there is no sound file of them."""
    try:
        kept = json.loads((log.root / "tried.json").read_bytes())
        return kept["runs"] if kept["layout"] == _LAYOUT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(log: Log, entries: Mapping[str, Any]) -> None:
    """Keep the entries; a log that may not be written to only means reading records again."""
    text = json.dumps({"layout": _LAYOUT, "runs": entries}, ensure_ascii=False)
    with suppress(RunError), log.scratch() as scratch:
        (scratch / "tried.json").write_text(text, encoding="utf-8")
        (scratch / "tried.json").replace(log.root / "tried.json")
