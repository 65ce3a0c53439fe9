"""Ranks: average ones, pooled and within each window, and those among earlier values."""

from __future__ import annotations

from harness.kernels.loader import kernel
from harness.types import F64, I32, I64

_ALL_BUT_SIGN = 0x7FFFFFFFFFFFFFFF


@kernel("i8[:] i8 i8[:] -> void")
def sort_keys(bits: I64, row_bits: int, keys: I64) -> None:
    """Whole numbers >= 0 that sort as the values do, each with its row in the lowest `row_bits`.

    bits (n,) are the values' float64 bits, n <= 2^row_bits; keys (n,). NumPy sorts such keys in
    a third of the time of an argsort. What of a value finds no room is cut off, so rows whose
    values agree to about 2^-45 may come in the order of the rows: `average_ranks` tells.
    """
    least = most = 0
    for i in range(bits.size):
        key = bits[i]
        if key < 0:
            key = (key ^ _ALL_BUT_SIGN) + 1  # lesser for greater bits; -0.0 ties with 0.0
        key >>= 1  # so that no difference of two keys runs over
        least = key if i == 0 else min(least, key)
        most = key if i == 0 else max(most, key)
        keys[i] = key
    cut = 0
    while (most - least) >> cut >> (63 - row_bits) > 0:
        cut += 1
    for i in range(bits.size):
        keys[i] = (((keys[i] - least) >> cut) << row_bits) | i


@kernel("i8[:] i8 f8[:] i4[:] i8[:] f8[:] f8[:] -> i8")
def average_ranks(
    order: I64, row_bits: int, values: F64, window: I32, place: I64, pooled: F64, within: F64
) -> int:
    """Ranks from 1, ties averaged: over all rows, and over the rows of each window.

    order (n,) holds in its lowest `row_bits` the rows in ascending order of their values, equal
    ones by row; values (n,) and window (n,), which codes each row's window, ascending, are by
    row; place (windows,) is working room; pooled, within (n,) by row. One pass deals the rows
    out to their windows, already sorted. Returns 1, the ranks worthless, if that is no such order.
    """
    n, mask = order.size, (1 << row_bits) - 1
    for w in range(place.size):
        place[w] = 0
    ties = 0
    before = values[order[0] & mask]
    for i in range(n):
        row = order[i] & mask
        value = values[row]
        if value < before:
            return 1
        ties += value == before
        before = value
        w = window[row]
        place[w] += 1
        pooled[row] = i + 1.0
        within[row] = place[w]
    if ties > 1:  # the first row ties with itself
        i = 0
        while i < n:
            value = values[order[i] & mask]
            j = i + 1
            while j < n and values[order[j] & mask] == value:
                j += 1
            if j - i > 1:
                _share(order, mask, i, j, window, pooled, within)
            i = j
    return 0


def _share(order: I64, mask: int, i: int, j: int, window: I32, pooled: F64, within: F64) -> None:
    """Give the tied rows i … j - 1 of the order their mean rank, of all and of each window."""
    a = i
    while a < j:
        w = window[order[a] & mask]
        b = a + 1
        while b < j and window[order[b] & mask] == w:
            b += 1
        mean = 0.5 * (within[order[a] & mask] + within[order[b - 1] & mask])
        for m in range(a, b):
            pooled[order[m] & mask] = 0.5 * (i + j + 1)
            within[order[m] & mask] = mean
        a = b


@kernel("i8[:] i8[:] i8[:] -> void")
def earlier_below(code: I64, tree: I64, below: I64) -> None:
    """How many earlier values are less than each: below (n,) in their order.

    code (n,) are the values' places among their distinct values in ascending order; tree
    (at least the largest code + 1,) is working room: counts summed as Fenwick (1994) has it,
    Software: Practice and Experience 24.
    """
    for k in range(tree.size):
        tree[k] = 0
    for i in range(code.size):
        count, k = 0, code[i]
        while k > 0:
            count += tree[k - 1]
            k &= k - 1
        below[i] = count
        k = code[i] + 1
        while k <= tree.size:
            tree[k - 1] += 1
            k += k & -k
