"""The command `harness family`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import AS_JSON, LOG, echo_json

if TYPE_CHECKING:
    from harness.history.family_report import Entry, FamilyReport
    from harness.log.store import Log

_COLUMNS = ("hypothesis", "first run", "runs", "verdict", "gain", "p", "Holm", "online", "reg.")


@click.command()
@click.argument("panel")
@click.option("--full", is_flag=True, help="Add reality checks over all stored forecasts.")
@LOG
@AS_JSON
def family(panel: str, full: bool, log_dir: str | None, as_json: bool) -> None:
    """List every hypothesis ever tried on PANEL, from the log.

    Runs on other panels belong to it if they read the same bytes or were judged on the same
    targets: a copy, or a part or a rounded copy with the same target. So do runs that are gone.
    p is one-sided, against "no gain", for the best candidate of the latest run. Holm adjusts it
    over all comparisons of all these runs (--json has Benjamini-Hochberg, too). online: which of
    two procedures, LORD++ and SAFFRON, rejected "no gain" when the comparison was first run, at
    the level of its rule; later runs do not change that. reg.: whether its rule was registered
    before its first run; altered: another rule under its name came first. Examples:

    \b
    harness family btcusdt-1m
    harness family btcusdt-1m --full
    """
    from harness.history.family_report import report_family
    from harness.log.run_digests import gone_words
    from harness.log.store import open_log

    log = open_log(log_dir)
    found = report_family(log, panel)
    for name in found.unreadable:
        click.echo(f"warning: cannot be read: {name}", err=True)
    if found.family.gone:
        click.echo(f"warning: {gone_words(found.family.gone, 'this family')}", err=True)
    checks = _checks(log, panel) if full else {}
    if as_json:
        rows = [entry.as_json() for entry in found.entries]
        if full:
            rows = [row | {"reality_check": checks.get(row["spec_hash"])} for row in rows]
        echo_json(rows)
        return
    _show(found)
    if full:
        _show_checks(found, checks)


def _checks(log: Log, panel: str) -> dict[str, dict[str, Any]]:
    """The reality check of each hypothesis by its spec hash; the cost is printed first."""
    from harness.history.family_report import check_all, reach

    cost = reach(log, panel)
    click.echo(
        f"reality checks: reads the forecasts of {cost.runs:,} runs ({cost.bytes / 1e6:,.1f} MB) "
        f"up to {cost.runs:,} times",
        err=True,
    )
    return {run.spec_hash: found for run, found in check_all(log, panel)}


def _show(found: FamilyReport) -> None:
    from harness.cli.terminal import show_table

    show_table(_COLUMNS, [_row(entry, found.panel) for entry in found.entries])
    ran = sum(entry.latest is not None for entry in found.entries)
    lost = f" ({found.family.lost:,} of them known by number only)" if found.family.lost else ""
    click.echo(
        f"{found.panel}: hypotheses run: {ran:,}, runs: {found.runs:,}, "
        f"comparisons: {found.comparisons:,}" + lost
    )


def _row(entry: Entry, panel: str) -> list[Any]:
    from harness.verdict.words import Show

    t = entry.latest
    gain = Show(t.metric, t.gain_as)(entry.gain) if t and entry.gain is not None else None
    where = "" if entry.panel == panel else f" on {entry.panel}"
    where += "" if entry.runs or not entry.gone else " (gone)"
    return [
        entry.hypothesis + where,
        entry.first_run[:10] if entry.first_run else None,
        entry.runs,
        t.status if t else None,
        gain,
        *(None if p is None else _p(p) for p in (entry.p_value, entry.p_holm)),
        _online(entry),
        entry.registered,
    ]


def _online(entry: Entry) -> str | None:
    if entry.online is None:
        return None
    found = [name.upper() for name, is_so in entry.online.rejected.items() if is_so]
    return "both" if len(found) == 2 else found[0] if found else "none"


def _p(p: float) -> str:
    return "<1e-4" if p < 1e-4 else f"{p:.2g}"


def _show_checks(found: FamilyReport, checks: dict[str, dict[str, Any]]) -> None:
    click.echo("\nreality check over all candidates with the same targets (p of White, p of SPA):")
    for entry in found.entries:
        check = checks.get(entry.spec_hash)
        if check is None or entry.latest is None:
            continue
        if "why" in check:
            click.echo(f"  {entry.hypothesis}: none: {check['why']}")
        else:
            tried = f"best of {check['candidates']:,} over {entry.latest.baseline}"
            p = f"{check['white']:.2g}, {check['spa']:.2g}"
            click.echo(f"  {entry.hypothesis}: {tried}: {p}")
