"""Write docs/reference.md from the command line and the tables; --check only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from harness.cli.catalogue import CATALOGUES
from harness.cli.main import cli

_TARGET = Path(__file__).parent / "reference.md"


def reference() -> str:
    """The whole page."""
    lines = ["# Reference", "", "Made by `just docs`; do not edit.", "", "## Commands", ""]
    for path, command in _commands(cli, "harness"):
        context = click.Context(command, info_name=path, max_content_width=96, terminal_width=96)
        lines += [f"### `{path}`", "", "```", command.get_help(context), "```", ""]
    for name, entries in CATALOGUES.items():
        lines += [f"## {name.capitalize()}", ""]
        for entry in entries():
            (_, title), *fields = entry.items()
            lines += [f"### `{title}`", "", *(f"* {key}: {value}" for key, value in fields), ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")


if __name__ == "__main__":
    if "--check" in sys.argv:
        if _TARGET.read_text(encoding="utf-8") != reference():
            sys.exit(f"{_TARGET.name} is out of date: just docs")
    else:
        _TARGET.write_text(reference(), encoding="utf-8")
