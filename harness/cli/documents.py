"""The command `harness documents`; like every command, it imports what it needs inside itself."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import AS_JSON, LOG, echo_json


@click.command()
@click.option("--out", metavar="FILE", help="Write the page to FILE instead.")
@LOG
@AS_JSON
def documents(out: str | None, log_dir: str | None, as_json: bool) -> None:
    """Compare the claims of documents with the runs in the log.

    A hypothesis may name the document that its claim comes from, with the numbers reported there
    ([document]). The page has the latest run of each. Examples:

    \b
    harness documents
    harness documents --out reports/seeds.md
    """
    from harness.cards.claims_page import claims, page
    from harness.log.store import open_log

    log = open_log(log_dir)
    found, unreadable = claims(log)
    for run in unreadable:
        click.echo(f"warning: left out, cannot be read: {run}", err=True)
    if as_json:
        echo_json([claim.as_json() for claim in found])
    elif out is None:
        click.echo(page(found, log), nl=False)
    else:
        text, file = page(found, log), Path(out)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(f"{file}: {len(found)} claim{'s' if len(found) != 1 else ''}", err=True)
