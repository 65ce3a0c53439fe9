"""The forecasts of a run in one Parquet file: written wide, read back one row per model."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class HorizonForecasts:
    """Out-of-sample forecasts of one horizon.

    `frame`, n rows: symbol (str), formed_at and resolved_at (Datetime, UTC), window (int32),
    y (float64), and one float64 column for each of `models`.
    """

    horizon: str
    models: tuple[str, ...]
    frame: pl.DataFrame


def write_forecasts(path: Path, forecasts: Sequence[HorizonForecasts]) -> None:
    """Write one row per forecast origin, symbol and horizon; `yhat` lists all models' forecasts.

    So every run has the same columns, whatever its models are called, and writing takes a quarter
    of the time of one row per model. The record says which model is at which place. OSError when
    the disk refuses.
    """
    import polars as pl

    frame = pl.concat([_stored(part) for part in forecasts] or [_no_forecasts()], rechunk=False)
    try:
        frame.write_parquet(path, compression="lz4", statistics=False, row_group_size=1 << 20)
    except pl.exceptions.PolarsError as error:
        # Polars reports a full disk in an error of its own: the system's number is in its text.
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _stored(part: HorizonForecasts) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    frame = part.frame
    yhat = np.empty((frame.height, len(part.models)))
    for position, model in enumerate(part.models):
        yhat[:, position] = frame[model].to_numpy()
    times = pl.col("formed_at", "resolved_at")
    return frame.select(
        pl.lit(part.horizon).cast(pl.Categorical).alias("horizon"),
        # A dictionary column: plain text takes four times as long to write.
        pl.col("symbol").cast(pl.Categorical),
        times.dt.replace_time_zone(None).dt.cast_time_unit("us"),
        pl.col("window").cast(pl.Int32),
        pl.col("y").cast(pl.Float64),
    ).with_columns(pl.Series("yhat", yhat).cast(pl.List(pl.Float64)))


def _no_forecasts() -> pl.DataFrame:
    import polars as pl

    schema: dict[str, pl.DataType] = {
        "horizon": pl.Categorical(),
        "symbol": pl.Categorical(),
        "formed_at": pl.Datetime("us"),
        "resolved_at": pl.Datetime("us"),
        "window": pl.Int32(),
        "y": pl.Float64(),
        "yhat": pl.List(pl.Float64),
    }
    return pl.DataFrame(schema=schema)


def read_forecasts(path: Path, models: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The stored forecasts, one row per model; `models` are each horizon's, in stored order.

    Columns as `Log.read_forecasts` says. OSError for a file that cannot be read.
    """
    import polars as pl

    try:
        stored = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error
    utc = pl.col("formed_at", "resolved_at").dt.replace_time_zone("UTC")
    parts = [
        stored.filter(pl.col("horizon") == horizon).select(
            pl.col("horizon").cast(pl.String),
            pl.lit(model).alias("model"),
            pl.col("symbol").cast(pl.String),
            utc,
            "window",
            "y",
            pl.col("yhat").list.get(position),
        )
        for horizon, names in models.items()
        for position, model in enumerate(names)
    ]
    return pl.concat(parts) if parts else stored.clear().with_columns(utc)
