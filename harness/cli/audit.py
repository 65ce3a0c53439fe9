"""The command `harness audit`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, echo_json
from harness.panel.folders import panel_folders


@click.command()
@click.argument("file")
@click.option(
    "--full", is_flag=True, help="More origins and symbols, all horizons, full-size models."
)
@AS_JSON
def audit(file: str, full: bool, as_json: bool) -> None:
    """Audit FILE for leaks; the exit code is 1 if a check fails.

    Replaces the data after sampled forecast origins and requires that nothing known before
    changes; checks the embargo from stored times; shuffles targets; checks features and data;
    warns of columns that may know the future.
    Every run does the short form. Writes nothing. Examples:

    \b
    harness audit hypotheses/sp500-har.toml
    harness audit hypotheses/sp500-har.toml --full
    """
    from harness.audit.alone import audit_hypothesis
    from harness.audit.other_columns import warnings_of
    from harness.cli.terminal import Progress
    from harness.spec.reading import load_hypothesis

    hypothesis = load_hypothesis(file)
    with Progress(hypothesis.identity.name) as progress:
        found = audit_hypothesis(
            hypothesis, panel_folders(hypothesis.path), full=full, progress=progress
        )
    if as_json:
        echo_json({"hypothesis": hypothesis.identity.name, **found.as_dict()})
    else:
        for check in found.checks:
            state = "ok    " if check.passed else "failed"
            click.echo(f"{state}  {check.name}: {check.covered} ({check.count:,} values)")
            for failure in check.failures:
                click.echo(f"        {failure.words}")
        for warning in warnings_of(found.others):
            click.echo(f"warning: {warning}", err=True)
        for what in found.left_out:
            click.echo(f"not checked: {what}", err=True)
        click.echo(f"{hypothesis.identity.name}: {found.form} audit {found.words}")
    if not found.passed:
        raise SystemExit(1)
