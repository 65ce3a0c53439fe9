"""Daily refits of GARCH, GJR and EGARCH on stocks: our chain against arch, in time and likelihood.

The contender is the loop a typical user writes: arch's `fit` on every window, cold. It is timed on
a sample of windows and a stock's 900 refits are taken to cost that mean each; the chain is timed
on all of them. The best likelihood known of a sampled window is the highest of the chain's, arch's
and ours from five starts; a fit that ends more than 0.01 under it has missed the maximum.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import polars as pl
from inputs import Inputs
from timing import Figure, spread

from harness.models.garch_likelihood import Dist, Model, fit, refit_chain
from harness.types import F64

_STOCKS, _REFITS, _WINDOW, _SAMPLED = 100, 900, 1_250, 4
_KIN_STOCKS = 20
_SHORT = 0.01
_ARCH = {
    "garch": {"vol": "GARCH"},
    "gjr": {"vol": "GARCH", "o": 1},
    "egarch": {"vol": "EGARCH", "o": 1},
}


def garch(_: Inputs, __: int) -> list[Figure]:
    """GARCH with normal errors, the figure that is promised."""
    return _compare("garch", "normal", _STOCKS, ">= 25")


def garch_kin(_: Inputs, __: int) -> list[Figure]:
    """The other models and errors, on fewer stocks."""
    others: list[tuple[Model, Dist]] = [
        ("gjr", "normal"), ("egarch", "normal"), ("garch", "t"), ("gjr", "t"), ("egarch", "t"),
    ]  # fmt: skip
    return [figure for model, dist in others for figure in _compare(model, dist, _KIN_STOCKS, "")]


def _compare(model: Model, dist: Dist, stocks: int, wanted: str) -> list[Figure]:
    first = np.arange(_REFITS)
    series = _returns(stocks)
    refit_chain(series[0], first[:2], first[:2] + _WINDOW, model, dist)  # compiled and linked
    ours, ratios, each, short, arch_short, counts = [], [], [], 0, 0, np.zeros(4, int)
    for number, returns in enumerate(series):
        began = time.process_time()
        chain = refit_chain(returns, first, first + _WINDOW, model, dist)
        ours.append(time.process_time() - began)
        marks = ~chain.converged, chain.fallback, chain.guarded, chain.rescued
        counts += [int(mark.sum()) for mark in marks]
        # Spread over the span and, from stock to stock, over the days since the last guard.
        days = (np.arange(_SAMPLED) * (_REFITS // _SAMPLED) + 7 * number) % _REFITS
        taken, theirs = zip(*(_arch(returns[k : k + _WINDOW], model, dist) for k in days),
                            strict=True)  # fmt: skip
        cold = [fit(returns[k : k + _WINDOW], model, dist).loglik for k in days]
        best = np.max([chain.loglik[days], theirs, cold], axis=0)
        short += int(np.sum(chain.loglik[days] < best - _SHORT))
        arch_short += int(np.sum(np.array(theirs) < best - _SHORT))
        each.append(float(np.mean(taken)))
        ratios.append(each[-1] * _REFITS / ours[-1])
    part, name = "garch", f"{model}, {dist} errors"
    whole = sum(each) * _REFITS / sum(ours)
    lost, fallbacks, guarded, rescued = map(int, counts)
    return [
        spread(part, f"{name}: arch, cpu a fit", "ms", [1e3 * t for t in each]),
        spread(part, f"{name}: chain, cpu a fit", "ms", [1e3 * t / _REFITS for t in ours]),
        spread(part, f"{name}: arch / chain, cpu, by stock", "x", ratios, wanted),
        spread(part, f"{name}: arch / chain, cpu, all stocks", "x", [whole], wanted),
        spread(part, f"{name}: chain short by > {_SHORT} of {_SAMPLED * len(series)}", "fits",
               [short], f"<= {arch_short}"),
        spread(part, f"{name}: arch short by > {_SHORT}", "fits", [arch_short]),
        spread(part, f"{name}: not converged of {_REFITS * len(series)}", "fits", [lost]),
        spread(part, f"{name}: fall-backs", "fits", [fallbacks]),
        spread(part, f"{name}: guarded", "fits", [guarded]),
        spread(part, f"{name}: rescued by another start", "fits", [rescued]),
    ]  # fmt: skip


def _arch(returns: F64, model: Model, dist: Dist) -> tuple[float, float]:
    """CPU seconds and log-likelihood of one cold fit by arch."""
    from arch import arch_model

    began = time.process_time()
    fitted = arch_model(returns, mean="Constant", dist=dist, rescale=False, **_ARCH[model]).fit(
        disp="off", show_warning=False
    )
    return time.process_time() - began, fitted.loglikelihood


def _returns(stocks: int) -> list[F64]:
    """Per cent, the last days of stocks spread over the alphabet; else simulated."""
    days = _WINDOW + _REFITS - 1
    data = os.environ.get("HARNESS_DATA")
    file = Path(data, "sp500_daily.parquet") if data else None
    if file is None or not file.is_file():
        return [_simulated(days, seed) for seed in range(stocks)]
    prices = pl.read_parquet(file, columns=["symbol", "date", "adj_close"]).sort("symbol", "date")
    long = prices.filter(pl.len().over("symbol") > days)
    symbols = long["symbol"].unique().sort()
    chosen = symbols[np.linspace(0, len(symbols) - 1, stocks).astype(int).tolist()]
    found = []
    for symbol in chosen:
        close = long.filter(pl.col("symbol") == symbol)["adj_close"].cast(pl.Float64).to_numpy()
        found.append(100.0 * np.diff(np.log(close))[-days:])
    return found


def _simulated(n: int, seed: int) -> F64:
    """GARCH(1,1) returns with t errors, their ARCH effects from weak to strong."""
    rng = np.random.default_rng(seed)
    alpha, persistence = rng.uniform(0.01, 0.15), rng.uniform(0.85, 0.99)
    h, r = 1.0, np.empty(n)
    for t, z in enumerate(rng.standard_t(6, n) / np.sqrt(1.5)):
        r[t] = np.sqrt(h) * z
        h = 1.0 - persistence + alpha * r[t] ** 2 + (persistence - alpha) * h
    return r
