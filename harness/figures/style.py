"""The style of every figure: size, colours, axes, and how it is saved.

Figures use Matplotlib's objects, never pyplot: no global state, no window. The user's
matplotlibrc has no effect. The background is transparent; text and axes are a grey with the same
contrast, 4.3 to 1, on white and on a dark page (#0d1117), and every colour has at least 3 to 1 on
both (WCAG 2.1, 1.4.11).
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from harness.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#7a7a7a"
# Blue, vermillion, green and purple of Okabe & Ito (2008), and their sky blue, darkened because
# its contrast to white was 2.3. Their orange and yellow are left out for the same reason.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#3D9ADF")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "///", "...")
_WIDE, _HIGH = 7.2, 3.4  # inches; an SVG's inch is 72 units
_LONGEST_LABEL = 60
_MOST_MARKED = 60

_GREYS = (
    "text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor",
    "xtick.color", "ytick.color",
)  # fmt: skip
_RC: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched and read by screen readers
    "svg.hashsalt": "harness",  # ids from the content, not random
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 9.0,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.unicode_minus": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "timezone": "UTC",
    **dict.fromkeys(_GREYS, GREY),
}
_NOT_LOOKS = ("backend", "interactive", "toolbar")


def draw(
    paint: Callable[..., None], *, rows: int = 1, columns: int = 1, high: float = _HIGH
) -> bytes:
    """An SVG file whose axes `paint` draws: paint(axes) for one, paint(a, b, …) for more.

    The legend is below the axes and names every named series; the figure is 7.2 inches wide and
    `high` inches high. The same input gives the same bytes with the same Matplotlib.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with _look():
        figure = make_figure(paint, rows=rows, columns=columns, high=high)
        file = io.BytesIO()
        # No metadata: by default it has the date and Matplotlib's version.
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(file, metadata=none)
    return file.getvalue()


@contextmanager
def _look() -> Iterator[None]:
    import matplotlib as mpl

    settings: dict[Any, Any] = dict(mpl.rcParamsDefault.items())
    for name in _NOT_LOOKS:
        settings.pop(name, None)
    settings |= _RC
    with mpl.rc_context(settings):
        yield


def make_figure(paint: Callable[..., None], *, rows: int, columns: int, high: float) -> Figure:
    """The figure that `draw` saves; call it while the style is active."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(_WIDE, high), layout=layout)
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    paint(*axes)
    _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """The series that `name_series` named, in as many columns as fit."""
    drawn: list[Any] = [thing for a in axes for thing in (*a.containers, *a.lines)]
    handles = [thing for thing in drawn if getattr(thing, "names_a_series", False)]
    if not handles:
        return
    labels = [handle.get_label() for handle in handles]
    widest = max(map(len, labels))
    fit = max(1, min(len(labels), int(105 / (widest + 7)), 6))
    figure.legend(handles, labels, loc="outside lower center", ncols=fit)


def name_series(handle: Any, label: str, values: ArrayLike) -> None:
    """Give what was drawn a label in the legend, which says so where no value is finite."""
    text = " ".join(str(label).split())
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    if not np.isfinite(values).any():
        text += " (no data)"
    # A leading underscore hides a label in Matplotlib; a zero-width space before it is invisible.
    handle.set_label("\u200b" + text if text.startswith("_") else text)
    handle.names_a_series = True


def look(index: int, points: int, *, marked: bool = True) -> dict[str, Any]:
    """Colour, dash and marker of series `index`: the first fifteen all look different.

    Markers are drawn where the `points` are few.
    """
    marker = _MARKERS[index % len(_MARKERS)] if marked and points <= _MOST_MARKED else None
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _DASHES[index // len(COLOURS) % len(_DASHES)],
        "marker": marker,
    }


def bar_look(index: int) -> dict[str, Any]:
    """Colour and hatch of the bars of series `index`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "hatch": _HATCHES[index // len(COLOURS) % len(_HATCHES)],
        "edgecolor": GREY,
        "linewidth": 0.4,
    }


def curves(axes: Axes, x: ArrayLike, series: Mapping[str, F64], *, marked: bool = True) -> None:
    """One line per series (n,) over x (n,), in the order given."""
    for index, (name, values) in enumerate(series.items()):
        (line,) = axes.plot(x, values, **look(index, len(values), marked=marked))
        name_series(line, name, values)
    say_if_empty(axes, series.values())


def over_windows(
    figure: str,
    starts: ArrayLike,
    series: Mapping[str, ArrayLike],
    label: str,
    *,
    zero: bool = False,
) -> bytes:
    """An SVG of series (w,) over the starts (w,) of the test windows; `zero`: with a line at 0."""
    times = moments(starts)
    found = checked(figure, times, series)

    def paint(axes: Axes) -> None:
        axes.set_ylabel(label)
        time_axis(axes, times, "start of the test window (UTC)")
        curves(axes, times, found)
        if zero:
            axes.axhline(0.0, color=GREY, linewidth=0.8, zorder=1)

    return draw(paint)


def checked(figure: str, x: ArrayLike, series: Mapping[str, ArrayLike]) -> dict[str, F64]:
    """The series as float64 (n,), NaN where infinite; ValueError for one not as long as x (n,)."""
    n = len(np.asarray(x))
    found = {}
    for name, values in series.items():
        array = np.array(values, dtype=np.float64)
        if array.shape != (n,):
            raise ValueError(f"{figure}: {name}: got shape {array.shape}, wanted ({n},) as its x")
        array[~np.isfinite(array)] = np.nan
        found[name] = array
    return found


def say_if_empty(axes: Axes, arrays: Any) -> None:
    """Write 'no data' where nothing finite was drawn; call it after the axes are set up."""
    if any(np.isfinite(values).any() for values in arrays):
        return
    axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])


def moments(times: ArrayLike) -> np.ndarray:
    """Times as datetime64[us] (n,), from UTC ns int64 or anything NumPy reads as datetime64."""
    array = np.asarray(times)
    if array.dtype.kind != "M":
        array = array.astype(np.int64 if array.dtype.kind in "iuf" else "datetime64[ns]")
    return array.astype("datetime64[ns]").astype("datetime64[us]")


def time_axis(axes: Axes, times: np.ndarray, label: str = "time (UTC)") -> None:
    """Dates as numbers, as fine as the span needs: names of months would depend on the locale."""
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import MultipleLocator

    axes.set_xlabel(label)
    if not times.size:
        return
    days = (times.max() - times.min()) / np.timedelta64(1, "D")
    styles = ((1500, "%Y"), (300, "%Y-%m"), (3, "%Y-%m-%d"))
    style = next((s for least, s in styles if days > least), "%m-%d %H:%M")
    if days > 300:
        locator: AutoDateLocator | MultipleLocator = AutoDateLocator(minticks=3, maxticks=8)
    else:  # that locator restarts every month: two ticks a day apart would overlap
        steps = (1 / 24, 1 / 8, 1 / 4, 1, 2, 5, 10, 20, 50)
        locator = MultipleLocator(next(step for step in steps if days / step <= 7))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter(style))


def whole_numbers(axes: Axes) -> None:
    """An x axis of counts: ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def quantity_label(quantity: str, unit: str, *, log: bool) -> str:
    """The label of an axis: quantity and unit, in lines that fit the height of a panel."""
    return f"{textwrap.fill(quantity, 36)}\n({unit}{', log axis' if log else ''})"


def log_axis(axes: Axes, which: str, values: ArrayLike) -> None:
    """A log axis with plain numbers at 1, 2 and 5 of a decade, and more where the span is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array) & (array > 0)]
    if not array.size:
        return
    axis = getattr(axes, f"{which}axis")
    getattr(axes, f"set_{which}scale")("log")
    decades = np.log10(array.max() / array.min())
    subs = (1.0,) if decades > 3 else (1.0, 2.0, 5.0) if decades > 0.6 else (1, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(LogLocator(subs=subs, numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
