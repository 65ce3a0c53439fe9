"""Features across symbols: a study's symbols side by side at their forecast origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from harness.samples.feature_functions import FUNCTIONS
from harness.samples.features import Call, Expression
from harness.samples.rows import OriginMeasures
from harness.types import F64, Measured


class Peers:
    """All symbols of a study, for features across them, each computed once."""

    def __init__(self, members: Sequence[OriginMeasures]) -> None:
        self._members, self._found = members, dict[str, dict[OriginMeasures, F64]]()

    def across(self, symbol: OriginMeasures, call: Call) -> F64:
        """The values (D,) of a function across symbols at one symbol's forecast origins."""
        text = Expression(call).text
        if text not in self._found:
            self._found[text] = self._computed(call)
        return self._found[text][symbol]

    def _computed(self, call: Call) -> dict[OriginMeasures, F64]:
        """Its values at every symbol's origins; moments are equal or they are not: none is near."""
        values = np.concatenate([m.feature(Expression(call.operand)) for m in self._members])
        times = np.concatenate([m.formed_at for m in self._members])
        moments, place = np.unique(times, return_inverse=True)
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):  # a moment without a value is 0 / 0
            each = FUNCTIONS[call.function].apply(values[known], place[known], moments.size)
        ends = np.cumsum([m.formed_at.size for m in self._members])[:-1]
        return dict(zip(self._members, np.split(each[place], ends), strict=True))


def side_by_side(
    measured: Sequence[Measured], units: Mapping[str, str], floor: float
) -> list[OriginMeasures]:
    """Each symbol's measures at its forecast origins, with features across all of them."""
    members = [OriginMeasures(m, units, floor) for m in measured]
    peers = Peers(members)
    for member in members:
        member.among(partial(peers.across, member))
    return members
