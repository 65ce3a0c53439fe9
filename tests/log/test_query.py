"""Questions in SQL: answered from the log, and nothing but answered."""

from __future__ import annotations

import json
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from support import log_writers as small

from harness.errors import UsageError
from harness.log.query import run_query, to_json_rows
from harness.log.store import Log


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Log:
    log = Log(tmp_path_factory.mktemp("log"))
    log.publish(small.small_record, small.small_forecasts())
    (log.root / "secret.csv").write_text("a,b\n1,2\n")
    run_query(log, "FROM runs")
    return log


def serialized(sql: str) -> str:
    """A statement as a function of DuckDB would run it from a string."""
    with duckdb.connect() as connection:
        text = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()[0][0]
    return "'" + text.replace("'", "''") + "'"


def contents(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


COPY = "COPY (SELECT 1) TO '{runs}/evil.csv'"
FORBIDDEN = [
    # writes
    COPY,
    f"WITH x AS ({COPY}) SELECT * FROM x",
    f"WITH x AS MATERIALIZED ({COPY}) SELECT 1",
    f"(WITH x AS ({COPY}) SELECT 1) UNION SELECT 2",
    f"SELECT * FROM runs WHERE EXISTS (WITH x AS ({COPY}) SELECT 1)",
    f"EXPLAIN ANALYZE {COPY}",
    "FROM json_execute_serialized_sql({serialized_copy})",
    "FROM JSON_Execute_Serialized_SQL({serialized_copy})",
    "SELECT (SELECT count(*) FROM main.json_execute_serialized_sql({serialized_copy}))",
    "FROM query('FROM json_execute_serialized_sql({serialized_twice})')",
    "PRAGMA json_execute_serialized_sql({serialized_copy})",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW runs AS SELECT 1",
    "INSERT INTO scores SELECT * FROM scores",
    "WITH x AS (INSERT INTO parts.meta VALUES (1, 2, []) RETURNING *) FROM x",
    "UPDATE scores SET value = 1",
    "WITH x AS (UPDATE scores SET value = 1 RETURNING *) FROM x",
    "DELETE FROM scores",
    "WITH x AS (DELETE FROM scores RETURNING *) FROM x",
    "DROP TABLE scores",
    "ALTER TABLE scores DROP value",
    "EXPORT DATABASE '{runs}/export'",
    "IMPORT DATABASE '{runs}'",
    "FROM enable_logging(storage = 'file', storage_path = '{runs}/logs')",
    "CALL enable_logging()",
    "CHECKPOINT",
    "VACUUM",
    # reads elsewhere
    "FROM read_csv('{root}/secret.csv')",
    "FROM '{root}/secret.csv'",
    'FROM "{root}/secret.csv"',
    "FROM '{runs}/../secret.csv'",
    "FROM read_text('/etc/passwd')",
    "FROM read_blob('/etc/passwd')",
    "FROM read_parquet('/etc/passwd')",
    "FROM read_json('/etc/passwd')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM glob('/*')",
    "FROM query('FROM read_text(''/etc/passwd'')')",
    "FROM 'https://example.com/a.csv'",
    "SELECT getenv('HOME')",
    "FROM duckdb_secrets()",
    "FROM python_object",
    "FROM log",
    # the way in
    "ATTACH '{root}/other.duckdb'",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET allowed_directories",
    "PRAGMA enable_object_cache",
    "PRAGMA database_list",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE scores",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_no_statement_writes_or_reads_elsewhere(log, sql):
    python_object = duckdb.sql("SELECT 1 AS a")  # what a replacement scan would find
    names = {"root": log.root, "runs": log.runs_directory}
    copy = serialized(COPY.format(**names).join(("WITH x AS (", ") FROM x")))
    for key, value in (*names.items(), ("serialized_copy", copy)):
        sql = sql.replace("{" + key + "}", str(value))
    sql = sql.replace("{serialized_twice}", copy.replace("'", "''"))
    before = contents(log.root)
    with pytest.raises(UsageError) as caught:
        run_query(log, sql)
    assert contents(log.root) == before
    assert str(caught.value).startswith("query: ")
    assert "\n" not in str(caught.value)
    assert python_object.fetchall() == [(1,)]


def test_the_copy_that_is_refused_would_have_written(tmp_path):
    # Without this the tests above could pass for want of a statement that works.
    copy = COPY.format(runs=tmp_path).join(("WITH x AS (", ") FROM x"))
    with duckdb.connect() as connection:
        connection.execute(f"FROM json_execute_serialized_sql({serialized(copy)})").fetchall()
        assert (tmp_path / "evil.csv").exists()
        (tmp_path / "evil.csv").unlink()
        connection.execute(copy).fetchall()
    assert (tmp_path / "evil.csv").exists()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1; -- done", [(1,)]),
        ("SELECT 'COPY_QUERY_NODE' AS type", [("COPY_QUERY_NODE",)]),
        ("SELECT sum(range) FROM range(4)", [(6,)]),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) "
         "SELECT count(*) FROM t", [(3,)]),
        ("SELECT count(*) FROM (PIVOT scores ON scope IN ('pooled', 'window') USING count(*))",
         [(2,)]),
        ("SELECT count(*) FROM (DESCRIBE verdicts)", [(24,)]),
        ("SELECT started FROM runs", [(datetime(2026, 5, 19, 10),)]),
        ("SELECT list(n ORDER BY n) FROM scores", [([2, 4],)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
    ],
)  # fmt: skip
def test_questions_of_every_shape_are_answered(log, sql, rows):
    assert run_query(log, sql)[1] == rows


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("FROM run", 'Table with name run does not exist! Did you mean "runs"?'),
        ("SELECT runid FROM runs", 'Candidate bindings: "run_id"'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT CAST('a' AS INT)", "Could not convert string 'a'"),
        ("SELECT now()", "wanted a TIMESTAMP"),
        ("SELECT " + "+".join("1" * 2_000), "query: "),
    ],
)
def test_wrong_sql_is_said_in_one_line_with_the_nearest_name(log, sql, words):
    with pytest.raises(UsageError) as caught:
        run_query(log, sql)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_question_that_takes_too_long_is_stopped(log):
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"stopped after 0\.3 s"):
        sql = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
        run_query(log, sql, timeout_s=0.3)
    assert time.monotonic() - began < 20


def test_an_answer_without_end_is_stopped_too(log):
    with pytest.raises(UsageError, match=r"stopped after 0\.3 s"):
        run_query(log, "FROM range(1000000000000)", timeout_s=0.3)


def test_the_process_keeps_its_own_duckdb_as_it_was(log):
    run_query(log, "FROM runs")
    path = log.root / "secret.csv"
    assert duckdb.sql(f"FROM read_csv('{path}')").fetchall() == [(1, 2)]


def test_rows_become_json_with_times_in_utc_and_no_nan():
    row = (
        datetime(2021, 1, 2, 3), date(2021, 1, 2), float("nan"), float("-inf"), Decimal("1.5"),
        [1, float("nan")], {"a": datetime(2021, 1, 2)}, b"\x00\xff", UUID(int=1), None, True,
    )  # fmt: skip
    columns = ["t", "d", "x", "x", "x", "l", "s", "b", "u", "n", "f"]
    (found,) = json.loads(json.dumps(to_json_rows(columns, [row]), allow_nan=False))
    assert found == {
        "t": "2021-01-02T03:00:00Z", "d": "2021-01-02", "x": None, "x_1": None, "x_2": 1.5,
        "l": [1, None], "s": {"a": "2021-01-02T00:00:00Z"}, "b": "00ff",
        "u": "00000000-0000-0000-0000-000000000001", "n": None, "f": True,
    }  # fmt: skip


def test_a_question_leaves_no_file_behind(log):
    before = sorted(log.root.iterdir())
    run_query(log, "SELECT * FROM forecasts ORDER BY yhat")
    assert sorted(log.root.iterdir()) == before
