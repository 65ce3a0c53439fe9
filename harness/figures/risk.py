"""The figure of value at risk: returns, each model's VaR, and its violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from harness.figures.style import (
    GREY,
    checked,
    draw,
    look,
    moments,
    name_series,
    say_if_empty,
    time_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CROSSES = ("x", "+", "1", "2")


def returns_and_var(
    times: ArrayLike, returns: ArrayLike, var: Mapping[str, ArrayLike], level: float
) -> bytes:
    """Returns and each model's VaR, every violation marked in the model's colour, as SVG.

    Args:
        times: (n,) forecast origins, UTC ns or datetime64, ascending.
        returns: (n,) log return over the horizon from each forecast origin, NaN where unknown.
        var: model -> (n,) its VaR, as a return.
        level: the share of returns that should fall below it.

    Raises:
        ValueError: for a series that is not (n,).
    """
    when = moments(times)
    y = checked("returns_and_var", when, {"returns": returns})["returns"]
    found = checked("returns_and_var", when, var)

    def paint(axes: Axes) -> None:
        time_axis(axes, when)
        axes.set_ylabel("log return over the horizon")
        (line,) = axes.plot(when, y, color=GREY, linewidth=0.8, alpha=0.7)
        name_series(line, "return", y)
        for index, (model, q) in enumerate(found.items()):
            style = look(index, len(when), marked=False)
            (line,) = axes.plot(when, q, linewidth=1.1, **style)
            hit = y < q  # False where either is NaN
            known = int(np.sum(np.isfinite(y) & np.isfinite(q)))
            counts = f"{int(hit.sum())} of {known:,} below, {level * known:.1f} expected"
            name_series(line, f"VaR {model}: {counts}", q)
            cross = _CROSSES[index % len(_CROSSES)]
            axes.plot(when[hit], y[hit], cross, color=style["color"], markersize=7)
        say_if_empty(axes, [y, *found.values()])

    return draw(paint, high=3.8)
