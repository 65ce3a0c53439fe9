"""All scores of one model over groups of rows, each in two passes over its rows."""

from __future__ import annotations

import math

from harness.kernels.loader import kernel


def _pearson(a, b, start, end):
    """Pearson's correlation of a and b over rows start:end; NaN when either is constant."""
    n = end - start
    mean_a = mean_b = 0.0
    for t in range(start, end):
        mean_a += a[t]
        mean_b += b[t]
    mean_a /= n
    mean_b /= n
    ab = aa = bb = 0.0
    for t in range(start, end):
        da, db = a[t] - mean_a, b[t] - mean_b
        ab += da * db
        aa += da * da
        bb += db * db
    if not (aa > 0.0 and bb > 0.0):
        return math.nan
    return ab / math.sqrt(aa * bb)


@kernel(
    "i8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:] f8[:,:] -> void",
)
def group_scores(edges, rank_y, rank_f, log_y, log_f, s_y, s_f, v_y, v_f, log_x, out):
    """Scores of groups g, rows edges[g]:edges[g + 1] of each array (n,); out (g, 8).

    Columns: ic, r2_log, mae_log, rmse, mae, mse_var, qlike, corr (harness/metrics.py defines
    them). rank_*: ranks within the group; log_*: ln sigma; s_*: sigma; v_*: variance;
    log_x: ln(v_y / v_f).
    """
    for g in range(out.shape[0]):
        start, end = edges[g], edges[g + 1]
        n = end - start
        mean = 0.0
        for t in range(start, end):
            mean += log_y[t]
        mean /= n
        sse = sst = mae_log = mse = mae = mse_var = qlike = 0.0
        for t in range(start, end):
            e = log_y[t] - log_f[t]
            d = log_y[t] - mean
            sse += e * e
            sst += d * d
            mae_log += abs(e)
            e = s_y[t] - s_f[t]
            mse += e * e
            mae += abs(e)
            e = v_y[t] - v_f[t]
            mse_var += e * e
            qlike += v_y[t] / v_f[t] - log_x[t] - 1.0
        out[g, 0] = _pearson(rank_y, rank_f, start, end)
        out[g, 1] = 1.0 - sse / sst if sst > 0.0 else math.nan
        out[g, 2] = mae_log / n
        out[g, 3] = math.sqrt(mse / n)
        out[g, 4] = mae / n
        out[g, 5] = mse_var / n
        out[g, 6] = qlike / n
        out[g, 7] = _pearson(s_y, s_f, start, end)
