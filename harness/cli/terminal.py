"""What commands print: tables, outcomes, progress. Plain text that fits 80 columns."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from harness.errors import one_line

if TYPE_CHECKING:
    from harness.panel.report import PanelReport
    from harness.pipeline import Outcome

_GAP = "  "
_BETWEEN_EPOCHS = 10.0  # seconds between lines of epochs if stderr is not a terminal
_COLOURS = {"confirmed": "green", "refuted": "red", "inconclusive": "yellow", "void": "magenta"}


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Aligned columns; on a terminal the widest text is cut so that a row fits on its line.

    If there are too many columns for that, each row is shown as lines of `name: value`.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    if sys.stdout.isatty() and not _fit(widths, shutil.get_terminal_size().columns):
        _show_rows(columns, cells)
        return
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    _line(columns, widths, right)
    _line(["-" * w for w in widths], widths, right)
    for row in cells:
        _line(row, widths, right)


def show_fields(fields: Mapping[str, Any], indent: str = "") -> None:
    """One `name: value` per line; lists of objects below their name."""
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            click.echo(f"{indent}{name}:")
            for item in value:
                show_fields(item, indent + "  ")
        elif isinstance(value, Mapping):
            click.echo(f"{indent}{name}:")
            show_fields(value, indent + "  ")
        else:
            shown = ", ".join(map(_cell, value)) if isinstance(value, list) else _cell(value)
            show_line(f"{indent}{name}: {shown}", "  ")


def show_checks(checks: Sequence[Mapping[str, str]]) -> None:
    """The checks of `doctor`: state, check, detail; wrapped, since the detail says what to do."""
    for check in checks:
        show_line(f"{check['state']:<5}  {check['check']}: {check['detail']}", " " * 7)


def show_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    """A catalogue: the name of each entry, then its fields, wrapped."""
    width = min(shutil.get_terminal_size().columns, 100)
    for entry in entries:
        fields = iter(entry.items())
        _, name = next(fields)
        click.secho(str(name), bold=True)
        for key, value in fields:
            click.echo(
                textwrap.fill(
                    _cell(value), width, initial_indent=f"  {key}: ", subsequent_indent="      "
                )
            )


def show_outcome(outcome: Outcome) -> None:
    """The verdict in a few lines."""
    from harness.verdict.words import Show, p_value

    best = outcome.verdict.best
    status = click.style(outcome.verdict.status.upper(), fg=_COLOURS[outcome.verdict.status])
    gain = Show(best.metric, outcome.gain_as)
    of = {
        "wins": f"of the symbols by {best.metric}",
        "relative": f"of the baseline's {best.metric}",
    }.get(outcome.gain_as, best.metric)
    click.echo(f"{outcome.hypothesis}: {status}  {gain(best.gain)} {of} at {best.horizon}")
    if outcome.tail:
        click.echo(f"  Decided on {outcome.tail}.")
    for reason in outcome.verdict.reasons:
        click.echo(textwrap.fill(reason, 80, initial_indent="  ", subsequent_indent="  "))
    if outcome.verdict.gain_shown is not None:
        answers = outcome.verdict.gain_shown, outcome.verdict.claim_shown
        gained, claimed = ("yes" if shown else "no" for shown in answers)
        click.echo(f"  Gain shown: {gained}. Claim shown: {claimed}.")
    if outcome.p_holm is not None:
        tried = _count(outcome.comparisons, "comparison")
        click.echo(f"  Holm-adjusted p among the {tried} of its family: {p_value(outcome.p_holm)}.")
    for warning in outcome.warnings:
        click.echo(textwrap.fill(f"warning: {warning}", 80, initial_indent="  ",
                                 subsequent_indent="    "))  # fmt: skip
    card = outcome.card
    if card.is_relative_to(Path.cwd()):
        card = card.relative_to(Path.cwd())
    drawn = f", {_count(len(outcome.figures.paths), 'figure')}" if outcome.figures else ""
    show_line(f"  {outcome.seconds:.1f} s, run {outcome.run_id}{drawn}, card {card}", "")


def warn_of_figures(run_id: str, failed: Mapping[str, str]) -> None:
    """One line on stderr for each figure that could not be drawn."""
    for name, why in failed.items():
        click.echo(f"warning: run {run_id}: figures ({name}) not drawn: {why}", err=True)


def show_plan(plan: Mapping[str, Any]) -> None:
    """A plan: what would be read and trained, then the test windows of each horizon."""
    tables = {key: plan[key] for key in ("training", "windows")}
    show_fields({k: v for k, v in plan.items() if k not in (*tables, "warnings")})
    for warning in plan["warnings"]:
        show_line(f"warning: {warning}", "  ")
    for rows in filter(None, tables.values()):
        click.echo("")
        show_table(tuple(rows[0]), [list(row.values()) for row in rows])


def show_comparison(found: Mapping[str, Any]) -> None:
    """Two runs: their main facts, spec differences, scores."""
    heads = [[one_line(_cell(v), 30).strip("'") for v in row.values()] for row in found["runs"]]
    show_table(("", "first", "second"), heads)
    click.echo("\nspec: " + ("the same" if not found["spec_difference"] else ""))
    for line in found["spec_difference"]:
        click.echo("  " + line)
    if found["scores"]:
        click.echo("")
        show_table(tuple(found["scores"][0]), [list(row.values()) for row in found["scores"]])


def show_panel_report(report: PanelReport) -> None:
    """A panel's quality: one line per symbol, then its problems."""
    for symbol in report.symbols:
        missing = sum(gap.missing for gap in symbol.gaps)
        click.echo(
            f"{symbol.symbol}: {_count(symbol.rows, 'row')}, {_count(len(symbol.gaps), 'gap')} "
            f"({_count(missing, 'bar')} missing), {_count(len(symbol.problems), 'problem')}"
        )
        for problem in symbol.problems:
            click.echo(f"  {'excluded: ' if symbol.excluded else ''}{problem}")
        for why, count in symbol.left_out.items():
            click.echo(f"  left out: {count:,} {why}")
    excluded = sum(symbol.excluded for symbol in report.symbols)
    if excluded:
        click.echo(f"excluded: {excluded} of {len(report.symbols)} symbols")
    for warning in report.warnings:
        show_line(f"warning: {warning}", "  ")
    click.echo(f"{report.name}: {'ok' if report.ok else 'not ok'}")


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' if n != 1 else ''}"


class Progress:
    """Progress on stderr for runs longer than a second: a spinner on a terminal, else lines."""

    def __init__(self, name: str) -> None:
        self._name, self._start = name, time.perf_counter()
        self._status: Any = None
        self._done: str | None = None  # the latest, until it has been shown
        self._head = self._name
        self._shown = -math.inf

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: str) -> None:
        """Say what has been done, or will be."""
        self._done = done
        if self._seconds >= 1.0:
            self._show_done()

    def epochs(self, epoch: str) -> None:
        """Say how far a fit is: below what was done last; a line now and then off a terminal."""
        if self._seconds < 1.0:
            return
        self._show_done()
        if sys.stderr.isatty():
            self._spin(f"{self._head}\n  {epoch} ({self._seconds:.1f} s)")
        elif self._seconds - self._shown >= _BETWEEN_EPOCHS:
            self._line(epoch)

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._start

    def _show_done(self) -> None:
        if self._done is None:
            return
        if sys.stderr.isatty():
            self._head = f"{self._name}: {self._done} ({self._seconds:.1f} s)"
            self._spin(self._head)
        else:
            self._line(self._done)
        self._done = None

    def _line(self, text: str) -> None:
        self._shown = self._seconds
        click.echo(f"{self._name}: {text} ({self._seconds:.1f} s)", err=True)

    def _spin(self, text: str) -> None:
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        else:
            self._status.update(text)

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return one_line(value, 10_000) if not isinstance(value, str) else " ".join(value.split())


def _fit(widths: list[int], terminal: int) -> bool:
    """Cut the widest columns, never under 8, until the row fits; whether it does."""
    gaps = len(_GAP) * (len(widths) - 1)
    while sum(widths) + gaps > terminal and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    return sum(widths) + gaps <= terminal


def _show_rows(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(cells):
        if number:
            click.echo("")
        for name, cell in zip(columns, row, strict=True):
            show_line(f"{name}: {cell}", "  ")


def show_line(text: str, indent: str = "  ") -> None:
    """A line of text, wrapped to the width of a terminal; words are never broken."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    width = shutil.get_terminal_size().columns
    lead = text[: len(text) - len(text.lstrip())]
    click.echo(
        textwrap.fill(
            text.strip(),
            width,
            initial_indent=lead,
            subsequent_indent=lead + indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> None:
    shown = []
    for cell, width, flush_right in zip(cells, widths, right, strict=True):
        text = cell if len(cell) <= width else cell[: width - 1] + "…"
        shown.append(text.rjust(width) if flush_right else text.ljust(width))
    click.echo(_GAP.join(shown).rstrip())
