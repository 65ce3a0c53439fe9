"""What a fit leaves of its residuals, which go with it: for VaR and ES, and for distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness.types import F64
from harness.walk.residuals.laws import Laws
from harness.walk.residuals.tails import Tails


class ResidualSummary(NamedTuple):
    """Tails and laws of one fit, or of many (w, …) or (w, s, …); None for what nobody asks for."""

    tails: F64 | None = None
    laws: F64 | None = None

    def put(self, at: Any, own: ResidualSummary) -> None:
        """Those of some fits at their places among many."""
        for every, some in zip(self, own, strict=True):
            if every is not None:
                every[at] = some


@dataclass(frozen=True)
class ResidualPlan:
    """What is asked of every fit: with `tails` the samples have returns."""

    tails: Tails | None = None
    laws: Laws | None = None

    def __bool__(self) -> bool:
        return self.tails is not None or self.laws is not None

    def of(
        self,
        y: F64,
        residuals: F64,
        returns: F64 | None,
        var_shift: float,
        held_out: F64 | None = None,
    ) -> ResidualSummary:
        """Of training rows (n,): targets, residuals and returns; residuals of rows held out (m,).

        `var_shift` is the forecasts' way back to a variance.
        """
        tails = None
        if self.tails is not None:
            assert returns is not None, "samples have returns where tails are asked for"
            tails = self.tails.of(returns, y - residuals, var_shift)
        laws = None if self.laws is None else self.laws.of(residuals, held_out)
        return ResidualSummary(tails, laws)

    def unknown(self, *shape: int) -> ResidualSummary:
        """Of so many fits nothing yet: NaN."""
        return ResidualSummary(
            *(
                None if asked is None else np.full((*shape, *asked.unknown.shape), np.nan)
                for asked in (self.tails, self.laws)
            )
        )


NOTHING, NO_SUMMARY = ResidualPlan(), ResidualSummary()


def stacked(fits: Sequence[ResidualSummary]) -> ResidualSummary:
    """Fit after fit (w, …)."""
    columns = (list(column) for column in zip(*fits, strict=True))
    return ResidualSummary(*(None if column[0] is None else np.array(column) for column in columns))
