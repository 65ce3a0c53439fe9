"""What a model may learn beforehand from another panel: its rows that were known at the fit.

A row of the source teaches a fit iff its target had resolved by the fit's cut minus the embargo,
as a row of the panel itself trains it; the last third of them in time are held out to stop early
on, purged from the others by the embargo again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.models.protocol import ModelError
from harness.types import F64, I64, Rows, Samples

HELD_OUT = 1.0 / 3.0
_FEWEST = 30  # rows on either side: fewer teach nothing


@dataclass(frozen=True)
class Course:
    """The source's rows for one fit, with targets: those to train on and those held out."""

    rows: Rows
    y: F64
    held_out: Rows
    held_out_y: F64
    symbols: tuple[str, ...]


def course(source: Samples, features: tuple[str, ...], limit: int, embargo: int) -> Course:
    """What a fit with this `limit` (cut - embargo, UTC ns) may be taught.

    ModelError where too few rows had resolved by then.
    """
    train, held_out = known(source, limit, embargo)
    if min(train.size, held_out.size) < _FEWEST:
        raise ModelError(
            f"the source panel has {train.size} rows to learn from and {held_out.size} to hold "
            f"out that were known at the fit, of {_FEWEST} at least"
        )
    rows = source.rows.columns(features)
    return Course(
        rows.take(train), source.y[train], rows.take(held_out), source.y[held_out], source.symbols
    )


def known(source: Samples, limit: int, embargo: int) -> tuple[I64, I64]:
    """Positions of the rows to train on and of those held out, all resolved by `limit`."""
    there = np.flatnonzero(source.resolved_at <= limit)
    if not there.size:
        return there, there
    formed = source.rows.formed_at[there]
    begin = formed[min(int((1.0 - HELD_OUT) * there.size), there.size - 1)]
    return there[source.resolved_at[there] <= begin - embargo], there[formed >= begin]
