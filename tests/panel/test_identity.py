"""The hash of what a panel file says of its bars: what changes it, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import workspace

from harness.panel.identity import panel_identity
from harness.panel.reading import read_panel

READ = ("close", "rv5", "vix")
PANEL = """\
[panel]
name = "p"
title = "Hourly bars"
bar = "1h"
calendar = "24/7"
timezone = "UTC"
how_to_get = "ask"

[source]
kind = "csv"
path = "a/prices.csv"
symbol = "X"

[columns]
ts = "ts"
close = "close"
volume = "size"

[columns.extra]
rv5 = { column = "RV5", unit = "variance" }

[rows]
keep = "size > 0"

[labels]
path = "labels.csv"
symbol = "name"
columns = { sector = "sector" }

[side.vix]
panel = "fear"
column = "vix"
max_age = "3d"
"""
FEAR = """\
[panel]
name = "fear"
title = "The VIX"
bar = "1d"
calendar = "sessions"

[source]
kind = "arch"
dataset = "vix"

[columns]
ts = "Date"

[columns.extra]
vix = { column = "vix", unit = "sigma" }
"""


def meaning(folder: Path, panel: str = PANEL, fear: str = FEAR) -> str:
    (folder / "fear.toml").write_text(fear)
    (folder / "p.toml").write_text(panel)
    return panel_identity(read_panel(folder / "p.toml"), READ)


@pytest.mark.parametrize(
    "change",
    [
        ('bar = "1h"', 'bar = "30m"'),
        ('timezone = "UTC"', 'timezone = "Europe/Berlin"'),
        ('how_to_get = "ask"', 'how_to_get = "ask"\nfill = "carry"'),
        ('how_to_get = "ask"', 'how_to_get = "ask"\ndecimals = 0'),
        ('how_to_get = "ask"', 'how_to_get = "ask"\non_bad = "exclude"'),
        ('ts = "ts"', 'ts = "time"'),
        ('close = "close"', 'close = "last"'),
        ('unit = "variance"', 'unit = "sigma"'),
        ("size > 0", "size > 1"),
        ("size > 0", 'size > 0"\ndrop_inconsistent = true\n#'),
        ('"X"', '"Y"'),
        ('max_age = "3d"', 'max_age = "2d"'),
        ('{ sector = "sector" }', '{ sector = "industry" }'),
    ],
)
def test_what_changes_how_bars_are_read_changes_it(tmp_path, change):
    assert meaning(tmp_path, workspace.changed(change, text=PANEL)) != meaning(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        ("Hourly bars", "Bars by the hour"),
        ('how_to_get = "ask"', 'how_to_get = "buy"\nnote = "careful"\non_bad = "refuse"'),
        ("a/prices.csv", "b/prices.csv"),
        ('"1h"', '"60m"'),
        ("labels.csv", "sectors.csv"),
        ("size > 0", "size  >  0"),
        ('volume = "size"', 'volume = "amount"'),  # not read here
        ('max_age = "3d"', 'max_age = "72h" # three days'),
    ],
)
def test_words_paths_and_what_is_not_read_do_not_change_it(tmp_path, change):
    assert meaning(tmp_path, workspace.changed(change, text=PANEL)) == meaning(tmp_path)


def test_the_files_of_side_series_are_part_of_it(tmp_path):
    other = workspace.changed(('"vix"\n', '"sp500"\n'), text=FEAR)
    assert meaning(tmp_path, fear=other) != meaning(tmp_path)
    assert meaning(tmp_path, fear=FEAR.replace("The VIX", "Fear")) == meaning(tmp_path)


def test_it_stays_what_it_was_when_keys_come_later(tmp_path):
    # Another hash here makes every logged run on unchanged data void.
    assert meaning(tmp_path) == "sha256:346e9f3b06ae35df399bcec80f4e3794"
