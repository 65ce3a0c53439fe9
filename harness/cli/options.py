"""What several commands share: their options, where panels are looked for, JSON on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import click

LOG = click.option(
    "--log",
    "log_dir",
    metavar="DIR",
    help="Where the log lies [default: HARNESS_LOG, else ./reports].",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


def panel_folders(hypothesis: Path | None, log: Path | None = None) -> list[Path]:
    """Where panels are looked for: `panels` beside the hypothesis' folder, the log's, then here."""
    folders = [Path("panels")]
    if log is not None:
        folders.insert(0, log.resolve().parent / "panels")
    if hypothesis is not None:
        folders.insert(0, hypothesis.resolve().parent.parent / "panels")
    unique = {folder.resolve(): folder for folder in reversed(folders)}
    return list(reversed(unique.values()))


def echo_json(value: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))
