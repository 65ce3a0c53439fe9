"""Other sampling intervals: the same study on measures of returns over 5 and 15 minutes.

Returns over a minute are full of noise and of zeros, which measures of jumps read as jumps; a
finding that is gone at 5 minutes is about those. The target is measured anew too, as in a file with
that `sample.interval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.durations import Duration, parse_duration
from harness.measures.table import MEASURES
from harness.study.study import on_panel
from harness.verdict.fragility.training import with_models

if TYPE_CHECKING:
    from harness.study.study import Study

_INTERVALS = ("5m", "15m")


def other_intervals(study: Study) -> dict[str, Duration]:
    """Variant's name -> the interval, for those longer than the present one.

    Empty where no built-in measure is computed, since a panel's own columns have no interval.
    """
    if not any(name in MEASURES for name in study.measures):
        return {}
    present = study.plan.interval * study.plan.bar
    every = map(parse_duration, _INTERVALS)
    return {f"returns over {d}": d for d in every if d.ns > present}


def with_interval(study: Study, interval: Duration, models: Sequence[str]) -> Study:
    """The study with this interval and only these models.

    SpecError where the interval does not divide the grid, or is too long for a measure.
    """
    bare = with_models(study.hypothesis, models)
    sample = bare.sample.model_copy(update={"interval": interval})
    return on_panel(replace(bare, sample=sample), study.panel_spec)
