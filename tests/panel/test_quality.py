"""The checks on one symbol's bars: each rule finds its first row and its count, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from harness.panel.quality import (
    carry,
    check_columns,
    check_times,
    find_gaps,
    fingerprint,
    odd_steps,
)

MINUTE = 60_000_000_000
START = 1_577_836_800_000_000_000


def minutes(*offsets: float) -> np.ndarray:
    return START + np.array([round(o * MINUTE) for o in offsets], np.int64)


def names(problems) -> list[tuple[str, int, int]]:
    return [(p.name, p.row, p.count) for p in problems]


def test_a_regular_grid_has_no_problem_and_no_gap():
    problems, breaks = check_times(minutes(*range(5)), MINUTE, grid=True)
    assert problems == []
    assert breaks.size == 0


def test_odd_steps_are_found_on_both_sides_of_a_block_boundary():
    ts = START + np.arange(100_000, dtype=np.int64) * MINUTE
    moved = [1, 32_768, 32_769, 65_537, 99_999]
    for row in moved:
        ts[row:] += MINUTE
    plain = [i for i in range(1, len(ts)) if ts[i] - ts[i - 1] != MINUTE]
    assert odd_steps(ts, MINUTE).tolist() == plain == moved


@pytest.mark.parametrize(
    ("offsets", "grid", "expected"),
    [
        ((0, 1, 3, 2, 4), True, [("unsorted", 3, 1)]),
        ((0, 1, 1, 2, 2), True, [("duplicate time stamp", 2, 2)]),
        ((0, 2, 1, 2), True, [("unsorted", 2, 1), ("duplicate time stamp", 3, 1)]),
        ((0, 1, 2.5, 3, 4.5), True, [("wrong bar spacing", 2, 2)]),
        ((0, 1, 1.5, 4), False, [("wrong bar spacing", 2, 1)]),
        ((0, 1, 2.5, 9), False, []),
    ],
)
def test_a_broken_rule_of_time_names_its_first_row_and_its_count(offsets, grid, expected):
    problems, _ = check_times(minutes(*offsets), MINUTE, grid=grid)
    assert names(problems) == expected


def test_one_bar_is_enough_for_every_check():
    problems, breaks = check_times(minutes(0), MINUTE, grid=True)
    assert problems == []
    assert breaks.size == 0


def test_gaps_name_the_first_and_last_missing_bar():
    ts = minutes(0, 1, 4, 5, 7)
    _, breaks = check_times(ts, MINUTE, grid=True)
    gaps = find_gaps("X", ts, MINUTE, breaks)
    found = [((g.start - START) // MINUTE, (g.end - START) // MINUTE, g.missing) for g in gaps]
    assert found == [(2, 3, 2), (6, 6, 1)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"close": [1, 2, np.nan, np.inf]}, [("not finite", 2, 2)]),
        ({"close": [1, -np.inf]}, [("not finite", 1, 1)]),
        ({"close": [1, 0, -1]}, [("non-positive price", 1, 2)]),
        ({"close": [1, 1e305, 1e-305]}, [("implausible price", 1, 2)]),
        ({"high": [2, 1, 2], "low": [1, 2, 1]}, [("high below low", 1, 1)]),
        (
            {"high": [2, 2, 2], "low": [1, 1, 1], "open": [1, 3, 2], "close": [2, 1, 0.5]},
            [("open outside low and high", 1, 1), ("close outside low and high", 2, 1)],
        ),
        ({"high": [2, 2], "close": [1, 3]}, [("close outside low and high", 1, 1)]),
        ({"low": [2, 2], "open": [1, 3]}, [("open outside low and high", 0, 1)]),
        (
            {"high": [0.3, 0.3], "close": [0.1 + 0.2, 0.3000001]},
            [("close outside low and high", 1, 1)],
        ),
        ({"volume": [0, -1]}, [("negative value", 1, 1)]),
        ({"rv5": [0, -1]}, [("negative value", 1, 1)]),
        ({"spread": [0, -1]}, []),
        ({"high": [2, 2], "low": [1, 1], "open": [1, 2], "close": [2, 1], "volume": [0, 1]}, []),
    ],
)
def test_a_broken_rule_of_values_names_its_first_row_and_its_count(columns, expected):
    arrays = {name: np.array(values, float) for name, values in columns.items()}
    problems = check_columns(arrays, {"rv5": "variance", "spread": "none"})
    assert names(problems) == expected


def test_carry_repeats_the_last_close_and_trades_nothing():
    ts = minutes(0, 1, 4, 6)
    columns = {
        "open": np.array([1.0, 2, 3, 4]),
        "close": np.array([10.0, 20, 30, 40]),
        "volume": np.array([5.0, 6, 7, 8]),
    }
    _, breaks = check_times(ts, MINUTE, grid=True)
    filled = carry(columns, breaks, find_gaps("X", ts, MINUTE, breaks))
    assert filled["close"].tolist() == [10, 20, 20, 20, 30, 30, 40]
    assert filled["open"].tolist() == [1, 2, 20, 20, 3, 30, 4]
    assert filled["volume"].tolist() == [5, 6, 0, 0, 7, 0, 8]


def test_carry_agrees_with_a_plain_loop_on_random_gaps():
    rng = np.random.default_rng(1)
    rows = np.flatnonzero(rng.random(400) < 0.7)
    ts, close = START + rows * MINUTE, rng.random(len(rows))
    _, breaks = check_times(ts, MINUTE, grid=True)
    filled = carry({"close": close}, breaks, find_gaps("X", ts, MINUTE, breaks))["close"]
    by_row, last, plain = dict(zip(rows.tolist(), close, strict=True)), None, []
    for row in range(rows[0], rows[-1] + 1):
        last = by_row.get(row, last)
        plain.append(last)
    assert filled.tolist() == plain


def test_the_fingerprint_changes_with_every_part_of_the_content_and_not_with_column_order():
    ts, close, high = minutes(0, 1), np.array([1.0, 2.0]), np.array([3.0, 4.0])
    base = fingerprint("X", ts, {"close": close, "high": high})
    assert base == fingerprint("X", ts, {"high": high, "close": close})
    others = {
        fingerprint("Y", ts, {"close": close, "high": high}),
        fingerprint("X", ts + 1, {"close": close, "high": high}),
        fingerprint("X", ts, {"close": np.nextafter(close, 9), "high": high}),
        fingerprint("X", ts, {"close": high, "high": close}),
        fingerprint("X", ts, {"close": close}),
        base,
    }
    assert len(others) == 6
    assert base.startswith("xxh3:")
    assert len(base) == 5 + 32
