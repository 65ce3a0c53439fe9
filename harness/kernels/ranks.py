"""Average ranks, pooled and within each window, and ranks among earlier values."""

from __future__ import annotations

from harness.kernels.loader import kernel
from harness.types import F64, I32, I64

_ALL_BUT_SIGN = 0x7FFFFFFFFFFFFFFF


@kernel("i8[:] i8 i8[:] -> void")
def sort_keys(bits: I64, row_bits: int, keys: I64) -> None:
    """Integers >= 0 that sort like the values, each with its row in the lowest `row_bits` bits.

    bits (n,) are the values' float64 bits, n <= 2^row_bits; keys (n,). NumPy sorts such keys in
    a third of the time of an argsort. The low bits of a value that do not fit are dropped, so rows
    whose values agree to about 2^-45 may be in row order instead: `average_ranks` detects this.
    """
    least = most = 0
    for i in range(bits.size):
        key = bits[i]
        if key < 0:
            key = (key ^ _ALL_BUT_SIGN) + 1  # larger bits give a smaller key; -0.0 ties with 0.0
        key >>= 1  # so that no difference of two keys overflows
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

    order (n,) has in its lowest `row_bits` bits the rows in ascending order of their values, ties
    in row order; values (n,) and window (n,), each row's window code, ascending, are by row;
    place (windows,) is a work array; pooled, within (n,) are by row. One pass distributes the
    sorted rows to their windows. Returns 1, and no valid ranks, if `order` is not in this order.
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
    """Give the tied rows i … j - 1 of the order their mean rank, pooled and within each window."""
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
    """For each value, the number of earlier values that are smaller: below (n,).

    code (n,) are the ranks of the values among the distinct values, from 0; tree (at least the
    largest code + 1,) is a work array: a binary indexed tree of counts (Fenwick 1994, Software:
    Practice and Experience 24).
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
