"""Checks between keys of a panel file that are each valid alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import parse_duration
from harness.errors import nearest
from harness.measures.table import MEASURES
from harness.panel.sections import (
    EXTRA_NAME,
    OVERNIGHT,
    Columns,
    LabelTable,
    PanelTable,
    Rows,
)
from harness.panel.sessions import exchanges
from harness.panel.sources.table import KINDS
from harness.toml.problems import Problem, fields_by_key, unknown_word

if TYPE_CHECKING:
    from harness.panel.sections import Found


def panel_problems(file: Path, panel: PanelTable) -> Iterator[Problem]:
    """Problems between keys of [panel]."""
    if panel.name != file.stem:
        yield Problem(("panel", "name"), f"'{file.stem}', the file's own name", panel.name)
    intraday = panel.exchange is not None
    if panel.calendar == "sessions" and panel.bar != "1d" and not intraday:
        wanted = "'24/7' unless panel.bar is '1d' or panel.exchange names an exchange"
        yield Problem(("panel", "calendar"), wanted, "sessions")
    if panel.exchange is not None:
        yield from _exchange_problems(panel, panel.exchange)
    elif panel.overnight != "in":
        yield Problem(("panel", "overnight"), "no such key without panel.exchange", panel.overnight)
    if panel.calendar == "sessions" and panel.fill == "carry" and not intraday:
        wanted = "'none' for sessions, which have no grid to fill"
        yield Problem(("panel", "fill"), wanted, "carry")
    if panel.timezone is not None and panel.timezone != "UTC":
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(panel.timezone)
        except (ValueError, OSError, LookupError):
            near = nearest(panel.timezone, available_timezones())
            wanted = "an IANA name such as 'Europe/Berlin'"
            yield Problem(("panel", "timezone"), wanted, panel.timezone, near)


def _exchange_problems(panel: PanelTable, exchange: str) -> Iterator[Problem]:
    if exchange not in (known := exchanges()):
        near = nearest(exchange, known)
        wanted = "an exchange of the exchange_calendars library such as 'XNYS'"
        yield Problem(("panel", "exchange"), wanted, exchange, near)
    if panel.calendar != "sessions" or panel.bar == "1d":
        wanted = "no such key unless calendar is 'sessions' and bars are shorter than a day"
        yield Problem(("panel", "exchange"), wanted, exchange)
    if panel.fill != "carry":
        wanted = "'carry', because all sessions are filled to the length of the longest"
        yield Problem(("panel", "fill"), wanted, panel.fill)


def column_problems(raw: Mapping[str, Any], found: Found) -> Iterator[Problem]:
    """Problems between [source], [columns], [rows] and [panel]."""
    source, panel, columns = raw["source"], found.panel, found.columns
    made = KINDS[found.kind].makes
    for section in ("columns", "rows") if made else ():
        if section in raw:
            wanted = f"no such section: kind '{found.kind}' makes its columns: {', '.join(made)}"
            yield Problem((section,), wanted)
    if found.kind == "portfolios" and panel.exchange is not None:
        wanted = "no such key: portfolios have the bars of their members"
        yield Problem(("panel", "exchange"), wanted, panel.exchange)
    if found.kind == "simulated":
        if panel.decimals is not None:
            wanted = "no such key for simulated bars, which have source.tick"
            yield Problem(("panel", "decimals"), wanted, panel.decimals)
        if panel.calendar != "24/7" or 86_400_000_000_000 % parse_duration(panel.bar).ns:
            wanted = "a bar that divides the day, and calendar '24/7', for simulated bars"
            yield Problem(("panel", "bar"), wanted, f"{panel.bar}, {panel.calendar}")
    if made:
        return
    if source.get("symbol") and columns.symbol:
        wanted = "no such key, because columns.symbol names a column"
        yield Problem(("source", "symbol"), wanted, source["symbol"])
    if not (columns.close or (columns.high and columns.low) or columns.extra):
        yield Problem(("columns",), "close, or high and low, or a column in extra")
    if panel.fill == "carry" and columns.close is None:
        yield Problem(("columns", "close"), "a column, because fill = 'carry' carries the close")
    if panel.exchange is not None and columns.close is None:
        yield Problem(("columns", "close"), "a column, because sessions are filled with the close")
    if panel.exchange is not None and columns.extra:
        wanted = "no such section with panel.exchange: an extra column cannot be carried"
        yield Problem(("columns", "extra"), wanted)
    adjusting = [kind for kind, column in columns.adjusting.items() if column is not None]
    if len(adjusting) > 1:
        wanted = f"no such key together with columns.{adjusting[0]}: one column adjusts prices"
        yield Problem(("columns", adjusting[1]), wanted, columns.adjusting[adjusting[1]])
    if set(adjusting) <= {"adj_close"}:
        yield from _unbounded(found.rows)
    if found.rows.largest_adjustment is not None and columns.pre_close is None:
        wanted = "no such key without columns.pre_close, which it checks"
        yield Problem(("rows", "largest_adjustment"), wanted, found.rows.largest_adjustment)
    if adjusting and columns.close is None:
        yield Problem(("columns", "close"), f"a column, because {adjusting[0]} adjusts it")


def _unbounded(rows: Rows) -> Iterator[Problem]:
    """A bound on moves needs a column that gives each bar's own move."""
    if rows.largest_move is not None:
        wanted = (
            "no such key without columns.pre_close or columns.return: with prices alone, the move "
            "of a dropped bar would be part of the next bar's move"
        )
        yield Problem(("rows", "largest_move"), wanted, rows.largest_move)


def _group_problems(labels: LabelTable) -> Iterator[Problem]:
    """Groups of an unknown label, or with the same text twice."""
    for name, made in labels.groups.items():
        loc = ("labels", "groups", name)
        if name in labels.columns:
            yield Problem(loc, "a name other than those in labels.columns", name)
        if made.of not in labels.columns:
            yield unknown_word((*loc, "of"), made.of, labels.columns)
        seen: set[str] = set()
        for group, texts in made.texts.items():
            for i, text in enumerate(texts):
                if text in seen:
                    yield Problem((*loc, "texts", group, i), "each text once", text)
                seen.add(text)


def name_problems(found: Found) -> Iterator[Problem]:
    """Problems with names the user chose: extra columns, side series, labels."""
    own = {OVERNIGHT} if found.panel.overnight == "apart" else set()
    taken = sorted({*fields_by_key(Columns), *MEASURES, *own})
    for loc, names in (
        (("columns", "extra"), found.columns.extra),
        (("side",), found.side),
        (("labels", "columns"), found.labels.columns if found.labels else {}),
        (("labels", "groups"), found.labels.groups if found.labels else {}),
    ):
        for name in names:
            if EXTRA_NAME.fullmatch(name) is None or name in taken:
                wanted = f"a name of a-z, 0-9 and _ other than {', '.join(taken)}"
                yield Problem((*loc, name), wanted, name)
    if found.labels:
        yield from _group_problems(found.labels)
    for name in found.side:
        if name in found.columns.extra:
            yield Problem(("side", name), "a name other than those in columns.extra", name)
