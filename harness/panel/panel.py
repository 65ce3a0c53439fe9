"""Panels: opened from a panel file; bars are read, checked, filled and hashed symbol by symbol."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from harness.durations import show_moment
from harness.errors import PanelError, UsageError, nearest, one_line
from harness.panel.adjust import adjusted
from harness.panel.arguments import Moment, argument_moment
from harness.panel.prepare import Prepared, columns_to_read, prepare
from harness.panel.quality import Problem, carry, check_columns, check_times, find_gaps, fingerprint
from harness.panel.sections import OVERNIGHT
from harness.panel.selection import Selection
from harness.panel.sessions import Sessions, fill_sessions, overnight_column, without_nights
from harness.panel.side_series import Series, as_of
from harness.panel.sources.table import KINDS, RawBars, Request, Source
from harness.panel.spec import PanelSpec
from harness.types import F64, I64, PRICES, VOLUME, Bars, Excluded, Gap

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Panel:
    """An opened panel: its symbols are known, no bar has been read yet.

    `available` is the number of symbols of the source in the span, before any selection.
    """

    spec: PanelSpec
    columns: tuple[str, ...]
    start: int | None
    end: int | None
    source: Source
    available: int
    begun_by: int | None
    sides: Mapping[str, Panel]
    min_record: float | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, sorted."""
        return self.source.symbols

    @property
    def made_of(self) -> tuple[str, ...]:
        """The symbols of another panel that portfolios hold; empty for quoted symbols."""
        return getattr(self.source, "made_of", ())

    @property
    def extra_units(self) -> Mapping[str, str]:
        """Extra column or side series -> its unit: `sigma`, `variance` or `none`."""
        return self.spec.extra_units

    def bars(self) -> Iterator[Bars]:
        """Each symbol's bars in the order of `symbols`, without excluded symbols; see `read`."""
        return (found for found in self.read() if isinstance(found, Bars))

    def read(self) -> Iterator[Bars | Excluded]:
        """Each symbol's bars, or why it is excluded; one symbol is in memory at a time.

        Raises PanelError for files that cannot be read, and for bars that fail a check unless
        the panel excludes such symbols.
        """
        for checked in self.checked():
            symbol = checked.raw.symbol
            if checked.sentences and self.spec.on_bad == "refuse":
                raise PanelError(f"{self.spec.file}: {symbol}: {checked.sentences[0]}")
            if checked.sentences:
                yield Excluded(symbol, checked.sentences[0])
            elif self.begun_by is not None and checked.raw.ts[0] > self.begun_by:
                began, by = show_stamp(int(checked.raw.ts[0])), show_stamp(self.begun_by)
                yield Excluded(symbol, f"history from {began} only; wanted from {by} or before")
            elif self.min_record and len(checked.raw.ts) < self.min_record * self.times:
                bars = f"bars at {len(checked.raw.ts):,} of {self.times:,} times"
                yield Excluded(symbol, f"{bars}; wanted a share of {self.min_record:g} at least")
            else:
                yield self.filled(checked)

    @cached_property
    def times(self) -> int:
        """The number of timestamps at which at least one symbol has a bar."""
        stamps = [prepare(self.spec, raw).raw.ts for raw in self.source.bars()]
        return np.unique(np.concatenate(stamps)).size

    def checked(self) -> Iterator[Checked]:
        """Each symbol's bars as quoted and their problems; bad bars raise nothing."""
        for raw in self.source.bars():
            yield _check(self.spec, prepare(self.spec, raw))

    def filled(self, checked: Checked) -> Bars:
        """The bars of a symbol that passed all checks: adjusted, filled, side series joined."""
        if self.spec.exchange:
            return self._in_sessions(checked)
        raw, gaps = checked.raw, checked.gaps
        read = raw.columns if checked.close is None else adjusted(raw.columns, checked.close)
        columns = read
        if gaps:
            columns = carry(columns, checked.breaks, gaps)
        bars = Bars(
            symbol=raw.symbol,
            start=int(raw.ts[0]),
            bar=self.spec.bar.ns,
            n=len(raw.ts) + sum(gap.missing for gap in gaps),
            ts=None if self.spec.calendar == "24/7" else raw.ts,
            columns={name: columns[name] for name in self.columns if name in columns},
            rows=len(raw.ts),
            gaps=gaps,
            fingerprint=fingerprint(raw.symbol, raw.ts, read),
            left_out=checked.left_out,
            read=(raw.ts, read),
        )
        return self._joined(bars) if self.series else bars

    def _in_sessions(self, checked: Checked) -> Bars:
        """As `filled`, on the grid of the exchange's sessions."""
        raw, spec, sessions = checked.raw, self.spec, self.spec.sessions
        traded = raw.columns if checked.close is None else adjusted(raw.columns, checked.close)
        read, close = traded, traded["close"]
        if spec.overnight != "in":
            read = adjusted(read, without_nights(sessions, raw.ts, close))
        grid, columns, _ = fill_sessions(sessions, raw.symbol, raw.ts, read)
        if OVERNIGHT in self.columns:
            first, last = (int(sessions.place(raw.ts[[row]])[0][0]) for row in (0, -1))
            columns[OVERNIGHT] = overnight_column(sessions, raw.ts, close, first, last)
        bars = Bars(
            symbol=raw.symbol,
            start=int(grid[0]),
            bar=spec.bar.ns,
            n=len(grid),
            ts=grid,
            columns={name: columns[name] for name in self.columns if name in columns},
            rows=len(raw.ts),
            gaps=checked.gaps,
            fingerprint=fingerprint(raw.symbol, raw.ts, {**read, "close": close}),
            left_out=checked.left_out,
            read=(raw.ts, traded),
        )
        return self._joined(bars) if self.series else bars

    def _joined(self, bars: Bars) -> Bars:
        moments = bars.known_at(np.arange(bars.n))
        side = {
            name: as_of(series, moments, self.spec.side[name].max_age)
            for name, series in self.series.items()
        }
        return replace(bars, columns={**bars.columns, **side})

    @cached_property
    def series(self) -> dict[str, Series]:
        """The side series asked for, each read completely; raises PanelError like `read`."""
        return {name: self._series(name, panel) for name, panel in self.sides.items()}

    def _series(self, name: str, panel: Panel) -> Series:
        with _naming(self.spec, name):
            (bars,) = panel.read()
            if isinstance(bars, Excluded):
                raise PanelError(f"{panel.spec.file}: {bars.symbol}: {bars.reason}")
        known_at = bars.known_at(np.arange(bars.n))
        return Series(known_at, bars.columns[self.spec.side[name].column], bars)

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Label -> {symbol: text}, `unknown` where the label file has no text.

        Raises PanelError if the file is missing or cannot be read.
        """
        if self.spec.labels is None:
            return {}
        from harness.panel.labels import read_labels

        return read_labels(self.spec, self.symbols)

    def only(self, symbols: tuple[str, ...]) -> Panel:
        """The same panel with only these symbols."""
        return replace(self, source=self.source.only(symbols))

    def identity(self) -> str | None:
        """A cache key of the data that would be read, computed without reading it."""
        span = [self.start, self.end, self.columns, self.symbols, self.begun_by, self.min_record]
        sides = {name: panel.identity() for name, panel in self.sides.items()}
        parts = [self.spec.digest, span, self.source.identity(), sides, self.labels]
        parts += [version("exchange_calendars")] if self.spec.exchange else []
        return f"xxh3:{xxhash.xxh3_128(json.dumps(parts).encode()).hexdigest()}"


def open_panel(
    spec: PanelSpec,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    columns: Collection[str] | None = None,
    select: Selection | None = None,
) -> Panel:
    """Open the bars with start <= ts and ts + bar <= end (UTC; None: no limit).

    Moments are nanoseconds, ISO 8601 texts or datetimes. Without `columns` all columns of the panel
    are read. Raises UsageError for a column that the panel does not have, SpecError for symbols
    that `select` cannot find, PanelError for files that are missing (with how to get them) or
    cannot be read.
    """
    if not isinstance(spec, PanelSpec):
        raise UsageError(
            f"panel: got {one_line(spec)}, wanted a PanelSpec, "
            "as harness.find_panel(name) gives one"
        )
    start, asked = argument_moment("start", start), argument_moment("end", end)
    end = min((e for e in (asked, spec.until) if e is not None), default=None)
    columns = spec.names if columns is None else columns
    if isinstance(columns, str):
        raise UsageError(f"columns: got {one_line(columns)}, wanted a list of columns")
    for name in columns:
        if name not in spec.names:
            near = nearest(name, spec.names)
            hint = f"; did you mean '{near}'?" if near else ""
            has = ", ".join(spec.names)
            raise UsageError(f"{spec.file}: no column '{name}', it has {has}{hint}")
    read = columns_to_read(spec, columns)
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
        columns={name: read[name] for name in sorted(read)},
        prices=frozenset(PRICES),
        decimals=spec.decimals,
    )
    module, name = KINDS[spec.kind].target.split(":")
    made_of = [partial(open_panel, spec.members, columns=["close"])] if spec.members else []
    source = getattr(import_module(module), name)(spec.params, request, *made_of)
    if spec.among is not None:
        source = source.only(tuple(s for s in source.symbols if s in spec.among))
    if not source.symbols:
        raise PanelError(f"{spec.file}: empty span: no bar {_span(start, end)}")
    available, select = len(source.symbols), select or Selection()
    if (chosen := select.of(spec.name, source.symbols)) != source.symbols:
        source = source.only(chosen)
    sides = {name: _open_side(spec, name, start, asked) for name in spec.side if name in columns}
    return Panel(
        spec=spec,
        columns=tuple(sorted(columns)),
        start=start,
        end=end,
        source=source,
        available=available,
        begun_by=select.begun_by,
        sides=sides,
        min_record=select.min_record,
    )


def _open_side(spec: PanelSpec, name: str, start: int | None, end: int | None) -> Panel:
    side = spec.side[name]
    since = None if start is None else start - side.max_age - side.panel.bar.ns
    with _naming(spec, name):
        panel = open_panel(side.panel, start=since, end=end, columns=[side.column])
        if len(panel.symbols) != 1:
            raise PanelError(f"{side.panel.file}: {panel.available:,} symbols; wanted one")
    return panel


@contextmanager
def _naming(spec: PanelSpec, side: str) -> Iterator[None]:
    """Errors of a side series also name the panel file that asks for it."""
    try:
        yield
    except PanelError as error:
        raise PanelError(f"{spec.file}: side.{side}: {error}") from error


@dataclass(frozen=True)
class Checked:
    """One symbol's bars as quoted, and the findings of the checks as sentences.

    `close` (n,) is the adjusted close, None if not adjusted; `left_out` counts dropped rows by
    reason. The `gaps` of missing bars end before the rows `breaks`.
    """

    raw: RawBars
    close: F64 | None
    left_out: Mapping[str, int]
    sentences: tuple[str, ...]
    breaks: I64
    gaps: tuple[Gap, ...]


def _check(spec: PanelSpec, found: Prepared) -> Checked:
    raw, nothing = found.raw, np.empty(0, np.int64)

    def checked(sentences: Iterable[str], breaks: I64, gaps: tuple[Gap, ...]) -> Checked:
        return Checked(raw, found.close, found.left_out, tuple(sentences), breaks, gaps)

    if raw.bad_times:
        return checked((f"{spec.time_column}: {why}" for why in raw.bad_times), nothing, ())
    if not len(raw.ts):
        rest = "no bar in it" + "".join(f", {n:,} {why}" for why, n in found.left_out.items())
        return checked((f"empty span: {rest}",), nothing, ())
    grid = spec.calendar == "24/7"
    problems, breaks = check_times(raw.ts, spec.bar.ns, grid=grid)
    if spec.exchange and not problems:
        problems += _off_the_grid(spec.sessions, raw.ts)
    gaps: tuple[Gap, ...] = ()
    if not problems and spec.exchange:
        gaps = fill_sessions(spec.sessions, raw.symbol, raw.ts, {})[2]
    elif not problems:
        gaps = find_gaps(raw.symbol, raw.ts, spec.bar.ns, breaks)
    problems += [*check_columns(raw.columns, spec.extra_units), *found.problems]
    sentences = [_sentence(spec, raw, problem) for problem in problems]
    if not problems and spec.adjusting and found.close is not None and not _usable(found.close):
        sentences.append(f"{spec.adjusting.column}: adjusted prices leave the range of numbers")
    if gaps and (why := _unfillable(spec, raw, gaps)):
        sentences.append(why)
    return checked(sentences, breaks, gaps)


def _off_the_grid(sessions: Sessions, ts: I64) -> list[Problem]:
    off = np.flatnonzero(sessions.place(ts)[1] % sessions.bar)
    wanted = "whole bars after the session's open"
    return [Problem("wrong bar spacing", None, wanted, int(off[0]), len(off))] if off.size else []


def _usable(close: F64) -> bool:
    return bool(np.isfinite(close).all() and (close > 0.0).all())


def _sentence(spec: PanelSpec, raw: RawBars, problem: Problem) -> str:
    row = problem.row
    where = f"{raw.where(row)} ({show_stamp(int(raw.ts[row]))}), {problem.count:,} such rows"
    if problem.column is None:
        return f"{spec.time_column}: {problem.name} at {where}; wanted {problem.wanted}"
    cell = one_line(raw.cell(row, problem.column))
    column = spec.file_column(problem.column)
    return f"{column}: {problem.name}: got {cell} at {where}; wanted {problem.wanted}"


def _unfillable(spec: PanelSpec, raw: RawBars, gaps: tuple[Gap, ...]) -> str | None:
    """Why these gaps cannot be filled, or None if the panel carries prices through them."""
    missing = sum(gap.missing for gap in gaps)
    first = f"{gaps[0].missing:,} from {show_stamp(gaps[0].start)} to {show_stamp(gaps[0].end)}"
    found = f"missing bars: {missing:,} in {len(gaps):,} gaps, the first {first}"
    if spec.fill == "none":
        return f"{found}; wanted none, or panel.fill = 'carry' to carry the last price"
    extra = sorted(set(raw.columns) & set(spec.extra_units) - {VOLUME})  # no volume in a gap
    if extra:
        return f"{found}; the extra column '{extra[0]}' cannot be carried"
    return None


def panel_fingerprint(fingerprints: Iterable[str]) -> str:
    """One hash of all symbols' fingerprints, in the order of the symbols."""
    return f"xxh3:{xxhash.xxh3_128(chr(10).join(fingerprints).encode()).hexdigest()}"


def load_frame(
    spec: PanelSpec, start: Moment | None = None, end: Moment | None = None
) -> pl.DataFrame:
    """All bars as a frame [symbol, ts (UTC, ns), columns…], checked, adjusted and filled.

    Sorted by symbol, then ts, without excluded symbols. Raises what `open_panel` and `Panel.bars`
    raise.
    """
    import polars as pl

    frames = []
    for bars in open_panel(spec, start=start, end=end).bars():
        ts = bars.ts if bars.ts is not None else bars.start + np.arange(bars.n) * bars.bar
        stamps = pl.Series("ts", ts).cast(pl.Datetime("ns", "UTC"))
        symbol = pl.repeat(bars.symbol, bars.n, eager=True).alias("symbol")
        columns = (pl.Series(k, v) for k, v in bars.columns.items())
        frames.append(pl.DataFrame([symbol, stamps, *columns]))
    return pl.concat(frames)


def show_stamp(moment: int) -> str:
    """A moment like `show_moment`, with seconds and fractions if it has any."""
    if moment % 60_000_000_000 == 0:
        return show_moment(moment)
    return str(np.datetime64(moment, "ns")).replace("T", " ").rstrip("0").rstrip(".")


def _span(start: int | None, end: int | None) -> str:
    since = "from the first row" if start is None else f"from {show_stamp(start)}"
    return f"{since} " + ("to the last" if end is None else f"to {show_stamp(end)}")
