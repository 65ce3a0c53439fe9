"""Reads the daily series bundled with the arch package without importing the package.

Importing arch takes 1.5 seconds; its data are plain CSV files in its folder.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from harness.errors import PanelError
from harness.panel.sources.files import FileSource, Format, scan_csv
from harness.panel.sources.table import ArchParams, Request


def open_arch(params: ArchParams, request: Request) -> BundledSource:
    """Opens a bundled series; PanelError if the arch package or its file is missing."""
    package = find_spec("arch")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        path = Path(folder) / "data" / params.dataset / f"{params.dataset}.csv.gz"
        if path.is_file():
            return BundledSource(params.dataset, request, path)
    raise PanelError(
        f"{request.file}: source.dataset: the arch package's file {params.dataset}.csv.gz was not "
        f"found; how to get it: {request.how_to_get}"
    )


class BundledSource(FileSource):
    """One bundled file; its dates are month/day/year, its symbol is the name of the data set.

    A row whose values are all `.` is a holiday, not a bar.
    """

    def __init__(self, dataset: str, request: Request, path: Path) -> None:
        holds = pl.any_horizontal(pl.col(column) != "." for column in request.columns.values())
        form = Format(scan_csv, text=True, date_format="%m/%d/%Y", keep=holds)
        super().__init__(request, [path], form, dataset.upper())
        self._dataset = dataset

    def identity(self) -> object:
        """The data set and the package's version; reinstalling the same version changes nothing."""
        return [self._dataset, version("arch")]
