"""The DuckDB index of the log: derived from the run records, so it can be deleted and rebuilt.

Two processes that write the same DuckDB file can lose rows silently, so nobody writes to
D/log.duckdb itself. Under a file lock the next index is made in a temporary file, as a copy of the
present one with the new records added, and a rename puts it in place.

The tables that a reader meets are in the DuckDB schema `main`; `parts` holds what they are made of.
The forecasts stay in the runs' Parquet files, behind a view. All times are TIMESTAMP, in UTC.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from harness.errors import RunError, one_line
from harness.log.index_tables import (
    META,
    TABLES,
    VIEWS,
    decision_frame,
    index_format,
    record_frames,
    registration_frame,
)
from harness.log.registrations import read_registration, registration_files
from harness.log.schema import TIME, LogTable
from harness.log.schema_scores import FORECASTS
from harness.log.schema_tables import LOG_TABLES
from harness.log.store import Log, RecordError

if TYPE_CHECKING:
    import polars as pl

# Records are added in batches of this many bytes of JSON, which bounds the memory.
_BATCH_BYTES = 16_000_000

Warn = Callable[[str], None]


@dataclass(frozen=True)
class _Entries:
    """What the log holds, and a digest of everything that an index of it depends on."""

    origin: str
    runs: frozenset[str]
    decisions: frozenset[str]
    registrations: frozenset[str]
    digest: str


def to_stderr(message: str) -> None:
    """One line of warning on stderr."""
    sys.stderr.write(f"warning: {message}\n")


def update_index(log: Log, warn: Warn = to_stderr) -> Path:
    """Bring D/log.duckdb up to date with the records, and return its path.

    If it is up to date, this costs one listing of the log. It is rebuilt when it is missing,
    damaged, of another format, or of a log that was moved. Records that cannot be read are left
    out and named to `warn`. RunError when the log is not writable.
    """
    return _update(log, warn, rebuild=False)


def rebuild_index(log: Log, warn: Warn = to_stderr) -> Path:
    """Rebuild D/log.duckdb from the records, and remove what killed writers left.

    Raises and warns as `update_index` does.
    """
    log.remove_leftovers()
    return _update(log, warn, rebuild=True)


@contextmanager
def open_index(log: Log, warn: Warn = to_stderr) -> Iterator[Path]:
    """The path of an index that is up to date, for as long as the block lasts.

    It is D/log.duckdb, or a temporary file elsewhere when the log is not writable or does not
    exist yet (an empty index).
    """
    with ExitStack() as stack:
        try:
            path = update_index(log, warn)
        except RunError:
            folder = tempfile.TemporaryDirectory(prefix="harness-index-")
            path = Path(stack.enter_context(folder)) / "log.duckdb"
            for message in _build(path, log, _entries(log)):
                warn(message)
        yield path


def forecasts_pattern(log: Log) -> str:
    """The glob over all runs' forecasts; special characters of the directory are escaped."""
    return re.sub(r"([\[\]*?])", r"[\1]", str(log.runs_directory)) + "/run_id=*/forecasts.parquet"


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _update(log: Log, warn: Warn, *, rebuild: bool) -> Path:
    path = log.root / "log.duckdb"
    unreadable = None if rebuild else _unreadable(path, _entries(log))
    if unreadable is None:
        with _locked(log):
            # Listed again: whoever had the lock before may have done the work.
            entries = _entries(log)
            unreadable = None if rebuild else _unreadable(path, entries)
            if unreadable is None:
                unreadable = _replace(path, log, entries, rebuild=rebuild)
    for message in unreadable:
        warn(message)
    return path


def _entries(log: Log) -> _Entries:
    runs, decisions, origin = log.runs(), log.decision_files(), f"{index_format()} {log.root}"
    registered = registration_files(log)
    text = "\n".join([origin, *runs, "", *decisions, "", *registered])
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return _Entries(origin, frozenset(runs), frozenset(decisions), frozenset(registered), digest)


@contextmanager
def _locked(log: Log) -> Iterator[None]:
    """One updater at a time; the system frees the lock when a process dies."""
    try:
        handle = os.open(log.root / ".index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunError(f"{log.root}: cannot write the index: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _rows(path: Path, sql: str) -> list[tuple[Any, ...]] | None:
    """The rows that `sql` gives on this index; None when it is missing or damaged."""
    if not path.is_file():
        return None
    try:
        with closing(duckdb.connect(str(path), read_only=True)) as connection:
            return connection.execute(sql).fetchall()
    except duckdb.Error:
        return None


def _unreadable(path: Path, entries: _Entries) -> list[str] | None:
    """What the index of exactly these entries left out; None when there is no such index."""
    rows = _rows(path, "SELECT digest, unreadable FROM parts.meta")
    return rows[0][1] if rows and rows[0][0] == entries.digest else None


def _extends(path: Path, entries: _Entries) -> bool:
    """Whether adding is enough: the index has this format and place, and nothing was removed."""
    if _rows(path, "SELECT origin FROM parts.meta") != [(entries.origin,)]:
        return False
    runs = _rows(path, "SELECT run_id FROM parts.runs")
    files = _rows(path, "SELECT file FROM parts.decisions")
    registered = _rows(path, "SELECT file FROM registrations")
    if runs is None or files is None or registered is None:
        return False
    published = entries.runs, entries.decisions, entries.registrations
    indexed = ({row[0] for row in rows} for rows in (runs, files, registered))
    return all(some <= every for some, every in zip(indexed, published, strict=True))


def _replace(path: Path, log: Log, entries: _Entries, *, rebuild: bool) -> list[str]:
    unreadable = None
    with log.scratch() as scratch:
        new = scratch / "log.duckdb"
        if not rebuild and _extends(path, entries):
            shutil.copyfile(path, new)
            try:
                unreadable = _build(new, log, entries)
            except RunError:  # the copy is damaged inside; the records are not
                new.unlink()
        if unreadable is None:
            unreadable = _build(new, log, entries)
        # The rename could reach the disk before the data, which would leave a torn index.
        with new.open("rb") as file:
            os.fsync(file.fileno())
        # A write-ahead log of the old index, from a program that died, is no part of the new one.
        path.with_name("log.duckdb.wal").unlink(missing_ok=True)
        new.replace(path)
    return unreadable


def _build(path: Path, log: Log, entries: _Entries) -> list[str]:
    """Make or extend the index at `path` so that it holds exactly `entries`; or RunError.

    Returns what had to be left out, one line each.
    """
    try:
        with closing(duckdb.connect(str(path))) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("BEGIN")
            if not connection.execute("SHOW TABLES").fetchall():
                _create(connection)
            unreadable = _add(connection, log, entries)
            connection.execute(_forecasts_view(log))
            _comment(connection, FORECASTS)  # a view that is replaced loses its comments
            connection.execute("DELETE FROM parts.meta")
            meta = [entries.origin, entries.digest, unreadable]
            connection.execute("INSERT INTO parts.meta VALUES ($1, $2, $3)", meta)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
            return unreadable
    except duckdb.Error as error:
        raise RunError(f"{log.root}: cannot make the index: {one_line(error, 200)}") from error


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE SCHEMA parts")
    connection.execute(META)
    for table, columns in TABLES.items():
        listed = [f'"{name}" {kind}' for name, kind in columns.items()]
        connection.execute(f"CREATE TABLE {table} ({', '.join(listed + _aliases(table))})")
    for view in VIEWS:
        connection.execute(view)
    for log_table in LOG_TABLES.values():
        if log_table is not FORECASTS:
            _comment(connection, log_table)


def _aliases(table: str) -> list[str]:
    """Older names of a table's columns: computed columns, which take no rows of their own."""
    if table not in LOG_TABLES:
        return []
    return [
        f'"{alias}" {column.kind} GENERATED ALWAYS AS ("{column.name}") VIRTUAL'
        for column in LOG_TABLES[table].columns
        for alias in column.aliases
    ]


def _comment(connection: duckdb.DuckDBPyConnection, table: LogTable) -> None:
    """Write the meanings of a table and its columns, which `duckdb_columns()` shows."""
    kind = "VIEW" if table.origin == "view" else "TABLE"
    statements = [f"COMMENT ON {kind} {table.name} IS {literal(table.comment)}"]
    statements += [
        f'COMMENT ON COLUMN {table.name}."{name}" IS {literal(meaning)}'
        for name, meaning in table.comments.items()
    ]
    connection.execute("; ".join(statements))


def _forecasts_view(log: Log) -> str:
    source = (
        f"read_parquet({literal(forecasts_pattern(log))}, hive_partitioning = true, "
        "hive_types = {'run_id': VARCHAR})"
    )
    if not any(log.runs_directory.glob("run_id=*/forecasts.parquet")):
        # read_parquet fails when no file matches its pattern.
        source = (
            "(SELECT ''::VARCHAR AS run_id, ''::VARCHAR AS horizon, ''::VARCHAR AS symbol, "
            "NULL::TIMESTAMP AS formed_at, NULL::TIMESTAMP AS resolved_at, "
            'NULL::INTEGER AS "window", NULL::DOUBLE AS y, []::DOUBLE[] AS yhat)'
        )
    return (
        "CREATE OR REPLACE VIEW forecasts AS SELECT f.run_id, f.horizon, m.model, f.symbol, "
        'f.formed_at, f.resolved_at, f."window" AS fold, f.y, f.yhat[m.position] AS yhat '
        f"FROM {source} AS f JOIN parts.models AS m ON m.run_id = f.run_id AND "
        "m.horizon = f.horizon"
    )


def _add(connection: duckdb.DuckDBPyConnection, log: Log, entries: _Entries) -> list[str]:
    """Add what the index lacks; returns one line for everything that could not be read."""
    known = {row[0] for row in connection.execute("SELECT run_id FROM parts.runs").fetchall()}
    files = {row[0] for row in connection.execute("SELECT file FROM parts.decisions").fetchall()}
    unreadable: list[str] = []
    batch: list[dict[str, Any]] = []
    size = 0
    for run_id in sorted(entries.runs - known):
        try:
            batch.append(log.read(run_id))
        except RecordError as error:
            unreadable.append(f"left out of the index: {error}")
            continue
        size += (log.runs_directory / f"run_id={run_id}" / "record.json").stat().st_size
        if size > _BATCH_BYTES:
            unreadable += _insert_records(connection, log, batch)
            batch, size = [], 0
    unreadable += _insert_records(connection, log, batch)
    decisions = {}
    for name in sorted(entries.decisions - files):
        try:
            decisions[name] = log.read_decision(name)
        except RecordError as error:
            unreadable.append(f"left out of the index: {error}")
    _insert(connection, "parts.decisions", decision_frame(decisions))
    return unreadable + _add_registrations(connection, log, entries)


def _add_registrations(
    connection: duckdb.DuckDBPyConnection, log: Log, entries: _Entries
) -> list[str]:
    """Add the registrations that the index lacks; returns a line for each unreadable one."""
    known = {row[0] for row in connection.execute("SELECT file FROM registrations").fetchall()}
    found, unreadable = [], []
    for file in sorted(entries.registrations - known):
        try:
            found.append(read_registration(log, file))
        except RecordError as error:
            unreadable.append(f"left out of the index: {error}")
    _insert(connection, "registrations", registration_frame(found))
    return unreadable


def _insert_records(
    connection: duckdb.DuckDBPyConnection, log: Log, records: Sequence[dict[str, Any]]
) -> list[str]:
    """Add records; returns a line for each that was edited, which bisection finds."""
    if not records:
        return []
    try:
        frames = record_frames(records)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        if len(records) == 1:
            path = log.runs_directory / f"run_id={records[0]['run_id']}" / "record.json"
            return [f"left out of the index: {path}: not as it was written: {one_line(error)}"]
        half = len(records) // 2
        parts = (records[:half], records[half:])
        return [message for part in parts for message in _insert_records(connection, log, part)]
    for table, frame in frames.items():
        _insert(connection, table, frame)
    return []


class _ArrowStream:
    """A frame as a bare Arrow stream: for a Polars frame DuckDB would ask for pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    if frame.is_empty():
        return
    # A plain cast to TIMESTAMP would drop the offset from UTC instead of applying it.
    listed = ", ".join(
        f'TRY_CAST("{name}" AS TIMESTAMPTZ)::TIMESTAMP' if kind == TIME else f'"{name}"'
        for name, kind in TABLES[table].items()
    )
    connection.register("batch", _ArrowStream(frame))
    connection.execute(f"INSERT INTO {table} SELECT {listed} FROM batch")
    connection.unregister("batch")
