"""The commands that read the log and mark runs; each imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.errors import UsageError, nearest


@click.command("list")
@click.option("--hypothesis", metavar="NAME", help="Only runs of this hypothesis.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest runs to list."
)
@LOG
@AS_JSON
def list_runs(hypothesis: str | None, limit: int, log_dir: str | None, as_json: bool) -> None:
    """List past runs, newest first.

    \b
    harness list --hypothesis har-rv-j
    """
    from harness.cli.terminal import show_table
    from harness.log.query import load_runs
    from harness.log.store import find_log, open_log

    runs = load_runs(open_log(log_dir)).to_dicts()
    names = [run["hypothesis"] for run in runs]
    if hypothesis is not None and hypothesis not in names:
        near = nearest(hypothesis, names)
        raise UsageError(
            f"no run of '{hypothesis}' in the log" + (f"; did you mean '{near}'?" if near else "")
        )
    runs = [r for r in reversed(runs) if hypothesis in (None, r["hypothesis"])][:limit]
    if as_json:
        echo_json(runs)
    elif not runs:
        click.echo(f"no runs in {find_log(log_dir)} yet: harness run FILE", err=True)
    else:
        columns = (
            "run_id",
            "started",
            "hypothesis",
            "status",
            "gain",
            "metric",
            "horizon",
            "decision",
        )
        show_table(columns, [[run[c] for c in columns] for run in runs])


@click.command()
@click.argument("run")
@LOG
@AS_JSON
def show(run: str, log_dir: str | None, as_json: bool) -> None:
    """Print the card of RUN, or its record as JSON.

    RUN is a run id or its first characters. Example:

    \b
    harness show 3fa9
    """
    from harness.log.store import open_log

    log = open_log(log_dir)
    record = log.read(run)
    if as_json:
        echo_json({**record, "card": log.card(record)})
    else:
        click.echo(log.card(record), nl=False)


class _WithTables(click.Command):
    """A command whose help ends with the names of the log's tables."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, then the tables."""
        from harness.log.schema_tables import LOG_TABLES

        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"Tables: {', '.join(LOG_TABLES)}.")


@click.command(cls=_WithTables)
@click.argument("sql", required=False)
@click.option("--tables", is_flag=True, help="List the tables and what their rows are.")
@click.option("--describe", metavar="TABLE", help="List a table's columns: type, meaning, unit.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds.",
)
@LOG
@AS_JSON
def query(
    sql: str | None,
    tables: bool,
    describe: str | None,
    timeout: float,
    log_dir: str | None,
    as_json: bool,
) -> None:
    """Ask the log one read-only SQL question (DuckDB's SQL).

    \b
    harness query "select hypothesis, status, count(*) from runs group by all"
    harness query "from scores where scope = 'pooled' and metric = 'qlike'"
    harness query --describe scores
    """
    from harness.cli.terminal import show_entries, show_line, show_table
    from harness.log.query import run_query, to_json_rows
    from harness.log.schema_tables import columns_in_words, log_table, tables_in_words
    from harness.log.store import open_log

    if (sql is not None) + tables + (describe is not None) != 1:
        raise UsageError("query: wanted one of SQL, --tables and --describe TABLE")
    if sql is None:
        table = None if describe is None else log_table(describe)
        shown = tables_in_words() if table is None else columns_in_words(table)
        if as_json:
            echo_json(shown)
        else:
            if table is not None:
                show_line(table.comment, "")
            show_entries(shown)
        return
    columns, rows = run_query(open_log(log_dir), sql, timeout_s=timeout)
    if as_json:
        echo_json(to_json_rows(columns, rows))
    else:
        show_table(columns, rows)


@click.command()
@click.argument("first")
@click.argument("second")
@LOG
@AS_JSON
def compare(first: str, second: str, log_dir: str | None, as_json: bool) -> None:
    """Compare two runs: verdict, data, spec, scores.

    Score differences are the second run minus the first. Example:

    \b
    harness compare 3fa9 b17c
    """
    from harness.cli.terminal import show_comparison
    from harness.log.store import open_log
    from harness.reanalysis.compare import compare_records

    log = open_log(log_dir)
    found = compare_records(log.read(first), log.read(second))
    if as_json:
        echo_json(found)
    else:
        show_comparison(found)


@click.command()
@click.argument("run")
@click.argument("decision", type=click.Choice(["dropped", "adopted", "parked"]))
@click.option("--note", default="", help="Why; one line on the card.")
@LOG
def mark(run: str, decision: str, note: str, log_dir: str | None) -> None:
    """Log what you decided about RUN.

    The card shows the latest mark; earlier ones stay in the log. Example:

    \b
    harness mark 3fa9 dropped --note "the jump term adds nothing at 4h"
    """
    from datetime import UTC, datetime

    from harness.log.store import open_log

    card = open_log(log_dir).decide(run, decision, note, datetime.now(UTC))
    click.echo(f"{decision}: {card}")


@click.command()
@LOG
def index(log_dir: str | None) -> None:
    """Rebuild log.duckdb and the cards from the run records.

    Deleting them loses nothing. Example:

    \b
    harness index
    """
    from harness.log.index import rebuild_index
    from harness.log.store import RecordError, open_log

    log = open_log(log_dir)
    path = rebuild_index(log)
    runs, left_out = log.runs(), 0
    for run_id in runs:
        try:
            record = log.read(run_id)
            log.write_card(record)
        except RecordError:  # rebuild_index has warned of it
            left_out += 1
            continue
        if not all(log.figure_path(record, f["name"]).is_file() for f in record.get("figures", [])):
            missing = f"figures of run {run_id} are missing: harness figures {run_id} draws them"
            click.echo(f"warning: {missing}", err=True)
        if not log.has_forecasts(run_id):
            click.echo(f"warning: the forecasts of run {run_id} are missing", err=True)
    count = len(runs) - left_out
    words = f"{count} run{'s' if count != 1 else ''}" + f", {left_out} left out" * bool(left_out)
    click.echo(f"{path}: {words}")
    if left_out:
        raise SystemExit(1)
