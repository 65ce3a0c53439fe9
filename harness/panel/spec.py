"""What a panel file says, as a frozen PanelSpec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.durations import Duration
from harness.panel.cleaning import Cleaning
from harness.panel.row_filter import Condition
from harness.panel.sections import OVERNIGHT
from harness.panel.sessions import Sessions, exchange_sessions
from harness.panel.sources.table import Params
from harness.types import PRICES, VOLUME

BAR_COLUMNS = (*PRICES, VOLUME)


@dataclass(frozen=True)
class Adjusting:
    """How prices are adjusted (`adj_close`, `pre_close` or `return`) and the file's column."""

    kind: str
    column: str


@dataclass(frozen=True)
class Labels:
    """A file with one row per symbol: its column of symbols, and label -> its column.

    `groups`: label -> (the label it is made from, text of that label -> group).
    """

    path: str
    symbol: str
    columns: Mapping[str, str]
    groups: Mapping[str, tuple[str, Mapping[str, str]]]


@dataclass(frozen=True)
class Side:
    """A column of another panel; a value is used for at most `max_age` ns."""

    panel: PanelSpec
    column: str
    unit: str
    max_age: int


@dataclass(frozen=True)
class PanelSpec:
    """A checked panel file.

    `columns` maps the panel's columns (extra columns included) to those of the file.
    `extra_units` gives the unit of volume, of each extra column and of each side series. `digest`
    hashes the text of the file and of the panel files it names. `members` is the panel whose
    symbols the portfolios hold. `revision_tolerance`: changes of past values up to this, in ln of
    volatility, are revisions and no change of the data. No file states `until` (UTC ns) and
    `among`: bars that end later and other symbols are not read.
    """

    name: str
    title: str
    bar: Duration
    calendar: str
    timezone: str | None
    fill: str
    how_to_get: str
    note: str | None
    decimals: int | None
    on_bad: str
    exchange: str | None
    overnight: str
    kind: str
    params: Params
    time_column: str
    symbol_column: str | None
    columns: Mapping[str, str]
    extra_units: Mapping[str, str]
    adjusting: Adjusting | None
    keep: tuple[Condition, ...]
    drop_inconsistent: bool
    cleaning: Cleaning
    labels: Labels | None
    side: Mapping[str, Side]
    file: Path
    digest: str
    members: PanelSpec | None = None
    revision_tolerance: float | None = None
    until: int | None = None
    among: frozenset[str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that can be read: those of the file, side series, the overnight return."""
        return (*self.columns, *self.side, *(self.extra_units.keys() & {OVERNIGHT}))

    @property
    def session_bars(self) -> int:
        """Bars per session of the grid; 1 for daily bars."""
        return self.sessions.bars if self.exchange else 1

    @property
    def levelled(self) -> bool:
        """Whether prices are rebuilt from the first bar on, so that all depend on its level."""
        rebuilt = self.adjusting is not None or self.members is not None
        return rebuilt or (bool(self.exchange) and self.overnight != "in")

    @property
    def sessions(self) -> Sessions:
        """The sessions of the panel's exchange; only for a panel that names one."""
        assert self.exchange is not None, "only panels with an exchange have sessions"
        return exchange_sessions(self.exchange, self.bar.ns)

    def file_column(self, name: str) -> str:
        """The file's name of a column of this panel, the adjusting column included."""
        if self.adjusting is not None and name == self.adjusting.kind:
            return self.adjusting.column
        return self.columns[name]
