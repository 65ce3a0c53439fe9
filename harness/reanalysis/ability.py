"""All tests of predictive ability on the stored forecasts of a logged run: `harness tests`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError, nearest
from harness.inference.confidence_set import (
    ConfidenceSet,
    SuperiorAbility,
    model_confidence_set,
    superior_ability,
)
from harness.inference.evidence import GainAs
from harness.inference.findings import Compared, Finding, findings, loss_series, nests
from harness.log.store import Log
from harness.log.stored_forecasts import stored_forecasts, testable_metrics
from harness.reanalysis.instruments import known_instruments, read_instruments
from harness.scores.forecast_origins import by_origin
from harness.scores.metrics import METRICS
from harness.scores.scoring import series
from harness.tables import finite

_SIZE = 0.1  # of the model confidence set, 90 % confidence


@dataclass(frozen=True)
class Report:
    """What was tested and found, over all forecasts of a horizon.

    `regime` is that of the verdict, which used only part of the forecasts; `confidence_set` and
    `superior` are None where losses cannot be compared.
    """

    run_id: str
    hypothesis: str
    horizon: str
    regime: str | None
    metric: str
    gain_as: GainAs
    baseline: str
    rows: int
    findings: tuple[Finding, ...]
    confidence_set: ConfidenceSet | None
    superior: SuperiorAbility | None

    def as_json(self) -> dict[str, Any]:
        """As JSON values; undefined figures are null."""
        return finite(asdict(self))


def run_tests(
    log: Log,
    run: str,
    *,
    metric: str | None,
    horizon: str | None,
    instruments: Sequence[str],
    draws: int,
    search: Sequence[Path],
) -> Report:
    """Test all of a run's models; metric and horizon are the verdict's where not given.

    UsageError for an unknown run, metric, horizon or instrument; RunError for a panel that has
    changed.
    """
    record = log.read(run)
    rule, models = record["verdict"], record["settings"]["models"]
    metric = _metric(record, metric)
    forecasts, scale = stored_forecasts(log, record["run_id"], horizon or rule["horizon"])
    wanted = read_instruments(instruments, forecasts.horizon)
    known = known_instruments(record, forecasts, wanted, search) if wanted else None
    outcome, values = series(forecasts, scale)
    baseline = rule["baseline"]
    shares = rule["gain_as"] == "relative" and metric == rule["metric"]
    others = tuple(name for name in values if name != baseline)
    compared = Compared(
        outcome,
        values,
        forecasts.formed_at,
        forecasts.resolved_at,
        forecasts.overlap,
        baseline=baseline,
        candidates=others,
        metric=metric,
        gain_as="relative" if shares else "difference",
        log_target=scale.is_log,
        unit=scale.unit,
        nested=tuple(name for name in others if nests(models[name], models[baseline])),
        level=1.0 - 2.0 * rule["alpha"],
        draws=draws,
        seed=record["seed"],
    )
    found = findings(compared, known)
    return Report(
        record["run_id"],
        record["hypothesis"],
        forecasts.horizon,
        rule.get("regime"),
        metric,
        compared.gain_as,
        baseline,
        forecasts.y.size,
        found,
        *_sets(compared, rule["alpha"]),
    )


def _metric(record: Mapping[str, Any], metric: str | None) -> str:
    """The metric asked for, or that of the verdict, if the stored forecasts allow it."""
    name = metric or record["verdict"]["metric"]
    possible = testable_metrics(record)
    if name in possible:
        return name
    near = nearest(name, possible)
    hint = f"; did you mean '{near}'?" if near and name not in METRICS else ""
    why = ""
    if name in METRICS and METRICS[name].of_risk:
        why = (
            f" ({name} scores VaR and ES, which the log does not hold row by row; the card has the "
            "tests of the run itself)"
        )
    elif name in METRICS:
        why = " (the log has no back-transformation by symbol, for models fitted symbol by symbol)"
    raise UsageError(f"--metric: got '{name}', wanted one of {', '.join(possible)}{why}{hint}")


def _sets(c: Compared, alpha: float) -> tuple[ConfidenceSet | None, SuperiorAbility | None]:
    """The confidence set, SPA and StepM over all models."""
    dates = by_origin(c.formed_at)
    losses = {name: loss_series(c.outcome, f, c.metric) for name, f in c.models.items()}
    if len(losses) < 2 or not all(math.isfinite(float(x @ x)) for x in losses.values()):
        return None, None
    losses = {name: dates.averages(x) for name, x in losses.items()}
    settings = {"draws": c.draws, "seed": c.seed}
    return (
        model_confidence_set(losses, c.overlap, size=_SIZE, **settings),
        superior_ability(losses, c.baseline, c.overlap, size=alpha, **settings),
    )
