"""Write docs/reference.md and the tables of docs/log.md; --check only compares.

The reference is made from the command line and the catalogues, the log's tables from their schema.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from harness.cli.catalogue import CATALOGUES
from harness.cli.main import cli
from harness.log.schema_tables import LOG_TABLES

_DOCS = Path(__file__).parent
_BEGIN = "<!-- The tables below are made by docs/generate.py from harness/log/schema_tables.py. -->"
_END = "<!-- End of the tables. -->"


def reference() -> str:
    """The whole page."""
    lines = ["# Reference", "", "Made by `just docs`; do not edit.", "", "## Commands", ""]
    for path, command in _commands(cli, "harness"):
        context = click.Context(
            command, info_name=path, max_content_width=96, terminal_width=96, **cli.context_settings
        )
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


def log_page(page: str) -> str:
    """docs/log.md with its tables rebuilt; ValueError where a marker is missing."""
    if page.count(_BEGIN) != 1 or page.count(_END) != 1:
        raise ValueError(f"log.md: wanted each of these lines once: {_BEGIN} {_END}")
    before, rest = page.split(_BEGIN)
    return f"{before}{_BEGIN}\n\n{log_tables()}\n{_END}{rest.split(_END)[1]}"


def log_tables() -> str:
    """Every table of the log: what its rows are, and its columns."""
    lines: list[str] = []
    for table in LOG_TABLES.values():
        lines += [f"### `{table.name}`", "", table.comment, ""]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{column.name}` | {column.kind} | {column.comment.replace('|', chr(92) + '|')} |"
            for column in table.columns
        ]
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Each page that is made here, or in part, with its text."""
    log = _DOCS / "log.md"
    return {
        _DOCS / "reference.md": reference(),
        log: log_page(log.read_text(encoding="utf-8")),
    }


if __name__ == "__main__":
    made = pages()
    if "--check" in sys.argv:
        stale = [p.name for p, text in made.items() if p.read_text(encoding="utf-8") != text]
        if stale:
            sys.exit(f"{', '.join(stale)}: out of date: just docs")
    else:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
