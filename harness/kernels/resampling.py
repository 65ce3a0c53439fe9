"""Bootstrap sums whose cost is the number of blocks of a draw, not of rows."""

from __future__ import annotations

from harness.kernels.loader import kernel
from harness.types import F64


@kernel("f8[:,:] f8[:,:] f8[:,:] f8 f8[:,:] -> void")
def resampled_sums(running: F64, gaps: F64, places: F64, scale: float, out: F64) -> None:
    """Sums of the columns over draws of the stationary bootstrap; out (draws, k).

    running (n + 1, k) are cumulative sums of each column, starting with 0. Block b of a draw
    starts at row floor(places * n) and has 1 + floor(gaps * scale) rows, wrapping from the last
    row to row 0; gaps (draws, m) are standard exponential, places (draws, m) uniform in [0, 1). A
    draw has n rows: its last block is cut, and block m, if it is reached, takes the rest.
    """
    n, k, blocks = running.shape[0] - 1, running.shape[1], gaps.shape[1]
    for draw in range(out.shape[0]):
        for j in range(k):
            out[draw, j] = 0.0
        left = n
        for b in range(blocks):
            a = min(int(places[draw, b] * n), n - 1)
            rows = gaps[draw, b] * scale
            length = left if rows >= left or b == blocks - 1 else min(1 + int(rows), left)
            end = a + length
            if end <= n:
                for j in range(k):
                    out[draw, j] += running[end, j] - running[a, j]
            else:
                for j in range(k):
                    out[draw, j] += (running[n, j] - running[a, j]) + running[end - n, j]
            left -= length
            if left == 0:
                break
