"""Measures over the cascade against plain loops per decision; where windows begin and are full."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from support.worlds import DAY, START, exact_sum, make_bars, make_plan, sessions

from harness.durations import NS_PER_MINUTE
from harness.errors import SpecError
from harness.measures.cascade import CascadePlan, measure
from harness.measures.table import MEASURES
from harness.types import Bars, Measured

HOUR = 60 * NS_PER_MINUTE
EXTRA = {"flow": "none"}


def log_returns(bars: Bars) -> np.ndarray:
    close = bars.columns["close"]
    moves = [math.log1p((b - a) / a) for a, b in itertools.pairwise(close)]
    return np.array([math.nan, *moves])


def naive(bars: Bars, name: str, last: int, w: int, edge: str) -> float:
    """The measure over the w bars up to bar `last`, one term after the other."""
    first = last - w + 1
    r = np.abs(log_returns(bars))
    own = r[first : last + 1]
    rv = math.sqrt(exact_sum(own * own) / w)
    products = own[1:] * own[:-1]
    if edge == "straddle":
        products = np.append(products, own[0] * r[first - 1])
    bv = math.sqrt(math.pi / 2.0 / w * exact_sum(products))
    if name == "pk":
        spread = np.log(bars.columns["high"] / bars.columns["low"])[first : last + 1]
        return math.sqrt(exact_sum(spread**2) / (4.0 * math.log(2.0) * w))
    if name in ("rv", "bv"):
        return rv if name == "rv" else bv
    if name == "j":
        return math.sqrt(max(rv * rv - bv * bv, 0.0))
    return exact_sum(bars.columns[name][first : last + 1]) / w


def position(bars: Bars, moment: int) -> int:
    """The bar that is known at this moment."""
    return int(np.flatnonzero(bars.known_at(np.arange(bars.n)) == moment)[0])


def assert_as_naive(bars: Bars, plan: CascadePlan, at: list[int]) -> None:
    measured = measure(bars, plan)
    for k in at:
        last = position(bars, int(measured.known_at[k]))
        for column, (name, scale) in plan.columns.items():
            want = naive(bars, name, last, plan.windows[scale], plan.bipower_edge)
            # rv and bv nearly cancel where there is no jump: j keeps digits of rv, not its own.
            tolerance = 1e-9 * measured.columns[f"rv_{scale}"][k] if name == "j" else 0.0
            got = measured.columns[column][k]
            assert got == pytest.approx(want, rel=1e-9, abs=tolerance), (column, k)


@pytest.mark.parametrize("edge", ["inside", "straddle"])
def test_every_measure_is_its_formula_over_the_window_that_ends_at_the_decision(edge):
    bars = make_bars(4 * 1_440, seed=1, start=START + 17 * NS_PER_MINUTE)
    measures = ["rv", "bv", "j", "pk", "flow"]  # test_realised.py has the others
    plan = make_plan(
        every="1h", scales=["1h", "4h", "1d"], horizons=["2h"], measures=measures,
        extra=EXTRA, edge=edge,
    )  # fmt: skip
    assert set(measures) == {name for name, _ in plan.columns.values()}
    assert_as_naive(bars, plan, [25, 26, 40, 71, 94])


def test_a_measure_is_missing_until_its_window_is_full():
    plan = make_plan(
        every="1h", scales=["1h", "4h"], measures=[*MEASURES, "flow"], extra=EXTRA, edge="straddle"
    )
    columns = measure(make_bars(16 * 60, seed=2), plan).columns
    # The first bar has no return, and lm looks 602 back; ranges and extra columns need none.
    blocks = {"pk": 0, "gk": 0, "rs": 0, "flow": 0, "lm": 11}
    for column, (name, scale) in plan.columns.items():
        full = plan.windows[scale] // plan.block - 1 + blocks.get(name, 1)
        assert np.flatnonzero(np.isfinite(columns[column]))[0] == full, column
        assert np.isfinite(columns[column][full:]).all()


def test_a_straddling_product_needs_the_return_before_the_window():
    for edge, first in (("inside", 2), ("straddle", 3)):
        plan = make_plan(every="1m", scales=["2m"], horizons=["1m"], measures=["bv"], edge=edge)
        bv = measure(make_bars(9, seed=3), plan).columns["bv_2m"]
        assert np.flatnonzero(np.isfinite(bv))[0] == first


def test_only_averages_over_decisions_need_the_target_from_one_to_the_next():
    often = {"every": "1m", "scales": ["4m"], "horizons": ["4m"], "measures": [], "target": "bv"}
    assert list(make_plan(**often).columns) == ["bv_4m"]
    with pytest.raises(SpecError, match=r"got 'bv over 1m \(1 bar\)'"):
        make_plan(**often, periods=True)
    assert "rv_1m" in make_plan(**often | {"target": "rv"}, periods=True).columns


@pytest.mark.parametrize("late", [0, 1, 17, 59])
def test_blocks_and_decisions_stand_on_the_clock_wherever_the_span_starts(late):
    bars = make_bars(600, seed=4, start=START + late * NS_PER_MINUTE)
    plan = make_plan(every="2h", scales=["1h"], horizons=["1h"])
    measured = measure(bars, plan)
    assert measured.block == 60
    assert (measured.known_at % HOUR == 0).all()
    assert measured.known_at[0] == START + (1 if late == 0 else 2) * HOUR
    assert measured.known_at[-1] <= bars.known_at(np.int64(599)) < measured.known_at[-1] + HOUR
    formed = measured.known_at[measured.origins]
    assert (formed % (2 * HOUR) == 0).all()
    assert formed.size == np.sum(measured.known_at % (2 * HOUR) == 0)


def test_a_block_is_the_longest_length_that_divides_grid_scales_and_horizons():
    plan = make_plan(every="1h", scales=["30m", "90m"], horizons=["4h"])
    assert plan.block == 30
    assert_as_naive(make_bars(1_000, seed=5, start=START + 7 * NS_PER_MINUTE), plan, [9, 20, 30])
    assert make_plan(every="1h", scales=["25m"], horizons=["10m"]).block == 5
    odd = make_plan(every="7m", scales=["5m"], horizons=["3m"])
    assert odd.block == 1
    assert_as_naive(make_bars(40, seed=6), odd, [7, 20, 39])


def test_one_symbol_measures_the_same_alone_as_among_others():
    plan = make_plan(measures=[*MEASURES, "flow"], extra=EXTRA)
    several = [make_bars(3_000, seed=s, symbol=f"S{s}") for s in range(3)]
    together = [measure(b, plan) for b in several]
    alone = measure(make_bars(3_000, seed=1, symbol="S1"), plan)
    for name, values in alone.columns.items():
        assert np.array_equal(values, together[1].columns[name], equal_nan=True)
        assert not np.array_equal(values, together[0].columns[name], equal_nan=True)


def test_sessions_are_counted_one_by_one_whatever_days_lie_between():
    bars = make_bars(120, seed=7, ts=sessions(120))
    assert np.ptp(np.diff(bars.ts)) >= 2 * DAY
    plan = make_plan(
        every="1d", scales=["1d", "5d", "22d"], horizons=["5d"], calendar="sessions",
        measures=["rv", "pk", "flow"], extra=EXTRA,
    )  # fmt: skip
    measured = measure(bars, plan)
    assert np.array_equal(measured.known_at, bars.ts + DAY)
    assert np.array_equal(measured.origins, np.arange(120))
    assert_as_naive(bars, plan, [22, 50, 119])


def test_weekly_decisions_on_sessions_come_every_fifth_session():
    plan = make_plan(
        every="5d", scales=["5d"], horizons=["10d"], calendar="sessions", measures=["rv"]
    )
    measured = measure(make_bars(53, seed=8, ts=sessions(53)), plan)
    assert (plan.block, measured.origins.tolist()) == (5, list(range(10)))


def test_a_bad_tick_spoils_only_the_windows_that_hold_it():
    rng, n, bad = np.random.default_rng(9), 2_880, 700
    r = rng.standard_normal(n) * np.where(np.arange(n) < bad, 1e-3, 1e-5)
    r[bad] = 5.0
    bars = replace(make_bars(n, seed=9), columns={"close": 100.0 * np.exp(np.cumsum(r))})
    plan = make_plan(every="1h", scales=["1h", "4h"], horizons=["1h"], measures=["rv", "bv"])
    measured = measure(bars, plan)
    r = log_returns(bars)
    later = [k for k in range(12, 48) if measured.known_at[k] - 4 * HOUR > bars.known_at(bad)]
    worst, running = 0.0, np.cumsum(np.nan_to_num(r) ** 2)
    differenced = 0.0
    for k in later:
        last = position(bars, int(measured.known_at[k]))
        want = naive(bars, "rv", last, 240, "inside")
        worst = max(worst, abs(measured.columns["rv_4h"][k] / want - 1.0))
        by_difference = math.sqrt(max(running[last] - running[last - 240], 0.0) / 240)
        differenced = max(differenced, abs(by_difference / want - 1.0))
    assert len(later) > 20
    assert worst <= 1e-9
    assert differenced > 1e-8, "the stress would not catch a difference of running sums"


def test_measures_of_a_panel_that_never_moves_are_zero():
    columns = {name: np.full(600, 0.1) for name in ("close", "high", "low")}
    bars = replace(make_bars(600, seed=1), columns=columns)
    measured: Measured = measure(bars, make_plan(every="1h", scales=["1h"], horizons=["1h"]))
    for values in measured.columns.values():
        assert not values[1:].any()


def test_a_span_shorter_than_a_block_measures_nothing():
    measured = measure(make_bars(100, seed=1, start=START + NS_PER_MINUTE), make_plan())
    assert measured.known_at.size == measured.origins.size == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": "7m", "bar": 5 * NS_PER_MINUTE}, "sample.every: got '7m', wanted a multiple of"),
        ({"scales": ["1h", "1m"], "bar": 5 * NS_PER_MINUTE}, "sample.scales[1]: got '1m'"),
        ({"horizons": ["90m"], "bar": HOUR}, "target.horizons[0]: got '90m'"),
        ({"calendar": "sessions"}, "sample.every: got '4h', wanted days: on a sessions calendar"),
        ({"scales": ["1m"], "measures": ["bv"]}, "got 'bv over 1m (1 bar)'"),
        ({"target": "j", "horizons": ["1m"]}, "got 'j over 1m (1 bar)'"),
    ],
)
def test_durations_that_do_not_fit_the_bars_are_refused(settings, words):
    with pytest.raises(SpecError) as caught:
        make_plan(**settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_inputs_and_units_are_those_of_the_measures_asked_for():
    plan = make_plan(measures=["pk", "flow"], target="pk", extra={"flow": "variance"})
    assert plan.inputs == ("flow", "high", "low")
    assert {plan.units[c] for c in plan.columns if c.startswith("flow")} == {"variance"}
    assert plan.windows["1d"] == 1_440
