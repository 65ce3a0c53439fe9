"""GARCH, GJR and EGARCH as models of the walk: one symbol, refitted in a chain of windows.

A model is fitted on the known log returns between forecast origins, from the first to the last
training row; a suspension has no return, and the next known one follows the last. The variance
recursion continues through all later returns up to a row's origin, so it is current however old the
parameters are. The forecast is the mean variance over the horizon, per bar, on the target's scale.

Not every target measures the variance of returns: close-to-close returns include the overnight
move, which a range such as Garman-Klass's leaves out. With `rescale` the forecast is corrected by
the mean training residual, as in the moving averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from harness.models.garch_likelihood import (
    Model,
    Outlook,
    Recursion,
    outlook,
    parameter_names,
    recursion,
    refit_chain,
    unfit,
)
from harness.models.params import GarchParams
from harness.models.protocol import ModelError, Task, history_of, one_symbol
from harness.types import F64, I64, History, Rows, Training


@dataclass(frozen=True)
class _Returns:
    """One symbol's known returns in time order (n,), and their number up to each origin (D,)."""

    history: History
    symbol: int
    known: F64
    upto: I64

    @classmethod
    def of(cls, rows: Rows, feature: str) -> Self:
        """The known returns of the rows' one symbol."""
        (history, _), symbol = history_of(rows), one_symbol(rows)
        values = history.values[history.names.index(feature)]
        values = values[history.begins[symbol] : history.begins[symbol + 1]]
        finite = np.isfinite(values)
        return cls(history, symbol, values[finite], np.cumsum(finite, dtype=np.int64))

    def count(self, at: I64) -> I64:
        """The number of known returns at positions in the history."""
        return self.upto[at - self.history.begins[self.symbol]]

    def span(self, at: I64) -> tuple[int, int]:
        """The first return of rows at these positions, in time order, and the end of the last."""
        if not at.size:
            return 0, 0
        first, last = self.count(at[[0, -1]]).tolist()
        return first - 1, last


@dataclass(frozen=True)
class _Fitted:
    """One fit: params (k,), the returns and the first one fitted, its recursion and offset."""

    returns: _Returns
    first: int
    params: F64
    recursion: Recursion
    ahead: Outlook
    offset: float

    def through(self, last: int) -> F64:
        """Variances of at least the first `last` fitted returns, and of the return after them."""
        if last < self.recursion.path.size:
            return self.recursion.path
        return self.recursion.over(self.returns.known[self.first : self.first + last])


@dataclass(frozen=True)
class Garch:
    """GARCH(1,1) of one symbol's returns; Bollerslev (1986)."""

    features: tuple[str, ...]
    task: Task
    settings: GarchParams
    fitted: _Fitted | None = None
    training: Training | None = None
    look_back: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    overfits: ClassVar[bool] = False
    model: ClassVar[Model] = "garch"

    @classmethod
    def build(cls, params: GarchParams, task: Task) -> Self:
        """On `ret_1d` for daily forecast origins."""
        return cls((f"ret_{task.every}",), task, params)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A chain of one; ModelError for rows of several symbols, or as `fit_chain`."""
        return next(self.fit_chain(rows, y, [slice(0, len(y))], seed=seed))

    def fit_chain(
        self, rows: Rows, y: F64, trains: Sequence[slice | I64], *, seed: int = 0
    ) -> Iterator[Self]:
        """A fitted copy per training set, each maximised from the fit before.

        ModelError at a training set with under 100 returns, or with equal returns only; at once
        for rows of several symbols.
        """
        returns, (_, at) = _Returns.of(rows, self.features[0]), history_of(rows)
        spans = [returns.span(at[train]) for train in trains]
        reasons = (unfit(returns.known[a:b]) for a, b in spans)
        sound, reason = next(((k, r) for k, r in enumerate(reasons) if r), (len(spans), None))
        if sound:
            settings = self.settings
            first, last = np.array(spans[:sound], np.int64).T
            chain = refit_chain(
                returns.known, first, last, self.model, settings.dist,
                backcast=settings.backcast, guard=settings.guard,
            )  # fmt: skip
            marks = {"guarded": chain.guarded, "rescued": chain.rescued, "fallback": chain.fallback}
            for k, (train, span) in enumerate(zip(trains[:sound], spans, strict=False)):
                training = Training(
                    chain.params.shape[1],
                    bool(chain.converged[k]),
                    notes={name: int(mark[k]) for name, mark in marks.items()},
                )
                fitted = self._begin(returns, span, chain.params[k], seed)
                if self.settings.rescale:
                    model = replace(self, fitted=fitted)
                    offset = self.task.scale.offset(y[train], model.predict(rows.take(train)))
                    fitted = replace(fitted, offset=offset)
                yield replace(self, fitted=fitted, training=training)
        if reason:
            raise ModelError(reason)

    def _begin(self, returns: _Returns, span: tuple[int, int], params: F64, seed: int) -> _Fitted:
        first, last = span
        settings, task = self.settings, self.task
        r, model, dist = returns.known[first:last], self.model, settings.dist
        onward = recursion(params, r, model, dist, backcast=settings.backcast)
        ahead = outlook(params, task.steps, model, dist, seed=seed)
        return _Fitted(returns, first, params, onward, ahead, task.scale.unmoved)

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,), each from the returns up to its row's origin."""
        fitted, task = self.fitted, self.task
        assert fitted is not None, "predict needs a fitted copy"
        if not rows.symbol.size:
            return np.empty(0)
        if one_symbol(rows) != fitted.returns.symbol:
            raise ModelError("rows of a symbol that the model was not fitted on")
        place = fitted.returns.count(history_of(rows)[1]) - fitted.first
        variance = fitted.ahead(fitted.through(int(place.max()))[place])
        per_bar = fitted.recursion.sane(variance) / task.bars
        return task.scale.moved(task.scale.of_variance(per_bar), fitted.offset)

    @property
    def coefficients(self) -> Mapping[str, float]:
        """mu, omega, alpha, …, in units of the return, and the offset of the forecasts."""
        if self.fitted is None:
            return {}
        names = parameter_names(self.model, self.settings.dist)
        stated = dict(zip(names, self.fitted.params.tolist(), strict=True))
        return stated | ({"offset": self.fitted.offset} if self.settings.rescale else {})


class Gjr(Garch):
    """GJR-GARCH(1,1); Glosten, Jagannathan & Runkle (1993)."""

    model = "gjr"


class Egarch(Garch):
    """EGARCH(1,1); Nelson (1991)."""

    model = "egarch"
