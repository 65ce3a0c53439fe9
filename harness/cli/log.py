"""The commands that read the log and mark runs; each imports what it needs inside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.errors import UsageError, nearest

if TYPE_CHECKING:
    from harness.reanalysis.family_today import FamilyToday


@click.command("list")
@click.option("--hypothesis", metavar="NAME", help="Only runs of this hypothesis.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest runs to list."
)
@LOG
@AS_JSON
def list_runs(hypothesis: str | None, limit: int, log_dir: str | None, as_json: bool) -> None:
    """List past runs, newest first.

    Holm: the p-value of "no gain", adjusted by Holm for all that has been tried in the run's
    family up to today (harness family -h); ! marks a run confirmed alone whose Holm is not below
    its alpha. Example:

    \b
    harness list --hypothesis har-rv-j
    """
    from harness.log.query import load_runs
    from harness.log.run_digests import gone_words, read_digests
    from harness.log.store import find_log, open_log
    from harness.reanalysis.family_today import families_today

    log = open_log(log_dir)
    runs = load_runs(log).to_dicts()
    names = [run["hypothesis"] for run in runs]
    if hypothesis is not None and hypothesis not in names:
        near = nearest(hypothesis, names)
        raise UsageError(
            f"no run of '{hypothesis}' in the log" + (f"; did you mean '{near}'?" if near else "")
        )
    runs = [r for r in reversed(runs) if hypothesis in (None, r["hypothesis"])][:limit]
    digests = read_digests(log)
    here = [digest for digest in digests.runs if digest.run_id in {run["run_id"] for run in runs}]
    today = families_today(digests, here)
    if as_json:
        echo_json([run | _family_today(today.get(run["run_id"])) for run in runs])
    elif not runs:
        click.echo(f"no runs in {find_log(log_dir)} yet: harness run FILE", err=True)
    else:
        _show_runs(runs, today)
    if digests.gone:
        click.echo(f"warning: {gone_words(digests.gone, 'this log')}", err=True)


def _family_today(today: FamilyToday | None) -> dict[str, Any]:
    return {"family_today": today.as_json() if today else None}


def _show_runs(runs: Sequence[Mapping[str, Any]], today: Mapping[str, FamilyToday]) -> None:
    """One line a run, then a line for each that was confirmed alone and not in its family."""
    from harness.cli.terminal import show_line, show_table
    from harness.verdict.words import p_value

    rows = []
    for run in runs:
        family = today.get(run["run_id"])
        p = None if family is None or family.p_holm is None else p_value(family.p_holm)
        mark = " !" if family and family.warning else ""
        head = run["run_id"], f"{run['started']:%Y-%m-%d}", run["hypothesis"], run["status"]
        gain = None if run["gain"] is None else f"{run['gain']:.4g}"
        holm = p and p.replace(" ", "") + mark
        rows.append([*head, gain, run["metric"], run["horizon"], holm, run["decision"]])
    columns = ("run_id", "started", "hypothesis", "status", "gain", "metric", "at", "Holm")
    show_table((*columns, "decision"), rows)
    for run in runs:
        family = today.get(run["run_id"])
        if family and family.warning:
            show_line(f"! {run['run_id']}: {family.warning}")


@click.command()
@click.argument("run")
@LOG
@AS_JSON
def show(run: str, log_dir: str | None, as_json: bool) -> None:
    """Print the card of RUN, or its record as JSON.

    Below the card, which stays as it was written, stands what has been tried in the run's family
    since. RUN is a run id or its first characters. Example:

    \b
    harness show 3fa9
    """
    from harness.cli.terminal import show_line
    from harness.log.run_digests import read_digests
    from harness.log.store import open_log
    from harness.reanalysis.family_today import families_today

    log = open_log(log_dir)
    record = log.read(run)
    digests = read_digests(log)
    own = [digest for digest in digests.runs if digest.run_id == record["run_id"]]
    today = families_today(digests, own).get(record["run_id"])
    if as_json:
        echo_json({**record, "card": log.card(record), **_family_today(today)})
        return
    click.echo(log.card(record), nl=False)
    since = today.since(record) if today else []
    if since:
        click.echo("\nToday, which the card above cannot know:")
        for sentence in since:
            show_line(f"- {sentence}")
    if today and today.warning and since:
        show_line(f"warning: {today.warning}")


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
