"""Figures of forecast quality: over windows, against outcomes, by group, after shifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from harness.figures.style import (
    GREY,
    bar_look,
    checked,
    curves,
    draw,
    log_axis,
    look,
    moments,
    name_series,
    over_windows,
    quantity_label,
    say_if_empty,
    time_axis,
    whole_numbers,
)
from harness.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_GROUPS = 16
_LONGEST_GROUP = 18


def loss_over_windows(
    starts: ArrayLike, losses: Mapping[str, ArrayLike], metric: str, unit: str
) -> bytes:
    """A metric of each model by test window, as SVG.

    Args:
        starts: (w,) start of each test window, UTC ns or datetime64.
        losses: model -> (w,) its metric in each window, NaN where missing.
        metric: its name.
        unit: its unit.

    Raises:
        ValueError: for a model whose metrics are not (w,).
    """
    return over_windows("loss_over_windows", starts, losses, f"{metric} ({unit})")


def forecast_against_outcome(
    times: ArrayLike,
    outcome: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    quantity: str,
    unit: str,
    *,
    last: int = 300,
) -> bytes:
    """Outcomes and each model's forecasts at the last forecast origins, on a log axis, as SVG.

    Args:
        times: (n,) forecast origins, UTC ns or datetime64, ascending.
        outcome: (n,) the outcomes, a volatility or variance; only values above 0 are drawn.
        forecasts: model -> (n,) its forecasts.
        quantity: what is forecast.
        unit: its unit.
        last: how many of the last forecast origins are drawn; the axis says so.

    Raises:
        ValueError: for a series that is not (n,).
    """
    when = moments(times)
    if "outcome" in forecasts:
        raise ValueError("forecast_against_outcome: got a model named 'outcome', wanted another")
    found = checked("forecast_against_outcome", when, {"outcome": outcome, **forecasts})
    shown = {name: np.where(v > 0, v, np.nan)[-last:] for name, v in found.items()}
    n, when = len(when), when[-last:]

    def paint(axes: Axes) -> None:
        cut = f", the last {last:,} of {n:,} forecast origins" if n > last else ""
        time_axis(axes, when, f"time (UTC){cut}")
        axes.set_ylabel(quantity_label(quantity, unit, log=True))
        log_axis(axes, "y", np.concatenate(list(shown.values())))
        (line,) = axes.plot(when, shown["outcome"], color=GREY, linewidth=3.0, alpha=0.6)
        name_series(line, "outcome", shown["outcome"])
        curves(axes, when, {m: shown[m] for m in forecasts}, marked=False)

    return draw(paint)


def by_group_bars(groups: Mapping[str, Mapping[str, float]], metric: str, unit: str) -> bytes:
    """A metric of each model in each group (calm and crisis, sectors, symbols), as SVG.

    Args:
        groups: group -> model -> the metric; NaN or a missing model is marked `n/a`. Only the
            first sixteen groups are drawn; the axis says so.
        metric: its name.
        unit: its unit.
    """
    names = list(groups)[:_MOST_GROUPS]
    models = list(dict.fromkeys(model for group in groups.values() for model in group))
    nothing = float("nan")
    table = {
        m: np.array([groups[g].get(m, nothing) for g in names], dtype=np.float64) for m in models
    }

    def paint(axes: Axes) -> None:
        width = 0.8 / max(len(models), 1)
        at = np.arange(len(names))
        for index, (model, values) in enumerate(table.items()):
            shift = (index - (len(models) - 1) / 2) * width
            bars = axes.bar(at + shift, np.nan_to_num(values), width, **bar_look(index))
            name_series(bars, model, values)
            for x in np.flatnonzero(~np.isfinite(values)):
                axes.text(x + shift, 0, "n/a", rotation=90, ha="center", va="bottom", fontsize=7)
        axes.grid(axis="x", visible=False)
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        _name_groups(axes, names, len(groups))
        axes.set_ylabel(f"{metric} ({unit})")
        say_if_empty(axes, table.values())

    return draw(paint)


def _name_groups(axes: Axes, names: list[str], total: int) -> None:
    short = [n if len(n) <= _LONGEST_GROUP else n[: _LONGEST_GROUP - 1] + "…" for n in names]
    crowded = sum(map(len, short)) > 70
    axes.set_xticks(range(len(names)), short)
    if crowded:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    if total > len(names):
        axes.set_xlabel(f"the first {len(names)} of {total:,} groups")


def adaptation_curves(
    origins: ArrayLike, losses: Mapping[str, ArrayLike], metric: str, unit: str
) -> bytes:
    """The cumulative loss of each model at the origins after a volatility shift, as SVG.

    Args:
        origins: (d,) forecast origins counted from 1, the first at which the shift was known.
        losses: model -> (d,) its loss summed from the shift on, averaged over the shifts.
        metric: the loss.
        unit: its unit.

    Raises:
        ValueError: for a model whose losses are not (d,).
    """
    found = checked("adaptation_curves", origins, losses)

    def paint(axes: Axes) -> None:
        axes.set_xlabel("forecast origins since the volatility shift was known")
        axes.set_ylabel(f"cumulative {metric} ({unit})")
        whole_numbers(axes)
        curves(axes, origins, found)

    return draw(paint)


def memory_curve(
    values: ArrayLike,
    scores: Mapping[str, ArrayLike],
    swept: str,
    metric: str,
    unit: str,
    *,
    higher_is_better: bool,
) -> bytes:
    """A metric against a swept parameter, with each model's best value marked, as SVG.

    Args:
        values: (v,) values of the parameter.
        scores: model -> (v,) its metric at each value.
        swept: the parameter's name.
        metric: the metric's name.
        unit: its unit.
        higher_is_better: whether higher values of the metric are better.

    Raises:
        ValueError: for a model whose figures are not (v,).
    """
    x = np.asarray(values, dtype=np.float64)
    found = checked("memory_curve", x, scores)

    def paint(axes: Axes) -> None:
        axes.set_xlabel(swept)
        axes.set_ylabel(f"{metric} ({unit})")
        axes.set_xticks(x if x.size <= 12 else x[:: -(-x.size // 12)])
        curves(axes, x, found)
        for line, y in zip(list(axes.lines), found.values(), strict=True):
            if not np.isfinite(y).any():
                continue
            best = int(np.nanargmax(y) if higher_is_better else np.nanargmin(y))
            axes.plot(
                x[best], y[best], "o", color=line.get_color(),
                markersize=13, markerfacecolor="none", markeredgewidth=1.6,
            )  # fmt: skip
            line.set_label(f"{line.get_label()}, best at {x[best]:g}: {y[best]:.4g}")

    return draw(paint)


def calibration_by_decile(
    outcome: ArrayLike, forecasts: Mapping[str, ArrayLike], quantity: str, unit: str
) -> bytes:
    """Mean outcome by decile of each model's forecasts, with the line of calibration, as SVG.

    Above the line forecasts were too low, below it too high; where a curve is flatter than the
    line, the forecasts vary too much. Rows without a forecast or an outcome are left out.

    Args:
        outcome: (n,) the outcomes.
        forecasts: model -> (n,) its forecasts.
        quantity: what was forecast, in words.
        unit: its unit.

    Raises:
        ValueError: for a model whose forecasts are not (n,).
    """
    y = np.asarray(outcome, dtype=np.float64)
    found = checked("calibration_by_decile", y, forecasts)
    deciles = {model: _by_decile(y, f) for model, f in found.items()}

    def paint(axes: Axes) -> None:
        axes.set_xlabel(f"mean forecast of {quantity} in its decile ({unit})")
        axes.set_ylabel(f"mean outcome ({unit})")
        ends = [x for means, _ in deciles.values() for x in means if np.isfinite(x)]
        if ends:
            span = [min(ends), max(ends)]
            (line,) = axes.plot(span, span, color=GREY, linewidth=0.8, zorder=1)
            name_series(line, "as forecast", np.array(span))
        for index, (model, (means, outcomes)) in enumerate(deciles.items()):
            (line,) = axes.plot(means, outcomes, **look(index, len(means)))
            name_series(line, model, outcomes)
        say_if_empty(axes, [outcomes for _, outcomes in deciles.values()])

    return draw(paint)


def _by_decile(y: F64, forecast: F64) -> tuple[F64, F64]:
    """Mean forecast and mean outcome by decile of the forecast (10,); fewer with under 10 rows."""
    known = np.flatnonzero(np.isfinite(y) & np.isfinite(forecast))
    ordered = known[np.argsort(forecast[known], kind="stable")]
    groups = np.array_split(ordered, max(1, min(10, ordered.size)))
    if not ordered.size:
        return np.full(1, np.nan), np.full(1, np.nan)
    return np.array([forecast[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])
