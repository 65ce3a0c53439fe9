"""A panel of hourly bars in a file that grows, and the workspace's hypothesis on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from support import workspace

TINY = "hypotheses/tiny-har.toml"
HOURS = 40 * 24
Prices = dict[str, np.ndarray]


def grow(folder: Path, days: int, edit: int | None = None, symbols: str = "X") -> None:
    """Hourly closes of so many days from a file, one of them edited; each symbol's alike."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(40 * 24) * np.exp(0.4 * np.sin(np.arange(40 * 24) / 31.0))
    close = (100.0 * np.exp(np.cumsum(0.01 * noise)))[: days * 24]
    if edit is not None:
        close[edit] *= 1.02
    start = np.datetime64("2021-01-01T00")
    rows = [
        f"{start + np.timedelta64(k, 'h')}:00,{c:.6f},{symbol}"
        for k, c in enumerate(close)
        for symbol in symbols
    ]
    (folder / "panels/prices.csv").write_text("ts,close,name\n" + "\n".join(rows) + "\n")


def lay_out_grown(folder: Path, *panel: tuple[str, str]) -> None:
    """The workspace's hypothesis on hourly bars from a file that grows."""
    changes = (('"file"', '"tiny"'), *panel)
    (folder / "panels/tiny.toml").write_text(workspace.changed(*changes, text=workspace.CSV_PANEL))
    text = workspace.changed(
        ('every = "1h"\nscales = ["1h", "4h", "1d"]', 'every = "4h"\nscales = ["4h", "12h", "1d"]'),
        ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'),
        ('["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', '["log(rv_4h)", "log(rv_1d)"]'),
    )
    (folder / TINY).write_text(text)


def prices() -> Prices:
    """Close, high and low of forty days of hours."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(HOURS) * np.exp(0.4 * np.sin(np.arange(HOURS) / 31.0))
    close = 100.0 * np.exp(np.cumsum(0.01 * noise))
    before = np.concatenate((close[:1], close[:-1]))
    range_ = 1.0 + 0.004 * np.exp(0.3 * rng.standard_normal(HOURS))
    high, low = np.maximum(close, before) * range_, np.minimum(close, before) / range_
    return {"close": close, "high": high, "low": low}


def write(
    folder: Path,
    hours: int,
    edit: Callable[[Prices], object] = lambda _: None,
    *,
    first: int = 0,
    digits: int = 9,
    name: str = "prices",
) -> None:
    """The hours `first` to `hours` - 1 of these prices as `panels/NAME.csv`, edited."""
    columns = prices()
    edit(columns)
    start = np.datetime64("2021-01-01T00")
    rows = [
        ",".join(
            [
                f"{start + np.timedelta64(k, 'h')}:00",
                *(f"{columns[c][k]:.{digits}f}" for c in columns),
            ]
        )
        for k in range(first, hours)
    ]
    (folder / f"panels/{name}.csv").write_text("\n".join(["ts,close,high,low", *rows]) + "\n")


RANGES = (
    ('every = "1h"\nscales = ["1h", "4h", "1d"]', 'every = "4h"\nscales = ["4h", "12h", "1d"]'),
    ('measures = ["rv"]', 'measures = ["rv", "pk"]'),
    ('measure = "rv"\nscale', 'measure = "pk"\nscale'),
    ('horizons = ["1h", "4h"]', 'horizons = ["4h"]'),
    ('["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', '["log(pk_4h)", "log(rv_1d)"]'),
)


def spec(*changes: tuple[str, str]) -> str:
    """A hypothesis on the ranges: its target reads high and low, a feature the close."""
    return workspace.changed(*changes, text=workspace.changed(*RANGES))


def lay_out_ranges(folder: Path, *panel: tuple[str, str]) -> None:
    """A panel of these prices, and the hypothesis on its ranges."""
    changes = (
        ('"file"', '"tiny"'),
        ('close = "close"', 'close = "close"\nhigh = "high"\nlow = "low"'),
    )
    text = workspace.changed(*changes, *panel, text=workspace.CSV_PANEL)
    (folder / "panels/tiny.toml").write_text(text)
    (folder / TINY).write_text(spec())
