"""Figures of forecast distributions: PIT histograms, and bands of quantiles with outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from harness.figures.style import (
    COLOURS,
    GREY,
    checked,
    draw,
    log_axis,
    look,
    moments,
    name_series,
    quantity_label,
    say_if_empty,
    time_axis,
)
from harness.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAINTEST, _STRONGEST = 0.14, 0.28  # opacity of the widest and of the narrowest band


def pit_histogram(ends: ArrayLike, shares: Mapping[str, Mapping[str, ArrayLike]]) -> bytes:
    """Histograms of the probability integral transform, one panel per law, as SVG.

    Args:
        ends: (b + 1,) the ends of the bins, from 0 to 1.
        shares: law -> model -> (b,) share of outcomes in each bin; the same models for each law.

    Raises:
        ValueError: for a model whose shares are not (b,).
    """
    ends = np.asarray(ends, dtype=np.float64)
    width = np.diff(ends)
    shares = shares or {"": {}}
    found = {law: checked("pit_histogram", width, own) for law, own in shares.items()}

    def paint(*panels: Axes) -> None:
        top = [1.0]
        for axes, (law, own) in zip(panels, found.items(), strict=True):
            axes.set_title(law)
            axes.set_xlabel("PIT of the outcome")
            axes.set_xlim(0.0, 1.0)
            axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
            for index, (model, values) in enumerate(own.items()):
                style = look(index, values.size, marked=False)
                density = values / width
                top += density[np.isfinite(density)].tolist()
                steps = np.append(density, density[-1:])
                (line,) = axes.plot(ends, steps, drawstyle="steps-post", **style)
                if axes is panels[0]:
                    name_series(line, model, values)
            say_if_empty(axes, own.values())
        panels[0].set_ylabel("density (1 is calibrated)")
        for axes in panels:
            axes.set_ylim(0.0, 1.08 * max(top))

    return draw(paint, columns=len(found))


def fan_of_quantiles(
    times: ArrayLike,
    outcome: ArrayLike,
    fans: Mapping[str, Mapping[float, ArrayLike]],
    quantity: str,
    unit: str,
    *,
    log: bool,
) -> bytes:
    """Outcomes over central bands between forecast quantiles, one panel per model, as SVG.

    Args:
        times: (n,) forecast origins, UTC ns or datetime64, ascending.
        outcome: (n,) the outcomes.
        fans: model -> level -> (n,) its quantile. Bands are between levels p and 1 - p.
        quantity: what is forecast.
        unit: its unit.
        log: whether the axis is logarithmic.

    Raises:
        ValueError: for a series that is not (n,).
    """
    when = moments(times)
    y = checked("fan_of_quantiles", when, {"outcome": outcome})["outcome"]
    found = {
        model: {p: checked("fan_of_quantiles", when, {model: q})[model] for p, q in own.items()}
        for model, own in (fans or {"": {}}).items()
    }
    reach = np.concatenate([y, *(q for own in found.values() for q in own.values())])

    def paint(*panels: Axes) -> None:
        for index, (axes, (model, own)) in enumerate(zip(panels, found.items(), strict=True)):
            _fan(axes, when, y, own, COLOURS[index])
            axes.set_title(model)
            axes.set_ylabel(quantity_label(quantity, unit, log=log))
            if log:
                log_axis(axes, "y", reach)
            time_axis(axes, when, "time (UTC)" if axes is panels[-1] else "")
            say_if_empty(axes, [y])
        ends = [axes.get_ylim() for axes in panels]
        for axes in panels:  # one scale, so that widths compare
            axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))

    return draw(paint, rows=len(found), high=1.0 + 2.6 * len(found))


def _fan(axes: Axes, when: np.ndarray, y: F64, own: Mapping[float, F64], colour: str) -> None:
    """Nested bands, the median, and outcomes: dots, or crosses outside the widest band."""
    pairs = [(p, q) for p in own for q in own if p < 0.5 and abs(1.0 - p - q) < 1e-9]
    for k, (p, q) in enumerate(pairs):
        share = k / max(len(pairs) - 1, 1)
        opacity = _FAINTEST + (_STRONGEST - _FAINTEST) * share
        axes.fill_between(when, own[p], own[q], color=colour, alpha=opacity, linewidth=0.0)
    if 0.5 in own:
        axes.plot(when, own[0.5], color=colour, linewidth=1.2)
    low, high = (own[k] for k in pairs[0]) if pairs else (y, y)
    outside = (y < low) | (y > high)
    axes.plot(when[~outside], y[~outside], "o", color=GREY, markersize=2.5)
    axes.plot(when[outside], y[outside], "x", color=GREY, markersize=6.0, markeredgewidth=1.4)
