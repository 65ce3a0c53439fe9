"""The command line: `harness run FILE` and what reads the log back.

Every command imports what it needs inside itself, so that help is instant and a run pays only for
what it uses. Results go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done,
whatever the verdict; 1 the run failed; 2 a mistake in a file or an argument; 130 and 143 for
interrupt and termination.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.describe_command import describe
from harness.environment import one_thread_each
from harness.errors import HarnessError, UsageError, nearest
from harness.figures_command import figures
from harness.guard import guarded
from harness.options import AS_JSON, LOG, echo_json, panel_folders
from harness.panel_commands import panel


class Commands(click.Group):
    """Commands in the order they are declared, and the nearest right one for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of this file: the way through the tool."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, with the nearest name in the error."""
        known = self.commands
        if args and args[0] not in known and (near := nearest(args[0], known)):
            ctx.fail(f"no command '{args[0]}'; did you mean '{near}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but a reader that has had enough (head, less) is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="harness", message="%(package)s %(version)s")
def cli() -> None:
    """Walk-forward backtests and a research log for volatility forecasts.

    \b
    harness new my-idea              write a commented hypothesis
    harness plan hypotheses/x.toml   see its windows before running it
    harness run hypotheses/x.toml    run it: verdict, card, log entry
    harness query "select * from runs"

    Shell completion: eval "$(_HARNESS_COMPLETE=bash_source harness)"
    (zsh_source, fish_source likewise).
    """


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--fresh", is_flag=True, help="Measure the panel afresh, keep no measures.")
@LOG
@AS_JSON
def run(files: tuple[str, ...], fresh: bool, log_dir: str | None, as_json: bool) -> None:
    """Run hypotheses: verdict, card and log entry for each.

    All files are checked before the first one runs. Example:

    \b
    harness run hypotheses/sp500-har.toml
    """
    from harness.hypothesis import load_hypothesis
    from harness.log import open_log, require_writable
    from harness.pipeline import run as run_one
    from harness.pipeline import set_up
    from harness.screen import Progress, show_outcome, warn_of_figures

    hypotheses = [load_hypothesis(path) for path in files]
    for hypothesis in hypotheses:
        set_up(hypothesis, panel_folders(hypothesis.path))
    log = open_log(log_dir)
    require_writable(log)
    outcomes, failed = [], None
    for hypothesis in hypotheses:
        try:
            with Progress(hypothesis.identity.name) as progress:
                outcome = run_one(
                    hypothesis,
                    log,
                    search=panel_folders(hypothesis.path),
                    keep_measures=not fresh,
                    progress=progress,
                    epochs=progress.epochs,
                )
        except HarnessError as error:
            if len(hypotheses) == 1:
                raise
            named = str(error).startswith(str(hypothesis.path))
            click.echo(f"error: {'' if named else f'{hypothesis.path}: '}{error}", err=True)
            failed = failed or error
            continue
        outcomes.append(outcome.as_json())
        if not as_json:
            show_outcome(outcome)
        if outcome.figures is not None:
            warn_of_figures(outcome.run_id, outcome.figures.failed)
    if as_json:
        echo_json(outcomes)
    if failed is not None:
        raise SystemExit(failed.exit_code)


@cli.command()
@click.argument("file")
@AS_JSON
def plan(file: str, as_json: bool) -> None:
    """Show FILE's windows, rows, embargo and time; writes nothing.

    \b
    harness plan hypotheses/sp500-har.toml
    """
    from harness.hypothesis import load_hypothesis
    from harness.plan import plan_run
    from harness.screen import show_plan

    hypothesis = load_hypothesis(file)
    found = plan_run(hypothesis, panel_folders(hypothesis.path))
    if as_json:
        echo_json(found)
    else:
        show_plan(found)


@cli.command("list")
@click.option("--hypothesis", metavar="NAME", help="Only runs of this hypothesis.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest N.")
@LOG
@AS_JSON
def list_runs(hypothesis: str | None, limit: int, log_dir: str | None, as_json: bool) -> None:
    """List past runs, newest first.

    \b
    harness list --hypothesis har-rv-j
    """
    from harness.log import find_log, open_log
    from harness.query import load_runs
    from harness.screen import show_table

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


@cli.command()
@click.argument("run")
@LOG
@AS_JSON
def show(run: str, log_dir: str | None, as_json: bool) -> None:
    """Print the card of RUN, or its record as JSON.

    RUN is a run's id or the first characters of it. Example:

    \b
    harness show 3fa9
    """
    from harness.log import open_log

    log = open_log(log_dir)
    record = log.read(run)
    if as_json:
        echo_json({**record, "card": log.card(record)})
    else:
        click.echo(log.card(record), nl=False)


@cli.command()
@click.argument("sql")
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
def query(sql: str, timeout: float, log_dir: str | None, as_json: bool) -> None:
    """Ask the log one read-only SQL question (DuckDB's SQL).

    Tables: runs, hypotheses, scores, verdicts, tests, folds, coefficients, fits, fit_times,
    fit_notes, training, attention, wins, group_scores, group_wins, adaptation, risk, risk_wins,
    risk_path, timings, cards, decisions and forecasts; `describe scores` shows columns. Examples:

    \b
    harness query "select hypothesis, status, count(*) from runs group by all"
    harness query "from scores where scope = 'pooled' and metric = 'qlike'"
    """
    from harness.log import open_log
    from harness.query import run_query, to_json_rows
    from harness.screen import show_table

    columns, rows = run_query(open_log(log_dir), sql, timeout_s=timeout)
    if as_json:
        echo_json(to_json_rows(columns, rows))
    else:
        show_table(columns, rows)


@cli.command()
@click.argument("first")
@click.argument("second")
@LOG
@AS_JSON
def compare(first: str, second: str, log_dir: str | None, as_json: bool) -> None:
    """Set two runs side by side: verdict, data, spec, scores.

    A difference of scores is the second minus the first. Example:

    \b
    harness compare 3fa9 b17c
    """
    from harness.compare import compare_records
    from harness.log import open_log
    from harness.screen import show_comparison

    log = open_log(log_dir)
    found = compare_records(log.read(first), log.read(second))
    if as_json:
        echo_json(found)
    else:
        show_comparison(found)


@cli.command()
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

    from harness.log import open_log

    log = open_log(log_dir)
    log.decide(run, decision, note, datetime.now(UTC))
    card = log.write_card(log.read(run))
    click.echo(f"{decision}: {card}")


@cli.command()
@LOG
def index(log_dir: str | None) -> None:
    """Rebuild log.duckdb and the cards from the run records.

    Nothing is lost by deleting them. Example:

    \b
    harness index
    """
    from harness.index import rebuild_index
    from harness.log import RecordError, open_log

    log = open_log(log_dir)
    path = rebuild_index(log)
    runs, left_out = log.runs(), 0
    for run_id in runs:
        try:
            record = log.read(run_id)
            log.write_card(record)
        except RecordError:  # rebuild_index has said so
            left_out += 1
            continue
        if not all(log.figure_path(record, f["name"]).is_file() for f in record.get("figures", [])):
            told = f"figures of run {run_id} are missing: harness figures {run_id} draws them"
            click.echo(f"warning: {told}", err=True)
        if not log.has_forecasts(run_id):
            click.echo(f"warning: the forecasts of run {run_id} are missing", err=True)
    click.echo(f"{path}: {len(runs) - left_out} runs" + f", {left_out} left out" * bool(left_out))
    if left_out:
        raise SystemExit(1)


@cli.command()
@click.argument("name")
@click.option("--dir", "folder", default="hypotheses", show_default=True, help="Where to.")
def new(name: str, folder: str) -> None:
    """Write a commented starter hypothesis that runs as it is.

    It is hypotheses/NAME.toml; a file that is there is never overwritten. Example:

    \b
    harness new my-idea
    """
    from harness.starter import write_starter

    click.echo(str(write_starter(name, Path(folder))))


def _catalogue(name: str, what: str) -> None:
    @cli.command(name, help=f"List {what}.\n\n\b\nharness {name} --json")
    @AS_JSON
    def command(as_json: bool) -> None:
        from harness.catalogue import CATALOGUES
        from harness.screen import show_entries

        entries = CATALOGUES[name]()
        if as_json:
            echo_json(entries)
        else:
            show_entries(entries)


_catalogue("models", "the kinds of model and their parameters")
_catalogue("measures", "the measures: formula, unit, inputs, source")
_catalogue("features", "what a feature expression may hold")
_catalogue("metrics", "the metrics: unit, direction, definition")
_catalogue("risk", "the figures of VaR and ES: unit, definition")


cli.add_command(figures)
cli.add_command(panel)
cli.add_command(describe)


@cli.command()
@LOG
@AS_JSON
def doctor(log_dir: str | None, as_json: bool) -> None:
    """Check versions, log, cache, data and panels.

    The exit code is 1 if something fails. Example:

    \b
    harness doctor
    """
    from harness.doctor import examine
    from harness.log import find_log
    from harness.screen import show_checks

    checks = examine(find_log(log_dir), panel_folders(None))
    if as_json:
        echo_json(checks)
    else:
        show_checks(checks)
    if any(c["state"] == "fails" for c in checks):
        raise SystemExit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: one line for every error a user can make, and no traceback for it."""
    one_thread_each()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    color = False if os.environ.get("NO_COLOR") else None
    sys.exit(guarded(lambda: cli.main(arguments, "harness", standalone_mode=False, color=color)))


if __name__ == "__main__":
    main()
