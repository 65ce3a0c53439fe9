"""Bars of an exchange's sessions: what lies inside, what is carried, where the night goes."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.worlds import make_plan

from harness.durations import NS_PER_MINUTE, parse_moment
from harness.errors import PanelError, SpecError
from harness.measures.cascade import CascadePlan, measure
from harness.panel.panel import open_panel
from harness.panel.reading import read_panel
from harness.panel.report import check_panel
from harness.panel.sessions import exchange_sessions
from harness.panel.spec import PanelSpec
from harness.types import Bars

DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")
HALF_HOUR = 30 * NS_PER_MINUTE
HEAD = """[panel]
name = "p"
title = "test"
bar = "30m"
calendar = "sessions"
exchange = "XNYS"
overnight = "in"
fill = "carry"
timezone = "UTC"
[source]
kind = "csv"
path = "f.csv"
symbol = "X"
[columns]
ts = "ts"
high = "high"
low = "low"
close = "close"
volume = "volume"
"""
# The open in UTC and how many half hours: Thanksgiving's Thursday is none, its Friday is short.
DAYS = {
    "2021-11-22": ("14:30", 13),
    "2021-11-23": ("14:30", 13),
    "2021-11-24": ("14:30", 13),
    "2021-11-26": ("14:30", 7),
    "2021-11-29": ("14:30", 13),
    "2021-11-30": ("14:30", 13),
}


def quotes(seed: int = 1) -> pl.DataFrame:
    """Half hours of the sessions, and some before and after them, each with a price."""
    rng = np.random.default_rng(seed)
    stamps = []
    for day, (opens, bars) in DAYS.items():
        start = parse_moment(f"{day}T{opens}")
        stamps += [start + HALF_HOUR * k for k in range(-2, bars + 2)]
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(stamps))))
    return pl.DataFrame(
        {
            "ts": pl.Series(stamps).cast(pl.Datetime("ns", "UTC")).dt.to_string("%Y-%m-%d %H:%M"),
            "high": close * 1.002,
            "low": close * 0.997,
            "close": close,
            "volume": 5.0,
        }
    )


def write(folder: Path, frame: pl.DataFrame, *changes: tuple[str, str]) -> PanelSpec:
    text = HEAD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "p.toml").write_text(text)
    frame.write_csv(folder / "f.csv")
    return read_panel(folder / "p.toml")


def bars_of(spec: PanelSpec, *columns: str) -> Bars:
    panel = open_panel(spec, start=None, end=None, columns=columns or ("close",))
    (bars,) = panel.bars()
    return bars


def inside(frame: pl.DataFrame) -> list[np.ndarray]:
    """The closes of each session."""
    found, low = [], 0
    close = frame["close"].to_numpy()
    for _, bars in DAYS.values():
        found.append(close[low + 2 : low + 2 + bars])
        low += bars + 4
    return found


def plan_of(spec: PanelSpec, measures: list[str], **more: object) -> CascadePlan:
    return make_plan(
        every="1d", scales=["1d", "2d"], horizons=["1d"], measures=measures, calendar="sessions",
        bar=spec.bar.ns, session_bars=spec.session_bars, extra=dict(spec.extra_units), **more,
    )  # fmt: skip


def test_every_session_takes_as_many_bars_as_the_longest(tmp_path):
    frame = quotes()
    spec = write(tmp_path, frame)
    bars = bars_of(spec, "close", "high", "volume")
    assert (bars.n, bars.rows, bars.gaps) == (6 * 13, 72, ())
    assert bars.left_out == {"rows outside the sessions of XNYS": 24}
    closes = bars.columns["close"].reshape(6, 13)
    for got, wanted in zip(closes, inside(frame), strict=True):
        assert np.allclose(got[: wanted.size], wanted)
        assert (got[wanted.size :] == got[wanted.size - 1]).all()
    short = slice(3 * 13 + 7, 4 * 13)
    assert (bars.columns["volume"][short] == 0).all()
    assert bars.columns["high"][short].tobytes() == bars.columns["close"][short].tobytes()
    assert check_panel(spec).ok


def test_gaps_are_counted_inside_sessions_only(tmp_path):
    frame = quotes()
    gone = frame.with_row_index().filter(~pl.col("index").is_in([5, 6, 2 * 17 + 2])).drop("index")
    bars = bars_of(write(tmp_path, gone), "close", "volume")
    assert [(g.missing, g.start) for g in bars.gaps] == [
        (2, parse_moment("2021-11-22T16:00")),
        (1, parse_moment("2021-11-24T14:30")),
    ]
    closes = bars.columns["close"].reshape(6, 13)
    assert closes[0, 3] == closes[0, 4] == closes[0, 2]
    assert closes[2, 0] == closes[1, 12]  # no quote yet: the last one of the day before


def test_a_first_or_last_session_cut_short_is_left_out_and_counted(tmp_path):
    frame = quotes()[5:-6]
    bars = bars_of(write(tmp_path, frame))
    assert bars.n == 4 * 13
    cut = bars.left_out["rows of a first or last session that is not whole"]
    assert cut == 10 + 9
    assert bars.start == parse_moment("2021-11-23T14:30")


def returns_of(closes: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Log returns inside each session, and those over the nights before the second and later."""
    within = [np.diff(np.log(c)) for c in closes]
    over = np.array([np.log(b[0] / a[-1]) for a, b in itertools.pairwise(closes)])
    return within, over


@pytest.mark.parametrize("overnight", ["in", "out", "apart"])
def test_the_night_is_in_the_session_s_measures_or_not(overnight, tmp_path):
    frame = quotes()
    spec = write(tmp_path, frame, ('overnight = "in"', f'overnight = "{overnight}"'))
    plan = plan_of(spec, ["rv", "pk", *(["overnight"] if overnight == "apart" else [])])
    found = measure(bars_of(spec, *plan.inputs), plan)
    within, over = returns_of(inside(frame))
    squares = np.array([np.sum(r * r) for r in within])[1:]
    wanted = squares + (over**2 if overnight == "in" else 0.0)
    assert np.allclose(13 * found.columns["rv_1d"][1:] ** 2, wanted, rtol=1e-9)
    spread = np.log(1.002 / 0.997) ** 2 / (4 * np.log(2))
    bars = np.array([n for _, n in DAYS.values()])
    assert np.allclose(13 * found.columns["pk_1d"] ** 2, bars * spread, rtol=1e-9)
    if overnight == "apart":
        assert np.allclose(found.columns["overnight_1d"][1:], over)
        assert found.columns["overnight_1d"][0] == 0.0
        assert np.allclose(found.columns["overnight_2d"][2:], (over[1:] + over[:-1]) / 2)


def test_a_decision_is_made_when_a_session_s_grid_ends(tmp_path):
    spec = write(tmp_path, quotes())
    plan = plan_of(spec, ["rv"])
    found = measure(bars_of(spec), plan)
    ends = [parse_moment(f"{day}T21:00") for day in DAYS]
    assert found.known_at[found.origins].tolist() == ends
    assert (plan.windows["2d"], plan.block) == (26, 13)


def test_an_interval_merges_bars_within_sessions(tmp_path):
    spec = write(tmp_path, quotes())
    with pytest.raises(SpecError, match=r"sample\.interval: got '60m'"):
        plan_of(spec, ["rv"], interval="60m")  # 13 half hours are no whole number of hours
    assert plan_of(spec, ["rv"], interval="30m").interval == 1


@pytest.mark.parametrize("overnight", ["in", "out", "apart"])
def test_what_comes_after_a_session_changes_nothing_known_by_its_end(overnight, tmp_path):
    frame = quotes()
    names = ["close", "high", *(["overnight"] if overnight == "apart" else [])]
    change = ('overnight = "in"', f'overnight = "{overnight}"')
    whole = bars_of(write(tmp_path, frame, change), *names)
    known = whole.known_at(np.arange(whole.n))
    for day in list(DAYS)[1:]:
        origin = parse_moment(f"{day}T21:00")
        later = pl.col("ts") >= f"{day} 21:00"
        noise = [
            pl.when(later).then(pl.col(c) * 1.3).otherwise(c).alias(c) for c in ("high", "close")
        ]
        noised = bars_of(write(tmp_path, frame.with_columns(noise), change), *names)
        for name in names:
            was, now = whole.columns[name], noised.columns[name]
            assert now[known <= origin].tobytes() == was[known <= origin].tobytes()


def test_summer_time_moves_the_grid():
    sessions = exchange_sessions("XNYS", HALF_HOUR)
    summer = np.array([parse_moment("2021-07-01T13:30"), parse_moment("2021-07-01T20:00")])
    assert sessions.place(summer)[2].tolist() == [True, False]
    assert sessions.bars == 13


def test_a_break_is_no_gap():
    sessions = exchange_sessions("XTKS", HALF_HOUR)
    day = [parse_moment(f"2021-07-01T{t}") for t in ("00:00", "02:00", "02:30", "03:00", "03:30")]
    session, _, trades = sessions.place(np.array(day))
    assert trades.tolist() == [True, True, False, False, True]
    assert int(sessions.trading(int(session[0]), int(session[0])).sum()) == 10


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"XNYS"', '"XNYC"', "panel.exchange: got 'XNYC', wanted an exchange of the exchange_cal"),
        ('bar = "30m"', 'bar = "1d"', "panel.exchange: got 'XNYS', wanted no such key unless cal"),
        ('fill = "carry"', 'fill = "none"', "panel.fill: got 'none', wanted 'carry', because"),
        ('exchange = "XNYS"\n', "", "'24/7' unless panel.bar is '1d' or panel.exchange names"),
        ('overnight = "in"', 'overnight = "ot"', "did you mean 'out'?"),
        ('close = "close"\n', "", "columns.close: wanted a column, because"),
        (
            'volume = "volume"\n',
            "extra = { x = { column = 'y', unit = 'none' } }\n",
            "cannot be ca",
        ),
    ],
)
def test_a_mistake_about_sessions_is_one_line(old, new, words, tmp_path):
    with pytest.raises(SpecError) as caught:
        write(tmp_path, quotes(), (old, new))
    assert words in str(caught.value)


def test_a_stamp_off_the_session_s_grid_is_named(tmp_path):
    odd = pl.col("ts").str.replace("2021-11-23 16:00", "2021-11-23 16:10")
    frame = quotes().filter(pl.col("ts") != "2021-11-23 16:30").with_columns(ts=odd)
    with pytest.raises(
        PanelError, match=r"wrong bar spacing at row 23 of f.csv \(2021-11-23 16:10\)"
    ):
        bars_of(write(tmp_path, frame))


@needs_data
def test_real_minutes_of_the_index_fill_the_sessions_of_its_exchange(tmp_path):
    text = (
        HEAD.replace('"30m"', '"1m"')
        .replace('"csv"', '"parquet"')
        .replace("f.csv", str(Path(DATA).resolve() / "spxusd_1m_2018_2019.parquet"))
        .replace('ts = "ts"', 'ts = "timestamp"')
        .replace('volume = "volume"\n', "")
    )
    (tmp_path / "p.toml").write_text(text)
    bars = bars_of(read_panel(tmp_path / "p.toml"))
    assert bars.n % 390 == 0
    assert bars.n // 390 > 480
    assert sum(g.missing for g in bars.gaps) < 0.02 * bars.n
