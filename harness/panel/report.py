"""Reports on a panel for people: its contents and all problems, symbol by symbol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.panel.panel import Checked, Panel, open_panel, panel_fingerprint, show_stamp
from harness.panel.quality import fingerprint
from harness.panel.side_times import SideClock, side_warnings
from harness.panel.spec import PanelSpec
from harness.types import Gap


@dataclass(frozen=True)
class SymbolReport:
    """One symbol as read: times in UTC ns (None without rows), all problems in words.

    `left_out` counts dropped rows of the file by reason. `excluded`: the symbol has a problem and
    is excluded, so that the panel can be used without it.
    """

    symbol: str
    rows: int
    start: int | None
    end: int | None
    gaps: tuple[Gap, ...]
    left_out: Mapping[str, int]
    problems: tuple[str, ...]
    excluded: bool


@dataclass(frozen=True)
class PanelReport:
    """The quality of a whole panel, symbol by symbol; `warnings` of side series, no problems."""

    name: str
    symbols: tuple[SymbolReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a symbol is left, and all symbols with problems are excluded."""
        failed = any(symbol.problems and not symbol.excluded for symbol in self.symbols)
        return not failed and not all(symbol.excluded for symbol in self.symbols)

    @property
    def rows(self) -> int:
        """The number of rows that are bars."""
        return sum(symbol.rows for symbol in self.symbols)

    @property
    def left_out(self) -> dict[str, int]:
        """The number of dropped rows, by reason."""
        return _sums(symbol.left_out for symbol in self.symbols)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        head = {"name": self.name, "ok": self.ok, "rows": self.rows, "left_out": self.left_out}
        return head | {
            "warnings": list(self.warnings),
            "symbols": [
                asdict(s) | {"start": _maybe(s.start), "end": _maybe(s.end), "gaps": _gaps(s.gaps)}
                for s in self.symbols
            ],
        }


def check_panel(spec: PanelSpec, start: int | None = None, end: int | None = None) -> PanelReport:
    """Read all columns of all symbols and report all problems; bad bars raise nothing.

    Raises PanelError for files that are missing or cannot be read, including those of labels, and
    for side series that cannot be used.
    """
    panel = open_panel(spec, start=start, end=end, columns=spec.names)
    assert panel.labels is not None
    clocks, reports = _SideClocks(panel), []
    for checked in panel.checked():
        reports.append(_symbol_report(spec, checked))
        clocks.add(checked)
    return PanelReport(spec.name, tuple(reports), clocks.warnings())


class _SideClocks:
    """Collects the bars of symbols without problems, for the warnings of side series."""

    def __init__(self, panel: Panel) -> None:
        self._spec = panel.spec
        self._clocks = {name: SideClock(series) for name, series in panel.series.items()}

    def add(self, checked: Checked) -> None:
        """A symbol's bars as read."""
        if not checked.sentences:
            for clock in self._clocks.values():
                clock.add(checked.raw.symbol, checked.raw.ts + self._spec.bar.ns)

    def warnings(self) -> tuple[str, ...]:
        """The warnings, once all symbols are added."""
        found = {name: clock.times() for name, clock in self._clocks.items()}
        known = {name: times for name, times in found.items() if times is not None}
        return tuple(side_warnings(self._spec, known))


def _symbol_report(spec: PanelSpec, checked: Checked) -> SymbolReport:
    raw, rows = checked.raw, len(checked.raw.ts)
    return SymbolReport(
        symbol=raw.symbol,
        rows=rows,
        start=int(raw.ts.min()) if rows else None,
        end=int(raw.ts.max()) + spec.bar.ns if rows else None,
        gaps=checked.gaps,
        left_out=checked.left_out,
        problems=checked.sentences,
        excluded=bool(checked.sentences) and spec.on_bad == "exclude",
    )


def describe_panel(
    spec: PanelSpec, start: int | None = None, end: int | None = None
) -> dict[str, Any]:
    """The contents of a panel as JSON values, with all problems; bad bars raise nothing.

    Per symbol: rows, span, gaps, missing bars, the range of each column as quoted, the share of
    zero returns, the number of bars without a known value of each side series, and the
    fingerprint of what a run reads.
    """
    panel = open_panel(spec, start=start, end=end, columns=spec.names)
    labels = {name: dict(Counter(of.values()).most_common()) for name, of in panel.labels.items()}
    clocks, symbols = _SideClocks(panel), []
    for checked in panel.checked():
        symbols.append(_describe_symbol(panel, checked))
        clocks.add(checked)
    rows = sum(symbol["rows"] for symbol in symbols)
    known = all(symbol["missing"] is not None for symbol in symbols)
    missing = sum(symbol["missing"] for symbol in symbols) if known else None
    filled = missing or 0 if spec.fill == "carry" else 0
    bad = sum(bool(symbol["problems"]) for symbol in symbols)
    return {
        "name": spec.name,
        "title": spec.title,
        "note": spec.note,
        "kind": spec.kind,
        "bar": str(spec.bar),
        "calendar": spec.calendar,
        "timezone": spec.timezone,
        "fill": spec.fill,
        "revision_tolerance": spec.revision_tolerance,
        "columns": list(spec.columns),
        "extra_units": dict(spec.extra_units),
        "adjusted_by": spec.adjusting.kind if spec.adjusting else None,
        "side": {name: side.panel.name for name, side in spec.side.items()},
        "labels": labels,
        "rows": rows,
        "left_out": _sums(symbol["left_out"] for symbol in symbols),
        "excluded": bad if spec.on_bad == "exclude" else 0,
        "start": min((s["start"] for s in symbols if s["start"]), default=None),
        "end": max((s["end"] for s in symbols if s["end"]), default=None),
        "gaps": sum(symbol["gaps"] for symbol in symbols) if known else None,
        "missing": missing,
        "share_filled": filled / (rows + filled) if rows and known else None,
        "fingerprint": panel_fingerprint(symbol["fingerprint"] for symbol in symbols),
        "warnings": list(clocks.warnings()),
        "symbols": symbols,
    }


def _describe_symbol(panel: Panel, checked: Checked) -> dict[str, Any]:
    raw, report = checked.raw, _symbol_report(panel.spec, checked)
    bars = None if report.problems else panel.filled(checked)
    close = raw.columns.get("close") if checked.close is None else checked.close
    longest = max(report.gaps, key=lambda gap: gap.missing, default=None)
    return {
        "symbol": raw.symbol,
        "rows": report.rows,
        "left_out": dict(report.left_out),
        "start": _maybe(report.start),
        "end": _maybe(report.end),
        # With timestamps out of order or off the grid, missing bars cannot be counted.
        "gaps": None if report.problems else len(report.gaps),
        "missing": None if report.problems else sum(gap.missing for gap in report.gaps),
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
        "side_missing": {
            name: int(np.isnan(bars.columns[name]).sum()) for name in panel.sides if bars
        },
        "fingerprint": (bars.fingerprint if bars else fingerprint(raw.symbol, raw.ts, raw.columns)),
        "problems": list(report.problems),
    }


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


def _gaps(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    return [
        {"start": show_stamp(gap.start), "end": show_stamp(gap.end), "missing": gap.missing}
        for gap in gaps
    ]


def _maybe(moment: int | None) -> str | None:
    return None if moment is None else show_stamp(moment)
