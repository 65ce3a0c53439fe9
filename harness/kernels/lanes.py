"""Sums in eight lanes, added in a fixed order: a vector's worth of partial sums without fast-math.

Helpers for kernels; a, b (n,) are slices of one length.
"""

from __future__ import annotations


def dot(a, b):
    """Sum a_j b_j."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        s0 += a[j] * b[j]
        s1 += a[j + 1] * b[j + 1]
        s2 += a[j + 2] * b[j + 2]
        s3 += a[j + 3] * b[j + 3]
        s4 += a[j + 4] * b[j + 4]
        s5 += a[j + 5] * b[j + 5]
        s6 += a[j + 6] * b[j + 6]
        s7 += a[j + 7] * b[j + 7]
    total = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for j in range(8 * whole, a.size):
        total += a[j] * b[j]
    return total


def total(a):
    """Sum a_j."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        s0 += a[j]
        s1 += a[j + 1]
        s2 += a[j + 2]
        s3 += a[j + 3]
        s4 += a[j + 4]
        s5 += a[j + 5]
        s6 += a[j + 6]
        s7 += a[j + 7]
    result = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for j in range(8 * whole, a.size):
        result += a[j]
    return result


def average(a):
    """Mean of a (n > 0), summed about its first value: exactly that value where a never moves."""
    first = a[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        s0 += a[j] - first
        s1 += a[j + 1] - first
        s2 += a[j + 2] - first
        s3 += a[j + 3] - first
        s4 += a[j + 4] - first
        s5 += a[j + 5] - first
        s6 += a[j + 6] - first
        s7 += a[j + 7] - first
    result = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for j in range(8 * whole, a.size):
        result += a[j] - first
    return first + result / a.size


def centred_dot(a, mean_a, b, mean_b):
    """Sum (a_j - mean_a)(b_j - mean_b)."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        s0 += (a[j] - mean_a) * (b[j] - mean_b)
        s1 += (a[j + 1] - mean_a) * (b[j + 1] - mean_b)
        s2 += (a[j + 2] - mean_a) * (b[j + 2] - mean_b)
        s3 += (a[j + 3] - mean_a) * (b[j + 3] - mean_b)
        s4 += (a[j + 4] - mean_a) * (b[j + 4] - mean_b)
        s5 += (a[j + 5] - mean_a) * (b[j + 5] - mean_b)
        s6 += (a[j + 6] - mean_a) * (b[j + 6] - mean_b)
        s7 += (a[j + 7] - mean_a) * (b[j + 7] - mean_b)
    result = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    for j in range(8 * whole, a.size):
        result += (a[j] - mean_a) * (b[j] - mean_b)
    return result
