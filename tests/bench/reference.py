"""The study of hypotheses/har-rv-j.toml as a typical user would write it.

Pandas rolling sums and statsmodels' OLS: four models, three horizons, 21 windows, the three
scores of the verdict card pooled and per window. `python reference.py BARS` prints the pooled
ones as JSON. This is what the harness is timed against; it must stay plain, not fast.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import spearmanr

SPAN = pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2026-04-03", tz="UTC")
FIRST_TEST = pd.Timestamp("2021-01-02", tz="UTC")
WINDOWS = 21
SCALES = {"1h": 60, "4h": 240, "1d": 1440}
FLOOR = 1e-6


def read(bars: str) -> pd.Series:
    """Minute closes over the span; where minutes miss, the last price is carried forward."""
    frame = pd.read_parquet(bars, columns=["timestamp", "close"]).set_index("timestamp")
    close = frame["close"].loc[SPAN[0] : SPAN[1] - pd.Timedelta(minutes=1)]
    if close.dtype == "float32":
        close = close.astype("float64").round(2)
    if len(close) == (SPAN[1] - SPAN[0]) // pd.Timedelta(minutes=1):
        return close
    # Not reindex(date_range(…)): stamps of another unit than the file's cost pandas two minutes.
    return close.asfreq("1min").ffill()


def features(close: pd.Series) -> pd.DataFrame:
    """Hourly logs of realised volatility, bipower variation, jumps, and the targets."""
    r = np.log(close).diff()
    square, product = r**2, r.abs() * r.abs().shift()
    columns = {}
    for s, w in SCALES.items():
        columns[f"rv_{s}"] = np.sqrt(square.rolling(w).sum() / w)
        columns[f"bv_{s}"] = np.sqrt(np.pi / 2 / w * product.rolling(w - 1).sum())
    f = pd.DataFrame(columns).iloc[59::60]
    f.index = f.index + pd.Timedelta(minutes=1)
    for s in SCALES:
        jump = np.sqrt(np.maximum(f[f"rv_{s}"] ** 2 - f[f"bv_{s}"] ** 2, 0))
        f[f"log1p_j_{s}"] = np.log1p(jump)
        f[f"log_rv_{s}"] = np.log(np.maximum(f[f"rv_{s}"], FLOOR))
        f[f"log_bv_{s}"] = np.log(np.maximum(f[f"bv_{s}"], FLOOR))
    for s, w in SCALES.items():
        f[f"y_{s}"] = f[f"log_rv_{s}"].shift(-(w // 60))
    return f


def models(horizon: str) -> dict[str, list[str]]:
    """The regressors of each model; none for persistence."""
    har = [f"log_rv_{s}" for s in SCALES]
    return {
        "persistence": [],
        "har-rv": har,
        "har-rv-j": [*har, f"log1p_j_{horizon}"],
        "har-rv-cj": [f"log_bv_{s}" for s in SCALES] + [f"log1p_j_{s}" for s in SCALES],
    }


def scores(y: pd.Series, yhat: pd.Series) -> tuple[float, float, float]:
    """Spearman's correlation, R2 and MAE of the log forecast."""
    errors = y - yhat
    r2 = 1 - (errors**2).sum() / ((y - y.mean()) ** 2).sum()
    return spearmanr(y, yhat).statistic, r2, errors.abs().mean()


def study(bars: str) -> dict[str, dict[str, tuple]]:
    """{"4h": {"har-rv": (pooled scores, [scores of every window])}}"""
    f = features(read(bars))
    cuts = [FIRST_TEST + pd.DateOffset(months=3 * i) for i in range(WINDOWS + 1)]
    found: dict[str, dict[str, tuple]] = {}
    for horizon, w in SCALES.items():
        rows = f.dropna(subset=[c for c in f.columns if not c.startswith("y_")] + [f"y_{horizon}"])
        label_end = rows.index + pd.Timedelta(minutes=w)
        found[horizon] = {}
        for name, columns in models(horizon).items():
            forecasts = []
            for cut, end in pairwise(cuts):
                test = rows[(rows.index >= cut) & (rows.index < end)]
                if not columns:
                    forecasts.append(test[f"log_rv_{horizon}"])
                    continue
                started = rows.index >= cut - pd.DateOffset(months=12)
                train = rows[started & (label_end <= cut - pd.Timedelta(days=1))]
                fit = sm.OLS(train[f"y_{horizon}"], sm.add_constant(train[columns])).fit()
                forecasts.append(fit.predict(sm.add_constant(test[columns], has_constant="add")))
            yhat = pd.concat(forecasts)
            y = rows.loc[yhat.index, f"y_{horizon}"]
            windows = [scores(y.loc[part.index], part) for part in forecasts]
            found[horizon][name] = scores(y, yhat), windows
    return found


if __name__ == "__main__":
    answer = study(sys.argv[1])
    print(json.dumps({h: {m: s[0] for m, s in by.items()} for h, by in answer.items()}))
