"""The command `harness tests`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.panel.folders import panel_folders


@click.command()
@click.argument("run", required=False)
@click.option("--metric", metavar="M", help="One of `harness metrics` [default: the verdict's].")
@click.option("--horizon", metavar="H", help="A horizon of the run [default: the verdict's].")
@click.option(
    "--instruments",
    multiple=True,
    metavar="EXPR",
    help="Instrument of conditional Giacomini-White beside the constant: a feature expression of "
    "the run's measures, or `lag` for the last known loss difference [default: lag]. Repeatable.",
)
@click.option(
    "--draws",
    type=click.IntRange(99, 10_000),
    default=1_000,
    show_default=True,
    help="Draws of every bootstrap.",
)
@click.option(
    "--list",
    "show_list",
    is_flag=True,
    help="List the tests with question, null, effect and statistic.",
)
@LOG
@AS_JSON
def tests(
    run: str | None,
    metric: str | None,
    horizon: str | None,
    instruments: tuple[str, ...],
    draws: int,
    show_list: bool,
    log_dir: str | None,
    as_json: bool,
) -> None:
    """Test the predictive ability of a run's models.

    Uses RUN's stored forecasts: every model against the baseline (Giacomini-White, Clark-West,
    encompassing, bootstrap of the gain), each against the outcome (Mincer-Zarnowitz), and all
    jointly (model confidence set, SPA, StepM). All symbols of one forecast origin are one
    observation. Examples:

    \b
    harness tests 3fa9
    harness tests 3fa9 --metric qlike --instruments "log(rv_1d)" --instruments lag
    harness tests --list
    """
    if show_list:
        from harness.cli.catalogue import tests as entries
        from harness.cli.terminal import show_entries

        echo_json(entries()) if as_json else show_entries(entries())
        return
    if run is None:
        raise click.UsageError("wanted a RUN, or --list", click.get_current_context())
    from harness.cli.tests_report import show_report
    from harness.log.store import open_log
    from harness.reanalysis.ability import run_tests

    log = open_log(log_dir)
    report = run_tests(
        log,
        run,
        metric=metric,
        horizon=horizon,
        instruments=instruments,
        draws=draws,
        search=panel_folders(None, log.root),
    )
    if as_json:
        echo_json(report.as_json())
    else:
        show_report(report)
