"""The tables of a panel file as frozen pydantic models that refuse unknown keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.durations import FIXED_EXAMPLES, parse_duration
from harness.panel.row_filter import WANTED, parse_keep
from harness.panel.sources.table import Params

OVERNIGHT = "overnight"  # the column of overnight log returns, with overnight = 'apart'
LARGEST_TOLERANCE = 0.01  # in ln of volatility: a larger change is as large as gains claimed
_BOUND = "a share above 0 such as 0.21"
EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Section(BaseModel):
    """One table: frozen, refuses unknown keys, converts no value silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _fixed(value: str) -> str:
    try:
        parse_duration(value).ns  # noqa: B018 - raises for months
    except ValueError:
        raise ValueError(FIXED_EXAMPLES) from None
    return value


class PanelTable(Section):
    """`[panel]`: what the bars are, and what happens to symbols that fail a check."""

    name: str
    title: str = Field(min_length=1, description="one line that says what the bars are")
    bar: str
    calendar: Literal["24/7", "sessions"]
    timezone: str | None = None
    fill: Literal["carry", "none"] = "none"
    how_to_get: str = Field(
        default="the panel does not say", description="one line that says how to get the data"
    )
    note: str | None = None
    decimals: int | None = Field(
        default=None, ge=0, le=12, description="a whole number of decimals from 0 to 12"
    )
    on_bad: Literal["refuse", "exclude"] = "refuse"
    exchange: str | None = None
    overnight: Literal["in", "out", "apart"] = "in"
    revision_tolerance: float | None = Field(
        default=None,
        gt=0.0,
        le=LARGEST_TOLERANCE,
        description="a change of ln volatility above 0 and at most 0.01, which is 1 % of it: a "
        "larger one is as large as gains that hypotheses claim",
    )

    @field_validator("bar")
    @classmethod
    def _has_a_length(cls, bar: str) -> str:
        return _fixed(bar)


class ExtraColumn(Section):
    """`[columns.extra]`: another column of the file and its unit."""

    column: str
    unit: Literal["sigma", "variance", "none"]


class Columns(Section):
    """`[columns]`: panel column = file column."""

    ts: str = Field(description="the file's column of timestamps")
    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    volume: str | None = None
    adj_close: str | None = None
    pre_close: str | None = None
    symbol: str | None = None
    extra: dict[str, ExtraColumn] = Field(
        default={}, description="NAME = { column = '…', unit = 'sigma' | 'variance' | 'none' }"
    )
    return_: str | None = Field(default=None, alias="return")  # `return` is reserved in Python

    @property
    def bars(self) -> dict[str, str | None]:
        """The file's column for each price and for volume."""
        return {
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
        }

    @property
    def adjusting(self) -> dict[str, str | None]:
        """The file's column for each kind of price adjustment."""
        return {
            "adj_close": self.adj_close,
            "pre_close": self.pre_close,
            "return": self.return_,
        }


class Rows(Section):
    """`[rows]`: which rows of the file are bars."""

    keep: str | None = Field(default=None, description=WANTED)
    drop_inconsistent: bool = Field(default=False, description="true or false")
    drop_repeated: bool = Field(default=False, description="true or false")
    largest_move: float | None = Field(default=None, gt=0.0, description=_BOUND)
    largest_adjustment: float | None = Field(default=None, gt=0.0, description=_BOUND)

    @field_validator("keep")
    @classmethod
    def _reads(cls, keep: str | None) -> str | None:
        if keep is not None:
            parse_keep(keep)
        return keep


class LabelGroups(Section):
    """`[labels.groups.NAME]`: groups the texts of the label `of`: group -> `texts` in it."""

    of: str = Field(description="the name of a label in labels.columns")
    texts: dict[str, list[str]] = Field(min_length=1, description="GROUP = ['a text of the label']")


class LabelTable(Section):
    """`[labels]`: a file with one row per symbol, and which of its columns are labels.

    `groups` are labels made from another label by grouping its texts.
    """

    path: str = Field(min_length=1, description="the path of a .parquet or .csv file")
    symbol: str = Field(min_length=1, description="the file's column of symbols")
    columns: dict[str, str] = Field(min_length=1, description="NAME = 'a column of the file'")
    groups: dict[str, LabelGroups] = Field(
        default={}, description="tables [labels.groups.NAME] with of and texts"
    )


class SideSeries(Section):
    """`[side.NAME]`: the last known value of another panel's column."""

    panel: str = Field(description="another panel's name")
    column: str = Field(description="a column of that panel")
    max_age: str = "7d"

    @field_validator("max_age")
    @classmethod
    def _has_a_length(cls, max_age: str) -> str:
        return _fixed(max_age)


@dataclass(frozen=True)
class Found:
    """The sections of a panel file, each checked by itself."""

    kind: str
    params: Params
    panel: PanelTable
    columns: Columns
    rows: Rows
    labels: LabelTable | None
    side: Mapping[str, SideSeries]
