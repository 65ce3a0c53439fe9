"""Instruments for tests of a logged run: measures known at its forecast origins, computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import RunError, UsageError, nearest, one_line
from harness.samples.features import Expression, FeatureError, parse_feature
from harness.samples.measured import measure_panel
from harness.spec.reading import stored_hypothesis
from harness.study.stages import at_origins
from harness.study.study import set_up
from harness.types import F64, Forecasts

LAG = "lag"


def read_instruments(texts: Sequence[str], horizon: str) -> dict[str, Expression | None]:
    """Feature expressions at the horizon, by their canonical text; None for the word `lag`.

    UsageError for a text that is no expression.
    """
    found: dict[str, Expression | None] = {}
    for text in texts:
        if text.strip() == LAG:
            found[LAG] = None
            continue
        try:
            expression = parse_feature(text).at(horizon)
        except FeatureError as error:
            near = f"; did you mean '{error.nearest}'?" if error.nearest else ""
            wanted = f"a feature expression such as log(rv_1d), or {LAG}: {error}"
            raise UsageError(
                f"--instruments: got {one_line(text)}, wanted {wanted}{near}"
            ) from None
        found[expression.text] = expression
    return found


def known_instruments(
    record: Mapping[str, Any],
    forecasts: Forecasts,
    wanted: Mapping[str, Expression | None],
    search: Sequence[Path],
) -> dict[str, F64]:
    """Each instrument at every forecast origin (n,), NaN where it is not known.

    The run's panel is measured again, unless its measures are cached. UsageError for a panel that
    is missing, and for columns that the hypothesis does not measure; RunError for a panel whose
    bars changed since the run.
    """
    nothing = np.full(forecasts.y.size, np.nan)
    values = {name: nothing.copy() for name in wanted}
    if not any(wanted.values()):
        return values
    study = set_up(stored_hypothesis(record), search)
    measured, facts, _ = measure_panel(study.panel, study.plan)
    if facts.fingerprint != record["panel"]["fingerprint"]:
        raise RunError(
            f"panel {record['panel']['name']}: its bars are not those of run {record['run_id']} "
            f"({facts.fingerprint}, then {record['panel']['fingerprint']}): run it again"
        )
    _check_columns(wanted, [*measured[0].columns])
    for by_symbol in at_origins(study, measured):
        m = by_symbol.measured
        if m.symbol not in forecasts.symbols:
            continue
        rows = np.flatnonzero(forecasts.symbol == forecasts.symbols.index(m.symbol))
        at = np.searchsorted(m.known_at[m.origins], forecasts.formed_at[rows])
        for name, expression in wanted.items():
            if expression is not None:
                values[name][rows] = by_symbol.feature(expression)[at]
    return values


def _check_columns(wanted: Mapping[str, Expression | None], known: Sequence[str]) -> None:
    for text, expression in wanted.items():
        for column in sorted(expression.columns if expression else ()):
            if column not in known:
                near = nearest(column, known)
                hint = f"; did you mean '{near}'?" if near else ""
                raise UsageError(
                    f"--instruments: {text}: got '{column}', wanted a measure that the run made: "
                    f"{one_line(', '.join(known), 200)}{hint}"
                )
