"""Figures of fitted models: training, coefficients, attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from harness.figures.style import (
    COLOURS,
    GREY,
    checked,
    curves,
    draw,
    name_series,
    over_windows,
    say_if_empty,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_history(
    epochs: ArrayLike,
    losses: Mapping[str, ArrayLike],
    loss: str,
    unit: str,
    *,
    kept: int | None = None,
) -> bytes:
    """The loss of each split (training, validation) by epoch, as SVG.

    Args:
        epochs: (e,) epochs, from 1.
        losses: split -> (e,) its loss after each epoch.
        loss: its name.
        unit: its unit.
        kept: the epoch whose weights were kept, marked by a line; None: no mark.

    Raises:
        ValueError: for a split whose losses are not (e,).
    """
    found = checked("training_history", epochs, losses)
    return _by_epoch(epochs, found, f"{loss} ({unit})", kept)


def weights_by_epoch(
    epochs: ArrayLike, weights: Mapping[str, ArrayLike], *, kept: int | None = None
) -> bytes:
    """The weights of a net's parts by epoch, averaged over the held-out rows, as SVG.

    Args:
        epochs: (e,) epochs, from 1.
        weights: name -> (e,) the weight after each epoch, 0 to 1.
        kept: the epoch whose weights were kept, marked by a line; None: no mark.

    Raises:
        ValueError: for a name whose weights are not (e,).
    """
    found = checked("weights_by_epoch", epochs, weights)
    return _by_epoch(epochs, found, "mean weight (share of 1)", kept, limits=(-0.02, 1.02))


def _by_epoch(
    epochs: ArrayLike,
    found: Mapping[str, np.ndarray],
    label: str,
    kept: int | None,
    *,
    limits: tuple[float, float] | None = None,
) -> bytes:
    def paint(axes: Axes) -> None:
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        whole_numbers(axes)
        curves(axes, epochs, found)
        if limits is not None:
            axes.set_ylim(*limits)
        if kept is not None:
            line = axes.axvline(kept, color=GREY, linestyle=(0, (4, 3)), linewidth=1.0)
            name_series(line, f"weights kept: epoch {kept}", [kept])

    return draw(paint)


def coefficients_through_time(
    starts: ArrayLike, coefficients: Mapping[str, ArrayLike], unit: str = "as fitted"
) -> bytes:
    """A model's coefficients by test window, as SVG.

    Args:
        starts: (w,) start of each test window, UTC ns or datetime64.
        coefficients: name -> (w,) its values, NaN where a window has no such coefficient.
        unit: their unit.

    Raises:
        ValueError: for a coefficient whose values are not (w,).
    """
    label = f"coefficient ({unit})"
    return over_windows("coefficients_through_time", starts, coefficients, label, zero=True)


def attention_by_lag(lags: ArrayLike, weights: ArrayLike) -> bytes:
    """The attention weight of each lag, with the level of equal weights, as SVG.

    Args:
        lags: (l,) steps before the forecast origin, 0 the newest.
        weights: (l,) mean weight of each lag; they sum to 1.

    Raises:
        ValueError: for weights that are not (l,).
    """
    found = checked("attention_by_lag", lags, {"weights": weights})["weights"]

    def paint(axes: Axes) -> None:
        whole_numbers(axes)
        bars = axes.bar(np.asarray(lags), np.nan_to_num(found), 0.8, color=COLOURS[0])
        name_series(bars, "mean attention weight", found)
        if found.size:
            level = 1.0 / found.size
            line = axes.axhline(level, color=COLOURS[1], linestyle=(0, (5, 2)), linewidth=1.2)
            name_series(line, f"equal weights: 1/{found.size}", [level])
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("lag (steps before the forecast origin)")
        axes.set_ylabel("weight (share of 1)")
        say_if_empty(axes, [found])

    return draw(paint)
