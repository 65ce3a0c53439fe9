"""Stored forecasts of other runs of the family, for the reality check of a run.

Only forecasts of the same targets at the same forecast origins can be compared: those runs share
target, horizon and every origin with the run, and are compared with its own baseline.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.durations import ns_of
from harness.errors import RunError
from harness.inference.blocks import block_length, long_enough
from harness.inference.bootstrap import DRAWS
from harness.inference.reality_check import reality_check
from harness.log.run_digests import Key, RunDigest, target_words
from harness.log.store import Log, RecordError
from harness.log.stored_forecasts import stored_forecasts, testable_metrics
from harness.samples.target_scale import TargetScale
from harness.scores.forecast_origins import by_origin
from harness.scores.losses import Values
from harness.scores.metrics import METRICS
from harness.scores.scoring import moving
from harness.types import F64, I64, Forecasts

if TYPE_CHECKING:
    import polars as pl

    from harness.history.family import Known
    from harness.inference.evidence import Evidence
    from harness.study.study import Study

# A plain run reads at most so many bytes of other runs' forecasts, the latest first, and resamples
# at most so many numbers: a tenth of a second. `harness family --full` does the rest.
_MOST_BYTES = 25_000_000
_MOST_NUMBERS = 500_000
_ROUNDING = 1e-12  # of the largest loss: smaller differences are none
_WINS = "the verdict is on symbols won, the check on mean losses"


@dataclass(frozen=True)
class Setting:
    """What the compared forecasts (n,) share: target and horizon, in time order.

    `symbol` (n,) are names; `last` is as in Samples, None where unknown; `seed` is the run's.
    """

    horizon: str
    target: str
    metric: str
    scale: TargetScale
    formed_at: I64
    symbol: pl.Series
    y: F64
    last: F64 | None
    overlap: int
    seed: int

    def loss(self, yhat: F64, shifts: tuple[F64 | float, F64 | float]) -> F64:
        """The metric's loss of every forecast (n,); forecasts are on the target's scale."""
        return METRICS[self.metric].losses(
            self._values(self.y, (0.0, 0.0)), self._values(yhat, shifts)
        )

    def _values(self, y: F64, shifts: tuple[F64 | float, F64 | float]) -> Values:
        s, nothing = self.scale, np.empty(0)
        last = np.full(y.size, np.nan) if self.last is None else self.last
        var_shift, sigma_shift = shifts
        log_sigma, sigma = s.log_sigma(y), s.sigma(y, sigma_shift)
        moved, variance = moving(s, log_sigma, sigma), s.variance(y, var_shift)
        return Values(y, last, log_sigma, sigma, moved, variance, nothing, nothing)


def setting_of(study: Study, forecasts: Forecasts) -> Setting:
    """The setting of the present run, at its verdict's horizon."""
    import polars as pl

    h = study.hypothesis
    settings = {
        "target": h.target.measure,
        "scale": h.target.scale,
        "unit": study.scale.unit,
        "floor": h.sample.floor,
        "interval": str(h.sample.interval) if h.sample.interval else None,
        "every": str(h.sample.every),
    }
    return Setting(
        forecasts.horizon,
        target_words(settings),
        h.verdict.metric,
        study.scale,
        forecasts.formed_at,
        pl.Series(forecasts.symbols, dtype=pl.String).gather(forecasts.symbol),
        forecasts.y,
        forecasts.last,
        forecasts.overlap,
        h.run.seed,
    )


def check(
    log: Log,
    known: Known,
    setting: Setting,
    forecasts: Forecasts,
    evidence: Sequence[Evidence],
    regime: str | None,
    gain_as: str,
) -> dict[str, Any]:
    """The reality check of a run over all candidates of its family that can be compared with it.

    What the record holds: the p-values `white` and `spa` over so many `candidates`, `block`,
    `draws` and `dates`, or `why` there is none; and how many candidates were `left_out` because
    reading them would take long.
    """
    if regime is not None:
        return {"why": f"the verdict is on the regime {regime} alone"}
    if gain_as == "wins":
        return {"why": _WINS}
    if (why := _not_comparable(setting.metric)) is not None:
        return {"why": why}
    shifts = {name: forecasts.fits[name].shifts(forecasts.symbol) for name in forecasts.yhat}
    base = evidence[0].baseline
    benchmark = setting.loss(forecasts.yhat[base], shifts[base])
    own = {
        e.candidate: setting.loss(forecasts.yhat[e.candidate], shifts[e.candidate])
        for e in evidence
    }
    made = {(known.hypothesis.comparison_hash, name) for name in own}
    others = eligible(log, known.members, made, setting)
    losses, left = list(own.values()), _MOST_BYTES
    for k, family_run in enumerate(others):
        left -= family_run.bytes
        numbers = setting.y.size * (len(losses) + len(family_run.candidates))
        if left < 0 or numbers > _MOST_NUMBERS:
            beyond = sum(len(family_run.candidates) for family_run in others[k:])
            return tested(setting, benchmark, losses) | {"left_out": beyond}
        losses += family_losses(log, family_run.run, setting, family_run.candidates).values()
    return tested(setting, benchmark, losses) | {"left_out": 0}


def _not_comparable(metric: str) -> str | None:
    """Why the losses of stored forecasts cannot be computed; None where they can."""
    if METRICS[metric].of_risk:
        return f"{metric} scores VaR and ES, which the log does not hold row by row"
    if METRICS[metric].loss is None:
        return f"{metric} has no loss of a single forecast"
    return None


@dataclass(frozen=True)
class Reach:
    """How much full checks read: the stored forecasts of so many runs, in bytes."""

    runs: int
    bytes: int


def reach_of(log: Log, runs: Sequence[RunDigest]) -> Reach:
    """How much the full checks of these runs would read."""
    sizes = [size for run in runs if (size := _bytes(log, run))]
    return Reach(len(sizes), sum(sizes))


def full_check(log: Log, members: Sequence[RunDigest], run: RunDigest) -> dict[str, Any]:
    """The reality check of a stored run over all candidates of its family, as in `check`.

    `members` are the runs of its family, itself included. RecordError when its record cannot be
    read.
    """
    record = log.read(run.run_id)
    regime = record["verdict"].get("regime")
    if regime is not None:
        return {"why": f"the verdict is on the regime {regime} alone"}
    if run.gain_as == "wins":
        return {"why": _WINS}
    if (why := _not_comparable(run.metric)) is not None:
        return {"why": why}
    setting = _stored_setting(log, run, record)
    if setting is None:
        return {"why": "its forecasts are gone"}
    own = family_losses(log, run, setting, (run.baseline, *run.comparisons))
    if run.baseline not in own or len(own) == 1:
        return {
            "why": "the log does not hold the back-transformation of models fitted symbol by symbol"
        }
    benchmark = own.pop(run.baseline)
    losses = list(own.values())
    for family_run in eligible(log, members, {(run.comparison, name) for name in own}, setting):
        losses += family_losses(log, family_run.run, setting, family_run.candidates).values()
    return tested(setting, benchmark, losses) | {"left_out": 0}


def _stored_setting(log: Log, run: RunDigest, record: Mapping[str, Any]) -> Setting | None:
    """The setting of a stored run; None where its forecasts cannot be read."""
    import polars as pl

    try:
        part, scale = stored_forecasts(log, run.run_id, run.horizon)
    except (RecordError, RunError):
        return None
    return Setting(
        run.horizon,
        run.target,
        run.metric,
        scale,
        part.formed_at,
        pl.Series(part.symbols, dtype=pl.String).gather(part.symbol),
        part.y,
        part.last,
        part.overlap,
        record["seed"],
    )


@dataclass(frozen=True)
class FamilyRun:
    """A run, its candidates that no later run compared, and the bytes of its stored forecasts."""

    run: RunDigest
    candidates: tuple[str, ...]
    bytes: int


def eligible(
    log: Log, runs: Sequence[RunDigest], made: Collection[Key], setting: Setting
) -> list[FamilyRun]:
    """The comparisons of these runs that are not yet `made`, each in its latest run, newest first.

    All are of the same target and horizon. Void runs, and runs whose forecasts are gone, are left
    out.
    """
    found, seen = [], set(made)
    for run in sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True):
        same = run.horizon == setting.horizon and run.target == setting.target
        names = tuple(name for name in run.comparisons if (run.comparison, name) not in seen)
        if same and names and run.status != "void" and (size := _bytes(log, run)):
            found.append(FamilyRun(run, names, size))
            seen |= {(run.comparison, name) for name in names}
    return found


def tested(setting: Setting, benchmark: F64, losses: Sequence[F64]) -> dict[str, Any]:
    """The reality check of losses (n,) against the benchmark's (n,), by forecast origin."""
    dates = by_origin(setting.formed_at)
    gains = benchmark[:, None] - np.column_stack(losses)
    if not np.isfinite(gains).all():
        return {"why": f"{setting.metric} is not defined for every forecast"}
    gains[:, np.abs(gains).max(axis=0) <= _ROUNDING * np.abs(benchmark).max()] = 0.0
    gains = np.column_stack([dates.averages(gain) for gain in gains.T])
    if not long_enough(dates.n, setting.overlap):
        return {"why": f"{dates.n} forecast origins are too few for a bootstrap"}
    block = max(block_length(gain, setting.overlap) for gain in gains.T)
    found = reality_check(gains, setting.overlap, block, setting.seed)
    return {
        "white": found.white, "spa": found.spa, "candidates": gains.shape[1], "dates": dates.n,
        "block": block, "draws": DRAWS,
    }  # fmt: skip


def family_losses(
    log: Log, run: RunDigest, setting: Setting, models: Sequence[str]
) -> dict[str, F64]:
    """Model -> its losses (n,), from a run's stored forecasts; {} where they cannot be compared.

    That is so for other forecast origins or targets, for forecasts that are gone or unreadable, and
    where the log lacks the back-transformation (for models fitted symbol by symbol it has medians).
    """
    frame = _stored(log, run, setting)
    if frame is None:
        return {}
    needs_record = setting.scale.is_log and not METRICS[setting.metric].of_the_target
    try:
        record = log.read(run.run_id) if needs_record else None
    except RecordError:
        return {}
    found = {}
    for name in models:
        shifts = (0.0, 0.0) if record is None else _shifts(record, name, setting)
        if name in run.models and shifts is not None:
            yhat = frame["yhat"].list.get(run.models.index(name)).to_numpy()
            found[name] = setting.loss(yhat, shifts)
    return found


def _stored(log: Log, run: RunDigest, setting: Setting) -> pl.DataFrame | None:
    """A run's forecasts, if they have the setting's targets at its forecast origins."""
    import polars as pl

    frame = _forecasts(log, run)
    same = (
        frame is not None
        and frame.height == setting.y.size
        and np.array_equal(frame["y"].to_numpy(), setting.y)
        and np.array_equal(frame["formed_at"].to_physical().to_numpy() * 1_000, setting.formed_at)
        and frame["symbol"].cast(pl.String).equals(setting.symbol)
    )
    return frame if same else None


def _forecasts(log: Log, run: RunDigest) -> pl.DataFrame | None:
    """The forecasts of a run at its verdict's horizon; None where they cannot be read."""
    import polars as pl

    columns = ["horizon", "symbol", "formed_at", "y", "yhat"]
    try:
        path = log.forecasts_path(log.read(run.run_id))
        frame = pl.read_parquet(path, columns=columns)
    except (OSError, RecordError, pl.exceptions.PolarsError):
        return None
    return frame.filter(pl.col("horizon") == run.horizon)


def _path(log: Log, run: RunDigest) -> Path:
    return log.runs_directory / f"run_id={run.run_id}" / "forecasts.parquet"


def _bytes(log: Log, run: RunDigest) -> int:
    try:
        return _path(log, run).stat().st_size
    except OSError:
        return 0


def _shifts(record: Mapping[str, Any], model: str, setting: Setting) -> tuple[F64, F64] | None:
    """The back-transformation of a stored model's forecasts (n,); None where it is not stored."""
    if setting.metric not in testable_metrics(record):
        return None
    table = record["tables"]["coefficients"]
    keys = ("horizon", "model", "name", "cut", "value")
    rows = [
        (name, cut, value)
        for horizon, of, name, cut, value in zip(*(table[k] for k in keys), strict=True)
        if horizon == setting.horizon and of == model and name in ("var_shift", "sigma_shift")
    ]
    found = []
    for wanted in ("var_shift", "sigma_shift"):
        cuts = [ns_of(datetime.fromisoformat(cut)) for name, cut, _ in rows if name == wanted]
        values = np.array([value for name, _, value in rows if name == wanted], np.float64)
        if not values.size or not np.isfinite(values).all():
            return None
        found.append(values[np.searchsorted(cuts, setting.formed_at, "right") - 1])
    return found[0], found[1]
