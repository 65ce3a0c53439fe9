"""Sums in eight lanes, added in a fixed order: they vectorise without fast-math.

Helpers for kernels; a, b (n,) are slices of equal length.
"""

from __future__ import annotations

from harness.types import F64


def dot(a: F64, b: F64) -> float:
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


def total(a: F64) -> float:
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


def average(a: F64) -> float:
    """Mean of a (n > 0), summed about its first value: exactly that value where a is constant."""
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


def centred_dot(a: F64, mean_a: float, b: F64, mean_b: float) -> float:
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


def centred_products(a: F64, mean_a: float, b: F64, mean_b: float) -> tuple[float, float, float]:
    """Sums of x_j x_j, x_j y_j and y_j y_j, x = a - mean_a and y = b - mean_b, in one pass."""
    u0 = u1 = u2 = u3 = u4 = u5 = u6 = u7 = 0.0
    v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = 0.0
    w0 = w1 = w2 = w3 = w4 = w5 = w6 = w7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        x, y = a[j] - mean_a, b[j] - mean_b
        u0 += x * x
        v0 += x * y
        w0 += y * y
        x, y = a[j + 1] - mean_a, b[j + 1] - mean_b
        u1 += x * x
        v1 += x * y
        w1 += y * y
        x, y = a[j + 2] - mean_a, b[j + 2] - mean_b
        u2 += x * x
        v2 += x * y
        w2 += y * y
        x, y = a[j + 3] - mean_a, b[j + 3] - mean_b
        u3 += x * x
        v3 += x * y
        w3 += y * y
        x, y = a[j + 4] - mean_a, b[j + 4] - mean_b
        u4 += x * x
        v4 += x * y
        w4 += y * y
        x, y = a[j + 5] - mean_a, b[j + 5] - mean_b
        u5 += x * x
        v5 += x * y
        w5 += y * y
        x, y = a[j + 6] - mean_a, b[j + 6] - mean_b
        u6 += x * x
        v6 += x * y
        w6 += y * y
        x, y = a[j + 7] - mean_a, b[j + 7] - mean_b
        u7 += x * x
        v7 += x * y
        w7 += y * y
    xx = ((u0 + u4) + (u2 + u6)) + ((u1 + u5) + (u3 + u7))
    xy = ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7))
    yy = ((w0 + w4) + (w2 + w6)) + ((w1 + w5) + (w3 + w7))
    for j in range(8 * whole, a.size):
        x, y = a[j] - mean_a, b[j] - mean_b
        xx += x * x
        xy += x * y
        yy += y * y
    return xx, xy, yy


def differences(a: F64, b: F64) -> tuple[float, float]:
    """Sums of |a_j - b_j| and of (a_j - b_j)^2, in one pass."""
    u0 = u1 = u2 = u3 = u4 = u5 = u6 = u7 = 0.0
    v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = 0.0
    whole = a.size // 8
    for k in range(whole):
        j = 8 * k
        e = a[j] - b[j]
        u0 += abs(e)
        v0 += e * e
        e = a[j + 1] - b[j + 1]
        u1 += abs(e)
        v1 += e * e
        e = a[j + 2] - b[j + 2]
        u2 += abs(e)
        v2 += e * e
        e = a[j + 3] - b[j + 3]
        u3 += abs(e)
        v3 += e * e
        e = a[j + 4] - b[j + 4]
        u4 += abs(e)
        v4 += e * e
        e = a[j + 5] - b[j + 5]
        u5 += abs(e)
        v5 += e * e
        e = a[j + 6] - b[j + 6]
        u6 += abs(e)
        v6 += e * e
        e = a[j + 7] - b[j + 7]
        u7 += abs(e)
        v7 += e * e
    size = ((u0 + u4) + (u2 + u6)) + ((u1 + u5) + (u3 + u7))
    square = ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7))
    for j in range(8 * whole, a.size):
        e = a[j] - b[j]
        size += abs(e)
        square += e * e
    return size, square
