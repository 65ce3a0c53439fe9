"""The schema of the log's tables: what records hold, and what docs, help and index say of it."""

from __future__ import annotations

import math
import runpy
from types import SimpleNamespace

import duckdb
import pytest
from support import log_writers as small
from support import workspace

import harness
from harness.errors import UsageError
from harness.inference.evidence import Evidence, Verdict
from harness.log.index import open_index
from harness.log.query import run_query
from harness.log.schema_tables import LOG_TABLES, RECORDED, columns_in_words, log_table
from harness.log.store import Log
from harness.record.score_tables import evidence_table
from harness.spec.reading import parse_hypothesis

generate = SimpleNamespace(**runpy.run_path(str(workspace.ROOT / "docs" / "generate.py")))
# Sections whose tables a record has only where they are asked for.
SECTIONS = """\
[risk]
levels = [0.05]
residuals = ["normal"]

[distribution]
levels = [0.1, 0.9]
laws = ["residual"]

[document]
title = "A study"
place = "table 2"
says = "three scales add 2 points"
figures.r2_log = { har = 0.5 }

[verdict]"""


@pytest.fixture(scope="module")
def record(tmp_path_factory, own_cache):
    folder = tmp_path_factory.mktemp("schema")
    workspace.lay_out(folder)
    text = workspace.changed(("[verdict]", SECTIONS), ('"1h", "4h"]\nback', '"4h"]\nback'))
    hypothesis = parse_hypothesis(text, folder / "hypotheses/tiny-har.toml")
    log = harness.open_log(folder / "reports")
    return log.read(harness.run(hypothesis, log, search=[folder / "panels"]).run_id)


@pytest.fixture(scope="module")
def log(tmp_path_factory, record) -> Log:
    """A log whose one record is that of a run."""
    log = Log(tmp_path_factory.mktemp("log"))
    log.publish(lambda run_id: {**record, "run_id": run_id}, small.small_forecasts())
    return log


def wins_columns() -> set[str]:
    """The columns of `tests` where the gain is the share of symbols won."""
    figures = dict.fromkeys(Evidence.__dataclass_fields__, math.nan)
    evidence = Evidence(**{**figures, "seeds": (), "symbols": 12})
    return set(evidence_table(Verdict("confirmed", (), evidence, (evidence,))))


def test_the_tables_of_a_record_and_their_columns_are_those_of_the_schema(record):
    found = {name: set(columns) for name, columns in record["tables"].items()}
    found["tests"] |= wins_columns()
    wanted = {
        name: {column.record_key for column in table.columns} - {"run_id"}
        for name, table in RECORDED.items()
    }
    assert found == wanted


def test_the_index_has_every_table_and_column_with_its_type_and_meaning(log):
    sql = (
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE schema_name = 'main' AND NOT internal"
    )
    found = {(table, column): rest for table, column, *rest in run_query(log, sql)[1]}
    wanted = {}
    for table in LOG_TABLES.values():
        for column in table.columns:
            for name in (column.name, *column.aliases):
                wanted[table.name, name] = [column.kind, table.comments[name]]
    assert found == wanted
    assert {name for name, _ in found} == set(LOG_TABLES)


def test_every_table_has_its_sentence_as_a_comment(log):
    sql = (
        "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'main' "
        "UNION SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'main' "
        "AND NOT internal"
    )
    assert dict(run_query(log, sql)[1]) == {t.name: t.comment for t in LOG_TABLES.values()}


def test_a_view_has_the_columns_of_the_schema_in_its_order(log):
    for table in LOG_TABLES.values():
        if table.origin == "view":
            assert run_query(log, f"FROM {table.name} LIMIT 0")[0] == list(table.kinds)


def test_an_older_name_of_a_column_has_its_values(log, record):
    rows = run_query(log, "SELECT cached, kept FROM fit_times")[1]
    assert rows == [(n, n) for n in record["tables"]["fit_times"]["kept"]]
    assert run_query(log, "SELECT origin, decision FROM adaptation")[1] == []


def test_a_record_without_a_column_or_a_table_still_makes_an_index(tmp_path, record):
    tables = {name: dict(columns) for name, columns in record["tables"].items() if name != "risk"}
    del tables["fit_times"]["kept"]
    log = Log(tmp_path)
    log.publish(
        lambda run_id: {**record, "run_id": run_id, "tables": tables}, small.small_forecasts()
    )
    rows = run_query(log, "SELECT DISTINCT cached, kept FROM fit_times")[1]
    assert rows == [(None, None)]
    assert run_query(log, "SELECT count(*) FROM risk")[1] == [(0,)]


def test_extending_an_index_keeps_the_comments(log):
    sql = "SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'main' AND comment IS NULL"
    log.publish(small.small_record, small.small_forecasts())
    with open_index(log) as path, duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute(f"{sql} AND NOT internal").fetchall() == [(0,)]


def test_every_meaning_is_one_line_of_text():
    for table in LOG_TABLES.values():
        names = [column.name for column in table.columns]
        older = [alias for column in table.columns for alias in column.aliases]
        assert len({*names, *older}) == len(names) + len(older), table.name
        assert table.what.endswith((".", "?"))
        for column in table.columns:
            assert column.meaning.strip(), (table.name, column.name)
            assert "\n" not in column.meaning


def test_the_pages_are_what_the_schema_and_the_commands_make_them():
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run docs/generate.py"


def test_the_page_of_the_log_differs_where_the_schema_does():
    page = (workspace.ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    changed = page.replace("the run's id, 8", "the run's id, 9")
    assert changed != page
    assert generate.log_page(changed) == page
    with pytest.raises(ValueError, match=r"log\.md: wanted"):
        generate.log_page(page.replace(generate._END, ""))


def test_the_help_of_query_names_every_table(command):
    words = set(command("query", "--help").done().out.replace(",", " ").replace(".", " ").split())
    assert set(LOG_TABLES) <= words


def test_query_lists_the_tables_and_describes_one(command):
    listed = command("query", "--tables", "--json").done().json
    assert [entry["table"] for entry in listed] == list(LOG_TABLES)
    assert all(entry["what"] for entry in listed)
    described = command("query", "--describe", "folds", "--json").done().json
    assert described == columns_in_words(LOG_TABLES["folds"])
    shown = command("query", "--describe", "Folds").done().out
    assert shown.startswith("One row per fold and horizon")
    assert "slack_ns\n  type: BIGINT\n  meaning: cut - embargo - latest_resolution" in shown
    assert "runs\n  what: One row per run" in command("query", "--tables").done().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--describe", "scroes"], "--describe: got 'scroes', wanted a table of the log"),
        (["--describe", "scroes"], "did you mean 'scores'?"),
        (["--describe", "scores", "from runs"], "wanted one of SQL, --tables and --describe"),
        (["--describe", "scores", "--tables"], "wanted one of SQL, --tables and --describe"),
        ([], "wanted one of SQL, --tables and --describe"),
    ],
)
def test_a_wrong_table_or_two_questions_are_one_line(arguments, words, command):
    assert words in command("query", *arguments).refused()


def test_a_table_that_is_nowhere_near_has_no_hint():
    with pytest.raises(UsageError) as caught:
        log_table("zzzz")
    assert "did you mean" not in str(caught.value)
