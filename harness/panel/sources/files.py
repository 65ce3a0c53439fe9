"""Reads Parquet and CSV files: only the columns and span asked for, symbol by symbol."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from os import environ
from pathlib import Path

import numpy as np
import polars as pl

from harness.errors import PanelError, nearest, one_line
from harness.panel.sources.table import FileParams, RawBars, Request
from harness.panel.sources.times import TimeColumn, time_column
from harness.types import F64, I64

# Symbols of one file are read together up to this many rows: few passes over a file with thousands
# of short histories, and never much more than this in memory. If two symbols are further apart
# than _ROWS_APART rows, they are read in separate passes.
_ROWS_TOGETHER = 500_000
_ROWS_APART = 250_000
_ROW = "row number of the harness"


@dataclass(frozen=True)
class Format:
    """How files are read: the scan function, and whether all cells are text to be parsed.

    `date_format` is the format of dates that are not ISO 8601; `keep` selects rows with values.
    """

    scan: Callable[[list[Path]], pl.LazyFrame]
    text: bool
    date_format: str | None = None
    keep: pl.Expr | None = None


def open_parquet(params: FileParams, request: Request) -> FileSource:
    """Opens Parquet files; PanelError if none is found or one cannot be read."""
    paths = find_files(params.path, request.folder, request.file, request.how_to_get)
    return FileSource(request, paths, Format(scan_parquet, text=False), params.symbol)


def open_csv(params: FileParams, request: Request) -> FileSource:
    """Opens CSV files with a header; PanelError if none is found or one cannot be read."""
    paths = find_files(params.path, request.folder, request.file, request.how_to_get)
    return FileSource(request, paths, Format(scan_csv, text=True), params.symbol)


def scan_parquet(paths: list[Path]) -> pl.LazyFrame:
    """The files as one table, one after the other."""
    return pl.scan_parquet(paths, glob=False)


def scan_csv(paths: list[Path]) -> pl.LazyFrame:
    """The files as one table, all cells as text; cells that are not numbers are reported later."""
    return pl.scan_csv(paths, glob=False, infer_schema=False)


def find_files(
    path: str, folder: Path, file: str, how_to_get: str, key: str = "source.path"
) -> list[Path]:
    """The files of a path or glob: beside the panel file, else under HARNESS_DATA.

    If there are none, raises PanelError with the panel file, its key and how to get the data.
    """
    data = environ.get("HARNESS_DATA")
    for place in (folder, Path(data) if data else None):
        if place is None:
            continue
        if any(sign in path for sign in "*?["):
            found = sorted(place / name for name in glob.glob(path, root_dir=place))  # noqa: PTH207 - knows root_dir
        else:
            found = [place / path]
        if found := [one for one in found if one.is_file()]:
            return found
    raise PanelError(
        f"{file}: {key}: {path} not found beside the panel file or under "
        f"HARNESS_DATA ({data or 'not set'}); how to get it: {how_to_get}"
    )


class FileSource:
    """Bars in files, with a symbol column, one named symbol for all files, or a symbol per file."""

    def __init__(
        self, request: Request, paths: list[Path], form: Format, symbol: str | None
    ) -> None:
        self._paths, self._symbol_column = paths, request.symbol_column
        self._open = lambda files: _Files(request, files, form)
        if self._symbol_column is not None:
            self._shared = self._open(paths)
            self._places = self._shared.symbols()
            self.symbols = tuple(self._places)
            return
        groups: dict[str, list[Path]] = {}
        for path in paths:
            groups.setdefault(symbol or path.name.split(".")[0], []).append(path)
        if symbol is None and (twice := [name for name, files in groups.items() if len(files) > 1]):
            raise PanelError(f"{request.file}: source.path: two files are both named {twice[0]}")
        self._groups = dict(sorted(groups.items()))
        self.symbols = tuple(self._groups)

    def bars(self) -> Iterator[RawBars]:
        """Each symbol's rows of the span, in sorted order of the symbols."""
        if self._symbol_column is not None:
            for batch in self._batches():
                yield from self._shared.read_symbols(batch)
            return
        for symbol, paths in self._groups.items():
            yield self._open(paths).read(symbol)

    def only(self, symbols: tuple[str, ...]) -> FileSource:
        """The same files; rows of other symbols are not read."""
        part = copy(self)
        part.symbols = symbols
        if self._symbol_column is not None:
            part._places = {symbol: self._places[symbol] for symbol in symbols}
        else:
            part._groups = {symbol: self._groups[symbol] for symbol in symbols}
        return part

    def identity(self) -> object:
        """Each file's resolved path, size, modification and change times, and inode."""
        stats = [(path.resolve(), path.stat()) for path in self._paths]
        return [[str(path), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for path, s in stats]

    def _batches(self) -> Iterator[dict[str, _Place]]:
        batch: dict[str, _Place] = {}
        rows = first = last = 0
        for symbol, place in self._places.items():
            apart = max(place.first - last, first - place.last)
            if batch and (rows + place.rows > _ROWS_TOGETHER or apart > _ROWS_APART):
                yield batch
                batch = {}
            if not batch:
                rows, first, last = 0, place.first, place.last
            batch[symbol] = place
            rows += place.rows
            first, last = min(first, place.first), max(last, place.last)
        if batch:
            yield batch


@dataclass(frozen=True)
class _Place:
    """The position of a symbol's rows among all rows of the files."""

    first: int
    last: int
    rows: int


class _Files:
    """Files read as one table, and the expressions that read its columns."""

    def __init__(self, request: Request, paths: list[Path], form: Format) -> None:
        self._request, self._paths, self._form, self._scan = request, paths, form, form.scan
        self._where = f"{request.file}: {paths[0].name}" + (" …" if len(paths) > 1 else "")
        with self._readable():
            schema = form.scan(paths).collect_schema()
        names = [request.time_column, *request.columns.values()]
        if request.symbol_column is not None:
            names.append(request.symbol_column)
        for name in names:
            self._must_have(name, schema)
        self._symbol = pl.col(request.symbol_column or "")  # read only where there is one
        self._time = self._time_column(schema[request.time_column])
        last = None if request.end is None else request.end - request.bar
        self._inside = self._time.within(request.start, last)
        if form.keep is not None:
            self._inside = self._inside & form.keep
        self._exprs = [self._time.physical.alias("ts")]
        self._exprs += [self._number(name, schema) for name in sorted(request.columns)]

    def _must_have(self, name: str, schema: pl.Schema) -> None:
        if name not in schema:
            near = nearest(name, schema.names())
            hint = f"did you mean '{near}'?" if near else f"it has {', '.join(schema.names())}"
            raise PanelError(f"{self._where}: no column '{name}'; {hint}")

    def _time_column(self, dtype: pl.DataType) -> TimeColumn:
        name, first = self._request.time_column, None
        if isinstance(dtype, pl.String):
            with self._readable():
                head = self._scan(self._paths).select(name).head(1).collect()
            first = head.item() if head.height else None
        zone, form = self._request.timezone, self._form.date_format
        return time_column(self._where, name, dtype, zone, first, form)

    def _number(self, name: str, schema: pl.Schema) -> pl.Expr:
        column = self._request.columns[name]
        dtype, expr = schema[column], pl.col(column)
        if self._form.text:
            expr = expr.str.strip_chars().cast(pl.Float64, strict=False)
        elif not dtype.is_numeric():
            raise PanelError(f"{self._where}: column '{column}' holds {dtype}, wanted numbers")
        elif not isinstance(dtype, pl.Float32 | pl.Float64):
            expr = expr.cast(pl.Float64)
        return expr.alias(name)

    def read(self, symbol: str) -> RawBars:
        """All rows of the span, as those of one symbol."""
        with self._readable():
            frame = self._scan(self._paths).filter(self._inside).select(self._exprs).collect()
        return self._raw(symbol, frame, pl.lit(value=True))

    def symbols(self) -> dict[str, _Place]:
        """The place of each symbol that has rows in the span, in sorted order."""
        row = pl.col(_ROW)
        with self._readable():
            found = (
                self._scan(self._paths)
                .with_row_index(_ROW)
                .filter(self._inside)
                .group_by(self._symbol.cast(pl.String).alias("symbol"))
                .agg(row.min().alias("first"), row.max().alias("last"), pl.len().alias("rows"))
                .sort("symbol")
                .collect(engine="streaming")
            )
        missing = found.filter(pl.col("symbol").is_null() | (pl.col("symbol") == ""))
        if missing.height:
            first = missing.select(pl.col("first").min()).item()
            raise PanelError(
                f"{self._where}: no symbol in column '{self._request.symbol_column}' at row "
                f"{first + 1}, {missing['rows'].sum():,} such rows"
            )
        return {s: _Place(first, last, rows) for s, first, last, rows in found.iter_rows()}

    def read_symbols(self, batch: dict[str, _Place]) -> Iterator[RawBars]:
        """The rows of these symbols in the span, one symbol after the other."""
        first = min(place.first for place in batch.values())
        last = max(place.last for place in batch.values())
        name = self._symbol.cast(pl.String)
        with self._readable():
            frame = (
                self._scan(self._paths)
                .slice(first, last - first + 1)
                .filter(self._inside, name.is_in(list(batch)))
                .select(name.alias("symbol"), *self._exprs)
                .collect()
            )
        parts = _by_symbol(frame, len(batch))
        for symbol in batch:
            yield self._raw(symbol, parts.pop(symbol), name == symbol)

    def _raw(self, symbol: str, frame: pl.DataFrame, of_symbol: pl.Expr) -> RawBars:
        def row(position: int) -> tuple[str, dict[str, object]]:
            return self._find_row(position, of_symbol)

        def where(position: int) -> str:
            return row(position)[0]

        def cell(position: int, column: str) -> object:
            return row(position)[1][self._request.columns[column]]

        bad = frame["ts"].null_count()
        sentences: tuple[str, ...] = ()
        if bad:
            first = frame["ts"].is_null().arg_max()
            assert first is not None, "there is a null"
            place, cells = row(first)
            why = self._time.explain(cells[self._time.column])
            sentences = (f"{why} at {place}, {bad:,} such rows",)
            frame = frame.clear()
        ts = _int64(frame["ts"], self._time.scale)
        columns = {
            name: _float64(
                frame[name], self._request.decimals if name in self._request.prices else None
            )
            for name in sorted(self._request.columns)
        }
        return RawBars(symbol, ts, columns, sentences, where, cell)

    def _find_row(self, position: int, of_symbol: pl.Expr) -> tuple[str, dict[str, object]]:
        """The place and cells of a row, by its position among the rows read (slow)."""
        for path in self._paths:
            rows = self._scan([path]).with_row_index(_ROW).filter(self._inside, of_symbol)
            with self._readable():
                found = rows.slice(position, 1).collect()
                if found.height:
                    cells = found.row(0, named=True)
                    return f"row {cells[_ROW] + 1:,} of {path.name}", cells
                position -= rows.select(pl.len()).collect().item()
        raise PanelError(f"{self._where}: changed while it was read")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PanelError(f"{self._where}: cannot be read: {one_line(reason, 160)}") from error


def _by_symbol(frame: pl.DataFrame, symbols: int) -> dict[str, pl.DataFrame]:
    """The rows of each symbol: slices of the frame if each symbol's rows are adjacent."""
    runs = frame["symbol"].rle().struct.unnest()
    if runs.height != symbols:
        parts = frame.partition_by("symbol", include_key=False, as_dict=True)
        return {symbol: part for (symbol,), part in parts.items()}
    ends = runs["len"].cum_sum().to_list()
    return {
        symbol: frame.slice(end - length, length)
        for symbol, length, end in zip(runs["value"], runs["len"], ends, strict=True)
    }


def _chunks(series: pl.Series) -> Iterable[tuple[slice, np.ndarray]]:
    """The series' stored chunks as arrays, each with its place; the series is not copied."""
    low = 0
    for chunk in series.get_chunks():
        yield slice(low, low + len(chunk)), chunk.to_numpy()
        low += len(chunk)


def _int64(series: pl.Series, scale: int) -> I64:
    out = np.empty(len(series), np.int64)
    for place, values in _chunks(series):
        np.multiply(values, scale, out=out[place])
    return out


def _float64(series: pl.Series, decimals: int | None) -> F64:
    out = np.empty(len(series), np.float64)
    for place, values in _chunks(series):
        out[place] = values
    return out if decimals is None else np.round(out, decimals, out=out)
