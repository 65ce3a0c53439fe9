"""The figures of how often gains are confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.figures.style import GREY, checked, draw, look, name_series, say_if_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def power_by_gain(lines: Mapping[str, tuple[str, Sequence[float], Sequence[float]]]) -> bytes:
    """The share of confirmed gains by their size, one panel per sampling scheme, as SVG.

    Args:
        lines: sampling -> the gain's unit, the true gains (g,) in hundredths, ascending, and the
            share of worlds in which each was confirmed (g,), 0 to 1.

    Raises:
        ValueError: for shares whose number is not that of the gains.
    """
    found = {
        name: checked("power_by_gain", gains, {name: shares})[name]
        for name, (_, gains, shares) in lines.items()
    }

    def paint(*axes: Axes) -> None:
        for index, (panel, (name, (unit, gains, _))) in enumerate(
            zip(axes, lines.items(), strict=True)
        ):
            shares = 100.0 * found[name]
            (line,) = panel.plot(np.asarray(gains), shares, **look(index, len(gains)))
            name_series(line, name, shares)
            panel.set_xlabel(f"true gain ({unit})")
            panel.set_ylim(0.0, 102.0)
        axes[0].set_ylabel("confirmed (% of worlds)")

    return draw(paint, columns=len(lines))


def confirmed_by_claim(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], alpha: float
) -> bytes:
    """The share of confirmed claims by the gain claimed, as SVG.

    Args:
        lines: setting -> the claims as multiples of the true gain (c,), ascending, and the share of
            worlds in which each was confirmed (c,), 0 to 1.
        alpha: the level, at which a line is drawn, as a share.

    Raises:
        ValueError: for shares whose number is not that of the claims.
    """
    found = {
        name: checked("confirmed_by_claim", claims, {name: shares})[name]
        for name, (claims, shares) in lines.items()
    }

    def paint(axes: Axes) -> None:
        for index, (name, shares) in enumerate(found.items()):
            claims = np.asarray(lines[name][0])
            (line,) = axes.plot(claims, 100.0 * shares, **look(index, claims.size))
            name_series(line, name, shares)
        axes.axvline(1.0, color=GREY, linewidth=0.8, zorder=1)
        axes.axhline(100.0 * alpha, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        axes.annotate(f"α = {alpha:g}", (2.0, 100.0 * alpha), xytext=(0, 3), ha="right",
                      textcoords="offset points")  # fmt: skip
        axes.annotate("the truth", (1.0, 98.0), xytext=(4, 0), textcoords="offset points", va="top")
        axes.set_xlabel("gain claimed (multiple of the true gain)")
        axes.set_ylabel("confirmed (% of worlds)")
        axes.set_ylim(0.0, 102.0)
        say_if_empty(axes, found.values())

    return draw(paint)
