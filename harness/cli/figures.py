"""The command `harness figures`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, LOG, echo_json


@click.command()
@click.argument("run")
@LOG
@AS_JSON
def figures(run: str, log_dir: str | None, as_json: bool) -> None:
    """Draw the figures of RUN beside its card, as SVG.

    They are drawn from its record and stored forecasts, and are the same every time. With
    `[run] figures = true` in a hypothesis its runs draw them and its cards show them. Example:

    \b
    harness figures 3fa9
    """
    from harness.cards.figures import illustrate
    from harness.cli.terminal import warn_of_figures
    from harness.log.store import open_log

    log = open_log(log_dir)
    run_id = log.resolve(run)
    drawn = illustrate(log, run_id)
    if as_json:
        echo_json([str(path) for path in drawn.paths])
    else:
        for path in drawn.paths:
            click.echo(str(path))
    if drawn.failed:
        warn_of_figures(run_id, drawn.failed)
        raise SystemExit(1)
