"""Average ranks, pooled and within each window, from one sort."""

from __future__ import annotations

from harness.kernels.loader import kernel


@kernel("f8[:] i8[:] i8[:] i8[:] i8[:] i8[:] f8[:] f8[:] -> void")
def ranks_from_order(x, order, window, edges, place, inner, pooled, within):
    """Ranks of x from 1, ties averaged: over all rows, and over the rows of each window.

    x (n,); order (n,) sorts x; window (n,) codes; rows of window w are edges[w]:edges[w + 1];
    place (windows,) and inner (n,) working room; pooled, within (n,). One pass over the pooled
    order deals the rows out to their windows already sorted.
    """
    n = x.size
    for w in range(place.size):
        place[w] = edges[w]
    i = 0
    while i < n:
        j = i
        while j + 1 < n and x[order[j + 1]] == x[order[i]]:
            j += 1
        rank = 0.5 * (i + j) + 1.0
        for m in range(i, j + 1):
            row = order[m]
            pooled[row] = rank
            w = window[row]
            inner[place[w]] = row
            place[w] += 1
        i = j + 1
    for w in range(place.size):
        start, end = edges[w], edges[w + 1]
        i = start
        while i < end:
            j = i
            while j + 1 < end and x[inner[j + 1]] == x[inner[i]]:
                j += 1
            rank = 0.5 * (i + j) + 1.0 - start
            for m in range(i, j + 1):
                within[inner[m]] = rank
            i = j + 1
