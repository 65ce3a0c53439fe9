"""What was read of a panel, in brief, and how it tells a change, its place and its size."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from support import workspace

from harness.errors import SpecError
from harness.panel.contents import (
    DAY_NS,
    Contents,
    Days,
    beginning,
    begins_as,
    days_of,
    stored_contents,
    together,
)
from harness.panel.identity import panel_identity
from harness.panel.reading import read_panel
from harness.panel.report import describe_panel
from harness.panel.revisions import ROUNDING, Revision, revised, shifted

HOUR_NS = DAY_NS // 24
START = int(np.datetime64("2021-01-05", "ns").astype(np.int64))
Columns = dict[str, np.ndarray]


def read(
    edit: Callable[[Columns], object] = lambda _: None,
    *,
    rows: slice | np.ndarray = slice(None),
    daily: bool = False,
    symbols: str = "AB",
    side: slice = slice(None),
) -> Contents:
    """120 days of two symbols, edited for the first, and a side series of 120 days."""
    n, step = (120, DAY_NS) if daily else (120 * 24, HOUR_NS)
    rng = np.random.default_rng(5)
    ts = START + np.arange(n) * step
    parts = []
    for symbol in symbols:
        close = 50.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(n)))
        columns = {"close": close, "high": close * 1.01, "volume": rng.exponential(size=n)}
        if symbol == symbols[0]:
            edit(columns)
        kept = {name: values[rows] for name, values in columns.items()}
        parts.append(days_of(symbol, ts[rows], kept, daily=daily))
    days, vix = START + np.arange(120) * DAY_NS, 20.0 + rng.standard_normal(120)
    other = days_of("VIX", days[side], {"close": vix[side]}, daily=True, label="vix")
    return Contents(together(parts), {"vix": other}, "s", None)


def found(then: Contents, now: Contents, until: int | None = None) -> Revision | None:
    return revised(json.loads(json.dumps(then.words())), now, until=until)


def swap(columns: Columns) -> None:
    """Two days of returns, exchanged."""
    moves = np.diff(np.log(columns["close"]), prepend=np.log(columns["close"][0]))
    moves[20], moves[25] = moves[25], moves[20]
    columns["close"][:] = columns["close"][0] * np.exp(np.cumsum(moves))
    columns["high"][:] = columns["close"] * 1.01


def upside_down(columns: Columns) -> None:
    """Every return with the other sign."""
    columns["close"][:] = columns["close"][0] ** 2 / columns["close"]
    columns["high"][:] = columns["close"] * 1.01


def from_a_month_on(columns: Columns) -> None:
    """All prices from a month's first day on times a constant: one return changes."""
    first = 27 * columns["close"].size // 120
    for name in ("close", "high"):
        columns[name][first:] *= 1.5


def one_column_times(name: str, factor: float) -> Callable[[Columns], None]:
    return lambda columns: columns[name].__imul__(factor)


def prices_times(factor: float) -> Callable[[Columns], None]:
    def edit(columns: Columns) -> None:
        columns["close"] *= factor
        columns["high"] *= factor

    return edit


@pytest.mark.parametrize("daily", [True, False])
@pytest.mark.parametrize(
    ("edit", "where", "least"),
    [
        (swap, "close from ", 1e-6),
        (upside_down, "close from 2021-01-", 1e-3),
        (from_a_month_on, "close from 2021-02 on", 0.1),
        (one_column_times("high", 1.02), "high from 2021-01-05 on", 1e-4),
        (one_column_times("volume", 1.1), "volume from 2021-01-05 on", 0.02),
        (lambda c: c["close"].__setitem__(50, c["close"][50] * 1.001), "close from ", 1e-5),
    ],
)
def test_a_changed_value_is_found_with_its_column_place_and_size(daily, edit, where, least):
    revision = found(read(daily=daily), read(edit, daily=daily))
    assert revision is not None
    assert revision.where.startswith(where)
    assert least < revision.size < math.inf


@pytest.mark.parametrize("daily", [True, False])
@pytest.mark.parametrize("factor", [2.0, 1.0371, 1e-4])
def test_a_factor_on_all_prices_is_rounding(daily, factor):
    revision = found(read(daily=daily), read(prices_times(factor), daily=daily))
    assert revision is not None
    assert revision.size <= ROUNDING
    assert revision.within(0.0)


def test_the_size_of_one_volatility_for_all_is_that_of_its_change():
    def calmer(columns: Columns) -> None:
        columns["close"][:] = columns["close"] ** 0.9

    revision = found(read(symbols="A"), read(calmer, symbols="A"))
    assert revision is not None
    alone = found(
        read(lambda c: c.pop("high") is None, symbols="A"),
        read(lambda c: (c.pop("high"), calmer(c)), symbols="A"),
    )
    assert alone is not None
    assert alone.size == pytest.approx(-math.log(0.9), rel=1e-9)


@pytest.mark.parametrize("daily", [True, False])
def test_growth_and_a_last_day_that_was_finished_are_no_revision(daily):
    n = 120 if daily else 120 * 24
    for end in (n - 1, n - 7, n // 2, n // 2 + 5):
        assert found(read(rows=slice(end), daily=daily), read(daily=daily)) is None
    late = read(rows=slice(n // 2), daily=daily, side=slice(50))  # the side series came later
    assert found(late, read(daily=daily)) is None


def test_a_value_of_the_last_day_that_changed_is_a_revision():
    then = read(rows=slice(60 * 24))
    revision = found(then, read(lambda c: c["close"].__setitem__(60 * 24 - 1, 1.0)))
    assert revision is not None


@pytest.mark.parametrize("gone", [1000, 30])
@pytest.mark.parametrize("came_later", [False, True])
def test_bars_that_are_added_or_dropped_have_no_size(gone, came_later):
    rows = np.delete(np.arange(120 * 24), gone)
    pair = read(rows=rows), read()
    then, now = pair if came_later else pair[::-1]
    revision = found(then, now)
    assert revision is not None
    assert revision.size == math.inf
    assert revision.where.startswith("bars added")


def test_a_whole_day_that_is_added_between_others_is_found():
    for first in (24, 40 * 24):
        rows = np.delete(np.arange(120 * 24), np.arange(first, first + 24))
        revision = found(read(rows=rows), read())
        assert revision is not None
        assert revision.size == math.inf


@pytest.mark.parametrize("daily", [True, False])
@pytest.mark.parametrize("days", [1, 4, 27, 40])
def test_only_what_both_histories_hold_is_compared(daily, days):
    a_day = 1 if daily else 24
    whole, short = read(daily=daily), read(rows=slice(days * a_day, None), daily=daily)
    begins = str(np.datetime64("2021-01-05") + days)
    assert found(whole, short) is None
    assert shifted(whole.words(), short) == f"its history begins {days} days later, {begins}"
    assert found(short, whole) is None
    assert shifted(short.words(), whole) == f"its history begins {days} days earlier, 2021-01-05"
    factor = read(prices_times(3.0), rows=slice(days * a_day, None), daily=daily)
    revision = found(whole, factor)
    assert revision is not None
    assert revision.size <= ROUNDING
    spoilt = read(one_column_times("volume", 3.0), rows=slice(days * a_day, None), daily=daily)
    assert found(whole, spoilt) is not None


def test_a_history_that_ends_earlier_lacks_bars_unless_it_was_asked_to_end():
    whole, short = read(), read(rows=slice(100 * 24 + 5))
    revision = found(whole, short)
    assert revision is not None
    assert revision.size == math.inf
    assert found(whole, short, until=START + 100 * DAY_NS + 5 * HOUR_NS) is None


def test_a_side_series_that_changed_is_named():
    words = read().words()
    changed = read()
    other = days_of(
        "VIX", START + np.arange(120) * DAY_NS, {"close": np.ones(120)}, daily=True, label="vix"
    )
    revision = revised(words, Contents(changed.panel, {"vix": other}, "s", None), until=None)
    assert revision is not None
    assert revision.where.startswith("side series vix: from 2021-01-05 on")


def test_the_beginning_in_a_digest_tells_growth_from_change():
    then = beginning(read(rows=slice(60 * 24)).words())
    assert then is not None
    assert begins_as(then, read().panel)
    assert not begins_as(then, read(lambda c: c["close"].__setitem__(9, 1.0)).panel)
    assert beginning(None) is None


def test_words_that_were_damaged_are_no_contents_and_raise_nothing():
    words = read().words()
    assert stored_contents(words) == words
    panel = words["panel"]
    spoilt = [
        None, 3, "text", [], {}, words | {"panel": None}, words | {"side": 1}, {"panel": panel},
        *(words | {"panel": panel | {key: other}} for key in panel for other in (None, "x", -1)
          if (key, other) != ("reference", None) and (key, other) != ("last_rows", -1)),
        words | {"panel": panel | {"sizes": panel["sizes"] | {"close": [1.0]}}},
    ]  # fmt: skip
    for one in spoilt:
        assert stored_contents(one) is None, one
        assert beginning(one) is None


@pytest.mark.parametrize("value", ["0", "-1e-6", "0.02", '"small"', "true"])
def test_a_tolerance_out_of_bounds_is_refused_in_words(tmp_path, value):
    text = workspace.changed(
        ('bar = "5m"', f'bar = "5m"\nrevision_tolerance = {value}'), text=workspace.PANEL
    )
    (tmp_path / "tiny.toml").write_text(text)
    with pytest.raises(SpecError, match=r"panel.revision_tolerance: got .*, wanted a change of "):
        read_panel(tmp_path / "tiny.toml")


def test_a_tolerance_changes_no_bar_and_is_shown(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(workspace.PANEL)
    plain = read_panel(file)
    file.write_text(
        workspace.changed(
            ('bar = "5m"', 'bar = "5m"\nrevision_tolerance = 1e-6'), text=workspace.PANEL
        )
    )
    tolerant = read_panel(file)
    assert panel_identity(plain, ["close"]) == panel_identity(tolerant, ["close"])
    assert describe_panel(tolerant, end=START + 10 * DAY_NS)["revision_tolerance"] == 1e-6


def test_days_are_kept_to_the_last_bit():
    days = read().panel
    assert Days.unpacked(json.loads(json.dumps(days.packed()))) == days
    assert Days.unpacked(days.packed()) != read(swap).panel
