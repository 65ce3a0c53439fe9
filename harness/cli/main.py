"""The command line: all commands, and those that run, plan and start hypotheses.

Every command imports what it needs inside itself, so that help is instant and a run loads only
what it uses. Results go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done,
with any verdict; 1 the run failed; 2 a mistake in a file or an argument; 130 and 143 for
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

from harness.cli.audit import audit
from harness.cli.cache import cache
from harness.cli.calibrate import calibrate
from harness.cli.describe import describe
from harness.cli.documents import documents
from harness.cli.errors import run_command
from harness.cli.family import family
from harness.cli.figures import figures
from harness.cli.fragility import fragility
from harness.cli.log import compare, index, list_runs, mark, query, show
from harness.cli.options import AS_JSON, LOG, echo_json
from harness.cli.panel import panel
from harness.cli.register import register
from harness.cli.tests import tests
from harness.cli.verify import verify
from harness.environment import one_thread_each
from harness.errors import HarnessError, nearest
from harness.panel.folders import panel_folders


class Commands(click.Group):
    """Commands in the order of their declaration; a wrong name gets the nearest right one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of this file, which is the order of use."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As in click, with the nearest name in the error."""
        known = self.commands
        if args and args[0] not in known and (near := nearest(args[0], known)):
            ctx.fail(f"no command '{args[0]}'; did you mean '{near}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As in click, but a closed pipe (head, less) is not an error."""
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
    harness plan hypotheses/x.toml   see its test windows before running it
    harness run hypotheses/x.toml    run it: verdict, card, log entry
    harness query "select * from runs"

    Shell completion: eval "$(_HARNESS_COMPLETE=bash_source harness)"
    (zsh_source, fish_source likewise).
    """


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--fresh", is_flag=True, help="Measure and fit without the cache: read and write nothing there."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=None,
    metavar="N",
    help="Processes for training that takes long [default: one per core].",
)
@LOG
@AS_JSON
def run(
    files: tuple[str, ...], fresh: bool, workers: int | None, log_dir: str | None, as_json: bool
) -> None:
    """Run hypotheses: verdict, card and log entry for each.

    All files are checked before the first one runs. Fits of models that train are cached: an
    interrupted run resumes where it stopped. Example:

    \b
    harness run hypotheses/sp500-har.toml
    """
    from harness.cli.terminal import Progress, show_outcome, warn_of_figures
    from harness.log.store import open_log, require_writable
    from harness.pipeline import run as run_one
    from harness.spec.reading import load_hypothesis
    from harness.study.study import set_up
    from harness.walk.workers import available

    hypotheses = [load_hypothesis(path) for path in files]
    studies = [set_up(h, panel_folders(h.path)) for h in hypotheses]
    log = open_log(log_dir)
    require_writable(log)
    outcomes, failed = [], None
    for study in studies:
        hypothesis = study.hypothesis
        try:
            with Progress(hypothesis.identity.name) as progress:
                outcome = run_one(
                    study,
                    log,
                    keep=not fresh,
                    workers=workers or available(),
                    progress=progress,
                    epochs=progress.epochs,
                )
        except HarnessError as error:
            if len(studies) == 1:
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
    """Show FILE's test windows, rows, embargo and training time.

    Writes nothing. Example:

    \b
    harness plan hypotheses/sp500-har.toml
    """
    from harness.cli.terminal import show_plan
    from harness.spec.reading import load_hypothesis
    from harness.study.plan import plan_run

    hypothesis = load_hypothesis(file)
    found = plan_run(hypothesis, panel_folders(hypothesis.path))
    if as_json:
        echo_json(found)
    else:
        show_plan(found)


for _command in (list_runs, show, query, compare, mark, index):
    cli.add_command(_command)
for _command in (register, family, tests, fragility, audit, verify, calibrate, figures):
    cli.add_command(_command)


@cli.command()
@click.argument("name")
@click.option(
    "--dir", "folder", default="hypotheses", show_default=True, help="Folder to write to."
)
def new(name: str, folder: str) -> None:
    """Write a commented starter hypothesis that runs as it is.

    Writes hypotheses/NAME.toml and never overwrites a file. Example:

    \b
    harness new my-idea
    """
    from harness.spec.starter import write_starter

    click.echo(str(write_starter(name, Path(folder))))


def _catalogue(name: str, what: str) -> None:
    @cli.command(name, help=f"List {what}.\n\n\b\nharness {name} --json")
    @AS_JSON
    def command(as_json: bool) -> None:
        from harness.cli.catalogue import CATALOGUES, INSTALLED
        from harness.cli.terminal import show_entries

        entries = [*CATALOGUES[name](), *INSTALLED.get(name, list)()]
        if as_json:
            echo_json(entries)
        else:
            show_entries(entries)


_catalogue("models", "the kinds of model and their parameters; plug-ins too")
_catalogue("measures", "the measures: formula, unit, inputs, source")
_catalogue("features", "what a feature expression may contain")
_catalogue("metrics", "the metrics: unit, direction, definition")
_catalogue("risk", "the statistics of VaR and ES: unit, definition")
_catalogue("distribution", "the scores of forecast distributions: unit, definition")
cli.add_command(panel)
cli.add_command(describe)
cli.add_command(cache)
cli.add_command(documents)


@cli.command()
@LOG
@AS_JSON
def doctor(log_dir: str | None, as_json: bool) -> None:
    """Check versions, log, cache, data, panels and plug-ins.

    The exit code is 1 if something fails. Example:

    \b
    harness doctor
    """
    from harness.cli.doctor import examine
    from harness.cli.terminal import show_checks
    from harness.log.store import find_log

    checks = examine(find_log(log_dir), panel_folders(None))
    if as_json:
        echo_json(checks)
    else:
        show_checks(checks)
    if any(c["state"] == "fails" for c in checks):
        raise SystemExit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; an error that a user can make is one line, without a traceback."""
    one_thread_each()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    color = False if os.environ.get("NO_COLOR") else None
    sys.exit(
        run_command(lambda: cli.main(arguments, "harness", standalone_mode=False, color=color))
    )


if __name__ == "__main__":
    main()
