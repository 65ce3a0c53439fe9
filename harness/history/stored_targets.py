"""The targets that an earlier run stored, compared with those of the present data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.log.store import Log, RecordError
from harness.types import Forecasts

if TYPE_CHECKING:
    import polars as pl

    from harness.samples.target_scale import TargetScale


@dataclass(frozen=True)
class MovedTargets:
    """The first target that differs, in words, and the largest difference in ln of volatility.

    The size is infinite where a target is gone.
    """

    first: str
    size: float


def targets_moved(
    log: Log,
    run_id: str,
    settings: Mapping[str, Any],
    forecasts: Mapping[str, Forecasts],
    scale: TargetScale,
    *,
    same_rows: bool,
) -> MovedTargets | None:
    """How a run's stored targets differ from these; None where they do not, or none is alike.

    `settings` are those that the present targets depend on: a run with another one stored other
    targets. With `same_rows` every forecast origin that the run stored within the present test span
    must exist; otherwise only origins of both are compared. The last digits may differ, as sums in
    another order do.
    """
    try:
        then = log.read(run_id)["settings"]
        stored = log.read_forecasts(run_id)
    except (RecordError, KeyError):
        return None
    if any(then.get(key, value) != value for key, value in settings.items()):
        return None
    found = (_moved(stored, h, part, scale, same_rows) for h, part in forecasts.items())
    moved = [one for one in found if one is not None]
    if not moved:
        return None
    return MovedTargets(moved[0].first, max(one.size for one in moved))


def _moved(
    stored: pl.DataFrame, horizon: str, part: Forecasts, scale: TargetScale, same_rows: bool
) -> MovedTargets | None:
    both = _beside(stored, horizon, part)
    gone = both["now"].is_null().to_numpy()
    y, after = both["y"].to_numpy(), both["now"].to_numpy()
    off = ~gone & ~np.isclose(y, after, 1e-9, 0.0, equal_nan=True)
    rows = np.flatnonzero(off | gone if same_rows else off)
    if not rows.size:
        return None
    row = both.row(int(rows[0]), named=True)
    when = row["formed_at"].strftime("%Y-%m-%d %H:%M")
    target = f"the target of {row['symbol']} at {when} over {horizon} was {row['y']:.8g}"
    if row["now"] is None:
        return MovedTargets(f"{target} and is gone", math.inf)
    moves = np.abs(scale.log_sigma(after[off]) - scale.log_sigma(y[off]))
    size = math.inf if same_rows and gone.any() else float(moves.max())
    return MovedTargets(f"{target} and is {row['now']:.8g}", size)


def _beside(stored: pl.DataFrame, horizon: str, part: Forecasts) -> pl.DataFrame:
    """The stored targets within the present test span [symbol, formed_at, y], and those `now`."""
    import polars as pl

    formed = pl.col("formed_at").to_physical() * 1_000
    tested = (formed >= part.windows[0].cut) & (formed < part.windows[-1].end)
    then = stored.filter(pl.col("horizon") == horizon)
    then = then.filter((pl.col("model") == then["model"].first()) & tested)
    now = pl.DataFrame(
        {
            "symbol": pl.Series(part.symbols, dtype=pl.String).gather(part.symbol),
            "formed_at": pl.Series(part.formed_at).cast(pl.Datetime("ns", "UTC")),
            "now": part.y,
        }
    ).with_columns(pl.col("formed_at").dt.cast_time_unit("us"))
    both = then.select("symbol", "formed_at", "y").join(
        now, on=["symbol", "formed_at"], how="left", validate="1:1"
    )
    return both.sort("formed_at", "symbol")
