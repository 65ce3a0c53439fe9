"""The research log: one immutable directory per run, one immutable file per decision.

Under a log directory D:

    D/runs/run_id=<8 hex>/record.json, forecasts.parquet    the truth, published by one rename
    D/decisions/<run_id>-<UTC stamp>-<hex>.json             what the researcher decided, and when
    D/registrations/<date>-<hypothesis>-<hex>-<hex>.json    what was claimed, and when
    D/<date>-<hypothesis>-<run_id>.md                       the card: derived, can be rewritten
    D/<date>-<hypothesis>-<run_id>/NAME.svg                 its figures: derived too
    D/log.duckdb                                            the index: derived (index.py)
    D/tried.jsonl                                           run digests: derived (run_digests.py)
    D/.tmp/                                                 what is being written

Writers never wait for each other and readers never see half a run: everything is built under
D/.tmp, synced to disk, and only then given its name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RunError, UsageError, nearest, one_line
from harness.log.atomic_files import claim, digest, encode, sync, write
from harness.log.forecast_file import HorizonForecasts, read_forecasts, write_forecasts

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
DECISIONS = ("dropped", "adopted", "parked")
UNDECIDED = "Decision: none yet."
_DAY_SECONDS = 86_400
_SEAL = "record.sha256"
_RUN_NAME = re.compile(r"run_id=([0-9a-f]{8})")
_DECISION_LINE = re.compile(r"^Decision: .*$", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class RecordError(UsageError):
    """A published file that cannot be read: somebody changed or removed it."""


def find_log(option: str | None) -> Path:
    """The log directory: `option` (--log), else HARNESS_LOG, else `reports` here."""
    return Path(option or os.environ.get("HARNESS_LOG") or "reports")


def open_log(path: str | Path | None = None) -> Log:
    """The log at `path`, else where `find_log` says; it need not exist yet.

    UsageError when the path is a file, or no path.
    """
    if path is not None and not isinstance(path, str | Path):
        raise UsageError(f"log: got {type(path).__name__}, wanted the path of its folder")
    root = find_log(None if path is None else str(path))
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: got a file, wanted the log's folder (--log, HARNESS_LOG)")
    return Log(root)


def as_log(log: Log | str | Path | None) -> Log:
    """The log itself, or that of a folder (see `open_log`); UsageError for anything else."""
    if isinstance(log, Log):
        return log
    if log is None or isinstance(log, str | Path):
        return open_log(log)
    raise UsageError(f"log: got {type(log).__name__}, wanted a Log or the path of its folder")


def require_writable(log: Log) -> None:
    """UsageError when the log's folder, or the one it would be made in, is not writable."""
    there = next(folder for folder in (log.root, *log.root.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{log.root}: cannot be written (--log DIR or HARNESS_LOG say where to)")


def card_stem(record: Mapping[str, Any]) -> str:
    """The file name of a run's card, without its ending: `2026-11-20-har-rv-j-3fa9c21b`."""
    return f"{record['started'][:10]}-{record['hypothesis']}-{record['run_id']}"


def with_decision(card: str, latest: Mapping[str, str] | None) -> str:
    """The card with the latest decision in its `Decision: ` line."""
    return _DECISION_LINE.sub(lambda _: decision_line(latest), card, count=1)


def decision_line(latest: Mapping[str, str] | None) -> str:
    """The `Decision: ` line of a card; the note is on one line and escaped for Markdown."""
    if latest is None:
        return UNDECIDED
    line = f"Decision: **{latest['decision']}** on {latest['decided_at'][:10]}"
    note = " ".join(latest["note"].split())
    return f"{line}: " + re.sub(r"([\\`*_\[\]<>|~#!&$])", r"\\\1", note) if note else line


def split_card(card: str) -> tuple[str, str | None]:
    """The card before and after its `Decision: ` line; (card, None) without such a line."""
    found = _DECISION_LINE.search(card)
    return (card[: found.start()], card[found.end() :]) if found else (card, None)


class Log:
    """The log under one directory, which need not exist before the first run is published."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.runs_directory = self.root / "runs"
        self.decisions_directory = self.root / "decisions"

    # -- runs ------------------------------------------------------------------------------

    def publish(
        self, record_of: Callable[[str], dict[str, Any]], forecasts: Sequence[HorizonForecasts]
    ) -> str:
        """Store one run and return its run_id; when this returns, the run is on disk.

        `record_of(run_id)` makes the record; it is called again if that id is taken. The keys
        `format`, `run_id`, `forecasts` (horizon -> its models) and the `forecasts_digest` of
        their file are added here; NaN and infinities are written as null.

        RunError with directory and cause when the disk is full or refuses; nothing is left
        behind. ValueError for a record that lacks a key or has one of the wrong kind.
        """
        models = {part.horizon: list(part.models) for part in forecasts}
        with self.scratch() as scratch:
            write_forecasts(scratch / "forecasts.parquet", forecasts)
            sync(scratch / "forecasts.parquet")
            sealed = digest((scratch / "forecasts.parquet").read_bytes()).decode().strip()
            while True:
                run_id = secrets.token_hex(4)
                record = {"format": FORMAT, "run_id": run_id, "forecasts": models,
                          "forecasts_digest": sealed}  # fmt: skip
                record = {**record_of(run_id), **record}
                _require(record, run_id)
                data = encode(record)
                write(scratch / "record.json", data)
                write(scratch / _SEAL, digest(data))
                sync(scratch)
                self.runs_directory.mkdir(exist_ok=True)
                if claim(scratch, self.runs_directory / f"run_id={run_id}"):
                    sync(self.runs_directory)
                    return run_id

    def runs(self) -> list[str]:
        """The ids of all published runs, ascending; none where there is no log yet."""
        found = (_RUN_NAME.fullmatch(name) for name in self.names(self.runs_directory))
        return sorted(match[1] for match in found if match)

    def resolve(self, prefix: str) -> str:
        """The run with this id, or the only one whose id begins with it; else UsageError."""
        if _RUN_NAME.fullmatch(f"run_id={prefix}") and self._run(prefix).is_dir():
            return prefix
        runs = self.runs()
        found = [run_id for run_id in runs if prefix and run_id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"run {one_line(prefix)} is one of {len(found)} in {self.root}: "
                f"{', '.join(found[:5])}{', …' if len(found) > 5 else ''}"
            )
        near = nearest(prefix, runs)
        hint = f"; did you mean '{near}'?" if near else "" if runs else "; the log is empty"
        raise UsageError(f"no run {one_line(prefix)} in {self.root}{hint}")

    def read(self, prefix: str) -> dict[str, Any]:
        """The record of the run whose id begins with `prefix`.

        UsageError for an unknown run, RecordError for a record that was changed or damaged.
        """
        run_id = self.resolve(prefix)
        path = self._run(run_id) / "record.json"
        data = read_bytes(path)
        record = read_object(path, data)
        try:
            _require(record, run_id)
            self._check_seal(run_id, data)
        except ValueError as error:
            raise RecordError(f"{path}: {error}") from None
        return record

    def read_forecasts(self, prefix: str) -> pl.DataFrame:
        """The run's forecasts, one row per model, horizon by horizon in stored order.

        Columns horizon, model, symbol (str), formed_at, resolved_at (Datetime us, UTC),
        window (int32), y, yhat (float64). UsageError for an unknown run, RecordError for forecasts
        that are not as they were published.
        """
        record = self.read(prefix)
        path = self.forecasts_path(record)
        try:
            return read_forecasts(path, record["forecasts"])
        except OSError as error:
            raise RecordError(f"{path}: cannot be read: {one_line(error)}") from None

    def forecasts_path(self, record: Mapping[str, Any]) -> Path:
        """The path of a run's forecasts; RecordError when they are not as they were published.

        They may be missing, since a log can be shipped without them: RecordError. Older records
        have no digest of the forecasts: those are not checked.
        """
        path = self._run(record["run_id"]) / "forecasts.parquet"
        if not path.is_file():
            raise RecordError(
                f"{path}: not found; the log has the record of run {record['run_id']} alone "
                f"(run {record['hypothesis']} again for its forecasts)"
            )
        sealed = record.get("forecasts_digest")
        if sealed is not None and digest(read_bytes(path)).decode().strip() != sealed:
            raise RecordError(f"{path}: changed since it was published")
        return path

    def _check_seal(self, run_id: str, record: bytes) -> None:
        """ValueError when the record is not, byte for byte, as it was published."""
        try:
            sealed = (self._run(run_id) / _SEAL).read_bytes()
        except OSError:
            raise ValueError(f"its seal, {_SEAL}, cannot be read") from None
        if sealed != digest(record):
            raise ValueError("changed since it was published")

    def has_forecasts(self, run_id: str) -> bool:
        """Whether the run's forecasts exist."""
        return (self._run(run_id) / "forecasts.parquet").is_file()

    # -- decisions -------------------------------------------------------------------------

    def decide(self, prefix: str, decision: str, note: str, at: datetime) -> Path:
        """Add a dated decision on a run and rewrite its card; returns the card's path.

        Earlier decisions stay. `decision` is one of DECISIONS, `at` has a time zone. UsageError for
        an unknown run or decision; RunError when the disk refuses.
        """
        if decision not in DECISIONS:
            near = nearest(decision, DECISIONS)
            raise UsageError(
                f"decision: got {one_line(decision)}, wanted {', '.join(DECISIONS)}"
                + (f"; did you mean '{near}'?" if near else "")
            )
        record = self.read(prefix)
        moment = at.astimezone(UTC)
        entry = {
            "run_id": record["run_id"],
            "decided_at": moment.isoformat(timespec="microseconds"),
            "decision": decision,
            "note": note,
        }
        name = f"{record['run_id']}-{moment:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}.json"
        with self.scratch() as scratch:
            write(scratch / name, encode(entry))
            self.decisions_directory.mkdir(exist_ok=True)
            # A link, unlike a rename, fails when the name is taken.
            os.link(scratch / name, self.decisions_directory / name)
            sync(self.decisions_directory)
        return self.write_card(record)

    def decision_files(self) -> list[str]:
        """The file names of all decisions, ascending: by run, then by time."""
        names = self.names(self.decisions_directory)
        return sorted(name for name in names if name.endswith(".json"))

    def read_decision(self, name: str) -> dict[str, str]:
        """One decision: run_id, decided_at (ISO 8601, UTC), decision, note; or RecordError."""
        path = self.decisions_directory / name
        entry = read_object(path, read_bytes(path))
        wanted = ("run_id", "decided_at", "decision", "note")
        if not all(isinstance(entry.get(key), str) for key in wanted):
            raise RecordError(f"{path}: wanted the keys {', '.join(wanted)}, all text")
        return {key: entry[key] for key in wanted}

    def decisions(self, prefix: str) -> list[dict[str, str]]:
        """The decisions on a run, oldest first; UsageError for an unknown run."""
        run_id = self.resolve(prefix)
        mine = [name for name in self.decision_files() if name.startswith(f"{run_id}-")]
        return [self.read_decision(name) for name in mine]

    # -- cards -----------------------------------------------------------------------------

    def card(self, record: Mapping[str, Any] | str) -> str:
        """The card of a record, or of a run by its id, with the latest decision in its head."""
        record = self.read(record) if isinstance(record, str) else record
        decisions = self.decisions(record["run_id"])
        return with_decision(record["card"], decisions[-1] if decisions else None)

    def card_path(self, record: Mapping[str, Any]) -> Path:
        """The path of the run's card."""
        return self.root / f"{card_stem(record)}.md"

    def write_card(self, record: Mapping[str, Any]) -> Path:
        """Write the run's card, with its latest decision, and return its path; or RunError."""
        path = self.card_path(record)
        text = None
        # Repeated if a decision arrived meanwhile: the later of two writers must win.
        while text != (text := self.card(record)):
            with self.scratch() as scratch:
                write(scratch / "card.md", text.encode())
                (scratch / "card.md").replace(path)
        return path

    def figure_path(self, record: Mapping[str, Any], name: str) -> Path:
        """The path of one of the run's figures."""
        return self.root / card_stem(record) / f"{name}.svg"

    def write_figure(self, record: Mapping[str, Any], name: str, svg: bytes) -> Path:
        """Write one figure beside the run's card and return its path; or RunError."""
        path = self.figure_path(record, name)
        with self.scratch() as scratch:
            write(scratch / "figure.svg", svg)
            path.parent.mkdir(exist_ok=True)
            (scratch / "figure.svg").replace(path)
        return path

    # -- what is being written -------------------------------------------------------------

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new directory under D/.tmp, removed at the end; an OSError becomes a RunError."""
        scratch = self.root / ".tmp" / secrets.token_hex(8)
        try:
            scratch.mkdir(parents=True)
            yield scratch
        except OSError as error:
            cause = error.strerror or one_line(error)
            raise RunError(f"{self.root}: cannot write to the log: {cause}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def remove_leftovers(self) -> int:
        """Remove scratch folders older than a day, left by killed writers; returns how many."""
        old = time.time() - _DAY_SECONDS
        removed = 0
        for name in self.names(self.root / ".tmp"):
            leftover = self.root / ".tmp" / name
            with suppress(FileNotFoundError):
                if leftover.stat().st_mtime < old:
                    shutil.rmtree(leftover, ignore_errors=True)
                    removed += 1
        return removed

    def _run(self, run_id: str) -> Path:
        return self.runs_directory / f"run_id={run_id}"

    def names(self, directory: Path) -> list[str]:
        """The names in a folder of the log; none when it does not exist yet."""
        try:
            return os.listdir(directory)  # noqa: PTH208 - ten times as fast on a long log
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{self.root}: cannot read the log: {error.strerror}") from None


def _require(record: Any, run_id: str) -> None:
    """ValueError that says what is wrong when this is no complete record of this run."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"wanted a record of format {FORMAT}")
    if record.get("run_id") != run_id:
        raise ValueError(f"run_id: got {one_line(record.get('run_id'))}, wanted '{run_id}'")
    # The card's file name is made of name and date: nothing else may get into it.
    if not _NAME.fullmatch(str(record.get("hypothesis"))):
        raise ValueError(f"hypothesis: got {one_line(record.get('hypothesis'))}, wanted a name")
    started = record.get("started")
    try:
        datetime.fromisoformat(started if isinstance(started, str) else "")
    except ValueError:
        got = one_line(started)
        raise ValueError(f"started: got {got}, wanted an ISO 8601 moment") from None
    kinds = {"card": str, "tables": dict, "forecasts": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(record.get(key), kind)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: missing, or not of the right kind")


def read_bytes(path: Path) -> bytes:
    """The bytes of a published file, or RecordError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def read_object(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object in a published file, or RecordError."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise RecordError(f"{path}: not JSON any more: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path}: wanted a JSON object")
    return value
