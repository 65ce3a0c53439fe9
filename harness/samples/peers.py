"""Features across symbols: a study's symbols side by side at their forecast origins.

At each moment a function across symbols reads the symbols that have a forecast origin then, a
finite value, and by then more bars than the study's longest window. With fewer bars a symbol is in
no study, so whether it counts does not depend on what it has later. Moments are equal or they are
not: a symbol whose day ends an hour later has other moments. One symbol alone is no panel: a moment
with fewer than two has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from harness.measures.cascade import CascadePlan
from harness.samples.feature_functions import FUNCTIONS
from harness.samples.features import Call, Expression
from harness.samples.rows import OriginMeasures
from harness.types import F64, I64, Measured


class Peers:
    """All symbols of a study, for features across them, each computed once.

    `longest` is the study's longest window in bars.
    """

    def __init__(self, members: Sequence[OriginMeasures], longest: int) -> None:
        self._members, self._longest = members, longest
        self._found: dict[str, dict[OriginMeasures, F64]] = {}

    def across(self, symbol: OriginMeasures, call: Call) -> F64:
        """The values (D,) of a function across symbols at one symbol's forecast origins."""
        text = Expression(call).text
        if text not in self._found:
            self._found[text] = self._computed(call)
        return self._found[text][symbol]

    @cached_property
    def _moments(self) -> tuple[I64, int]:
        """The place of every origin's moment among all moments, symbol after symbol."""
        times = np.concatenate([m.measured.known_at[m.measured.origins] for m in self._members])
        moments, place = np.unique(times, return_inverse=True)
        return place, moments.size

    @cached_property
    def _begun(self) -> NDArray[np.bool_]:
        """Where a symbol has more bars than the longest window, symbol after symbol."""
        every = [m.measured for m in self._members]
        return np.concatenate([(m.origins + 1) * m.block > self._longest for m in every])

    def _computed(self, call: Call) -> dict[OriginMeasures, F64]:
        values = np.concatenate([m.feature(Expression(call.operand)) for m in self._members])
        (place, m), known = self._moments, np.isfinite(values) & self._begun
        with np.errstate(invalid="ignore"):  # a moment without a value is 0 / 0
            each = FUNCTIONS[call.function].apply(values[known], place[known], m)
        each[np.bincount(place[known], minlength=m) < 2] = np.nan
        ends = np.cumsum([m.measured.origins.size for m in self._members])[:-1]
        return dict(zip(self._members, np.split(each[place], ends), strict=True))


def side_by_side(
    measured: Sequence[Measured], plan: CascadePlan, floor: float
) -> list[OriginMeasures]:
    """Each symbol's measures at its forecast origins, with features across all of them."""
    members = [OriginMeasures(m, plan.units, floor) for m in measured]
    peers = Peers(members, max(plan.windows.values()))
    for member in members:
        member.among(partial(peers.across, member))
    return members
