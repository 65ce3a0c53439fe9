"""Every realised and range measure against a plain twin, published values, and bad bars."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats
from support.worlds import DAY, START, close_to, make_bars, make_plan, sessions

from harness.durations import NS_PER_MINUTE
from harness.errors import SpecError, UsageError
from harness.measures.cascade import ESTIMATORS, measure, zero_returns
from harness.measures.estimate import estimate
from harness.measures.realised import lee_mykland_window
from harness.measures.table import MEASURES
from harness.types import Bars

DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")
IN_CASCADE = {"rv", "bv", "j", "pk"}  # test_cascade.py has their twins


@dataclass
class View:
    """What the twins see of a window: w bars up to bar `last`, q of them to a return."""

    bars: Bars
    last: int
    w: int
    q: int = 1
    straddle: bool = False
    alpha: float = 0.001

    def __post_init__(self) -> None:
        close = self.bars.columns["close"]
        self.raw = close[self.last - self.w : self.last + 1]
        ends = close[self.last % self.q :: self.q]
        self.past = [math.log1p((b - a) / a) for a, b in itertools.pairwise(ends)]
        self.past = self.past[: (self.last - self.last % self.q) // self.q]
        self.n = self.w // self.q
        self.r = self.past[-self.n :]
        self.minutes = self.bars.bar * self.q / NS_PER_MINUTE

    def products(self, k: int) -> list[list[float]]:
        """The absolute returns of every product of k neighbours that is counted."""
        first = len(self.past) - self.n + (0 if self.straddle else k - 1)
        ends = range(first, len(self.past))
        return [[abs(x) for x in self.past[i - k + 1 : i + 1]] for i in ends]

    def mean(self, k: int, f: Callable[[list[float]], float]) -> float:
        terms = [f(p) for p in self.products(k)]
        return math.fsum(terms) / len(terms)

    def ohlc(self) -> list[tuple[float, float, float, float, float]]:
        """Open, high, low, close and the close before, merged bar by merged bar."""
        c = {k: self.bars.columns[k] for k in ("open", "high", "low", "close")}
        rows = []
        for i in range(self.last - self.w + 1, self.last + 1, self.q):
            own = slice(i, i + self.q)
            rows.append((c["open"][i], c["high"][own].max(), c["low"][own].min(),
                         c["close"][own][-1], c["close"][i - 1]))  # fmt: skip
        return rows

    def sigma(self, variance: float) -> float:
        return math.sqrt(variance / self.q)


def bipower(v: View) -> float:
    return math.pi / 2.0 * v.mean(2, math.prod)


def tripower(v: View) -> float:
    m = 2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0) / math.gamma(0.5)
    return v.mean(3, lambda p: math.prod(x ** (4.0 / 3.0) for x in p)) / m**3


def bns(v: View) -> float:
    total = np.mean(np.square(v.r))
    # mu_1^-4 + 2 mu_1^-2 - 5 with mu_1^2 = 2 / pi.
    theta = (math.pi / 2.0) ** 2 + 2.0 * (math.pi / 2.0) - 5.0
    spread = max(1.0, tripower(v) / bipower(v) ** 2)
    return (total - bipower(v)) / total / math.sqrt(theta * spread / v.n)


def jump(v: View) -> float:
    """The jump part of the variance per bar, as j has it: bipower over all n bars."""
    total = math.fsum(x * x for x in v.r) / v.w
    smooth = math.pi / 2.0 * math.fsum(map(math.prod, v.products(2))) / v.w
    return max(total - smooth, 0.0) if bns(v) > scipy.stats.norm.isf(v.alpha) else 0.0


def rv2(v: View) -> float:
    return math.fsum(x * x for x in v.r) / v.w


def lee_mykland(v: View) -> float:
    window = math.ceil(math.sqrt(252 * 1_440 / v.minutes))
    found = []
    for i in range(len(v.past) - v.n, len(v.past)):
        near = [abs(v.past[j] * v.past[j - 1]) for j in range(i - window + 2, i)]
        found.append(abs(v.past[i]) / math.sqrt(math.fsum(near) / (window - 2)))
    return max(found)


def every(r: list[float], step: int) -> float:
    """Squared sums of `step` neighbouring returns: the mean over the starts."""
    return sum(math.fsum(r[i : i + step]) ** 2 for i in range(len(r) - step + 1)) / step


def quiet(v: View) -> float:
    step = min(max(int(20 // v.minutes), 1), v.n)
    return every(v.r, step) * v.n / (v.n - step + 1)


def kernel(v: View) -> float:
    def weight(x: float) -> float:
        return 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3

    dense = math.fsum(x * x for x in v.r)
    xi = math.sqrt(dense / (2 * v.n) / quiet(v))
    lags = min(math.ceil(3.5134 * xi**0.8 * v.n**0.6), v.n - 1)
    total = dense
    for h in range(1, lags + 1):
        gamma = math.fsum(a * b for a, b in zip(v.r[h:], v.r[:-h], strict=True))
        total += 2 * weight(h / (lags + 1)) * gamma
    return total / v.w


def two_scales(v: View) -> float:
    dense = math.fsum(x * x for x in v.r)
    scale = (12 * (dense / (2 * v.n)) ** 2 / quiet(v) ** 2) ** (1 / 3) * v.n ** (2 / 3)
    slow = min(max(round(scale), 2), max(v.n // 2, 2))
    mean = (v.n - slow + 1) / slow
    return max((every(v.r, slow) - mean / v.n * dense) / (1 - mean / v.n), 0.0) / v.w


def rogers_satchell(v: View) -> float:
    ln = math.log
    terms = [ln(h / c) * ln(h / o) + ln(lo / c) * ln(lo / o) for o, h, lo, c, _ in v.ohlc()]
    return math.fsum(terms) / v.n


def garman_klass(v: View) -> float:
    terms = [
        0.5 * math.log(h / lo) ** 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2
        for o, h, lo, c, _ in v.ohlc()
    ]
    return math.fsum(terms) / v.n


def yang_zhang(v: View) -> float:
    overnight = np.var([math.log(o / before) for o, _, _, _, before in v.ohlc()], ddof=1)
    day = np.var([math.log(c / o) for o, _, _, c, _ in v.ohlc()], ddof=1)
    k = 0.34 / (1.34 + (v.n + 1) / (v.n - 1))
    return overnight + k * day + (1 - k) * rogers_satchell(v)


def signed(x: float) -> float:
    return math.copysign(math.sqrt(abs(x)), x)


def half(v: View, sign: int) -> float:
    return math.fsum(x * x for x in v.r if x * sign > 0) / v.w


TWINS: dict[str, Callable[[View], float]] = {
    "minrv": lambda v: v.sigma(math.pi / (math.pi - 2) * v.mean(2, lambda p: min(p) ** 2)),
    "medrv": lambda v: v.sigma(
        math.pi / (6 - 4 * math.sqrt(3) + math.pi) * v.mean(3, lambda p: sorted(p)[1] ** 2)
    ),
    "rq": lambda v: v.sigma(math.sqrt(np.mean(np.power(v.r, 4)) / 3)),
    "medrq": lambda v: v.sigma(
        math.sqrt(
            3 * math.pi / (9 * math.pi + 72 - 52 * math.sqrt(3))
            * v.mean(3, lambda p: sorted(p)[1] ** 4)
        )
    ),
    "tpq": lambda v: v.sigma(math.sqrt(tripower(v))),
    "rsp": lambda v: math.sqrt(half(v, 1)),
    "rsn": lambda v: math.sqrt(half(v, -1)),
    "sj": lambda v: signed(half(v, 1) - half(v, -1)),
    "rk": lambda v: math.sqrt(kernel(v)),
    "tsrv": lambda v: math.sqrt(two_scales(v)),
    "rvss": lambda v: math.sqrt(
        np.mean([math.log(b / a) ** 2 for a, b in zip(v.raw, v.raw[v.q :], strict=False)]) / v.q
    ),
    "ret": lambda v: math.log(v.raw[-1] / v.raw[0]),
    "absret": lambda v: abs(math.log(v.raw[-1] / v.raw[0])) / math.sqrt(v.w),
    "cc": lambda v: v.sigma(np.var(v.r, ddof=1)),
    "bns": bns,
    "lm": lee_mykland,
    "jj": lambda v: math.sqrt(jump(v)),
    "jc": lambda v: math.sqrt(rv2(v) - jump(v)),
    "gk": lambda v: v.sigma(garman_klass(v)),
    "rs": lambda v: v.sigma(rogers_satchell(v)),
    "yz": lambda v: v.sigma(yang_zhang(v)),
}  # fmt: skip


def test_every_measure_has_a_twin_and_an_estimator():
    assert set(TWINS) | IN_CASCADE == set(MEASURES)
    assert set(ESTIMATORS) == set(MEASURES)


def assert_as_twins(bars: Bars, at: list[int], **settings: object) -> dict[str, list[float]]:
    """Every column at blocks `at` is its twin's; the values by measure."""
    plan = make_plan(measures=list(TWINS), **settings)
    measured, found = measure(bars, plan), {name: [] for name in TWINS}
    ends = bars.known_at(np.arange(bars.n))
    for column, (name, scale) in plan.columns.items():
        for k in at if name in TWINS else ():
            last = int(np.flatnonzero(ends == measured.known_at[k])[0])
            straddle = plan.bipower_edge == "straddle"
            view = View(bars, last, plan.windows[scale], plan.interval, straddle, plan.jump_alpha)
            got = measured.columns[column][k]
            assert got == pytest.approx(TWINS[name](view), rel=1e-8, abs=1e-15), (column, k)
            found[name].append(got)
    return found


@pytest.mark.parametrize("edge", ["inside", "straddle"])
@pytest.mark.parametrize("interval", [None, "5m"])
def test_every_measure_is_its_formula_over_the_window(interval, edge):
    bars = make_bars(2 * 1_440, seed=1, start=START + 17 * NS_PER_MINUTE)
    found = assert_as_twins(
        bars, [27, 33, 40, 46], every="1h", scales=["1h", "4h"], horizons=["1h"],
        interval=interval, edge=edge, jump_alpha=0.05,
    )  # fmt: skip
    assert 0.0 in found["jj"]
    assert max(found["jj"]) > 0.0
    assert min(found["sj"]) < 0.0 < max(found["sj"])
    assert len(set(found["rvss"])) > 4


def test_measures_of_sessions_are_their_formulas_with_the_night_in_the_return():
    found = assert_as_twins(
        make_bars(90, seed=7, ts=sessions(90)), [40, 55, 89],
        every="1d", scales=["3d", "5d", "22d"], horizons=["5d"], calendar="sessions",
    )  # fmt: skip
    assert len(found["yz"]) == 9


def test_windows_of_as_many_bars_as_the_longest_product_are_exact():
    # Blocks of one bar: a product of three reaches over two edges.
    assert_as_twins(
        make_bars(700, seed=3), [650, 660, 699], every="1m", scales=["3m", "7m"], horizons=["3m"]
    )
    assert_as_twins(
        make_bars(700, seed=3), [651, 690], every="1m", scales=["3m", "7m"], horizons=["3m"],
        edge="straddle",
    )  # fmt: skip


def test_an_interval_of_one_bar_is_no_interval():
    bars = make_bars(1_500, seed=4)
    settings = {"measures": list(MEASURES), "every": "1h", "scales": ["4h"], "horizons": ["1h"]}
    plain = measure(bars, make_plan(**settings)).columns
    merged = measure(bars, make_plan(**settings, interval="1m")).columns
    for name, values in plain.items():
        assert np.array_equal(values, merged[name], equal_nan=True)
    assert close_to(plain["rvss_4h"], plain["rv_4h"], 1e-12)


def test_returns_over_an_interval_are_those_between_closes_on_the_grid():
    bars = make_bars(2 * 1_440, seed=5, start=START + 7 * NS_PER_MINUTE)
    settings = {"every": "1h", "scales": ["4h"], "horizons": ["1h"], "interval": "10m"}
    measured = measure(bars, make_plan(measures=["rv", "bv", "pk"], **settings))
    k = 20
    last = int(np.flatnonzero(bars.known_at(np.arange(bars.n)) == measured.known_at[k])[0])
    c = bars.columns["close"][last - 240 : last + 1 : 10]
    r = np.diff(np.log(c))
    assert measured.columns["rv_4h"][k] == pytest.approx(math.sqrt((r @ r) / 240), rel=1e-9)
    products = np.abs(r[1:]) @ np.abs(r[:-1])
    want = math.sqrt(math.pi / 2 * products / 240)
    assert measured.columns["bv_4h"][k] == pytest.approx(want, rel=1e-9)
    high = bars.columns["high"][last - 239 : last + 1].reshape(-1, 10).max(axis=1)
    low = bars.columns["low"][last - 239 : last + 1].reshape(-1, 10).min(axis=1)
    want = math.sqrt(np.sum(np.log(high / low) ** 2) / (4 * math.log(2) * 240))
    assert measured.columns["pk_4h"][k] == pytest.approx(want, rel=1e-9)


def test_what_is_measured_does_not_depend_on_how_much_comes_after():
    settings = {"measures": list(MEASURES), "every": "1h", "scales": ["1h", "4h"]}
    plan = make_plan(**settings, horizons=["1h"], interval="2m")
    whole = make_bars(1_800, seed=6)
    for n in (1_380, 1_500, 1_739):
        columns = {name: values[:n].copy() for name, values in whole.columns.items()}
        short = measure(replace(whole, n=n, columns=columns), plan)
        blocks = n // 60
        for name, values in measure(whole, plan).columns.items():
            assert values[:blocks].tobytes() == short.columns[name].tobytes(), (name, n)


def flat(n: int) -> Bars:
    columns = {name: np.full(n, 0.1) for name in ("open", "high", "low", "close")}
    return replace(make_bars(n, seed=1), columns=columns)


@pytest.mark.parametrize("edge", ["inside", "straddle"])
def test_a_panel_that_never_moves_measures_zero(edge):
    plan = make_plan(
        measures=list(MEASURES), every="1h", scales=["1h", "2h"], horizons=["1h"],
        interval="5m", edge=edge,
    )  # fmt: skip
    columns = measure(flat(3_000), plan).columns
    assert all(not values[26:].any() for values in columns.values())


def test_one_move_alone_is_a_jump_and_leaves_no_infinity_but_in_lm():
    bars = flat(3_000)
    for name in bars.columns:
        bars.columns[name][2_000:] *= 1.02
    plan = make_plan(measures=list(MEASURES), every="1h", scales=["1h"], horizons=["1h"])
    columns = measure(bars, plan).columns
    held = 2_000 // 60
    for name, values in columns.items():
        assert np.isfinite(values[13:]).all() or name == "lm_1h", name
    assert columns["jj_1h"][held] == pytest.approx(columns["rv_1h"][held])
    assert columns["jc_1h"][held] == 0.0
    assert columns["bns_1h"][held] > 5.0
    assert columns["lm_1h"][held] == math.inf
    assert np.isfinite(np.delete(columns["lm_1h"][13:], held - 13)).all()


def test_a_span_shorter_than_a_block_measures_nothing():
    plan = make_plan(measures=list(MEASURES), interval="5m")
    measured = measure(make_bars(30, seed=1, start=START + NS_PER_MINUTE), plan)
    assert all(values.size == 0 for values in measured.columns.values())


def test_noise_biases_rv_and_neither_rk_nor_tsrv():
    rng, n = np.random.default_rng(12), 40 * 1_440
    path = np.cumsum(rng.normal(0.0, 1e-3, n))
    noisy = np.exp(path + rng.normal(0.0, 1e-3, n))
    bars = replace(make_bars(n, seed=1), columns={"close": noisy})
    plan = make_plan(measures=["rv", "rk", "tsrv"], every="1d", scales=["1d"], horizons=["1d"])
    found = {k: np.nanmean(v**2) / 1e-6 for k, v in measure(bars, plan).columns.items()}
    assert found["rv_1d"] == pytest.approx(3.0, rel=0.05)
    assert found["rk_1d"] == pytest.approx(1.0, rel=0.15)
    assert found["tsrv_1d"] == pytest.approx(1.0, rel=0.15)


def test_robust_measures_of_gaussian_returns_are_their_volatility():
    r = 2e-3 * np.random.default_rng(13).standard_normal(40_000)
    for name in ("rv", "bv", "minrv", "medrv", "rq", "medrq", "tpq", "cc", "rk"):
        assert estimate(name, r) == pytest.approx(2e-3, rel=0.03), name
    assert abs(estimate("bns", r)) < 4.0
    assert estimate("rsp", r) ** 2 + estimate("rsn", r) ** 2 == pytest.approx(
        estimate("rv", r) ** 2
    )


def test_the_lee_mykland_window_is_the_papers():
    minutes = {5: 270, 15: 156, 30: 110, 60: 78, 1_440: 16}
    assert {m: lee_mykland_window(1_440 / m) for m in minutes} == minutes


def test_the_lee_mykland_window_of_sessions_counts_the_bars_of_a_session():
    # The New York exchange is open for 6.5 hours: 78 returns of 5 minutes a day, 26 of 15.
    assert lee_mykland_window(78) == 141
    bars = make_bars(780, seed=4, ts=sessions(780))
    settings = {"every": "1d", "scales": ["2d"], "horizons": ["1d"], "calendar": "sessions"}
    plan = make_plan(measures=["rv", "lm"], bar=5 * NS_PER_MINUTE, session_bars=78, **settings)
    wide = make_plan(measures=["rv", "lm"], bar=5 * NS_PER_MINUTE, session_bars=78,
                     interval="15m", **settings)  # fmt: skip
    assert (plan.bars_a_day, wide.bars_a_day) == (78.0, 78.0)
    for found, step in ((measure(bars, plan), 1), (measure(bars, wide), 3)):
        close = bars.columns["close"][step - 1 :: step]
        r = np.abs(np.diff(np.log(close), prepend=np.nan)).tolist()
        terms = math.ceil(math.sqrt(252 * 78 / step)) - 2
        n = 2 * 78 // step
        ratios = [
            r[i] / math.sqrt(math.fsum(r[j] * r[j - 1] for j in range(i - terms, i)) / terms)
            for i in range(len(r) - n, len(r))
        ]
        assert found.columns["lm_2d"][-1] == pytest.approx(max(ratios), rel=1e-12)


def test_the_table_says_which_measures_read_zero_returns_as_jumps():
    # The same prices, and 10 % of the bars at the price before them.
    n, rng = 60 * 1_440, np.random.default_rng(5)
    price = 100.0 * np.exp(np.cumsum(rng.normal(scale=5e-4, size=n)))
    stands = rng.random(n) < 0.1
    stands[0] = False
    held = price[np.maximum.accumulate(np.where(stands, 0, np.arange(n)))]
    bars = make_bars(n, seed=1)
    names = [m.name for m in MEASURES.values() if m.inputs == ("close",)]
    plan = make_plan(every="1d", scales=["1d"], horizons=["1d"], measures=names)
    moving, standing = (
        measure(replace(bars, columns={**bars.columns, "close": close}), plan).columns
        for close in (price, held)
    )
    rv = np.nanmean(moving["rv_1d"] ** 2)
    for name in names:
        before, after = (np.nanmean(of[f"{name}_1d"] ** 2) for of in (moving, standing))
        zeros, unit = MEASURES[name].zeros, MEASURES[name].unit
        if name in ("bns", "lm"):
            assert zeros == "jumps", name
            assert after > 1.1 * before, name
        elif name in ("j", "jj"):
            assert zeros == "jumps", name
            assert 0.1 < (after - before) / rv < 0.2, name
        elif zeros == "jumps":
            assert 0.8 < after / before < 0.95, name
        elif zeros == "none":
            assert after / before == pytest.approx(1.0, abs=0.03), name
        elif unit == "sigma" and name != "absret":
            assert after / before > 0.95, name
    share = zero_returns(replace(bars, columns={**bars.columns, "close": held}), plan)
    assert share == (int(stands[1:].sum()), n - 1)
    hourly = make_plan(every="1d", scales=["1d"], horizons=["1d"], interval="5m")
    few, of = zero_returns(replace(bars, columns={**bars.columns, "close": held}), hourly)
    assert of == n // 5 - 1
    assert few == np.sum(np.diff(held[4::5]) == 0.0) < 20


def test_a_stretch_of_bars_is_estimated_as_its_column():
    bars = make_bars(1_000, seed=8)
    plan = make_plan(measures=list(MEASURES), every="1h", scales=["4h"], horizons=["1h"])
    measured = measure(bars, plan)
    columns = {name: values[959 - 240 : 960] for name, values in bars.columns.items()}
    for name in set(MEASURES) - {"lm"}:
        want = measured.columns[f"{name}_4h"][15]
        assert estimate(name, columns) == pytest.approx(want, rel=1e-12), name


@pytest.mark.parametrize(
    ("name", "bars", "said"),
    [
        ("medrw", np.zeros(5), "got 'medrw', wanted a measure; did you mean 'medr"),
        ("medrv", np.zeros(2), "medrv: wanted 3 or more bars after the first, got 2"),
        ("rv", np.zeros(0), "rv: wanted 1 or more bars after the first, got 0"),
        ("gk", np.zeros(5), "gk: wanted a column 'open', got ['close']"),
        ("pk", {"high": np.ones(3), "low": np.ones(4)}, "pk: wanted columns of one length"),
    ],
)
def test_bars_that_cannot_be_estimated_are_refused_in_one_line(name, bars, said):
    with pytest.raises(UsageError) as caught:
        estimate(name, bars)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"interval": "7m"}, "sample.interval: got '7m', wanted a length that divides"),
        ({"interval": "8h"}, "sample.interval: got '8h', wanted a length that divides"),
        ({"interval": "1h", "calendar": "sessions", "every": "1d", "scales": ["1d"],
          "horizons": ["1d"]}, "sample.interval: got '1h', wanted days"),
        ({"interval": "90m", "bar": 60 * NS_PER_MINUTE}, "sample.interval: got '90m'"),
        ({"interval": "2h", "measures": ["medrv"]}, "got 'medrv over 4h (2 interval)'"),
        ({"target": "sj"}, "target.measure: got 'sj', wanted a volatility or a variance"),
        ({"target": "ret"}, "target.measure: got 'ret', wanted a volatility or a variance"),
        ({"target": "flow", "extra": {"flow": "none"}}, "got 'flow', wanted a volatility"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_in_one_line(settings, said):
    with pytest.raises(SpecError) as caught:
        make_plan(**settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_data
def test_daily_range_volatilities_of_a_liquid_stock_agree_with_one_another():
    file = Path(DATA).resolve() / "sp500_daily.parquet"
    frame = pl.scan_parquet(file).filter(pl.col("symbol") == "MSFT").collect().sort("date")
    columns = {k: frame[k].cast(pl.Float64).to_numpy() for k in ("open", "high", "low", "close")}
    found = {k: estimate(k, columns, bar=DAY) for k in ("cc", "pk", "gk", "rs", "yz")}
    # Nights are in cc and yz and in neither of the others.
    assert found["yz"] == pytest.approx(found["cc"], rel=0.1)
    assert max(found[k] for k in ("pk", "gk", "rs")) < found["yz"]
    assert found["gk"] == pytest.approx(found["rs"], rel=0.05)
