"""Options that several commands share, and JSON on stdout."""

from __future__ import annotations

import json

import click

LOG = click.option(
    "--log",
    "log_dir",
    metavar="DIR",
    help="Folder of the log [default: HARNESS_LOG, else ./reports].",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


def echo_json(value: object) -> None:
    """One JSON document on stdout; NaN and infinities are null."""
    from harness.tables import finite

    plain = finite(value)
    click.echo(json.dumps(plain, indent=2, default=str, ensure_ascii=False, allow_nan=False))
