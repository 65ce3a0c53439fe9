"""Checks of a verdict on VaR and ES: which level, and which residual distribution."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scores.metrics import METRICS, OF_RISK
from harness.spec.sections import Acceptance, RiskSpec
from harness.toml.problems import Problem, unknown_word

_METRIC, _LEVEL, _RESIDUALS = (("verdict", key) for key in ("metric", "level", "residuals"))


def tail_problems(rule: Acceptance, risk: RiskSpec | None) -> Iterator[Problem]:
    """Problems of verdict.level and verdict.residuals, which metrics of risk need."""
    if not METRICS[rule.metric].of_risk:
        wanted = (
            f"no such key with the metric {rule.metric}, which scores forecasts of volatility; "
            f"the metrics of VaR and ES are {', '.join(OF_RISK)}"
        )
        for key, value in ((_LEVEL, rule.level), (_RESIDUALS, rule.residuals)):
            if value is not None:
                yield Problem(key, wanted, value)
    elif risk is None:
        wanted = (
            "a metric of volatility, or a table [risk]: it has the levels and the residual "
            f"distributions of the VaR and ES that {rule.metric} scores"
        )
        yield Problem(_METRIC, wanted, rule.metric)
    else:
        yield from _choices(rule, risk)


def _choices(rule: Acceptance, risk: RiskSpec) -> Iterator[Problem]:
    levels = [f"{level:g}" for level in risk.levels]
    of_levels = f"one of risk.levels: {', '.join(levels)}"
    if rule.level is None:
        yield Problem(_LEVEL, f"this key, {of_levels} ({rule.metric} scores VaR and ES at one)")
    elif rule.level not in risk.levels:
        asked = rule.level
        near = min(risk.levels, key=lambda level: max(level / asked, asked / level))
        yield Problem(_LEVEL, of_levels, asked, f"{near:g}")
    if rule.residuals is None:
        which = f"one of risk.residuals: {', '.join(risk.residuals)}"
        yield Problem(_RESIDUALS, f"this key, {which} ({rule.metric} scores VaR and ES with one)")
    elif rule.residuals not in risk.residuals:
        yield unknown_word(_RESIDUALS, rule.residuals, list(risk.residuals))
