"""All scores of one model over groups of rows, reading each pair of series once."""

from __future__ import annotations

import math

from harness.kernels.lanes import average, centred_dot, centred_products, differences, total
from harness.kernels.loader import kernel
from harness.types import F64, I64

_LN_2PI = math.log(2.0 * math.pi)
# The metrics that `group_scores` computes, in the order of the columns of its `out`.
SCORES = (
    "ic", "r2_log", "mae_log", "rmse", "mae", "mse", "mse_var", "qlike", "corr", "direction",
    "mape", "nll",
)  # fmt: skip


def _pearson(a: F64, b: F64) -> float:
    """Pearson's correlation of a and b (n,); NaN when either is constant."""
    aa, ab, bb = centred_products(a, average(a), b, average(b))
    if not (aa > 0.0 and bb > 0.0):
        return math.nan
    return ab / math.sqrt(aa * bb)


def _right_way(y: F64, f: F64, last: F64) -> float:
    """The share of forecasts f on the same side of `last` as y (n,), where `last` is not NaN."""
    known, right = 0, 0
    for i in range(y.size):
        if last[i] == last[i]:
            known += 1
            up, forecast_up = y[i] > last[i], f[i] > last[i]
            down, forecast_down = y[i] < last[i], f[i] < last[i]
            if up == forecast_up and down == forecast_down:
                right += 1
    return right / known if known > 0 else math.nan


def _mean_share(s: F64, f: F64, moved: F64) -> float:
    """The mean of |s - f| / moved (n,), where `moved` is not NaN."""
    known, missed = 0, 0.0
    for i in range(s.size):
        if moved[i] == moved[i]:
            known += 1
            missed += abs(s[i] - f[i]) / moved[i]
    return missed / known if known > 0 else math.nan


@kernel(
    "i8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:,:]"
    " -> void",
)
def group_scores(
    edges: I64, rank_y: F64, rank_f: F64, log_y: F64, log_f: F64, s_y: F64, s_f: F64, moved: F64,
    v_y: F64, v_f: F64, qlike: F64, y: F64, f: F64, last: F64, out: F64,
) -> None:  # fmt: skip
    """Scores of groups g, rows edges[g]:edges[g + 1] of each array (n,); out (g, len(SCORES)).

    The columns are SCORES; the table of metrics defines them. rank_*: ranks within the group;
    log_*, s_*, v_*: ln sigma, sigma and variance of outcome and forecast; moved: the outcome's
    sigma where it counts for mape, else NaN; qlike: the loss of each row; y, f, last: outcome,
    forecast and last outcome on the target's scale. A group without rows is NaN.
    """
    for g in range(out.shape[0]):
        a, b = edges[g], edges[g + 1]
        n = b - a
        if n == 0:
            for column in range(out.shape[1]):
                out[g, column] = math.nan
            continue
        mean = average(log_y[a:b])
        spread = centred_dot(log_y[a:b], mean, log_y[a:b], mean)
        size, square = differences(log_y[a:b], log_f[a:b])
        out[g, 0] = _pearson(rank_y[a:b], rank_f[a:b])
        out[g, 1] = 1.0 - square / spread if spread > 0.0 else math.nan
        out[g, 2] = size / n
        size, square = differences(s_y[a:b], s_f[a:b])
        out[g, 3] = math.sqrt(square / n)
        out[g, 4] = size / n
        out[g, 5] = square / n
        size, square = differences(v_y[a:b], v_f[a:b])
        out[g, 6] = square / n
        out[g, 7] = total(qlike[a:b]) / n
        out[g, 8] = _pearson(s_y[a:b], s_f[a:b])
        out[g, 9] = _right_way(y[a:b], f[a:b], last[a:b])
        out[g, 10] = _mean_share(s_y[a:b], s_f[a:b], moved[a:b])
        # ln h + v / h is qlike + 1 + ln v.
        out[g, 11] = 0.5 * (_LN_2PI + 1.0 + out[g, 7]) + mean
