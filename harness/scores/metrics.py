"""The metrics, one entry each; every table of metrics is made from these entries.

To add a metric, add its entry; for the mean of a loss, `_mean` is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.models.params import TrainingLoss
from harness.scores.losses import (
    Loss,
    TailLoss,
    Values,
    absolute_log,
    absolute_sigma,
    corr_influence,
    direction_influence,
    direction_loss,
    influence_of_known,
    mean_influence,
    missed_share,
    nll,
    over_known,
    pearson,
    qlike,
    r2_influence,
    rmse_influence,
    spearman_influence,
    squared_deviation,
    squared_log,
    squared_sigma,
    squared_variance,
    tail_loss,
)
from harness.scores.means import (
    CORRELATION,
    RANK_CORRELATION,
    RIGHT_WAY,
    Means,
    explained_share_of,
    mean_of,
    mean_of_known,
    root_mean_of,
)
from harness.scores.risk.definitions import FIGURES, SHORT_SYMBOLS, Figure
from harness.scores.risk.losses import fz_loss, joint_loss, quantile_loss
from harness.types import F64

Reads = Literal["log", "sigma", "variance", "tail"]
Counts = Callable[[Values], NDArray[np.bool_]]


@dataclass(frozen=True)
class RowLoss:
    """The loss of each row (n,) that tests of predictive ability compare; lower is better.

    `words` and `unit` name it on axes and in sentences.
    """

    values: Loss
    words: str
    unit: str


@dataclass(frozen=True)
class Metric:
    """A figure over rows of outcome and forecast; `higher` says whether higher is better.

    `heading` names it on cards and figures; `unit` and `definition` describe it. `reads` is the
    quantity that it compares: "log" is the target's own scale, which needs no
    back-transformation; a proxy of the target is matched to its mean there. "tail" is VaR and ES,
    scored on returns, which need no proxy. `influence(outcome,
    forecast)` (n,) has mean zero: each row's influence on the figure. `means` are the means that a
    bootstrap resamples. `loss` is None where no loss of a row orders models as the metric does.
    `signed`: the best figure is not zero, it may be positive or negative. `robust`: models keep
    their order when the outcome is a noisy, conditionally unbiased proxy of the variance (Patton
    2011, J. Econometrics 160). `widest`: a gain that no claim reaches, None for no bound.
    `counts(outcome)` (n,) selects the rows that the figure covers, None for all. `ranked`: it reads
    ranks. `trains` is the training loss that fits it, which `loss = "auto"` of a model stands for
    where the verdict is on it. `correlates` picks the series to correlate. `divisor(outcome)` (n,)
    has the mean that the figure divides the mean loss by; `root`: the figure is the root of the
    mean loss.
    """

    name: str
    heading: str
    higher: bool
    unit: str
    definition: str
    reads: Reads
    influence: Callable[[Values, Values], F64]
    means: Means
    trains: TrainingLoss
    loss: RowLoss | None = None
    signed: bool = False
    robust: bool = False
    widest: float | None = None
    counts: Counts | None = None
    ranked: bool = False
    correlates: Callable[[Values], F64] | None = None
    divisor: Callable[[Values], F64] | None = None
    root: bool = False

    @property
    def has_share(self) -> bool:
        """Whether it is a loss of at least zero, so that a relative gain is defined."""
        return not (self.higher or self.signed)

    @property
    def of_the_target(self) -> bool:
        """Whether it is on the target's own scale, with no back-transformation."""
        return self.reads == "log"

    @property
    def of_risk(self) -> bool:
        """Whether it scores VaR and ES, at a level and with a residual distribution."""
        return self.reads == "tail"

    def losses(self, outcome: Values, forecast: Values) -> F64:
        """The loss of every row (n,); ValueError for a metric without one."""
        if self.loss is None:
            raise ValueError(f"{self.name} is not the mean of a loss of each row")
        return self.loss.values(outcome, forecast)

    def figure(self, outcome: Values, forecast: Values) -> float:
        """The figure over all rows, NaN where undefined; `score` is the fast way."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.correlates is not None:
                return pearson(self.correlates(outcome), self.correlates(forecast))
            shared = _means(self.means.outcome(outcome))
            influence = self.influence(outcome, forecast)
            own = _means(self.means.model(outcome, forecast, influence))
            return float(self.means.figure(shared, own)[0])


def _means(columns: tuple[F64, ...]) -> F64:
    return np.array([[column.mean() for column in columns]])


def _mean(
    name: str,
    heading: str,
    reads: Reads,
    unit: str,
    definition: str,
    loss: Loss,
    trains: TrainingLoss,
    *,
    signed: bool = False,
    robust: bool = False,
) -> Metric:
    """A metric that is the mean of a loss; lower is better."""
    return Metric(
        name,
        heading,
        False,
        unit,
        definition,
        reads,
        mean_influence(loss),
        mean_of(loss),
        trains,
        RowLoss(loss, heading, unit),
        signed=signed,
        robust=robust,
    )


def _where_known(
    figure: Figure,
    reads: Reads,
    loss: Loss,
    counts: Counts,
    trains: TrainingLoss,
    *,
    signed: bool = False,
) -> Metric:
    """A metric that is the mean of a loss over the rows that `counts`; NaN in the others."""
    return Metric(
        figure.name,
        figure.heading,
        False,
        figure.unit,
        figure.definition,
        reads,
        influence_of_known(loss),
        mean_of_known(loss, counts),
        trains,
        RowLoss(over_known(loss), figure.heading, figure.unit),
        signed=signed,
        counts=counts,
    )


def _with_returns(outcome: Values) -> NDArray[np.bool_]:
    assert outcome.returns is not None, "an outcome has returns where the verdict is on VaR or ES"
    return np.isfinite(outcome.returns)


def _of_risk(name: str, loss: TailLoss, *, signed: bool = False) -> Metric:
    """A metric of VaR and ES on returns."""
    own = FIGURES[name]
    figure = replace(own, definition=f"{own.definition}; {SHORT_SYMBOLS}")
    return _where_known(figure, "tail", tail_loss(loss), _with_returns, "qlike", signed=signed)


def _var_loss(y: F64, level: float, var: F64, _: F64) -> F64:
    return quantile_loss(y, level, var)


_TABLE = (
    Metric(
        "ic",
        "IC",
        True,
        "rank correlation, -1 to 1",
        "Spearman's correlation of the target and its forecast, ties averaged",
        "log",
        spearman_influence,
        RANK_CORRELATION,
        "log-mse",
        correlates=lambda v: v.pooled,
        ranked=True,
        widest=2.0,
    ),
    Metric(
        "r2_log",
        "R² log",
        True,
        "share of variance, at most 1",
        "1 - sum e^2 / sum (y - mean y)^2, y = ln sigma, e = y - its forecast",
        "log",
        r2_influence,
        explained_share_of(squared_log),
        "log-mse",
        RowLoss(squared_log, "squared error of ln σ", "no unit"),
        widest=1.0,
        divisor=squared_deviation,
    ),
    _mean(
        "mae_log",
        "MAE log",
        "log",
        "ln sigma",
        "mean |y - forecast|, y = ln sigma",
        absolute_log,
        "log-mse",
    ),
    Metric(
        "rmse",
        "RMSE σ",
        False,
        "sigma per bar",
        "sqrt(mean (sigma - forecast sigma)^2)",
        "sigma",
        rmse_influence,
        root_mean_of(squared_sigma),
        "mse",
        RowLoss(squared_sigma, "squared error", "σ per bar, squared"),
        root=True,
    ),
    _mean(
        "mae",
        "MAE σ",
        "sigma",
        "sigma per bar",
        "mean |sigma - forecast sigma|",
        absolute_sigma,
        "log-mse",
    ),
    _mean(
        "mse",
        "MSE σ",
        "sigma",
        "sigma per bar, squared",
        "mean (sigma - forecast sigma)^2, the square of rmse",
        squared_sigma,
        "mse",
    ),
    _mean(
        "mse_var",
        "MSE σ²",
        "variance",
        "variance per bar, squared",
        "mean (sigma^2 - forecast variance)^2",
        squared_variance,
        "qlike",
        robust=True,
    ),
    _mean(
        "qlike",
        "QLIKE",
        "variance",
        "nats, 0 is best",
        "mean (x - ln x - 1), x = sigma^2 / forecast variance "
        "(Patton 2011, J. Econometrics 160, eq. 24)",
        qlike,
        "qlike",
        robust=True,
    ),
    Metric(
        "corr",
        "Corr σ",
        True,
        "correlation, -1 to 1",
        "Pearson's correlation of sigma and forecast sigma",
        "sigma",
        corr_influence,
        CORRELATION,
        "mse",
        correlates=lambda v: v.sigma,
        widest=2.0,
    ),
    Metric(
        "direction",
        "Direction",
        True,
        "share of rows, 0 to 1",
        "share of forecasts on the same side as the target of its measure over the last "
        "horizon; a forecast of no change is right only where there is none",
        "log",
        direction_influence,
        RIGHT_WAY,
        "log-mse",
        RowLoss(direction_loss, "wrong direction", "rows"),
        counts=lambda o: np.isfinite(o.last),
        widest=1.0,
    ),
    _where_known(
        Figure(
            "mape",
            "MAPE σ",
            "share of sigma, 0 is best",
            "mean |sigma - forecast sigma| / sigma over the rows whose sigma is above "
            "sample.floor; those at it, where no price moved, are left out",
        ),
        "sigma",
        missed_share,
        lambda o: np.isfinite(o.moved),
        "log-mse",
    ),
    _mean(
        "nll",
        "NLL",
        "variance",
        "nats, of either sign",
        "mean (ln 2 pi + ln h + v / h) / 2, v = sigma^2, h = forecast variance, per bar of "
        "returns in units: of a normal return of mean 0 and variance h whose square is v, as "
        "rv over one bar is; for other targets a quasi-likelihood, half of qlike but for "
        "terms of v alone",
        nll,
        "qlike",
        signed=True,
        robust=True,
    ),
)
_OF_RISK = (
    _of_risk("quantile_loss", _var_loss),
    _of_risk("joint_loss", joint_loss, signed=True),
    _of_risk("fz_loss", fz_loss, signed=True),
)
METRICS: dict[str, Metric] = {m.name: m for m in (*_TABLE, *_OF_RISK)}
OF_RISK = tuple(m.name for m in _OF_RISK)


def of_volatility() -> tuple[str, ...]:
    """The metrics that every run has: all but those of VaR and ES."""
    return tuple(name for name, m in METRICS.items() if not m.of_risk)


def metrics_of(outcome: Values) -> tuple[str, ...]:
    """The columns of all scores, in order: metrics of risk only with returns to score on."""
    return of_volatility() if outcome.returns is None else tuple(METRICS)


def columns_of(figures: F64) -> tuple[str, ...]:
    """The metrics whose figures (…, M) these are, in order: all, or those of volatility."""
    everything = tuple(METRICS)
    return everything if figures.shape[-1] == len(everything) else of_volatility()


def loss_of(metric: str) -> str:
    """The metric whose row loss is used for this one: itself, or QLIKE where it has none."""
    return metric if METRICS[metric].loss else "qlike"
