"""What a table of the log is: its columns, each with its type, its meaning and its unit.

The tables themselves are in schema_tables.py. The index, docs/log.md, the help of `harness query`
and its `--describe` are all made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Types of DuckDB; a TIMESTAMP is in UTC.
Kind = Literal["VARCHAR", "VARCHAR[]", "DOUBLE", "BIGINT", "INTEGER", "BOOLEAN", "TIMESTAMP"]
TEXT: Kind = "VARCHAR"
TEXTS: Kind = "VARCHAR[]"
REAL: Kind = "DOUBLE"
COUNT: Kind = "BIGINT"
FLAG: Kind = "BOOLEAN"
TIME: Kind = "TIMESTAMP"

# Where the rows come from: the table of that name in each record, other parts of records and
# other files, or a view over other tables.
Origin = Literal["record", "other", "view"]


@dataclass(frozen=True)
class Column:
    """One column; `meaning` has the unit.

    `key` is the column's name in a record's table, where that is another one. `aliases` are older
    names of the column: queries that use them still work.
    """

    name: str
    kind: Kind
    meaning: str
    key: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def record_key(self) -> str:
        """The name of the column in a record's table."""
        return self.key or self.name

    @property
    def comment(self) -> str:
        """The meaning, with the older names."""
        older = f"; older name: {', '.join(self.aliases)}" if self.aliases else ""
        return f"{self.meaning}{older}"


@dataclass(frozen=True)
class LogTable:
    """One table or view that a reader can query.

    `what` says in a sentence what a row is; `note` is what else a reader should know.
    """

    name: str
    what: str
    columns: tuple[Column, ...]
    origin: Origin = "record"
    note: str = ""

    @property
    def comment(self) -> str:
        """What its rows are, with the note."""
        return f"{self.what} {self.note}".strip()

    @property
    def kinds(self) -> dict[str, Kind]:
        """The type of every column, without aliases."""
        return {column.name: column.kind for column in self.columns}

    @property
    def comments(self) -> dict[str, str]:
        """The comment of every column, and of every alias."""
        found = {column.name: column.comment for column in self.columns}
        older = {
            alias: f"older name of {column.name}: {column.meaning}"
            for column in self.columns
            for alias in column.aliases
        }
        return found | older


# Columns that many tables share.
RUN_ID = Column("run_id", TEXT, "the run's id, 8 hexadecimal digits")
HORIZON = Column("horizon", TEXT, "the forecast horizon, such as 4h or 1d")
MODEL = Column("model", TEXT, "the model's name in the hypothesis")
BASELINE = Column("baseline", TEXT, "the baseline model that the row compares with")
METRIC = Column("metric", TEXT, "the metric; `harness metrics` defines each one and its unit")
FIT = Column("fit", COUNT, "the fit's number, from 0 in time order")
ROWS = Column("n", COUNT, "number of forecasts")
SYMBOL = Column("symbol", TEXT, "the symbol")
FORMED_AT = Column("formed_at", TIME, "the forecast origin: when the forecast was made, UTC")
