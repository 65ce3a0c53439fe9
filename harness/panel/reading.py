"""Finds panel files by name and reads them into checked PanelSpecs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import xxhash
from pydantic import BaseModel

from harness.durations import parse_duration
from harness.errors import HarnessError, UsageError, nearest, one_line
from harness.panel.arguments import folder_list
from harness.panel.cleaning import Cleaning
from harness.panel.cross_checks import column_problems, name_problems, panel_problems
from harness.panel.row_filter import parse_keep
from harness.panel.sections import (
    OVERNIGHT,
    Columns,
    Found,
    LabelTable,
    PanelTable,
    Rows,
    SideSeries,
)
from harness.panel.sources.table import KINDS, Params, PortfolioParams
from harness.panel.spec import Adjusting, Labels, PanelSpec, Side
from harness.toml.problems import (
    Problem,
    parse_toml,
    read_spec,
    refuse,
    unknown_key,
    unknown_word,
    validate,
)
from harness.types import VOLUME

_SECTIONS = ("panel", "source", "columns", "rows", "labels", "side")
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class BrokenPanel:
    """A panel file with an error, and the error."""

    name: str
    file: Path
    error: HarnessError


def find_panel(name: str, search: Sequence[str | Path] = ("panels",)) -> PanelSpec:
    """The panel of this name, from the first folder that has one.

    Raises UsageError with the nearest name and the folders if there is none, SpecError if its
    file has an error.
    """
    if not isinstance(name, str):
        raise UsageError(f"panel: got {one_line(name)}, wanted a panel's name")
    folders = folder_list(search)
    known = dict(_panel_files(folders))
    if name not in known:
        near = nearest(name, known)
        places = ", ".join(str(folder) for folder in folders)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UsageError(f"no panel {one_line(name)} in {places}{hint}")
    return read_panel(known[name], folders)


def list_panels(search: Sequence[Path]) -> list[PanelSpec | BrokenPanel]:
    """All panels in these folders, by name; of two with the same name the first is taken."""
    panels: list[PanelSpec | BrokenPanel] = []
    for name, file in sorted(_panel_files(search)):
        try:
            panels.append(read_panel(file, search))
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


def read_panel(file: Path, search: Sequence[Path] = ()) -> PanelSpec:
    """Read and check one panel file.

    The panels of its side series are searched beside it, then in `search`. Raises SpecError with
    file, key, got, wanted and the nearest word, UsageError if the file cannot be read.
    """
    return _read(file, dict(_panel_files([file.parent, *search])))


def _read(file: Path, known: Mapping[str, Path] | None) -> PanelSpec:
    """Read a panel file; with `known` None (the panel of a side series) without side series."""
    text = read_spec(file, "a panel file")
    raw = parse_toml(text, file)
    found, problems = _sections(raw)
    if found is None:
        refuse(file, raw, problems)
    problems = [*panel_problems(file, found.panel), *column_problems(raw, found)]
    problems += name_problems(found)
    side: dict[str, Side] = {}
    if not problems and known is not None:
        side, problems = _side(found.side, known)
    members = None
    if not problems and isinstance(found.params, PortfolioParams):
        beside = known or dict(_panel_files([file.parent]))
        members, problems = _members(found, found.params.panel, beside)
    if problems:
        refuse(file, raw, problems)
    table, columns, rows = found.panel, found.columns, found.rows
    mapped = {name: column for name, column in columns.bars.items() if column is not None}
    mapped |= {name: extra.column for name, extra in columns.extra.items()}
    adjusting = [Adjusting(kind, column) for kind, column in columns.adjusting.items() if column]
    units: dict[str, str] = {name: extra.unit for name, extra in columns.extra.items()}
    units |= {VOLUME: "none"} if columns.volume else {}
    units |= {OVERNIGHT: "none"} if table.overnight == "apart" else {}
    named = [s.panel for s in side.values()] + ([members] if members else [])
    words = "".join([text, *(panel.digest for panel in named)])
    return PanelSpec(
        name=table.name,
        title=table.title,
        bar=parse_duration(table.bar),
        calendar=table.calendar,
        timezone=table.timezone,
        fill=table.fill,
        how_to_get=table.how_to_get,
        note=table.note,
        decimals=table.decimals,
        on_bad=table.on_bad,
        exchange=table.exchange,
        overnight=table.overnight,
        kind=found.kind,
        params=found.params,
        time_column=columns.ts,
        symbol_column=columns.symbol,
        columns=mapped,
        extra_units=units | {name: series.unit for name, series in side.items()},
        adjusting=adjusting[0] if adjusting else None,
        keep=parse_keep(rows.keep) if rows.keep is not None else (),
        drop_inconsistent=rows.drop_inconsistent,
        cleaning=Cleaning(rows.drop_repeated, rows.largest_move, rows.largest_adjustment),
        labels=_labels(found.labels) if found.labels else None,
        side=side,
        file=file,
        digest=f"xxh3:{xxhash.xxh3_128(words.encode()).hexdigest()}",
        members=members,
        revision_tolerance=table.revision_tolerance,
    )


def _labels(table: LabelTable) -> Labels:
    groups = {
        name: (made.of, {text: group for group, texts in made.texts.items() for text in texts})
        for name, made in table.groups.items()
    }
    return Labels(table.path, table.symbol, table.columns, groups)


def _sections(raw: Mapping[str, Any]) -> tuple[Found | None, list[Problem]]:
    """Each section checked by itself, or None and what is wrong."""
    problems = [unknown_key((key,), _SECTIONS) for key in raw if key not in _SECTIONS]

    def checked(
        model: type[_Model], table: object, *loc: str, also: tuple[str, ...] = ()
    ) -> _Model | None:
        section, wrong = validate(model, table, loc, also)
        problems.extend(wrong)
        return section

    source = raw.get("source")
    kind = source.get("kind") if isinstance(source, dict) else None
    panel = checked(PanelTable, raw.get("panel"), "panel")
    params: Params | None = None
    made: tuple[str, ...] = ()
    if not isinstance(source, dict) or not isinstance(kind, str) or kind not in KINDS:
        problems.append(unknown_word(("source", "kind"), kind, KINDS))
    else:
        rest = {key: value for key, value in source.items() if key != "kind"}
        params = checked(KINDS[kind].params, rest, "source", also=("kind",))
        made = KINDS[kind].makes
    columns: Columns | None
    if made:
        columns = Columns.model_validate({"ts": "ts"} | {name: name for name in made})
    else:
        columns = checked(Columns, raw.get("columns"), "columns")
    rows = checked(Rows, raw.get("rows", {}), "rows")
    labels = checked(LabelTable, raw["labels"], "labels") if "labels" in raw else None
    tables = raw.get("side", {})
    if not isinstance(tables, Mapping):
        problems.append(Problem(("side",), "tables [side.NAME]", tables))
        tables = {}
    side: dict[str, SideSeries] = {}
    for name, table in tables.items():
        if (series := checked(SideSeries, table, "side", name)) is not None:
            side[name] = series
    if problems or not (kind and params and panel and columns and rows):
        return None, problems
    return Found(kind, params, panel, columns, rows, labels, side), problems


def _members(
    found: Found, name: str, known: Mapping[str, Path]
) -> tuple[PanelSpec | None, list[Problem]]:
    """The panel whose symbols the portfolios hold; it must have the same bars."""
    loc = ("source", "panel")
    if name not in known or name == found.panel.name:
        places = ", ".join(dict.fromkeys(str(file.parent) for file in known.values()))
        what = f"another panel with a file in {places}"
        return None, [Problem(loc, what, name, nearest(name, known))]
    panel = _read(known[name], None)
    if "close" not in panel.columns:
        return None, [Problem(loc, "a panel with a close", name)]
    if panel.members is not None:
        return None, [Problem(loc, "a panel whose symbols are not portfolios", name)]
    if (str(panel.bar), panel.calendar) != (found.panel.bar, found.panel.calendar):
        wanted = f"a panel of {found.panel.bar} bars and calendar '{found.panel.calendar}'"
        return None, [Problem(loc, wanted, f"{name}: {panel.bar}, {panel.calendar}")]
    return panel, []


def _side(
    wanted: Mapping[str, SideSeries], known: Mapping[str, Path]
) -> tuple[dict[str, Side], list[Problem]]:
    """Each side series with its panel, whose file is found in `known`."""
    side: dict[str, Side] = {}
    problems: list[Problem] = []
    for name, series in wanted.items():
        if series.panel not in known:
            places = ", ".join(dict.fromkeys(str(file.parent) for file in known.values()))
            near = nearest(series.panel, known)
            what = f"a panel with a file in {places}"
            problems.append(Problem(("side", name, "panel"), what, series.panel, near))
            continue
        panel = _read(known[series.panel], None)
        if series.column not in panel.columns:
            problems.append(unknown_word(("side", name, "column"), series.column, panel.columns))
            continue
        unit = panel.extra_units.get(series.column, "none")
        side[name] = Side(panel, series.column, unit, parse_duration(series.max_age).ns)
    return side, problems
