"""Panels: bars opened from a panel file, checked, filled and fingerprinted one symbol at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from harness.durations import show_moment
from harness.errors import PanelError, UsageError, nearest, one_line
from harness.panel_file import BrokenPanel, PanelSpec, find_panel, list_panels, read_panel
from harness.quality import (
    PRICES,
    Problem,
    carry,
    check_columns,
    check_times,
    find_gaps,
    fingerprint,
)
from harness.sources.table import KINDS, RawBars, Request, Source
from harness.types import I64, Bars, Gap

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "BrokenPanel",
    "Panel",
    "PanelReport",
    "PanelSpec",
    "SymbolReport",
    "check_panel",
    "describe_panel",
    "find_panel",
    "list_panels",
    "load_frame",
    "open_panel",
    "panel_fingerprint",
    "read_panel",
]


@dataclass(frozen=True)
class Panel:
    """An opened panel: which symbols it has is known, no bar has been read yet."""

    spec: PanelSpec
    columns: tuple[str, ...]
    start: int | None
    end: int | None
    source: Source

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, sorted."""
        return self.source.symbols

    @property
    def extra_units(self) -> Mapping[str, str]:
        """Extra column -> its unit: `sigma`, `variance` or `none`."""
        return self.spec.extra_units

    def bars(self) -> Iterator[Bars]:
        """Each symbol's bars in the order of `symbols`; only one symbol is held at a time.

        Raises PanelError for files that cannot be read and bars that fail a check.
        """
        for raw in self.source.bars():
            checked = _check(self.spec, raw)
            if checked.sentences:
                raise PanelError(f"{self.spec.file}: {raw.symbol}: {checked.sentences[0]}")
            yield _filled(self, raw, checked)

    def identity(self) -> str | None:
        """A key of what would be read, for caches, found without reading it."""
        span = [self.start, self.end, self.columns]
        parts = [self.spec.digest, span, self.source.identity()]
        return f"xxh3:{xxhash.xxh3_128(json.dumps(parts).encode()).hexdigest()}"


def open_panel(
    spec: PanelSpec, *, start: int | None, end: int | None, columns: Collection[str]
) -> Panel:
    """Open the bars with start <= ts and ts + bar <= end (UTC ns; None: open) and these columns.

    Raises UsageError for a column the panel has not, PanelError for files that are missing (with
    how to get them) or are no such files.
    """
    for name in columns:
        if name not in spec.columns:
            near = nearest(name, spec.columns)
            hint = f"; did you mean '{near}'?" if near else ""
            has = ", ".join(spec.columns)
            raise UsageError(f"{spec.file}: no column '{name}', it has {has}{hint}")
    read = set(columns)
    if spec.fill == "carry" and read & set(PRICES):
        read.add("close")
    request = Request(
        file=str(spec.file),
        folder=spec.file.parent,
        how_to_get=spec.how_to_get,
        bar=spec.bar.ns,
        start=start,
        end=end,
        timezone=spec.timezone,
        time_column=spec.time_column,
        symbol_column=spec.symbol_column,
        columns={name: spec.columns[name] for name in sorted(read)},
        prices=frozenset(PRICES),
        decimals=spec.decimals,
    )
    module, name = KINDS[spec.kind].target.split(":")
    source = getattr(import_module(module), name)(spec.params, request)
    if not source.symbols:
        raise PanelError(f"{spec.file}: empty span: no bar {_span(start, end)}")
    return Panel(spec, tuple(sorted(columns)), start, end, source)


@dataclass(frozen=True)
class _Checked:
    """What the checks found: sentences about what is wrong, and where bars miss."""

    sentences: tuple[str, ...]
    breaks: I64
    gaps: tuple[Gap, ...]


def _check(spec: PanelSpec, raw: RawBars) -> _Checked:
    nothing = np.empty(0, np.int64)
    if raw.bad_times:
        return _Checked(tuple(f"{spec.time_column}: {why}" for why in raw.bad_times), nothing, ())
    if not len(raw.ts):
        return _Checked(("empty span: no bar in it",), nothing, ())
    grid = spec.calendar == "24/7"
    problems, breaks = check_times(raw.ts, spec.bar.ns, grid=grid)
    gaps = () if problems else find_gaps(raw.symbol, raw.ts, spec.bar.ns, breaks)
    problems += check_columns(raw.columns, spec.extra_units)
    sentences = [_sentence(spec, raw, problem) for problem in problems]
    if gaps and (why := _unfillable(spec, raw, gaps)):
        sentences.append(why)
    return _Checked(tuple(sentences), breaks, gaps)


def _sentence(spec: PanelSpec, raw: RawBars, problem: Problem) -> str:
    row = problem.row
    where = f"{raw.where(row)} ({_stamp(int(raw.ts[row]))}), {problem.count:,} such rows"
    if problem.column is None:
        return f"{spec.time_column}: {problem.name} at {where}; wanted {problem.wanted}"
    cell = one_line(raw.cell(row, problem.column))
    column = spec.columns[problem.column]
    return f"{column}: {problem.name}: got {cell} at {where}; wanted {problem.wanted}"


def _unfillable(spec: PanelSpec, raw: RawBars, gaps: tuple[Gap, ...]) -> str | None:
    """Why these gaps cannot stay, or None when the panel may carry prices through them."""
    missing = sum(gap.missing for gap in gaps)
    first = f"{gaps[0].missing:,} from {_stamp(gaps[0].start)} to {_stamp(gaps[0].end)}"
    found = f"missing bars: {missing:,} in {len(gaps):,} gaps, the first {first}"
    if spec.fill == "none":
        return f"{found}; wanted none, or panel.fill = 'carry' to carry the last price"
    extra = sorted(set(raw.columns) & set(spec.extra_units))
    if extra:
        return f"{found}; the extra column '{extra[0]}' cannot be carried"
    return None


def _filled(panel: Panel, raw: RawBars, checked: _Checked) -> Bars:
    columns, gaps = raw.columns, checked.gaps
    if gaps:
        columns = carry(columns, checked.breaks, gaps)
    return Bars(
        symbol=raw.symbol,
        start=int(raw.ts[0]),
        bar=panel.spec.bar.ns,
        n=len(raw.ts) + sum(gap.missing for gap in gaps),
        ts=None if panel.spec.calendar == "24/7" else raw.ts,
        columns={name: columns[name] for name in panel.columns},
        rows=len(raw.ts),
        gaps=gaps,
        fingerprint=fingerprint(raw.symbol, raw.ts, raw.columns),
    )


def panel_fingerprint(fingerprints: Iterable[str]) -> str:
    """One hash of the symbols' fingerprints, in the order of the symbols."""
    return f"xxh3:{xxhash.xxh3_128(chr(10).join(fingerprints).encode()).hexdigest()}"


def load_frame(spec: PanelSpec, start: int | None = None, end: int | None = None) -> pl.DataFrame:
    """All bars as a frame [symbol, ts (UTC, ns), columns…], checked and filled.

    Sorted by symbol, then ts. Raises what `open_panel` and `Panel.bars` raise.
    """
    import polars as pl

    frames = []
    for bars in open_panel(spec, start=start, end=end, columns=spec.columns).bars():
        ts = bars.ts if bars.ts is not None else bars.start + np.arange(bars.n) * bars.bar
        stamps = pl.Series("ts", ts).cast(pl.Datetime("ns", "UTC"))
        frame = pl.DataFrame([stamps, *(pl.Series(k, v) for k, v in bars.columns.items())])
        frames.append(
            frame.insert_column(0, pl.repeat(bars.symbol, bars.n, eager=True).alias("symbol"))
        )
    return pl.concat(frames)


@dataclass(frozen=True)
class SymbolReport:
    """One symbol as read: times in UTC ns (None without rows), every problem in words."""

    symbol: str
    rows: int
    start: int | None
    end: int | None
    gaps: tuple[Gap, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class PanelReport:
    """A whole panel's quality, symbol by symbol."""

    name: str
    symbols: tuple[SymbolReport, ...]

    @property
    def ok(self) -> bool:
        """Whether no symbol has a problem."""
        return not any(symbol.problems for symbol in self.symbols)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(symbol.rows for symbol in self.symbols)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"name": self.name, "ok": self.ok, "rows": self.rows} | {
            "symbols": [
                asdict(s) | {"start": _maybe(s.start), "end": _maybe(s.end), "gaps": _gaps(s.gaps)}
                for s in self.symbols
            ]
        }


def check_panel(spec: PanelSpec, start: int | None = None, end: int | None = None) -> PanelReport:
    """Read every column of every symbol and report all problems; bad bars raise nothing.

    Raises PanelError for files that are missing or cannot be read.
    """
    panel = open_panel(spec, start=start, end=end, columns=spec.columns)
    reports = tuple(_symbol_report(spec, raw) for raw in panel.source.bars())
    return PanelReport(spec.name, reports)


def _symbol_report(spec: PanelSpec, raw: RawBars) -> SymbolReport:
    checked, rows = _check(spec, raw), len(raw.ts)
    first = int(raw.ts.min()) if rows else None
    last = int(raw.ts.max()) + spec.bar.ns if rows else None
    return SymbolReport(raw.symbol, rows, first, last, checked.gaps, checked.sentences)


def describe_panel(
    spec: PanelSpec, start: int | None = None, end: int | None = None
) -> dict[str, Any]:
    """What a panel holds, as JSON values, problems included: nothing is raised for bad bars.

    Per symbol: rows, span, gaps, missing bars and the share of them once filled, the range of
    each column, the share of zero returns among the bars read, and the fingerprint.
    """
    panel = open_panel(spec, start=start, end=end, columns=spec.columns)
    symbols = [_describe_symbol(spec, raw) for raw in panel.source.bars()]
    rows = sum(symbol["rows"] for symbol in symbols)
    known = all(symbol["missing"] is not None for symbol in symbols)
    missing = sum(symbol["missing"] for symbol in symbols) if known else None
    filled = missing or 0 if spec.fill == "carry" else 0
    return {
        "name": spec.name,
        "title": spec.title,
        "note": spec.note,
        "kind": spec.kind,
        "bar": str(spec.bar),
        "calendar": spec.calendar,
        "timezone": spec.timezone,
        "fill": spec.fill,
        "columns": list(spec.columns),
        "extra_units": dict(spec.extra_units),
        "rows": rows,
        "start": min((s["start"] for s in symbols if s["start"]), default=None),
        "end": max((s["end"] for s in symbols if s["end"]), default=None),
        "gaps": sum(symbol["gaps"] for symbol in symbols) if known else None,
        "missing": missing,
        "share_filled": filled / (rows + filled) if rows and known else None,
        "fingerprint": panel_fingerprint(symbol["fingerprint"] for symbol in symbols),
        "symbols": symbols,
    }


def _describe_symbol(spec: PanelSpec, raw: RawBars) -> dict[str, Any]:
    report = _symbol_report(spec, raw)
    missing = sum(gap.missing for gap in report.gaps)
    close = raw.columns.get("close")
    longest = max(report.gaps, key=lambda gap: gap.missing, default=None)
    return {
        "symbol": raw.symbol,
        "rows": report.rows,
        "start": _maybe(report.start),
        "end": _maybe(report.end),
        # Stamps that are out of order or off the grid: what is missing cannot be told.
        "gaps": None if report.problems else len(report.gaps),
        "missing": None if report.problems else missing,
        "longest_gap": _gaps((longest,))[0] if longest else None,
        "ranges": {
            name: [float(values.min()), float(values.max())]
            for name, values in raw.columns.items()
            if len(values) and np.isfinite(values).all()
        },
        "zero_return_share": (
            float(np.mean(close[1:] == close[:-1]))
            if close is not None and len(close) > 1
            else None
        ),
        "fingerprint": fingerprint(raw.symbol, raw.ts, raw.columns),
        "problems": list(report.problems),
    }


def _gaps(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    return [
        {"start": _stamp(gap.start), "end": _stamp(gap.end), "missing": gap.missing} for gap in gaps
    ]


def _maybe(moment: int | None) -> str | None:
    return None if moment is None else _stamp(moment)


def _stamp(moment: int) -> str:
    """As `show_moment`, with seconds and their fractions where there are any."""
    if moment % 60_000_000_000 == 0:
        return show_moment(moment)
    return str(np.datetime64(moment, "ns")).replace("T", " ").rstrip("0").rstrip(".")


def _span(start: int | None, end: int | None) -> str:
    since = "from the first row" if start is None else f"from {_stamp(start)}"
    return f"{since} " + ("to the last" if end is None else f"to {_stamp(end)}")
