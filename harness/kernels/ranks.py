"""Average ranks, pooled and within each window, from one sort."""

from __future__ import annotations

from harness.kernels.loader import kernel


@kernel("f8[:] i4[:] i4[:] i8[:] i8[:] i4[:] f8[:] f8[:] f8[:] -> void")
def ranks_from_order(ascending, order, window, edges, place, inner, dealt, pooled, within):
    """Ranks from 1, ties averaged: over all rows, and over the rows of each window.

    ascending (n,) are the values in order, order (n,) their rows; window (n,) codes each row's
    window, whose rows are edges[w]:edges[w + 1]; place (windows,), inner (n,) and dealt (n,)
    working room; pooled, within (n,) by row. One pass over the pooled order deals the rows out
    to their windows, already sorted.
    """
    n = ascending.size
    for w in range(place.size):
        place[w] = edges[w]
    i = 0
    while i < n:
        value = ascending[i]
        j = i + 1
        while j < n and ascending[j] == value:
            j += 1
        rank = 0.5 * (i + j + 1)
        for m in range(i, j):
            row = order[m]
            pooled[row] = rank
            w = window[row]
            at = place[w]
            inner[at] = row
            dealt[at] = value
            place[w] = at + 1
        i = j
    for w in range(place.size):
        start, end = edges[w], edges[w + 1]
        i = start
        while i < end:
            j = i + 1
            while j < end and dealt[j] == dealt[i]:
                j += 1
            rank = 0.5 * (i + j + 1) - start
            for m in range(i, j):
                within[inner[m]] = rank
            i = j
