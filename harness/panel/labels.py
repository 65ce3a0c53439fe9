"""Labels of symbols (sector, industry) from a file with one row per symbol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from harness.errors import PanelError, nearest, one_line
from harness.panel.sources.files import find_files, scan_csv, scan_parquet
from harness.panel.spec import Labels, PanelSpec

UNKNOWN = "unknown"


def label_file(spec: PanelSpec) -> Path:
    """The file of labels; PanelError with how to get it if it is missing."""
    path, folder, key = _labels(spec).path, spec.file.parent, "labels.path"
    return find_files(path, folder, str(spec.file), spec.how_to_get, key)[0]


def _labels(spec: PanelSpec) -> Labels:
    assert spec.labels is not None, "only panels with [labels] have a label file"
    return spec.labels


def read_labels(spec: PanelSpec, symbols: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
    """Label -> {symbol: text} for each of `symbols`; `unknown` where the file has no text.

    Raises PanelError if the file is missing, cannot be read, lacks a column or has two different
    rows for one symbol.
    """
    path, wanted = label_file(spec), _labels(spec)
    where = f"{spec.file}: labels: {path.name}"
    scan = scan_csv if path.suffix == ".csv" else scan_parquet
    try:
        frame = scan([path])
        has = frame.collect_schema().names()
        for column in (wanted.symbol, *wanted.columns.values()):
            if column not in has:
                near = nearest(column, has)
                hint = f"did you mean '{near}'?" if near else f"it has {', '.join(has)}"
                raise PanelError(f"{where}: no column '{column}'; {hint}")
        text = [pl.col(c).cast(pl.String).alias(n) for n, c in wanted.columns.items()]
        asked = frame.select(pl.col(wanted.symbol).cast(pl.String).alias("\0"), *text)
        found = asked.unique(maintain_order=True).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PanelError(f"{where}: cannot be read: {one_line(reason, 160)}") from error
    rows = {row[0]: row[1:] for row in found.iter_rows()}
    if len(rows) < found.height:
        twice = found["\0"].filter(found["\0"].is_duplicated())[0]
        raise PanelError(f"{where}: symbol {one_line(twice)} has two different rows; wanted one")
    nothing = (None,) * len(text)
    labels = {
        name: {symbol: (rows.get(symbol, nothing)[i] or UNKNOWN) for symbol in symbols}
        for i, name in enumerate(wanted.columns)
    }
    groups = {
        name: {symbol: group_of.get(text, UNKNOWN) for symbol, text in labels[of].items()}
        for name, (of, group_of) in wanted.groups.items()
    }
    return labels | groups
