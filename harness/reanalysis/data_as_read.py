"""The study of a stored run, on its panel as the run read it: without what was added since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import parse_moment
from harness.panel.panel import Panel, open_panel
from harness.panel.selection import Selection
from harness.study.study import Study, set_up
from harness.types import Bars

if TYPE_CHECKING:
    from harness.panel.spec import PanelSpec
    from harness.spec.hypothesis import Hypothesis


def study_as_read(
    hypothesis: Hypothesis, record: Mapping[str, Any], search: Sequence[Path]
) -> Study:
    """The study set up on its panels, each cut at the end of the data that the record names.

    Raises what `set_up` and `open_panel` raise.
    """
    study = set_up(hypothesis, search)
    if study.source is not None and record.get("source"):
        study = replace(study, source=_as_read(study.source, record["source"]))
    return _as_read(study, record["panel"])


def _as_read(study: Study, words: Mapping[str, Any]) -> Study:
    """The study on its panel up to the end that the record names, with its symbols."""
    if words.get("end") is None:
        return study
    spec, panel, end = study.panel_spec, study.panel, parse_moment(words["end"])
    read = words.get("side", {})
    sides = {
        name: replace(side, panel=_side(panel.sides[name], read.get(name, {}), end))
        if name in panel.sides
        else side
        for name, side in spec.side.items()
    }
    members = spec.members and replace(spec.members, until=end)
    cut = replace(spec, until=end, side=sides, members=members)
    there = {*words["symbols"], *(entry["symbol"] for entry in words.get("excluded", ()))}
    opened = partial(
        open_panel,
        start=panel.start,
        end=panel.end,
        columns=panel.columns,
        select=Selection(begun_by=panel.begun_by, min_record=panel.min_record),
    )
    whole, spec = opened(cut), replace(cut, among=frozenset(there))
    found = whole if there.issuperset(whole.symbols) else opened(spec)
    h = study.hypothesis.panel
    if h.symbols is not None or h.draw is not None or h.unseen:
        found = replace(found, available=whole.available)
    return replace(study, panel_spec=spec, panel=found)


def _side(side: Panel, words: Mapping[str, Any], end: int) -> PanelSpec:
    """A side series' panel up to its own end; older records do not name it: its hash decides."""
    own = words.get("end")
    for until in [parse_moment(own)] if own is not None else [None, end]:
        spec = replace(side.spec, until=until)
        opened = open_panel(spec, start=side.start, end=side.end, columns=side.columns)
        (bars,) = opened.read()
        if isinstance(bars, Bars) and bars.fingerprint == words.get("fingerprint"):
            return spec
    return spec
