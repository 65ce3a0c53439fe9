"""A panel of many assets and a hypothesis on it."""

from __future__ import annotations

import numpy as np
import polars as pl

PANEL = """\
[panel]
name = "assets"
title = "Eight assets by day"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
on_bad = "exclude"
how_to_get = "made by the test"
[source]
kind = "parquet"
path = "assets.parquet"
[columns]
ts = "date"
symbol = "symbol"
close = "close"
return = "r"
[rows]
keep = "status == 1"
[labels]
path = "labels.csv"
symbol = "symbol"
columns = { sector = "sector" }
[side.vix]
panel = "fear"
column = "vix"
"""
FEAR = """\
[panel]
name = "fear"
title = "A side series"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
[source]
kind = "parquet"
path = "fear.parquet"
symbol = "VIX"
[columns]
ts = "date"
[columns.extra]
vix = { column = "vix", unit = "none" }
"""
HYPOTHESIS = """\
[hypothesis]
name = "assets-har"
title = "HAR on some assets"
claim = "Fear helps."
[panel]
name = "assets"
min_history = "100d"
[sample]
every = "1d"
scales = ["1d", "5d"]
measures = ["rv", "vix"]
[target]
measure = "rv"
scale = "log"
horizons = ["5d"]
back = "naive"
[walk_forward]
scheme = "expanding"
train = "100d"
test = "50d"
embargo = "5d"
first_test = "2021-06-01"
[models.persistence]
kind = "persistence"
[models.har]
kind = "ols"
features = ["log(rv_5d)", "log(vix_1d)"]
[verdict]
baseline = "persistence"
candidates = ["har"]
metric = "mae_log"
horizon = "5d"
min_gain = 0.01
alpha = 0.05
"""
N = 260


def asset(name: str, seed: int, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    r = np.expm1(rng.normal(0.0, 0.01, N) * np.exp(np.sin(np.arange(N) / 20)))
    dates = pl.date_range(pl.date(2021, 1, 1), pl.date(2021, 12, 31), eager=True)[:N]
    status = np.ones(N, int)
    status[50:53] = 0
    return pl.DataFrame(
        {"symbol": name, "date": dates, "close": 10.0 + rng.random(N), "r": r, "status": status}
    )[first:]
