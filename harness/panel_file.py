"""Panel files: panels/NAME.toml read into a frozen PanelSpec, and found by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import xxhash
from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.durations import FIXED_EXAMPLES, Duration, parse_duration
from harness.errors import HarnessError, UsageError, nearest, one_line
from harness.measures.table import MEASURES
from harness.sources.table import KINDS, Params
from harness.spec_errors import (
    Problem,
    parse_toml,
    read_spec,
    refuse,
    unknown_key,
    unknown_word,
    validate,
)

BAR_COLUMNS = ("open", "high", "low", "close", "volume")
_EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SECTIONS = ("panel", "source", "columns")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Panel(_Section):
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

    @field_validator("bar")
    @classmethod
    def _has_a_length(cls, bar: str) -> str:
        try:
            parse_duration(bar).ns  # noqa: B018 - raises for months
        except ValueError:
            raise ValueError(FIXED_EXAMPLES) from None
        return bar


class _Extra(_Section):
    column: str
    unit: Literal["sigma", "variance", "none"]


class _Columns(_Section):
    ts: str = Field(description="the file's column of time stamps")
    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    volume: str | None = None
    symbol: str | None = None
    extra: dict[str, _Extra] = Field(
        default={}, description="NAME = { column = '…', unit = 'sigma' | 'variance' | 'none' }"
    )


@dataclass(frozen=True)
class PanelSpec:
    """What a panel file says.

    `columns` maps the panel's columns (extra ones too) to the file's; `extra_units` gives the
    unit of each extra column; `digest` hashes the file's bytes.
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
    kind: str
    params: Params
    time_column: str
    symbol_column: str | None
    columns: Mapping[str, str]
    extra_units: Mapping[str, str]
    file: Path
    digest: str


@dataclass(frozen=True)
class BrokenPanel:
    """A panel file that cannot be accepted, and why."""

    name: str
    file: Path
    error: HarnessError


def find_panel(name: str, search: Sequence[Path]) -> PanelSpec:
    """The panel of this name in the first folder that has one.

    Raises UsageError, with the nearest name and the folders, when there is none; SpecError when
    its file cannot be accepted.
    """
    known = dict(_panel_files(search))
    if name not in known:
        near = nearest(name, known)
        places = ", ".join(str(folder) for folder in search)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UsageError(f"no panel {one_line(name)} in {places}{hint}")
    return read_panel(known[name])


def list_panels(search: Sequence[Path]) -> list[PanelSpec | BrokenPanel]:
    """Every panel in these folders by name; a name found twice counts where it is found first."""
    panels: list[PanelSpec | BrokenPanel] = []
    for name, file in sorted(_panel_files(search)):
        try:
            panels.append(read_panel(file))
        except HarnessError as error:
            panels.append(BrokenPanel(name, file, error))
    return panels


def _panel_files(search: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    seen: set[str] = set()
    for folder in search:
        for file in sorted(folder.glob("*.toml")):
            if file.stem not in seen:
                seen.add(file.stem)
                yield file.stem, file


def read_panel(file: Path) -> PanelSpec:
    """Read and check one panel file.

    Raises SpecError naming file, key, got, wanted and the nearest word; UsageError when the file
    cannot be read.
    """
    text = read_spec(file, "a panel file")
    raw = parse_toml(text, file)
    kind, params, panel, columns, problems = _sections(raw)
    if not problems:
        problems = [*_panel_problems(file, panel), *_column_problems(raw, kind, panel, columns)]
    if problems:
        refuse(file, raw, problems)
    mapped = {name: getattr(columns, name) for name in BAR_COLUMNS}
    mapped = {name: column for name, column in mapped.items() if column is not None}
    mapped |= {name: column.column for name, column in columns.extra.items()}
    return PanelSpec(
        **panel.model_dump(exclude={"bar"}),
        bar=parse_duration(panel.bar),
        kind=kind,
        params=params,
        time_column=columns.ts,
        symbol_column=columns.symbol,
        columns=mapped,
        extra_units={name: column.unit for name, column in columns.extra.items()},
        file=file,
        digest=f"xxh3:{xxhash.xxh3_128(text.encode()).hexdigest()}",
    )


def _sections(raw: Mapping[str, Any]) -> tuple[str, Params, _Panel, _Columns, list[Problem]]:
    """Each section checked by itself; where there are problems some of the four are None."""
    problems = [unknown_key((key,), _SECTIONS) for key in raw if key not in _SECTIONS]
    panel, found = validate(_Panel, raw.get("panel"), ("panel",))
    problems += found
    source = raw.get("source")
    kind = source.get("kind") if isinstance(source, dict) else None
    params = None
    if not isinstance(kind, str) or kind not in KINDS:
        problems.append(unknown_word(("source", "kind"), kind, KINDS))
    else:
        rest = {key: value for key, value in source.items() if key != "kind"}
        params, found = validate(KINDS[kind].params, rest, ("source",), ("kind",))
        problems += found
    if kind == "simulated":
        columns = _Columns(ts="ts", **{name: name for name in BAR_COLUMNS})
    else:
        columns, found = validate(_Columns, raw.get("columns"), ("columns",))
        problems += found
    return kind, params, panel, columns, problems


def _panel_problems(file: Path, panel: _Panel) -> Iterator[Problem]:
    if panel.name != file.stem:
        yield Problem(("panel", "name"), f"'{file.stem}', the file's own name", panel.name)
    if panel.calendar == "sessions" and panel.bar != "1d":
        yield Problem(("panel", "calendar"), "'24/7' unless panel.bar is '1d'", "sessions")
    if panel.calendar == "sessions" and panel.fill == "carry":
        wanted = "'none' for sessions, which have no grid to fill"
        yield Problem(("panel", "fill"), wanted, "carry")
    if panel.timezone not in (None, "UTC"):
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(panel.timezone)
        except (ValueError, OSError, LookupError):
            near = nearest(panel.timezone, available_timezones())
            wanted = "an IANA name such as 'Europe/Berlin'"
            yield Problem(("panel", "timezone"), wanted, panel.timezone, near)


def _column_problems(
    raw: Mapping[str, Any], kind: str, panel: _Panel, columns: _Columns
) -> Iterator[Problem]:
    source = raw["source"]
    if kind == "simulated":
        if "columns" in raw:
            yield Problem(("columns",), "no such section: simulated bars need none")
        if panel.decimals is not None:
            wanted = "no such key for simulated bars, which have source.tick"
            yield Problem(("panel", "decimals"), wanted, panel.decimals)
        if panel.calendar != "24/7" or 86_400_000_000_000 % parse_duration(panel.bar).ns:
            wanted = "a bar that divides the day, and calendar '24/7', for simulated bars"
            yield Problem(("panel", "bar"), wanted, f"{panel.bar}, {panel.calendar}")
        return
    if source.get("symbol") and columns.symbol:
        wanted = "no such key, since columns.symbol names a column"
        yield Problem(("source", "symbol"), wanted, source["symbol"])
    if not (columns.close or (columns.high and columns.low) or columns.extra):
        yield Problem(("columns",), "close, or high and low, or a column in extra")
    if panel.fill == "carry" and columns.close is None:
        yield Problem(("columns", "close"), "a column, since fill = 'carry' carries it")
    taken = sorted({*_Columns.model_fields, *MEASURES})
    for name in columns.extra:
        if _EXTRA_NAME.fullmatch(name) is None or name in taken:
            wanted = f"a name of a-z, 0-9 and _ other than {', '.join(taken)}"
            yield Problem(("columns", "extra", name), wanted, name)
