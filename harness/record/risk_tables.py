"""VaR and ES as a record's tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.scores.risk.assess import PathRow, Risk, RiskRow, WinRow
from harness.tables import Table, table


def risk_tables(risks: Sequence[Risk]) -> dict[str, Table]:
    """`risk`, `risk_wins` and `risk_path`, column by column; none of them without [risk]."""
    if not risks:
        return {}
    paths = [p._replace(formed_at=_iso(p.formed_at)) for risk in risks for p in risk.paths]
    return {
        "risk": table(RiskRow._fields, [row for risk in risks for row in risk.rows]),
        "risk_wins": table(WinRow._fields, [row for risk in risks for row in risk.wins]),
        "risk_path": table(PathRow._fields, paths),
    }


def _iso(moment_ns: int) -> str:
    return f"{np.datetime64(moment_ns, 'ns').astype('M8[us]')}+00:00"
