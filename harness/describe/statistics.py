"""Descriptive statistics of one series."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.types import F64

LAGS = (1, 5, 22)
ADF_LAGS = 22


@dataclass(frozen=True)
class Statistics:
    """Statistics of n consecutive values, in the units of the values unless stated otherwise.

    `sd` has the divisor n - 1; `skewness` m3/m2^1.5 and `kurtosis` m4/m2^2 - 3 (0 for a normal)
    are of central moments with divisor n, no unit. `acf` are autocorrelations at 1, 5 and 22
    steps, sums over n - k products divided by those of n squares. `jarque_bera` is n/6
    (skewness^2 + kurtosis^2/4); its p-value is chi-squared with 2 degrees of freedom, valid for
    independent values, which volatilities are not (Jarque & Bera 1987, Int. Statistical Review
    55). `adf` is Dickey & Fuller's t with a constant and 22 lagged differences (1979, J. American
    Statistical Association 74); a small p is evidence against a unit root (MacKinnon 2010).
    """

    n: int
    mean: float
    sd: float
    skewness: float
    kurtosis: float
    least: float
    most: float
    acf: tuple[float, ...]
    jarque_bera: float
    jarque_bera_p: float
    adf: float
    adf_p: float


def describe_values(x: F64) -> Statistics:
    """The statistics of x (n,), finite, in time order.

    Raises:
        ValueError: for fewer than 100 values, values not finite, a constant x.
    """
    from statsmodels.tsa.stattools import adfuller

    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 1 or x.size < 100 or not np.isfinite(x).all() or x.min() == x.max():
        raise ValueError("describe_values: wanted 100 or more finite values that are not all equal")
    centred = x - x.mean()
    m2, m3, m4 = (float(np.mean(centred**k)) for k in (2, 3, 4))
    skewness, kurtosis = m3 / m2**1.5, m4 / m2**2 - 3.0
    jarque_bera = x.size / 6 * (skewness**2 + kurtosis**2 / 4)
    adf = adfuller(x, maxlag=ADF_LAGS, regression="c", autolag=None, result_object=True)
    return Statistics(
        n=x.size,
        mean=float(x.mean()),
        sd=float(x.std(ddof=1)),
        skewness=skewness,
        kurtosis=kurtosis,
        least=float(x.min()),
        most=float(x.max()),
        acf=tuple(float(centred[k:] @ centred[:-k] / (centred @ centred)) for k in LAGS),
        jarque_bera=jarque_bera,
        jarque_bera_p=math.exp(-jarque_bera / 2),
        adf=float(adf.statistic),
        adf_p=float(adf.pvalue),
    )
