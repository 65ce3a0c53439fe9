"""What a model may learn beforehand from another panel: its rows that were known at the fit.

A row of the source teaches a fit iff its target had resolved by the fit's cut minus the embargo,
as a row of the panel itself trains it. For a pupil that stops early the last third of them in time
are held out, purged from the others by the embargo again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.models.protocol import ModelError
from harness.samples.splits import in_stages
from harness.types import F64, I64, Rows, Samples

HELD_OUT = 1.0 / 3.0
_FEWEST = 30  # rows on either side: fewer teach nothing


@dataclass(frozen=True)
class Course:
    """The source's rows for one fit, with targets: those to train on and those held out, if any."""

    rows: Rows
    y: F64
    held_out: Rows
    held_out_y: F64
    symbols: tuple[str, ...]


def course(
    source: Samples,
    features: tuple[str, ...],
    limit: int,
    embargo: int,
    *,
    holds_out: bool = True,
) -> Course:
    """What a fit with this `limit` (cut - embargo, UTC ns) may be taught.

    ModelError where too few rows had resolved by then.
    """
    train, held_out = known(source, limit, embargo, holds_out=holds_out)
    if min(train.size, held_out.size if holds_out else train.size) < _FEWEST:
        apart = f" and {held_out.size} to hold out" if holds_out else ""
        raise ModelError(
            f"the source panel has {train.size} rows to learn from{apart} that were known at the "
            f"fit, of {_FEWEST} at least"
        )
    rows = source.rows.columns(features)
    return Course(
        rows.take(train), source.y[train], rows.take(held_out), source.y[held_out], source.symbols
    )


def known(source: Samples, limit: int, embargo: int, *, holds_out: bool = True) -> tuple[I64, I64]:
    """Positions of the rows to train on and of those held out, all resolved by `limit`."""
    there = np.flatnonzero(source.resolved_at <= limit)
    if not (there.size and holds_out):
        return there, there[:0]
    return in_stages(source, there, 1.0 - HELD_OUT, embargo)
