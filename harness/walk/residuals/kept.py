"""Summaries of each fit's residuals, saved because the residuals are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness.types import F64, I64, Samples
from harness.walk.residuals.laws import Laws
from harness.walk.residuals.tails import Tails


class ResidualSummary(NamedTuple):
    """Tails and distributions of one fit, or of many (w, …) or (w, s, …); None if not requested."""

    tails: F64 | None = None
    laws: F64 | None = None

    def put(self, at: Any, own: ResidualSummary) -> None:
        """Set the summaries of some fits among many."""
        for every, some in zip(self, own, strict=True):
            if every is not None:
                every[at] = some


@dataclass(frozen=True)
class ResidualPlan:
    """Which summaries every fit keeps: tails for VaR and ES, `laws` for forecast distributions.

    With `tails` the samples have returns.
    """

    tails: Tails | None = None
    laws: Laws | None = None

    def __bool__(self) -> bool:
        return self.tails is not None or self.laws is not None

    def of(
        self,
        forecasts: F64,
        residuals: F64,
        returns: F64 | None,
        var_shift: float,
        held_out: F64 | None = None,
    ) -> ResidualSummary:
        """The summary from forecasts, their residuals and returns (n,), and `held_out` (m,).

        `held_out` are residuals for conformal distributions; `var_shift` back-transforms forecasts
        to a variance.
        """
        tails = None
        if self.tails is not None:
            assert returns is not None, "samples have returns if tails are requested"
            tails = self.tails.of(returns, forecasts, var_shift)
        laws = None if self.laws is None else self.laws.of(residuals, held_out)
        return ResidualSummary(tails, laws)

    @property
    def in_sample(self) -> bool:
        """Whether anything is made of residuals besides conformal distributions."""
        laws = self.laws
        return self.tails is not None or (laws is not None and len(laws.conformal) < len(laws.laws))

    @property
    def fewest(self) -> int:
        """The least number of residuals of which one lies beyond the outermost level; 0 if none."""
        levels = [level for of in (self.tails, self.laws) if of is not None for level in of.levels]
        outermost = min((min(p, 1.0 - p) for p in levels), default=1.0)
        return math.ceil(1.0 / outermost - 1e-9) - 1

    def returns(self, samples: Samples, rows: slice | I64) -> F64 | None:
        """The returns of these rows, if tails are asked for."""
        if self.tails is None:
            return None
        assert samples.returns is not None, "samples have returns if tails are asked for"
        return samples.returns[rows]

    def unknown(self, *shape: int) -> ResidualSummary:
        """The summaries of fits that are not known yet: NaN."""
        return ResidualSummary(
            *(
                None if asked is None else np.full((*shape, *asked.unknown.shape), np.nan)
                for asked in (self.tails, self.laws)
            )
        )


NOTHING, NO_SUMMARY = ResidualPlan(), ResidualSummary()


def stacked(fits: Sequence[ResidualSummary]) -> ResidualSummary:
    """The summaries of several fits in one (w, …)."""
    columns = (list(column) for column in zip(*fits, strict=True))
    return ResidualSummary(*(None if column[0] is None else np.array(column) for column in columns))
