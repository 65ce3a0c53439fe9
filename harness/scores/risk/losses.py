"""Losses of VaR and ES forecasts, lower is better; VaR and ES are returns, usually negative.

All take the return y (n,), the level a and the forecasts of VaR q (n,) and ES e (n,); all give
(n,). A joint loss is NaN where e is not negative.
"""

from __future__ import annotations

import numpy as np

from harness.types import F64


def quantile_loss(y: F64, level: float, var: F64) -> F64:
    """(a - 1(y < q)) (y - q), in the return's unit; Koenker & Bassett (1978), Econometrica 46."""
    return (level - (y < var)) * (y - var)


def joint_loss(y: F64, level: float, var: F64, es: F64) -> F64:
    """-ln((a - 1) / e) - (y - q) (a - 1(y <= q)) / (a e), in nats.

    Minus the log likelihood of an asymmetric Laplace density: Taylor (2019), J. Business & Economic
    Statistics 37, section 3.
    """
    e = np.where(es < 0.0, es, np.nan)
    return -np.log((level - 1.0) / e) - (y - var) * (level - (y <= var)) / (level * e)


def fz_loss(y: F64, level: float, var: F64, es: F64) -> F64:
    """-1(y <= q) (q - y) / (a e) + q / e + ln(-e) - 1: FZ0, homogeneous of degree zero, in nats.

    Patton, Ziegel & Chen (2019), J. Econometrics 211, eq. 6.
    """
    e = np.where(es < 0.0, es, np.nan)
    return (y <= var) * (y - var) / (level * e) + var / e + np.log(-e) - 1.0
