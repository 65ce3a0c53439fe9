"""Quantile levels that follow what was covered, row by row."""

from __future__ import annotations

from harness.kernels.loader import kernel
from harness.types import F64, I64


@kernel("f8[:] f8[:,:] i8[:] i8[:] f8[:] f8 f8[:] f8[:,:] -> void")
def adapted_quantiles(
    r: F64, own: F64, place: I64, due: I64, levels: F64, gamma: float, state: F64, out: F64
) -> None:
    """Quantiles of the residuals r (n,) of one symbol in time order; out (n, q) ascending.

    own (fits, m) are a fit's quantiles at the middles of m equal shares, joined by lines; beyond
    the outermost they end. place (n,) is each row's fit. The first due[i] rows had resolved when
    row i was forecast. state (q,) has the levels in use, at first those of `levels` (q,) ascending;
    a resolved row moves each by gamma (level - [r <= quantile]), within 0 and 1, and then they are
    put in ascending order. A row of a fit
    that is not known is NaN and moves nothing.
    """
    m, q, done = own.shape[1], levels.size, 0
    for i in range(r.size):
        while done < due[i]:
            if out[done, 0] == out[done, 0]:
                for j in range(q):
                    below = 1.0 if r[done] <= out[done, j] else 0.0
                    level = min(max(state[j] + gamma * (levels[j] - below), 0.0), 1.0)
                    k = j
                    while k > 0 and state[k - 1] > level:
                        state[k] = state[k - 1]
                        k -= 1
                    state[k] = level
            done += 1
        fit = place[i]
        for j in range(q):
            x = min(max(state[j] * m - 0.5, 0.0), m - 1.0)
            low = min(int(x), m - 2)
            out[i, j] = own[fit, low] + (x - low) * (own[fit, low + 1] - own[fit, low])
