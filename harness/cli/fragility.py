"""The command `harness fragility`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.errors import UsageError
from harness.panel.folders import panel_folders

if TYPE_CHECKING:
    from harness.log.store import Log

_SHOWN = ("variant", "gain", "unit", "interval", "p", "n", "required", "verdict", "agrees")


@click.command()
@click.argument("run", metavar="RUN|FILE")
@click.option("--full", is_flag=True, help="Refit costly models too.")
@LOG
@AS_JSON
def fragility(run: str, full: bool, log_dir: str | None, as_json: bool) -> None:
    """Show how RUN's verdict changes under other choices.

    RUN is a run id or its first characters, or a hypothesis FILE, whose newest run is used. A run
    computes the whole table except other training spans and intervals of models that are costly to
    fit (nets, trees, GARCH): --full says how long that will take and refits them. Nothing is
    logged. Examples:

    \b
    harness fragility 3fa9
    harness fragility hypotheses/lstm-crisis.toml --full
    """
    from harness.cards.fragility_rows import fragility_rows
    from harness.cli.terminal import Progress
    from harness.log.store import open_log
    from harness.verdict.fragility.again import completed, missing, stored_rows
    from harness.verdict.fragility.rows import fragility_table

    log = open_log(log_dir)
    file = Path(run) if run.endswith(".toml") else None
    record = log.read(run if file is None else _newest(log, file))
    rows = stored_rows(record)
    if full:
        lacking = missing(record, panel_folders(file))
        if lacking is None:
            click.echo("nothing to refit: the table of the run is complete", err=True)
        else:
            names, seconds = ", ".join(lacking.models), lacking.seconds
            others = "other training spans and intervals"
            cost = f"refitting {names} {lacking.times} times, {others}: about {seconds:,.0f} s"
            click.echo(f"{cost}, judging by the run's own fits", err=True)
            with Progress(record["hypothesis"]) as progress:
                rows = completed(record, lacking, progress=progress, epochs=progress.epochs)
    tables = record["tables"] | fragility_table(rows)
    found = fragility_rows({**record, "tables": tables})
    assert found is not None, "the table was put in above"
    if as_json:
        counts = {key: found[key] for key in ("agree", "of", "same_sign", "signs", "unmade")}
        head = {"run_id": record["run_id"], "status": record["status"]}
        echo_json({**head, **counts, "rows": [asdict(row) for row in rows]})
    else:
        _show(record, found)


def _newest(log: Log, file: Path) -> str:
    """The id of the newest run of the hypothesis in this file as it is now."""
    from harness.log.query import load_runs
    from harness.spec.reading import load_hypothesis

    wanted = load_hypothesis(file).spec_hash
    runs = [run for run in load_runs(log).to_dicts() if run["spec_hash"] == wanted]
    if not runs:
        raise UsageError(f"no run of {file} as it is now in {log.root}: harness run {file}")
    return max(runs, key=lambda run: (run["started"], run["run_id"]))["run_id"]


def _show(record: dict[str, Any], found: dict[str, Any]) -> None:
    from harness.cli.terminal import show_line, show_table

    if not found["rows"]:
        click.echo("a void verdict has no fragility table")
        return
    show_line(
        f"{found['agree']} of {found['of']} variants agree with the registered verdict, "
        f"{record['status']}: {found['words']}"
    )
    show_table(_SHOWN, [[row[column] for column in _SHOWN] for row in found["rows"]])
    for row in found["notes"]:
        show_line(f"{row['variant']}: {row['note']}")
