"""Forecast distributions as a record's tables."""

from __future__ import annotations

from collections.abc import Sequence

from harness.durations import iso_moment
from harness.scores.distribution.assess import (
    CoverageRow,
    DistributionRow,
    Distributions,
    FanRow,
    PitRow,
    QuantileRow,
)
from harness.tables import Table, table


def distribution_tables(found: Sequence[Distributions]) -> dict[str, Table]:
    """`distribution`, `quantiles`, `coverage`, `pit` and `fan`; none without [distribution]."""
    if not found:
        return {}
    fans = [f._replace(formed_at=iso_moment(f.formed_at)) for part in found for f in part.fans]
    return {
        "distribution": table(DistributionRow._fields, [r for part in found for r in part.rows]),
        "quantiles": table(QuantileRow._fields, [r for part in found for r in part.quantiles]),
        "coverage": table(CoverageRow._fields, [r for part in found for r in part.coverage]),
        "pit": table(PitRow._fields, [r for part in found for r in part.pits]),
        "fan": table(FanRow._fields, fans),
    }
