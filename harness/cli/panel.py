"""The commands of `harness panel`; each imports what it needs inside itself."""

from __future__ import annotations

import click

from harness.cli.options import AS_JSON, echo_json
from harness.panel.folders import panel_folders


@click.group()
def panel() -> None:
    """List, check and describe panels."""


@panel.command("list")
@AS_JSON
def panel_list(as_json: bool) -> None:
    """List the panels in ./panels.

    \b
    harness panel list
    """
    from harness.cli.terminal import show_table
    from harness.panel.reading import BrokenPanel, list_panels

    rows = []
    for spec in list_panels(panel_folders(None)):
        if isinstance(spec, BrokenPanel):
            rows.append({"name": spec.name, "bar": None, "source": None, "title": str(spec.error)})
        else:
            rows.append(
                {"name": spec.name, "bar": str(spec.bar), "source": spec.kind, "title": spec.title}
            )
    if as_json:
        echo_json(rows)
    else:
        show_table(("name", "bar", "source", "title"), [list(r.values()) for r in rows])


@panel.command("check")
@click.argument("name")
@AS_JSON
def panel_check(name: str, as_json: bool) -> None:
    """Read all of a panel and report every quality problem; exit code 2 if there is one.

    \b
    harness panel check btcusdt-1m
    """
    from harness.cli.terminal import show_panel_report
    from harness.panel.reading import find_panel
    from harness.panel.report import check_panel

    report = check_panel(find_panel(name, panel_folders(None)))
    if as_json:
        echo_json(report.as_dict())
    else:
        show_panel_report(report)
    if not report.ok:
        raise SystemExit(2)


@panel.command("describe")
@click.argument("name")
@AS_JSON
def panel_describe(name: str, as_json: bool) -> None:
    """Show what a panel holds: span, gaps, filled share, ranges, fingerprint.

    For the behaviour of its volatility see `harness describe NAME`.

    \b
    harness panel describe sp500-daily
    """
    from harness.cli.terminal import show_fields
    from harness.panel.reading import find_panel
    from harness.panel.report import describe_panel

    found = describe_panel(find_panel(name, panel_folders(None)))
    if as_json:
        echo_json(found)
    else:
        show_fields(found)
