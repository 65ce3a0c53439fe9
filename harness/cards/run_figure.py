"""A figure of a run, and how its series are read from the record's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.tables import rows_of
from harness.types import F64

if TYPE_CHECKING:
    import polars as pl

Record = Mapping[str, Any]
MOST_FORECASTS = 4  # models whose forecasts are drawn: more lines would hide each other


@dataclass(frozen=True)
class RunFigure:
    """A figure of a run: its file name without `.svg`, its caption, and how it is drawn."""

    name: str
    words: str
    draw: Callable[[pl.DataFrame], bytes]


def what_is_forecast(settings: Mapping[str, Any], horizon: str) -> str:
    """What was forecast, as text."""
    window = settings.get("window")
    over = f"{window} that end {horizon} ahead" if window else f"next {horizon}"
    return f"{settings['target']} over the {over}"


def alone(draw: Callable[[], bytes]) -> Callable[[pl.DataFrame], bytes]:
    """A figure of the record alone, which does not need the forecasts."""
    return lambda _: draw()


def rows_at(record: Record, name: str) -> list[dict[str, Any]]:
    """The rows of a table at the verdict's horizon; none if the record has no such table."""
    horizon = record["verdict"]["horizon"]
    return [row for row in rows_of(record["tables"].get(name, {})) if row["horizon"] == horizon]


def seeds_of(record: Record) -> dict[str, int]:
    """The models that were fitted with several seeds, with their number."""
    seeds: dict[str, set[int]] = {}
    for row in rows_of(record["tables"].get("seeds", {"model": []})):
        seeds.setdefault(row["model"], set()).add(row["seed"])
    return {model: len(own) for model, own in seeds.items()}


def of_first_seed(record: Record, models: Sequence[str]) -> str:
    """`seed 1 of 3`, named with its models if there are others; empty if none has several."""
    several = {model: n for model, n in seeds_of(record).items() if model in models}
    words = " ".join(f"seed {record['seed']} of {n}" for n in set(several.values()))
    return f"{', '.join(several)} with {words}" if words and len(models) > 1 else words


def of_all_seeds(record: Record) -> str:
    """What the scores of models with several seeds are; empty if there are none."""
    counts = set(seeds_of(record).values())
    return "".join(f"means over {n} seeds: {', '.join(seeds_of(record))}" for n in counts)


def with_words(*words: str) -> str:
    """A caption of several parts, those without a word left out."""
    return ", ".join(word for word in words if word)


def series_of(
    rows: Sequence[Mapping[str, Any]], key: str, by: str, places: Sequence[Any], value: str
) -> dict[Any, F64]:
    """`value` of each `key` over the `places` (n,) in column `by`, NaN where there is none."""
    place = {at: k for k, at in enumerate(places)}
    found: dict[Any, F64] = {}
    for row in rows:
        path = found.setdefault(row[key], np.full(len(places), np.nan))
        path[place[row[by]]] = number(row[value])
    return found


def number(value: float | None) -> float:
    """A cell as a float; NaN where a record has null."""
    return float("nan") if value is None else float(value)


def times_of(moments: Sequence[str]) -> NDArray[np.datetime64]:
    """ISO 8601 moments in UTC as datetime64."""
    return np.array([datetime.fromisoformat(m).replace(tzinfo=None) for m in moments], "M8[us]")
