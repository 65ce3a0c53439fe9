"""Linear models: least squares on feature expressions, and the moments for fits in one sweep.

The windows of a walk-forward share most of their training rows, so each segment of rows is summed
once, and segments are merged into windows (kernels/moments.py). `fit` and `predict` are the same
arithmetic for one window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from harness.kernels import moments as loops
from harness.models.insanity_filter import Sanity
from harness.models.params import OlsParams
from harness.models.protocol import ModelError, Task, own_features
from harness.types import F64, I64, Rows, Training

# A pivot of the unit-diagonal Gram matrix under this leaves fewer than about five digits.
_SINGULAR = 1e-11
_CHUNK = 256  # rows of a segment that are centred at a time: they fit the first-level cache


@dataclass(frozen=True)
class Linear:
    """A forecast b0 + sum_j b_j x_j. With `fixed` slopes only the intercept, if any, is fitted.

    With `insanity` forecasts pass the filter of insanity_filter.py; residuals never do. `swept`
    says whether the walk fits it in one sweep over shared sums with other linear models.
    """

    features: tuple[str, ...]
    intercept: bool = True
    fixed: tuple[float, ...] | None = None
    insanity: bool = False
    beta: tuple[float, ...] = field(default=())
    found: tuple[float, ...] = field(default=())
    sanity: Sanity | None = None
    look_back: ClassVar[int] = 0
    validates: ClassVar[bool] = False
    training: ClassVar[None] = None
    swept: ClassVar[bool] = True
    overfits: ClassVar[bool] = False

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """Least squares on these rows; ModelError for a constant or collinear feature."""
        z = np.ascontiguousarray(np.vstack((rows.columns(self.features).X.T, y)))
        moments = self._moments(z)
        beta, _, _ = moments.solve(self, self.features)
        found = self.stated(beta, moments.centre, self.features)[0]
        sanity = None
        if self.insanity:
            sanity = Sanity(*(np.array([v]) for v in (y.min(), y.max(), y.mean())))
        return replace(self, beta=tuple(beta[0]), found=tuple(found), sanity=sanity)

    def _moments(self, z: F64) -> Moments:
        """The moments of all columns of z (q, n), the target last, as one window."""
        return window_moments(z, np.zeros(1, np.int64), np.full(1, z.shape[1], np.int64))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,)."""
        return self._filtered(rows)[0]

    def line(self, rows: Rows) -> F64:
        """Forecasts (m,) before the insanity filter: y minus these are the residuals of a fit."""
        beta = np.array(self.beta)[None]
        edges = np.array([0, len(rows.X)])
        z = np.ascontiguousarray(rows.X.T)
        return linear_forecasts(z, rows.names, self, beta, np.zeros(1, np.int64), edges)

    def noted(self, rows: Rows) -> Training | None:
        """The number of forecasts that the insanity filter replaced; None without the filter."""
        return self.report(int(self._filtered(rows)[1][0])) if self.insanity else None

    def report(self, replaced: int) -> Training:
        """The training report with the number of replaced forecasts, for the card."""
        return Training(len(self.coefficient_names), notes={"insane": replaced})

    def _filtered(self, rows: Rows) -> tuple[F64, I64]:
        line = self.line(rows)
        if self.sanity is None:
            return line, np.zeros(1, np.int64)
        return self.sanity.replaced(line, np.array([0, line.size]))

    @property
    def regressors(self) -> tuple[str, ...]:
        """The features that have slopes, in the order of beta."""
        return self.features

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Intercept and slopes by feature; nothing for a model without parameters."""
        return dict(zip(self.coefficient_names, self.found, strict=True))

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The names of fitted coefficients: the intercept, if any, and slopes unless fixed."""
        slopes = self.regressors if self.fixed is None else ()
        return ("intercept", *slopes) if self.intercept else slopes

    def stated(self, beta: F64, means: F64, names: Sequence[str]) -> F64:
        """The coefficients (w, k) of coefficient_names, from beta (w, 1 + p).

        means (w, q) are the training means of the columns `names`.
        """
        return beta[:, 0 if self.intercept else 1 : 1 if self.fixed is not None else None]


class Ols(Linear):
    """Ordinary least squares (HAR-RV: Corsi 2009, J. Financial Econometrics 7, eq. 9)."""

    @classmethod
    def build(cls, params: OlsParams, task: Task) -> Self:
        """The features at the task's horizon, in the order of the hypothesis."""
        features = own_features(params.features, task)
        return cls(features, params.intercept, insanity=params.insanity)


def linear_forecasts(
    z: F64, names: Sequence[str], model: Linear, beta: F64, start: I64, edges: I64
) -> F64:
    """Forecasts (edges[-1],): window k's rows of z (q, n) begin at start[k]; beta (w, 1 + p)."""
    out = np.empty(edges[-1])
    columns = np.array([names.index(f) for f in model.regressors], np.int64)
    loops.linear_forecasts(z, columns, beta, start, edges, out)
    return out


def term_by_term(values: F64, weights: ArrayLike) -> F64:
    """Sums of values (w, p) times weights (p,) or (w, p) over p: (w,).

    A product of matrices or einsum would add in another order for one window than for many, so a
    window's last bits would depend on the other windows.
    """
    each = np.broadcast_to(weights, values.shape)
    total = np.zeros(values.shape[0])
    for k in range(values.shape[1]):
        total += values[:, k] * each[:, k]
    return total


@dataclass(frozen=True)
class Moments:
    """Rows n (w,), means `centre` (w, q) and `gram` (w, q, q) about them; the target last."""

    n: F64
    centre: F64
    gram: F64

    @property
    def q(self) -> int:
        """The number of columns, the target included."""
        return self.centre.shape[1]

    def plus(self, other: Moments) -> Moments:
        """The moments of both sets of rows together (Chan, Golub & LeVeque 1979, eq. 2.1)."""
        n = self.n + other.n
        share = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0.0)
        apart = np.where(other.n[:, None] > 0.0, other.centre - self.centre, 0.0)
        gram = self.gram + other.gram
        gram += (self.n * share)[:, None, None] * apart[:, :, None] * apart[:, None]
        return Moments(n, self.centre + share[:, None] * apart, gram)

    def solve(self, model: Linear, names: Sequence[str]) -> tuple[F64, F64, F64]:
        """Coefficients (w, 1 + p), and mean and variance (w,) of the training residuals.

        `names` are the columns of z before the target. ModelError names window and feature.
        """
        columns = np.array([names.index(f) for f in model.regressors], np.int64)
        target = self.q - 1
        p = columns.size
        beta = np.zeros((self.n.size, 1 + p))
        if model.fixed is not None:
            beta[:, 1:] = model.fixed
            if model.intercept:
                explained = term_by_term(self.centre[:, columns], model.fixed)
                beta[:, 0] = self.centre[:, target] - explained
        else:
            self._check_rows(p + model.intercept)
            gram = self.gram if model.intercept else self._about_zero()
            failed = loops.least_squares(
                gram, self.centre, columns, target, int(model.intercept), _SINGULAR,
                np.empty((p, p)), np.empty(p), beta,
            )  # fmt: skip
            if failed:
                window, column = divmod(failed - 1, p)
                raise WindowError(
                    window,
                    f"feature {model.regressors[column]} is constant or a combination of the "
                    "features before it over the training rows",
                )
        return beta, *self._residuals(beta, columns, target)

    def _residuals(self, beta: F64, columns: I64, target: int) -> tuple[F64, F64]:
        weights = np.zeros((self.n.size, self.q))
        weights[:, columns] = -beta[:, 1:]
        weights[:, target] = 1.0
        mean = np.einsum("wi,wi->w", weights, self.centre) - beta[:, 0]
        total = np.einsum("wj,wj->w", np.einsum("wi,wij->wj", weights, self.gram), weights)
        return mean, np.maximum(total, 0.0) / self.n

    def _about_zero(self) -> F64:
        return self.gram + self.n[:, None, None] * self.centre[:, :, None] * self.centre[:, None]

    def _check_rows(self, parameters: int) -> None:
        short = np.flatnonzero(self.n <= parameters)
        if short.size:
            window = int(short[0])
            raise WindowError(
                window, f"{int(self.n[window])} training rows for {parameters} parameters"
            )


def window_moments(z: F64, first: I64, last: I64, boundaries: I64 | None = None) -> Moments:
    """Moments of rows first[k] … last[k] - 1 of every window k, each segment summed once.

    z (q, n), column after column, the target last; first, last (w,). `boundaries` are further
    positions at which segments are cut: with those of later windows included, a window's sums do
    not depend on how many windows follow it.
    """
    q, extra = z.shape[0], boundaries if boundaries is not None else first
    cuts = np.unique(np.concatenate((first, last, extra)))
    cuts = cuts[(cuts >= first.min()) & (cuts <= last.max())].astype(np.int64)
    segments = cuts.size - 1
    leaves = 1 << max(segments - 1, 0).bit_length()
    count = np.zeros(2 * leaves)
    mean = np.zeros((2 * leaves, q))
    cross = np.zeros((2 * leaves, q, q))
    own = slice(leaves, leaves + segments)
    loops.segment_moments(z, cuts, np.empty((q, _CHUNK)), count[own], mean[own], cross[own])
    loops.merge_tree(leaves, count, mean, cross)
    n, centre = np.empty(first.size), np.empty((first.size, q))
    gram = np.empty((first.size, q, q))
    loops.window_moments(
        leaves, count, mean, cross,
        np.searchsorted(cuts, first), np.searchsorted(cuts, last), n, centre, gram,
    )  # fmt: skip
    return Moments(n, centre, gram)


class WindowError(ModelError):
    """A fit that failed in one window of a sweep."""

    def __init__(self, window: int, reason: str) -> None:
        super().__init__(reason)
        self.window = window
