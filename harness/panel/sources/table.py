"""The kinds of panel source, their parameters, and the interface between sources and panels.

Imports no reader, so that panel files can be checked quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from harness.durations import parse_moment
from harness.types import F64, I64, PRICES, VOLUME, Bars, Excluded


@dataclass(frozen=True)
class Request:
    """What a panel requests from a source.

    `columns` maps the panel columns to read to file columns; `prices` are those that `decimals`
    rounds. A row is read iff `start <= ts` and `ts + bar <= end` (UTC ns, None: no limit). `file`
    and `how_to_get` are for messages.
    """

    file: str
    folder: Path
    how_to_get: str
    bar: int
    start: int | None
    end: int | None
    timezone: str | None
    time_column: str
    symbol_column: str | None
    columns: Mapping[str, str]
    prices: frozenset[str]
    decimals: int | None


@dataclass(frozen=True)
class RawBars:
    """One symbol's rows as read, unchecked: ts (n,) UTC ns, columns float64 (n,), NaN if missing.

    `bad_times` are sentences about timestamps that cannot be read; if there are any, ts and
    columns are empty. `where` names the place of row i (0-based), `cell` gives its raw value in a
    column.
    """

    symbol: str
    ts: I64
    columns: Mapping[str, F64]
    bad_times: tuple[str, ...]
    where: Callable[[int], str]
    cell: Callable[[int, str], object]


def cells(columns: Mapping[str, F64]) -> Callable[[int, str], object]:
    """The `cell` function of RawBars for bars that are computed, not read from a file."""
    return lambda row, column: columns[column][row]


class Source(Protocol):
    """A source of bars; `bars` reads one symbol at a time, in the order of `symbols`."""

    symbols: tuple[str, ...]

    def bars(self) -> Iterator[RawBars]:
        """Each symbol's rows of the span; PanelError if a file cannot be read."""
        ...

    def only(self, symbols: tuple[str, ...]) -> Source:
        """The same source with only these symbols; no bar of another symbol is read."""
        ...

    def identity(self) -> object:
        """A JSON value that changes if the data changes; reads no bars."""
        ...


class Members(Protocol):
    """An opened panel whose symbols a source combines into its own."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that have a bar in the span."""
        ...

    def only(self, symbols: tuple[str, ...]) -> Self:
        """The same panel with only these symbols."""
        ...

    def read(self) -> Iterator[Bars | Excluded]:
        """Each symbol's bars, checked and adjusted, or why it is excluded."""
        ...

    def identity(self) -> str | None:
        """A key of the data that would be read."""
        ...


class OpenMembers(Protocol):
    """Opens the members' panel for a span (UTC ns, None: no limit)."""

    def __call__(self, *, start: int | None, end: int | None) -> Members:
        """The panel, with the columns needed."""
        ...


class Params(BaseModel):
    """Parameters of one kind of source; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileParams(Params):
    """`parquet`, `csv`: `path` (may be a glob) and `symbol`, the name of its only symbol."""

    path: str = Field(min_length=1)
    symbol: str | None = Field(default=None, min_length=1)


class ArchParams(Params):
    """`arch`: `dataset`, one of the daily series bundled with the arch package."""

    dataset: Literal["sp500", "nasdaq", "vix"]


class Component(Params):
    """One factor of log volatility: its half-life in days and its stationary sd."""

    half_life_days: float = Field(gt=0, le=10_000)
    sd: float = Field(gt=0, le=3)


class SimulatedParams(Params):
    """`simulated`: seeded bars; harness/panel/sources/simulated.py states the model.

    `rough` log volatility takes `hurst`, `log_vol_sd` and `memory_days`; `components` takes
    `components`. `jump_scale` is in units of the bar's own sigma; `diurnal` is the amplitude of
    the daily cycle of the variance. Shocks are normal without `student_df`.
    """

    seed: int = Field(ge=0)
    symbols: int = Field(default=1, ge=1, le=9_999)
    start: str
    days: int = Field(ge=1, le=36_500)
    annual_vol: float = Field(gt=0, le=10)
    log_vol: Literal["rough", "components"]
    hurst: float | None = Field(default=None, validate_default=True, ge=0.01, le=0.5)
    log_vol_sd: float | None = Field(default=None, validate_default=True, gt=0, le=3)
    memory_days: float | None = Field(default=None, validate_default=True, gt=0, le=10_000)
    components: list[Component] | None = Field(default=None, validate_default=True, min_length=1)
    jumps_per_day: float = Field(default=0.0, ge=0, le=1_000)
    jump_scale: float = Field(default=0.0, ge=0, le=1_000)
    diurnal: float = Field(default=0.0, ge=0, lt=1)
    student_df: float | None = Field(default=None, gt=2.1, le=1_000)
    tick: float = Field(default=0.01, gt=0)
    start_price: float = Field(default=100.0, gt=0)

    @field_validator("start")
    @classmethod
    def _is_a_moment(cls, start: str) -> str:
        try:
            parse_moment(start)
        except ValueError:
            raise ValueError("a date such as '2021-01-01'") from None
        return start

    @field_validator("hurst", "log_vol_sd", "memory_days", "components")
    @classmethod
    def _belongs_to_log_vol(cls, value: object, info: ValidationInfo) -> object:
        log_vol = info.data.get("log_vol")
        wanted = (log_vol == "components") == (info.field_name == "components")
        if log_vol is not None and wanted and value is None:
            raise ValueError(f"a value, because log_vol = '{log_vol}'")
        if log_vol is not None and not wanted and value is not None:
            raise ValueError(f"no such key, because log_vol = '{log_vol}'")
        return value


class PortfolioParams(Params):
    """`portfolios`: `count` portfolios of `least` to `most` symbols of `panel`, drawn by `seed`.

    Symbols without a bar that ended by `began_by` are not used, nor are the `without_draw` symbols
    that a hypothesis draws with draw = … and the seed `without_draw_seed`.
    """

    panel: str = Field(min_length=1, description="another panel's name")
    count: int = Field(ge=1, le=9_999)
    least: int = Field(default=20, ge=1, le=10_000)
    most: int = Field(default=30, validate_default=True, ge=1, le=10_000)
    seed: int = Field(default=1, ge=0, lt=2**32)
    began_by: str | None = None
    without_draw: int | None = Field(default=None, ge=1)
    without_draw_seed: int = Field(default=1, ge=0, lt=2**32)

    @field_validator("began_by")
    @classmethod
    def _is_a_moment(cls, began_by: str | None) -> str | None:
        if began_by is not None:
            try:
                parse_moment(began_by)
            except ValueError:
                raise ValueError("a date such as '2021-01-01'") from None
        return began_by

    @field_validator("most")
    @classmethod
    def _holds_the_least(cls, most: int, info: ValidationInfo) -> int:
        least = info.data.get("least")
        if least is not None and most < least:
            raise ValueError(f"at least source.least, {least}")
        return most


@dataclass(frozen=True)
class Kind:
    """A kind of source: the function that opens it, its parameters, what it reads.

    The function gets (params, request); portfolios also get the function that opens their members.
    A source that reads no file `makes` these columns; its panel has no [columns] and no [rows].
    """

    name: str
    target: str
    params: type[Params]
    summary: str
    makes: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind("parquet", "harness.panel.sources.files:open_parquet", FileParams, "Parquet files"),
        Kind("csv", "harness.panel.sources.files:open_csv", FileParams, "CSV files with a header"),
        Kind(
            "arch",
            "harness.panel.sources.bundled:open_arch",
            ArchParams,
            "daily S&P 500, NASDAQ and VIX as bundled with the arch package",
        ),
        Kind(
            "simulated",
            "harness.panel.sources.simulated:Simulated",
            SimulatedParams,
            "seeded bars whose volatility and jumps are known",
            makes=(*PRICES, VOLUME),
        ),
        Kind(
            "portfolios",
            "harness.panel.sources.portfolios:Portfolios",
            PortfolioParams,
            "closes of random portfolios of another panel's symbols",
            makes=("close",),
        ),
    )
}
