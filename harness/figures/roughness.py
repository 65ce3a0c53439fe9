"""Figures of volatility roughness: the series, and its scaling law by each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from harness.figures.style import (
    COLOURS,
    GREY,
    checked,
    curves,
    draw,
    moments,
    name_series,
    say_if_empty,
    time_axis,
)
from harness.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 1_500


@dataclass(frozen=True)
class ScalingLine:
    """Points of a scaling law and the line fitted to them.

    `log_scale` and `log_fluctuation` (k,); `used` (k,) marks the points that the line is fitted
    to; `words` are the labels of the two axes.
    """

    log_scale: F64
    log_fluctuation: F64
    used: np.ndarray
    slope: float
    intercept: float
    words: tuple[str, str]


def scaling_plot(lines: Mapping[str, ScalingLine]) -> bytes:
    """The scaling law by each method, one panel each, two in a row, as SVG.

    Filled points were fitted, hollow ones left out; each legend states the slope.

    Raises:
        ValueError: for a method whose number of points is not that of its scales.
    """
    for name, line in lines.items():
        checked(f"scaling_plot: {name}", line.log_scale, {"points": line.log_fluctuation})
    columns = min(max(len(lines), 1), 2)
    rows = -(-max(len(lines), 1) // columns)

    def paint(*axes: Axes) -> None:
        if not lines:
            say_if_empty(axes[0], [])
        for panel, (name, line) in zip(axes, lines.items(), strict=False):
            _scaling(panel, name, line)
        for panel in axes[len(lines) :]:
            panel.set_axis_off()

    return draw(paint, rows=rows, columns=columns, high=0.4 + 2.5 * rows)


def _scaling(axes: Axes, name: str, line: ScalingLine) -> None:
    x, y, used = line.log_scale, line.log_fluctuation, np.asarray(line.used, dtype=bool)
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": COLOURS[0]}
    axes.plot(x[used], y[used], **dots, label="points fitted")
    if not used.all():
        axes.plot(x[~used], y[~used], **dots, fillstyle="none", label="left out")
    fit = line.intercept + line.slope * x
    axes.plot(x, fit, color=COLOURS[1], label=f"slope {line.slope:.3f}")
    axes.set_title(name)
    axes.set_xlabel(line.words[0])
    axes.set_ylabel(line.words[1])
    say_if_empty(axes, [y])
    axes.legend(loc="lower right")  # that corner is free where the line rises


def log_series(times: ArrayLike, series: Mapping[str, ArrayLike], unit: str) -> bytes:
    """Log volatility through time, one line per symbol, the mean dashed, as SVG.

    Args:
        times: (n,) UTC ns or datetime64, ascending.
        series: symbol -> (n,) log volatility, NaN where it is unknown. Series of more than 1,500
            points are drawn as means of neighbours; the axis says so.
        unit: unit of the logarithm's argument.

    Raises:
        ValueError: for a series that is not (n,).
    """
    when = moments(times)
    found = checked("log_series", when, series)
    step = -(-len(when) // _MOST_POINTS) or 1
    shown = {name: _thinned(values, step) for name, values in found.items()}
    thin = when[::step]

    def paint(axes: Axes) -> None:
        axes.set_ylabel(f"ln σ (σ: {unit})")
        means = f", means of {step} neighbours" if step > 1 else ""
        time_axis(axes, thin, f"time (UTC){means}")
        curves(axes, thin, shown, marked=False)
        for line in axes.lines:
            line.set_linewidth(0.9)
        if len(found) == 1:
            values = next(iter(found.values()))
            if np.isfinite(values).any():
                mean = float(np.nanmean(values))
                flat = axes.axhline(mean, color=GREY, linestyle=(0, (5, 3)), linewidth=1.0)
                name_series(flat, f"mean {mean:.2f}", [mean])

    return draw(paint, high=2.8)


def _thinned(values: F64, step: int) -> F64:
    """Means of `step` neighbours, over the finite ones."""
    if step == 1:
        return values
    blocks = np.concatenate([values, np.full(-len(values) % step, np.nan)]).reshape(-1, step)
    count = np.isfinite(blocks).sum(axis=1)
    return np.where(count > 0, np.nansum(blocks, axis=1) / np.maximum(count, 1), np.nan)
