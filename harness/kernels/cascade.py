"""Sums of squared returns and bipower products over blocks of bars, then over windows.

Every window is a direct sum of disjoint blocks, never the difference of two running sums: a
single bad tick then spoils only the windows that contain it, and a quiet period after it keeps
full precision.
"""

from __future__ import annotations

import math

from harness.kernels.loader import kernel
from harness.types import F64

# ln(b/a) = 2 artanh(z), z = (b - a)/(b + a). Five terms are exact to a double for |z| < 0.02
# (first neglected term 2 z^11/11); a block with a larger move is recomputed with log().
_C3, _C5, _C7, _C9 = 2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0
_SMALL = 1e-3
_CHUNK = 1_024


def _moves(now: F64, before: F64, out: F64) -> None:
    """out[j] = |ln(now[j] / before[j])| for small moves: plain arithmetic, so it vectorises."""
    for j in range(out.size):
        z = (now[j] - before[j]) / (now[j] + before[j])
        z2 = z * z
        out[j] = abs(z) * (2.0 + z2 * (_C3 + z2 * (_C5 + z2 * (_C7 + z2 * _C9))))


def _squares_and_products(r: F64) -> tuple[float, float]:
    """Sum r_j^2 over all of r, and sum r_j r_{j-1} over all but the first, in eight lanes each."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = 0.0
    now, before = r[1:], r[: r.size - 1]
    whole = now.size // 8
    for k in range(whole):
        j = 8 * k
        s0 += now[j] * now[j]
        s1 += now[j + 1] * now[j + 1]
        s2 += now[j + 2] * now[j + 2]
        s3 += now[j + 3] * now[j + 3]
        s4 += now[j + 4] * now[j + 4]
        s5 += now[j + 5] * now[j + 5]
        s6 += now[j + 6] * now[j + 6]
        s7 += now[j + 7] * now[j + 7]
        p0 += now[j] * before[j]
        p1 += now[j + 1] * before[j + 1]
        p2 += now[j + 2] * before[j + 2]
        p3 += now[j + 3] * before[j + 3]
        p4 += now[j + 4] * before[j + 4]
        p5 += now[j + 5] * before[j + 5]
        p6 += now[j + 6] * before[j + 6]
        p7 += now[j + 7] * before[j + 7]
    squares = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    products = ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7))
    for j in range(8 * whole, now.size):
        squares += now[j] * now[j]
        products += now[j] * before[j]
    return squares + r[0] * r[0], products


@kernel("f8[:] i8 f8[:] f8[:] f8[:] f8[:] -> void")
def block_sums(
    close: F64, size: int, scratch: F64, squares: F64, products: F64, straddles: F64
) -> None:
    """Per block k of `size` closes: sum r_i^2, sum |r_i||r_{i-1}| inside, and across its edge.

    close (n,), n a multiple of size; scratch a work array, a positive multiple of size long;
    squares, products, straddles (n / size,). r_i = ln(close_i / close_{i-1}); bar 0 has no
    return, so block 0 is NaN. `straddles[k]` is |first return of k||last return of k - 1|.
    """
    last = math.nan
    per_chunk = scratch.size // size
    for first in range(0, squares.size, per_chunk):
        blocks = min(per_chunk, squares.size - first)
        base = first * size
        r = scratch[: blocks * size]
        if base > 0:
            _moves(close[base : base + r.size], close[base - 1 : base + r.size - 1], r)
        else:
            _moves(close[1 : r.size], close[: r.size - 1], r[1:])
            r[0] = math.nan
        for b in range(blocks):
            k = first + b
            move = r[b * size : (b + 1) * size]
            total, product = _squares_and_products(move)
            if not total < _SMALL and k > 0:
                for j in range(size):
                    move[j] = abs(math.log(close[k * size + j] / close[k * size + j - 1]))
                total, product = _squares_and_products(move)
            squares[k] = total
            products[k] = product
            straddles[k] = move[0] * last
            last = move[size - 1]


@kernel("f8[:] f8[:] i8 f8[:] -> void")
def parkinson_sums(high: F64, low: F64, size: int, out: F64) -> None:
    """Per block of `size` bars: sum of (ln(high/low))^2 / (4 ln 2). high, low (n,)."""
    scale = 1.0 / (4.0 * math.log(2.0))
    for k in range(out.size):
        total = 0.0
        for j in range(size):
            spread = math.log(high[k * size + j] / low[k * size + j])
            total += spread * spread
        out[k] = total * scale


@kernel("f8[:] i8 f8[:] -> void")
def plain_sums(values: F64, size: int, out: F64) -> None:
    """Per block of `size` values: their sum. values (n,); out (n / size,)."""
    for k in range(out.size):
        total = 0.0
        for j in range(size):
            total += values[k * size + j]
        out[k] = total


@kernel("f8[:] i8 f8[:] -> void")
def window_sums(blocks: F64, width: int, out: F64) -> None:
    """out[k] = blocks[k - width + 1] + … + blocks[k], summed directly; NaN for k < width - 1."""
    for k in range(min(width - 1, out.size)):
        out[k] = math.nan
    for first in range(width - 1, out.size, _CHUNK):
        # Many windows at a time, each adding its oldest block first, so that it vectorises.
        sums = out[first : min(first + _CHUNK, out.size)]
        for k in range(sums.size):
            sums[k] = 0.0
        for age in range(width - 1, -1, -1):
            added = blocks[first - age : first - age + sums.size]
            for k in range(sums.size):
                sums[k] += added[k]
