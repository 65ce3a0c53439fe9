"""Means and centred cross products of rows, merged over training windows, and least squares.

Overlapping training windows share most of their rows. Each disjoint segment of rows is summed
once, about its own mean; a window merges the segments it covers by the pairwise update of
Chan, Golub & LeVeque (1983), which only adds. Nothing is subtracted to move a window, so a
column with a large offset, or a window after a bad tick, keeps its precision.
"""

from __future__ import annotations

import math

from harness.kernels.lanes import average, dot
from harness.kernels.loader import kernel
from harness.types import F64, I64


@kernel("f8[:,:] i8[:] f8[:,:] f8[:] f8[:,:] f8[:,:,:] -> void")
def segment_moments(z: F64, cuts: I64, room: F64, count: F64, mean: F64, cross: F64) -> None:
    """Number, column means and centred cross products of the rows of each segment.

    Segment s has the rows cuts[s] … cuts[s + 1] - 1. z (q, n), column by column; cuts (m + 1,);
    room (q, chunk) a work array; count (m,), mean (m, q), cross (m, q, q), which must be zero.
    """
    q, chunk = room.shape
    for s in range(count.size):
        start, end = cuts[s], cuts[s + 1]
        count[s] = end - start
        for i in range(q):
            mean[s, i] = average(z[i, start:end]) if end > start else 0.0
        for first in range(start, end, chunk):
            size = min(chunk, end - first)
            for i in range(q):
                centred, column = room[i, :size], z[i, first : first + size]
                centre = mean[s, i]
                for t in range(size):
                    centred[t] = column[t] - centre
            for i in range(q):
                for j in range(i + 1):
                    cross[s, i, j] += dot(room[i, :size], room[j, :size])
        for i in range(q):
            for j in range(i):
                cross[s, j, i] = cross[s, i, j]


def _merge(na: float, mean_a: F64, cross_a: F64, nb: float, mean_b: F64, cross_b: F64) -> float:
    """Add the moments of b to those of a, which has na rows; returns the new number of rows."""
    if nb == 0.0:
        return na
    n = na + nb
    weight = na * nb / n
    q = mean_a.size
    for i in range(q):
        di = mean_b[i] - mean_a[i]
        for j in range(q):
            cross_a[i, j] += cross_b[i, j] + weight * di * (mean_b[j] - mean_a[j])
    for i in range(q):
        mean_a[i] += (mean_b[i] - mean_a[i]) * (nb / n)
    return n


@kernel("i8 f8[:] f8[:,:] f8[:,:,:] -> void")
def merge_tree(leaves: int, count: F64, mean: F64, cross: F64) -> None:
    """Fill a binary tree over segments: node v holds 2v and 2v + 1, leaf s is node leaves + s.

    leaves is a power of two; count (2 leaves,), mean (2 leaves, q), cross (2 leaves, q, q), with
    the leaves filled (count 0 where there is no segment); the other nodes are written.
    """
    for v in range(leaves - 1, 0, -1):
        count[v] = count[2 * v]
        for i in range(mean.shape[1]):
            mean[v, i] = mean[2 * v, i]
            for j in range(mean.shape[1]):
                cross[v, i, j] = cross[2 * v, i, j]
        right = 2 * v + 1
        count[v] = _merge(count[v], mean[v], cross[v], count[right], mean[right], cross[right])


@kernel("i8 f8[:] f8[:,:] f8[:,:,:] i8[:] i8[:] f8[:] f8[:,:] f8[:,:,:] -> void")
def window_moments(
    leaves: int, count: F64, mean: F64, cross: F64, first: I64, last: I64, n: F64, centre: F64,
    gram: F64,
) -> None:  # fmt: skip
    """Moments of the segments first[k] … last[k] - 1 of each window k, from the tree.

    n (w,), centre (w, q), gram (w, q, q) are written. A window is the merge of at most
    2 log2(leaves) nodes, taken from left and right towards the middle.
    """
    for k in range(n.size):
        n[k] = 0.0
        for i in range(centre.shape[1]):
            centre[k, i] = 0.0
            for j in range(centre.shape[1]):
                gram[k, i, j] = 0.0
        a, b = first[k] + leaves, last[k] + leaves
        while a < b:
            if a % 2 == 1:
                n[k] = _merge(n[k], centre[k], gram[k], count[a], mean[a], cross[a])
                a += 1
            if b % 2 == 1:
                b -= 1
                n[k] = _merge(n[k], centre[k], gram[k], count[b], mean[b], cross[b])
            a //= 2
            b //= 2


@kernel("f8[:,:,:] f8[:,:] i8[:] i8 i8 f8 f8[:,:] f8[:] f8[:,:] -> i8")
def least_squares(
    gram: F64, centre: F64, columns: I64, target: int, intercept: int, tolerance: float,
    lower: F64, scale: F64, beta: F64,
) -> int:  # fmt: skip
    """Least squares of column `target` on `columns` in every window, by Cholesky.

    gram (w, q, q) and centre (w, q) as window_moments gives them; lower (p, p) and scale (p,)
    are work arrays; beta (w, 1 + p) has the intercept first (0 when `intercept` is 0, and moments
    are then about zero). The Gram matrix is scaled to unit diagonal; a pivot under `tolerance`
    ends the call with 1 + w * p + column: that column is constant or a combination of the
    columns before it in window w. Returns 0 on success.
    """
    p = columns.size
    for k in range(beta.shape[0]):
        for i in range(p):
            ci = columns[i]
            if not gram[k, ci, ci] > 0.0:
                return 1 + k * p + i
            scale[i] = math.sqrt(gram[k, ci, ci])
        for i in range(p):
            for j in range(i + 1):
                rest = gram[k, columns[i], columns[j]] / (scale[i] * scale[j])
                for m in range(j):
                    rest -= lower[i, m] * lower[j, m]
                if i != j:
                    lower[i, j] = rest / lower[j, j]
                elif rest > tolerance:
                    lower[i, i] = math.sqrt(rest)
                else:
                    return 1 + k * p + i
        for i in range(p):
            rest = gram[k, columns[i], target] / scale[i]
            for m in range(i):
                rest -= lower[i, m] * beta[k, 1 + m]
            beta[k, 1 + i] = rest / lower[i, i]
        for i in range(p - 1, -1, -1):
            rest = beta[k, 1 + i]
            for m in range(i + 1, p):
                rest -= lower[m, i] * beta[k, 1 + m]
            beta[k, 1 + i] = rest / lower[i, i]
        beta[k, 0] = centre[k, target] if intercept else 0.0
        for i in range(p):
            beta[k, 1 + i] /= scale[i]
            if intercept:
                beta[k, 0] -= beta[k, 1 + i] * centre[k, columns[i]]
    return 0


@kernel("f8[:,:] i8[:] f8[:,:] i8[:] i8[:] f8[:] -> void")
def linear_forecasts(z: F64, columns: I64, beta: F64, start: I64, edges: I64, out: F64) -> None:
    """Forecasts of each window k's rows, from start[k], written to out[edges[k]:edges[k + 1]].

    z (q, n), column by column; columns (p,); beta (w, 1 + p), the intercept first; start (w,),
    edges (w + 1,). Terms are added in the order of the columns.
    """
    for k in range(start.size):
        forecast = out[edges[k] : edges[k + 1]]
        for t in range(forecast.size):
            forecast[t] = beta[k, 0]
        for j in range(columns.size):
            column = z[columns[j], start[k] : start[k] + forecast.size]
            slope = beta[k, 1 + j]
            for t in range(forecast.size):
                forecast[t] += slope * column[t]
