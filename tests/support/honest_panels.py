"""Honest panels on which an audit has it hard: sessions with gaps, symbols that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from support import workspace

from harness.durations import NS_PER_MINUTE, parse_moment
from harness.panel.sessions import exchange_sessions

_HALF_HOUR, _DAY = 30 * NS_PER_MINUTE, 1_440 * NS_PER_MINUTE
_PANEL = """\
[panel]
name = "tiny"
title = "made by a test"
calendar = "sessions"
timezone = "UTC"
how_to_get = "made by a test"
{}

[source]
kind = "parquet"
path = "prices.parquet"
{}

[columns]
ts = "ts"
close = "close"
"""
HYPOTHESIS = workspace.changed(
    ('every = "1h"', 'every = "1d"'),
    ('scales = ["1h", "4h", "1d"]', 'scales = ["1d", "5d", "22d"]'),
    ('horizons = ["1h", "4h"]', 'horizons = ["5d"]'),
    ('train = "10d"', 'train = "200d"'),
    ('test = "5d"', 'test = "50d"'),
    ('embargo = "1d"', 'embargo = "5d"'),
    ('first_test = "2021-01-13"', 'first_test = "2021-01-04"'),
    ('"log(rv_1h)", "log(rv_4h)", "log(rv_1d)"', '"log(rv_1d)", "log(rv_5d)", "log(rv_22d)"'),
    ('horizon = "4h"', 'horizon = "5d"'),
)
# The same on every symbol alone and with an intercept of each.
BY_SYMBOL = workspace.changed(
    (
        "[verdict]",
        '[models.alone]\nkind = "ols"\nscope = "asset"\nfeatures = ["log(rv_1d)", "log(rv_5d)"]\n\n'
        '[models.own]\nkind = "ols"\nscope = "effects"\nfeatures = ["log(rv_1d)"]\n\n[verdict]',
    ),
    text=HYPOTHESIS,
)


# Effects of several features, pooled over all symbols: many windows are swept at once.
EFFECTS = HYPOTHESIS.replace(
    '[models.har]\nkind = "ols"\n', '[models.har]\nkind = "ols"\nscope = "effects"\n'
)


def exchange(folder: Path, overnight: str = "in") -> None:
    """Half hours of New York's sessions of two years, a thirtieth missing, and a few whole days."""
    sessions = exchange_sessions("XNYS", _HALF_HOUR)
    inside = np.searchsorted(sessions.opens, [parse_moment(f"{y}-01-02") for y in (2020, 2022)])
    ts = sessions.grid(inside[0], inside[1] - 1)
    ts = ts[sessions.place(ts)[2]]
    rng = np.random.default_rng(5)
    day = ts // _DAY
    keep = (rng.random(ts.size) > 1 / 30) & ~np.isin(day, rng.choice(day, 5))
    keep[[0, -1]] = True
    head = f'bar = "30m"\nexchange = "XNYS"\novernight = "{overnight}"\nfill = "carry"'
    (folder / "panels/tiny.toml").write_text(_PANEL.format(head, 'symbol = "X"'))
    _write(folder, {"X": ts[keep]})


def ragged(folder: Path) -> None:
    """Days of five symbols: whole, late, ended, suspended for months, one that trades rarely."""
    days = parse_moment("2019-06-03") + _DAY * np.arange(1_200)
    days = days[(days // _DAY + 3) % 7 < 5]
    rng = np.random.default_rng(6)
    suspended = np.ones(days.size, bool)
    for first in (380, 560, 700):
        suspended[first : first + 60] = False
    stamps = {
        "ENDED": days[:600],
        "LATE": days[350:],
        "RARE": days[rng.random(days.size) < 0.4],
        "SUSPENDED": days[suspended],
        "WHOLE": days,
    }
    text = _PANEL.format('bar = "1d"', "").replace('ts = "ts"', 'ts = "ts"\nsymbol = "symbol"')
    (folder / "panels/tiny.toml").write_text(text)
    _write(folder, stamps)


def still(folder: Path) -> None:
    """Days of 16 symbols, one of which stops moving half way."""
    days = parse_moment("2019-06-03") + _DAY * np.arange(1_400)
    days = days[(days // _DAY + 3) % 7 < 5]
    text = _PANEL.format('bar = "1d"', "").replace('ts = "ts"', 'ts = "ts"\nsymbol = "symbol"')
    (folder / "panels/tiny.toml").write_text(text)
    _write(folder, {f"S{k}": days for k in range(16)}, stops={"S5": 560})


def _write(
    folder: Path, stamps: dict[str, np.ndarray], stops: Mapping[str, int] | None = None
) -> None:
    """Prices of each symbol at its stamps, of a volatility that lasts; `stops`: then they stay."""
    frames = []
    for code, (symbol, ts) in enumerate(stamps.items()):
        rng = np.random.default_rng([7, code])
        slow = np.cumsum(rng.standard_normal(ts.size)) * 0.02
        sigma = 0.01 * np.exp(slow - slow.mean())
        close = 100.0 * np.exp(np.cumsum(sigma * rng.standard_normal(ts.size)))
        last = (stops or {}).get(symbol, ts.size)
        close[last:] = close[last - 1]
        times = pl.Series("ts", ts).cast(pl.Datetime("ns", "UTC"))
        names = pl.Series("symbol", [symbol]).new_from_index(0, ts.size)
        frames.append(pl.DataFrame([times, names, pl.Series("close", close)]))
    pl.concat(frames).write_parquet(folder / "panels/prices.parquet")
