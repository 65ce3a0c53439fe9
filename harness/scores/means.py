"""A metric as a function of means over rows, which a bootstrap can resample.

A draw of rows changes only the means, so the figure of a draw is a function of precomputed sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.scores.losses import Loss, Values, pearson
from harness.types import F64


@dataclass(frozen=True)
class Means:
    """How a metric is computed from means of columns.

    `outcome(outcome)` gives j columns (n,) of the outcome alone; `model(outcome, forecast,
    influence)` gives k columns (n,) of one model, from the metric's influence values too.
    `figure(shared (m, j), own (m, k))` gives the figure of each of m draws (m,) from their means.
    """

    outcome: Callable[[Values], tuple[F64, ...]]
    model: Callable[[Values, Values, F64], tuple[F64, ...]]
    figure: Callable[[F64, F64], F64]


def _no_columns(_: Values) -> tuple[F64, ...]:
    return ()


def _only(_: F64, own: F64) -> F64:
    return own[:, 0]


def mean_of(loss: Loss) -> Means:
    """The mean of a loss."""
    return Means(_no_columns, lambda o, f, _: (loss(o, f),), _only)


def root_mean_of(loss: Loss) -> Means:
    """The square root of the mean of a loss."""
    return Means(_no_columns, lambda o, f, _: (loss(o, f),), lambda _, own: np.sqrt(own[:, 0]))


def _rank_correlation_columns(o: Values, f: Values, influence: F64) -> tuple[F64, ...]:
    """The metric's value plus each row's influence: new ranks would mean a sort of every draw.

    Pearson's correlation of fixed ranks would ignore that ranks are estimated too.
    """
    return (influence + pearson(o.pooled, f.pooled),)


RANK_CORRELATION = Means(_no_columns, _rank_correlation_columns, _only)


def explained_share_of(loss: Loss) -> Means:
    """1 - the mean of a loss over the variance of ln sigma."""

    def figure(shared: F64, own: F64) -> F64:
        return 1.0 - own[:, 0] / (shared[:, 1] - np.square(shared[:, 0]))

    return Means(lambda o: _centred_moments(o.log_sigma), lambda o, f, _: (loss(o, f),), figure)


def _centred_moments(values: F64) -> tuple[F64, F64]:
    centred = values - values.mean()
    return centred, np.square(centred)


def _correlation_columns(o: Values, f: Values, _: F64) -> tuple[F64, ...]:
    b, bb = _centred_moments(f.sigma)
    return b, bb, (o.sigma - o.sigma.mean()) * b


def _correlation(shared: F64, own: F64) -> F64:
    a, aa = shared.T
    b, bb, ab = own.T
    return (ab - a * b) / np.sqrt((aa - a * a) * (bb - b * b))


CORRELATION = Means(lambda o: _centred_moments(o.sigma), _correlation_columns, _correlation)


def _share(shared: F64, own: F64) -> F64:
    return own[:, 0] / shared[:, 0]


def _known(o: Values) -> tuple[F64, ...]:
    return (np.isfinite(o.last).astype(np.float64),)


def _right(o: Values, f: Values, _: F64) -> tuple[F64, ...]:
    right = np.sign(f.y - o.last) == np.sign(o.y - o.last)
    return ((right & np.isfinite(o.last)).astype(np.float64),)


RIGHT_WAY = Means(_known, _right, _share)


def mean_of_known(loss: Loss, counts: Callable[[Values], NDArray[np.bool_]]) -> Means:
    """The mean of a loss over the rows that `counts(outcome)` (n,) selects; NaN in the others."""

    def known(o: Values) -> tuple[F64, ...]:
        return (counts(o).astype(np.float64),)

    def losses(o: Values, f: Values, _: F64) -> tuple[F64, ...]:
        return (np.nan_to_num(loss(o, f), nan=0.0, posinf=np.inf, neginf=-np.inf),)

    return Means(known, losses, _share)
