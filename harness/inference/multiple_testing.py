"""P-values adjusted for the number of hypotheses tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.types import F64


def holm(p: ArrayLike) -> F64:
    """Holm's step-down adjusted p-values (n,): controls the family-wise error rate.

    Holm (1979), Scand. J. Statistics 6: the k-th smallest times n - k + 1, made monotone; never
    above n times p (Bonferroni), under any dependence. ValueError unless p is (n,) numbers in
    [0, 1].
    """
    values = probabilities(p)
    n, order = values.size, np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(n, 0, -1))
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> F64:
    """Benjamini and Hochberg's step-up adjusted p-values (n,): controls the false discovery rate.

    Benjamini & Hochberg (1995), J. R. Statist. Soc. B 57: the k-th smallest times n / k, made
    monotone from the largest down; holds for independent and positively dependent tests.
    ValueError unless p is (n,) numbers in [0, 1].
    """
    values = probabilities(p)
    n, order = values.size, np.argsort(values, kind="stable")
    stepped = np.minimum.accumulate((values[order] * n / np.arange(1, n + 1))[::-1])[::-1]
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def probabilities(p: ArrayLike) -> F64:
    """P-values (n,) as numbers; ValueError unless each is in [0, 1]."""
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p-values: got shape {values.shape}, wanted (n,)")
    if not np.all((values >= 0.0) & (values <= 1.0)):
        raise ValueError("p-values: got a value outside [0, 1]")
    return values
