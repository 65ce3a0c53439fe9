"""SQL questions to the log: read-only, locked down, one SELECT, within a time limit.

A question can neither write nor read other files; each point is proved by a test:

* The index is opened read-only. External access is off except for the runs' directory, where the
  forecasts are. No extension loads, Python objects are out of reach, the configuration is locked.
* Only one SELECT statement is accepted. DuckDB allows a COPY in the WITH clause of a SELECT, and
  has table functions that run SQL from a string. So the syntax tree that DuckDB gives may hold
  queries only, and of the table functions only harmless ones.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from harness.errors import UsageError, one_line
from harness.log.index import Warn, forecasts_pattern, literal, open_index, to_stderr
from harness.log.store import Log, as_log

if TYPE_CHECKING:
    import polars as pl

_MEMORY = "4GB"
_ROWS_AT_ONCE = 10_000
_QUERY_NODES = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
_TABLE_FUNCTIONS = (
    "duckdb_columns",
    "duckdb_tables",
    "duckdb_views",
    "generate_series",
    "json_each",
    "json_tree",
    "range",
    "unnest",
)


def run_query(
    log: Log, sql: str, *, timeout_s: float = 30.0, warn: Warn = to_stderr
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The column names and the rows that one SELECT gives on the log's index.

    The index is brought up to date first; records that had to be left out are named to `warn`.
    Times are naive datetimes in UTC. UsageError, one line in DuckDB's own words, for SQL that is
    wrong, not allowed, or slower than `timeout_s` seconds.
    """
    with _index(log, warn) as connection, _time_limit(connection, timeout_s) as deadline:
        _check(connection, sql)
        connection.execute(sql)
        columns = [(name, str(kind)) for name, kind, *_ in connection.description]
        _refuse_time_zones(columns)
        rows: list[tuple[Any, ...]] = []
        while some := connection.fetchmany(_ROWS_AT_ONCE):
            rows += some
            # The interrupt stops DuckDB, but rows that were ready are still fetched.
            if time.monotonic() > deadline:
                raise duckdb.InterruptException
    return [name for name, _ in columns], rows


def load_runs(log: Log | str | Path | None = None, warn: Warn = to_stderr) -> pl.DataFrame:
    """The index's table `runs`, oldest first, as a Polars frame (`started`: Datetime us).

    `log` is a log or its folder; None: HARNESS_LOG, else ./reports.
    """
    import polars as pl

    kinds: dict[str, pl.DataType] = {
        "DOUBLE": pl.Float64(),
        "BIGINT": pl.Int64(),
        "BOOLEAN": pl.Boolean(),
        "TIMESTAMP": pl.Datetime("us"),
    }
    # Not as an Arrow stream: at exit DuckDB would print a page of noise.
    with _index(as_log(log), warn) as connection:
        connection.execute("FROM runs ORDER BY started, run_id")
        schema = {
            name: kinds.get(str(kind), pl.String()) for name, kind, *_ in connection.description
        }
        return pl.DataFrame(connection.fetchall(), schema=schema, orient="row")


def to_json_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows as JSON-able objects: times ISO 8601 in UTC, NaN and infinities null.

    A second column of the same name gets `_1` after it, and so on.
    """
    names: list[str] = []
    for column in columns:
        number, name = 0, column
        while name in names:
            number, name = number + 1, f"{column}_{number + 1}"
        names.append(name)
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


@contextmanager
def _index(log: Log, warn: Warn) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked-down connection to the index; DuckDB's errors become UsageErrors."""
    with open_index(log, warn) as path:
        try:
            with closing(_connect(path, log)) as connection:
                yield connection
        except duckdb.Error as error:
            raise UsageError(f"query: {_message(error)}") from None


def _connect(path: Path, log: Log) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": _MEMORY,
        "python_enable_replacements": "false",
        # A question that needs more memory fails; it does not fill the disk of the log.
        "temp_directory": "",
    }
    connection = duckdb.connect(str(path), read_only=True, config=config)
    # The pattern of the view is matched as written, the files that it finds by their names.
    pattern_directory = forecasts_pattern(log).removesuffix("/run_id=*/forecasts.parquet")
    allowed = ", ".join(literal(d) for d in (str(log.runs_directory), pattern_directory))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@contextmanager
def _time_limit(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[float]:
    """Stop the connection's work after so many seconds, with a UsageError."""
    timer = threading.Timer(timeout_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield time.monotonic() + timeout_s
    except duckdb.InterruptException:
        raise UsageError(f"query: stopped after {timeout_s:g} s, the time limit") from None
    finally:
        timer.cancel()


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        got = ", ".join(kinds) or "nothing"
        raise UsageError(f"query: got {got}, wanted one SELECT statement; the log is read-only")
    for kind, function in _tree(connection, sql):
        if kind.endswith("_NODE") and kind not in _QUERY_NODES:
            got = kind.removesuffix("_NODE").removesuffix("_QUERY")
            raise UsageError(f"query: got {got}, wanted SELECT alone; the log is read-only")
        if kind == "TABLE_FUNCTION" and function not in _TABLE_FUNCTIONS:
            raise UsageError(
                f"query: the table function {one_line(function)} is not allowed here; "
                f"wanted a table or one of {', '.join(_TABLE_FUNCTIONS)}"
            )


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[str, str]]:
    """The type of every node of the syntax tree, and the table function that it calls."""
    (text,) = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()[0]
    try:
        tree = json.loads(text)
    except RecursionError:
        raise UsageError("query: nested too deeply") from None
    if tree["error"]:
        raise UsageError(f"query: {' '.join(tree['error_message'].split())}")
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            function = node.get("function")
            name = function.get("function_name", "") if isinstance(function, dict) else ""
            yield str(node.get("type")), name.lower()
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)


def _refuse_time_zones(columns: Sequence[tuple[str, str]]) -> None:
    for name, kind in columns:
        # Python reads these only with a library that nothing else needs.
        if "WITH TIME ZONE" in kind:
            raise UsageError(
                f"query: column '{name}' is {kind}, wanted a TIMESTAMP (all times here are UTC); "
                f"write ({name})::TIMESTAMP"
            )


def _message(error: duckdb.Error) -> str:
    """DuckDB's message on one line, without the picture of the place."""
    text = " ".join(str(error).split("\nLINE ")[0].split())
    if "Corrupt database" in text:
        text += "; `harness index` rebuilds the index"
    return text


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if isfinite(value) else None
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)
