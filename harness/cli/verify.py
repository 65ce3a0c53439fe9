"""The command `harness verify`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli.options import AS_JSON, LOG, echo_json
from harness.errors import UsageError
from harness.panel.folders import panel_folders

if TYPE_CHECKING:
    from harness.reanalysis.published import Checked
    from harness.reanalysis.replay import Part, Replay


@click.command()
@click.argument("run", required=False)
@click.option("--published", is_flag=True, help="Check published reference numbers instead.")
@LOG
@AS_JSON
def verify(run: str | None, published: bool, log_dir: str | None, as_json: bool) -> None:
    """Rerun RUN from its record and compare every number.

    Looks for its panel in `panels` beside the log, then here. Compares tables and forecasts bit by
    bit, except seconds, and lists differences with their possible causes: data, code, libraries,
    machine, threads. With --published it computes coefficients and losses that other software
    published, from their own data, if present. The exit code is 1 if something differs. Examples:

    \b
    harness verify 3fa9
    harness verify --published
    """
    if published == (run is not None):
        raise UsageError("harness verify: wanted a RUN, or --published alone")
    if published:
        _published(as_json)
    else:
        _replay(str(run), log_dir, as_json)


def _replay(run: str, log_dir: str | None, as_json: bool) -> None:
    from harness.cli.terminal import Progress
    from harness.log.store import open_log
    from harness.reanalysis.replay import verify_run

    log = open_log(log_dir)
    with Progress(f"verify {run}") as progress:
        search = panel_folders(None, log.root)
        found = verify_run(log, run, search=search, progress=progress, epochs=progress.epochs)
    if as_json:
        echo_json(found.as_json())
    else:
        _show(found)
    if not found.same:
        raise SystemExit(1)


def _show(found: Replay) -> None:
    from harness.cli.terminal import show_table

    click.echo(f"run {found.run_id}, {found.hypothesis}, of {found.started[:10]}, rerun")
    shown = [part for part in found.parts if part.values]
    rows = [[p.name, p.values, p.differ, _size(p)] for p in shown]
    show_table(("what", "values", "differ", "largest difference"), rows)
    for part in found.parts:
        if part.where:
            click.echo(f"{part.name}: {part.where}")
    other = [cause for cause in found.causes if not cause.same]
    for cause in other:
        click.echo(f"{cause.what}: was {cause.then}, is {cause.now}")
    if reworded := sum(part.reworded for part in shown):
        click.echo(f"{reworded:,} sentences have other words, which the other code wrote")
    if found.gone:
        click.echo(f"earlier runs that it used and that are gone: {', '.join(found.gone)}")
    if found.same:
        rest = "" if other else ", and so are data, code, libraries, machine and threads"
        click.echo(f"every number is the same{rest}")
    else:
        differ = sum(part.differ for part in shown)
        why = "see above" if other or found.gone else "nothing that numbers depend on has changed"
        click.echo(f"{differ:,} values differ: {why}")


def _size(part: Part) -> str:
    if not part.differ:
        return "same"
    return "-" if part.largest is None else f"{part.largest:.3g}"


def _published(as_json: bool) -> None:
    from harness.reanalysis.published import check_published

    found = check_published()
    if as_json:
        echo_json([one.as_json() for one in found])
    else:
        _show_published(found)
    if any(one.ok is False for one in found):
        raise SystemExit(1)


def _show_published(found: list[Checked]) -> None:
    from harness.cli.terminal import show_table

    rows = [
        [c.what, c.source, f"{c.wanted:.10g}", f"{c.got:.10g}", f"{c.got - c.wanted:.1e}", c.ok]
        for c in found
        if c.got is not None
    ]
    show_table(("what", "source", "published", "ours", "difference", "ok"), rows)
    for why in dict.fromkeys(c.skipped for c in found if c.skipped):
        click.echo(f"skipped: {why}", err=True)
    for why in dict.fromkeys(c.failed for c in found if c.failed):
        click.echo(f"failed: {why}", err=True)
    done = [c for c in found if not c.skipped]
    ok = sum(bool(c.ok) for c in done)
    click.echo(f"{ok} of {len(done)} agree; {len(found) - len(done)} skipped")
