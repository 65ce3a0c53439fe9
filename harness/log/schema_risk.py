"""The log's tables of VaR and ES, and of forecast distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.log.schema import (
    BASELINE,
    COUNT,
    FORMED_AT,
    HORIZON,
    MODEL,
    REAL,
    ROWS,
    RUN_ID,
    SYMBOL,
    TEXT,
    Column,
    LogTable,
)
from harness.scores.distribution import definitions as distribution
from harness.scores.risk import definitions as risk
from harness.scores.risk.definitions import Figure
from harness.scores.risk.few_violations import DRAWS, FEW
from harness.walk.residuals.laws import LAWS
from harness.walk.residuals.tails import RESIDUALS


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


_LAW = Column("law", TEXT, f"how residuals give the distribution: {_listed(LAWS)}")
_RESIDUALS = Column("residuals", TEXT, f"the residual distribution: {_listed(RESIDUALS)}")
_VAR_LEVEL = Column("level", REAL, "the level a of VaR and ES, a probability such as 0.01")


def _figures(of: Mapping[str, Figure], *names: str) -> tuple[Column, ...]:
    """Columns whose meaning and unit are the definitions of `harness risk` and the like."""
    return tuple(Column(n, REAL, f"{of[n].definition}; unit: {of[n].unit}") for n in names)


def _tests(*names: str) -> tuple[Column, ...]:
    """Statistics of VaR and ES, each followed by its p-value."""
    return tuple(
        column
        for statistic in _figures(risk.FIGURES, *names)
        for column in (
            statistic,
            Column(f"{statistic.name}_p", REAL, f"p-value of {statistic.name}, 0 to 1"),
        )
    )


RISK = LogTable(
    "risk",
    "One row per model, residual distribution, level and symbol: VaR and ES.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _RESIDUALS,
        _VAR_LEVEL,
        Column("symbol", TEXT, "`all`, or one symbol of several"),
        ROWS,
        Column("violations", COUNT, "number of returns below VaR"),
        *_figures(risk.FIGURES, "rate", "quantile_loss", "joint_loss", "fz_loss", "scale", "dof"),
        Column(
            "tested", COUNT, "number of forecast origins, without overlapping targets, in the tests"
        ),
        *_tests("kupiec", "independence", "coverage", "dq", "z1", "z2"),
        Column(
            "expected", REAL, "number of violations expected in those tests: tested times level"
        ),
        Column(
            "p_values",
            TEXT,
            "what p-values of kupiec, independence, coverage and dq are: `own distribution` where "
            f"fewer than {FEW:g} violations are expected (of dq by {DRAWS:,} simulated series), "
            "`chi-squared`, or `none`",
        ),
    ),
    note=f"Only with `[risk]`; see `harness risk`. In the definitions {risk.SYMBOLS}",
)

RISK_WINS = LogTable(
    "risk_wins",
    "One row per model, residual distribution and level: VaR and ES over the symbols, against the "
    "baseline's.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _RESIDUALS,
        _VAR_LEVEL,
        BASELINE,
        Column("wins", COUNT, "number of symbols with a lower joint loss than the baseline's"),
        Column("symbols", COUNT, "number of symbols compared"),
        Column("rejected", COUNT, "number of symbols that Kupiec's test rejects at 5 %"),
        Column("tested", COUNT, "number of symbols with a Kupiec test"),
        Column("quantile_wins", COUNT, "number of symbols with a lower quantile loss"),
        Column("rate_wins", COUNT, "number of symbols whose rate of violations is nearer to level"),
        Column("rate_ties", COUNT, "number of symbols whose rates are equally near to level"),
    ),
)

RISK_PATH = LogTable(
    "risk_path",
    "One row per forecast origin: VaR, ES and return of the last 1,000, as the figure shows them.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _RESIDUALS,
        _VAR_LEVEL,
        SYMBOL,
        FORMED_AT,
        Column("realised", REAL, "log return over the horizon"),
        Column("var", REAL, "forecast VaR, a log return, as a rule negative"),
        Column("es", REAL, "forecast ES, a log return, as a rule negative"),
    ),
)

_SCOPE = Column("scope", TEXT, "`pooled`, `symbol` or `window`")
_NAME = Column("name", TEXT, "which one: `all`, the symbol, or the window's number from 0")

DISTRIBUTION = LogTable(
    "distribution",
    "One row per model, law and scope: scores of forecast distributions.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _LAW,
        _SCOPE,
        _NAME,
        ROWS,
        Column("calibrated", REAL, "number of residuals that a law is made from, mean over rows"),
        *_figures(distribution.FIGURES, "crps", "pinball"),
    ),
    note="Only with `[distribution]`; see `harness distribution`. In the definitions "
    f"{distribution.SYMBOLS}",
)

QUANTILES = LogTable(
    "quantiles",
    "One row per model, law, level and scope: how well one quantile is forecast.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _LAW,
        Column("level", REAL, "the quantile's level p, a probability"),
        _SCOPE,
        _NAME,
        ROWS,
        *_figures(distribution.FIGURES, "below", "pinball"),
    ),
)

COVERAGE = LogTable(
    "coverage",
    "One row per model, law, central interval and scope: how often outcomes fall into it.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _LAW,
        Column("stated", REAL, "the share 1 - 2 p of outcomes that the interval should hold"),
        _SCOPE,
        _NAME,
        ROWS,
        *_figures(distribution.FIGURES, "covered", "width", "interval_score"),
    ),
)

PIT = LogTable(
    "pit",
    "One row per model, law and tenth of the probability integral transform.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _LAW,
        Column("low", REAL, "lower end of the tenth, a probability"),
        Column("high", REAL, "upper end of the tenth, a probability"),
        Column("count", COUNT, "number of forecasts in it"),
        *_figures(distribution.FIGURES, "share"),
    ),
)

FAN = LogTable(
    "fan",
    "One row per forecast origin and level: quantiles of the last 120, as the figure shows them.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        _LAW,
        SYMBOL,
        FORMED_AT,
        Column("level", REAL, "the quantile's level p, a probability"),
        Column("quantile", REAL, "the forecast quantile, on the target's scale"),
        Column("yhat", REAL, "the point forecast, on the target's scale"),
        Column("y", REAL, "the outcome, on the target's scale"),
    ),
)
