"""All scores of one model over groups of rows, from its errors."""

from __future__ import annotations

import math

from harness.kernels.lanes import average, centred_dot, dot, total
from harness.kernels.loader import kernel


def _pearson(a, b):
    """Pearson's correlation of a and b (n,); NaN when either is constant."""
    mean_a, mean_b = average(a), average(b)
    aa = centred_dot(a, mean_a, a, mean_a)
    bb = centred_dot(b, mean_b, b, mean_b)
    if not (aa > 0.0 and bb > 0.0):
        return math.nan
    return centred_dot(a, mean_a, b, mean_b) / math.sqrt(aa * bb)


@kernel(
    "i8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:,:] -> void",
)
def group_scores(
    edges, rank_y, rank_f, log_y, log_e, log_abs, s_y, s_f, s_e, s_abs, v_e, qlike, wrong, out
):
    """Scores of groups g, rows edges[g]:edges[g + 1] of each array (n,); out (g, 10).

    Columns: ic, r2_log, mae_log, rmse, mae, mse, mse_var, qlike, corr, direction
    (harness/metrics.py defines them). rank_*: ranks within the group; log_*, s_*, v_*: ln sigma,
    sigma and variance, `_e` an error and `_abs` its size; qlike: the loss of each row; wrong: 1
    for a row forecast the wrong way, NaN where that is not known. A group without rows is NaN.
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
        out[g, 0] = _pearson(rank_y[a:b], rank_f[a:b])
        out[g, 1] = 1.0 - dot(log_e[a:b], log_e[a:b]) / spread if spread > 0.0 else math.nan
        out[g, 2] = total(log_abs[a:b]) / n
        square = dot(s_e[a:b], s_e[a:b]) / n
        out[g, 3] = math.sqrt(square)
        out[g, 4] = total(s_abs[a:b]) / n
        out[g, 5] = square
        out[g, 6] = dot(v_e[a:b], v_e[a:b]) / n
        out[g, 7] = total(qlike[a:b]) / n
        out[g, 8] = _pearson(s_y[a:b], s_f[a:b])
        known, right = 0, 0
        for row in range(a, b):
            if wrong[row] >= 0.0:
                known += 1
                right += 1 if wrong[row] == 0.0 else 0
        out[g, 9] = right / known if known > 0 else math.nan
