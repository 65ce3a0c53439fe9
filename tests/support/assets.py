"""Panels of several assets, written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from harness.panel.panel import open_panel
from harness.panel.reading import read_panel
from harness.types import Bars, Excluded

HEAD = """[panel]
name = "p"
title = "test"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
how_to_get = "ask a friend"
[source]
kind = "csv"
path = "f.csv"
[columns]
ts = "ts"
symbol = "s"
open = "open"
high = "high"
low = "low"
close = "close"
"""


def history(n: int, seed: int) -> pl.DataFrame:
    """One symbol's days as an exchange quotes them, with a split and dividends, and the truth."""
    rng = np.random.default_rng(seed)
    gross = np.exp(rng.normal(0.0, 0.02, n))
    true = 50.0 * np.cumprod(gross)
    # What a share is worth in shares of today: a 3-for-1 split, then dividends of 2 %.
    shares = np.ones(n)
    shares[: n // 3] *= 3.0
    shares[: 2 * n // 3] *= 1.02
    close = true * shares
    before = np.concatenate([[close[0] / gross[0]], close[1:] / gross[1:]])
    high, low = close * np.exp(rng.random(n) * 0.01), close * np.exp(-rng.random(n) * 0.01)
    opened = low + rng.random(n) * (high - low)
    ts = (np.datetime64("2021-01-04") + np.arange(n)).astype(str)
    return pl.DataFrame(
        {"ts": ts, "s": "A", "open": opened, "high": high, "low": low, "close": close,
         "adj": true * 0.8, "pre": before, "r": gross - 1.0, "status": 1, "true": true}
    )  # fmt: skip


def write(folder: Path, frame: pl.DataFrame, more: str = "", *, head: str = HEAD) -> Path:
    """The panel file p.toml, `more` after its columns, and its f.csv."""
    frame.write_csv(folder / "f.csv")
    (folder / "p.toml").write_text(head + more)
    return folder / "p.toml"


def read(file: Path, *columns: str, **more: object) -> list[Bars | Excluded]:
    spec = read_panel(file)
    names = columns or ("close",)
    return list(open_panel(spec, start=None, end=None, columns=names, **more).read())
