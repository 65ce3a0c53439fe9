"""Side series that are late, or whose days may end at another time than the panel's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.worlds import make_plan

from harness.panel.panel import open_panel
from harness.panel.reading import read_panel
from harness.panel.report import check_panel, describe_panel
from harness.panel.side_times import SideTimes, side_warnings
from harness.samples.measured import measure_panel

DAYS = np.arange(np.datetime64("2018-01-01"), np.datetime64("2021-03-11"))  # a Wednesday is last
US = ["01-01", "01-15", "02-19", "05-28", "07-04", "09-03", "11-22", "12-25"]
JAPAN = ["01-01", "01-02", "01-03", "02-11", "04-29", "05-03", "05-04", "11-03", "11-23"]
PANEL = """[panel]
name = "{name}"
title = "made by a test"
bar = "{bar}"
calendar = "{calendar}"
{zone}
[source]
kind = "parquet"
path = "{name}.parquet"
symbol = "{name}"
[columns]
ts = "ts"
{columns}
"""
SIDE = "\n[side.fear]\npanel = 'fear'\ncolumn = 'fear'\nmax_age = '90d'\n"


def weekdays(holidays: list[str] = US) -> np.ndarray:
    closed = [np.datetime64(f"{year}-{day}") for year in range(2018, 2022) for day in holidays]
    return DAYS[np.is_busday(DAYS) & ~np.isin(DAYS, closed)]


def write(
    folder: Path,
    days: np.ndarray,
    side: np.ndarray,
    zones: tuple[str | None, str | None] = ("UTC", "UTC"),
    calendar: str = "sessions",
    bar: str = "1d",
) -> Path:
    """A panel with a side series that has a value on each of the days `side`."""
    rng = np.random.default_rng(1)
    lines = [f'timezone = "{zone}"' if zone else "" for zone in zones]
    close = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(days.size)))
    fear = 20.0 + rng.random(side.size)
    for name, column, stamps, values, zone, kind, length in (
        ("main", "close", days, close, lines[0], calendar, bar),
        ("fear", "fear", side, fear, lines[1], "sessions", "1d"),
    ):
        frame = pl.DataFrame({"ts": stamps.astype("datetime64[us]"), column: values})
        if not zone:  # the file's own stamps have one
            frame = frame.with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
        frame.write_parquet(folder / f"{name}.parquet")
        columns = 'close = "close"' if name == "main" else ""
        text = PANEL.format(name=name, bar=length, calendar=kind, zone=zone, columns=columns)
        extra = '[columns.extra]\nfear = { column = "fear", unit = "none" }\n'
        (folder / f"{name}.toml").write_text(text + (SIDE if name == "main" else extra))
    return folder / "main.toml"


def found(file: Path) -> tuple[SideTimes, list[str]]:
    spec = read_panel(file)
    hours = spec.bar.ns < 86_400_000_000_000
    plan = make_plan(
        bar=spec.bar.ns, every="1h" if hours else "1d", scales=["1d"], horizons=["1d"],
        measures=["rv", "fear"], calendar=spec.calendar, extra={"fear": "none"},
    )  # fmt: skip
    panel = open_panel(spec, columns=plan.inputs)
    times = measure_panel(panel, plan, keep=False)[1].side_times
    return times["fear"], side_warnings(spec, times)


def test_days_of_two_exchanges_without_a_zone_are_a_warning_that_names_the_keys(tmp_path):
    times, (words,) = found(write(tmp_path, weekdays(JAPAN), weekdays(US)))
    assert times.holidays is not None
    assert times.holidays < 0.3
    assert "panel main" in words
    assert "side series fear (panel fear)" in words
    assert "Set panel.timezone in main.toml and in fear.toml" in words


def test_so_are_days_that_no_holiday_tells_apart(tmp_path):
    file = write(tmp_path, weekdays([]), weekdays([]), (None, "UTC"))
    _, (words,) = found(file)
    assert "holidays do not tell" in words
    assert check_panel(read_panel(file)).warnings == (words,)
    assert check_panel(read_panel(file)).ok
    assert describe_panel(read_panel(file))["warnings"] == [words]


@pytest.mark.parametrize(
    ("days", "side", "zones", "calendar"),
    [
        (weekdays(US), weekdays(US), ("UTC", "UTC"), "sessions"),  # the same holidays
        (weekdays([*US, "06-19"]), weekdays(US), (None, None), "sessions"),
        (weekdays(JAPAN), weekdays(US), ("Asia/Tokyo", "America/New_York"), "sessions"),
        (weekdays(JAPAN), weekdays(US), ("Asia/Tokyo", "UTC"), "sessions"),
        (weekdays(JAPAN), weekdays(US), ("UTC", "America/New_York"), "sessions"),
        (weekdays(JAPAN), weekdays(US), ("Etc/UTC", "Etc/UTC"), "sessions"),
        (DAYS, weekdays(US), ("UTC", "UTC"), "24/7"),  # days of a market that never closes
    ],
)
def test_days_that_are_known_to_end_when_they_do_are_no_warning(
    days, side, zones, calendar, tmp_path
):
    _, words = found(write(tmp_path, days, side, zones, calendar))
    assert words == []


def test_stamps_that_say_when_a_day_ends_are_no_warning(tmp_path):
    file = write(tmp_path, weekdays(JAPAN), weekdays(US), (None, None))
    assert len(found(file)[1]) == 1
    rows = pl.read_parquet(tmp_path / "fear.parquet")
    rows.with_columns(pl.col("ts").dt.offset_by("5h")).write_parquet(tmp_path / "fear.parquet")
    assert found(file)[1] == []


def late_by(days: int) -> np.ndarray:
    return weekdays(US)[:-days]


@pytest.mark.parametrize("days", [1, 2, 30])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_side_series_that_is_behind_is_a_warning_with_its_age(days, zone, tmp_path):
    times, (words,) = found(write(tmp_path, weekdays(US), late_by(days), (zone, zone)))
    assert times.late
    assert "The side series fear is late" in words
    if days == 1:
        assert "its newest value is 1 d old" in words
        assert "usually 0 min old" in words


@pytest.mark.parametrize("calendar", ["sessions", "24/7"])
def test_also_beside_bars_on_every_day(calendar, tmp_path):
    days = DAYS if calendar == "24/7" else weekdays(US)
    times, words = found(write(tmp_path, days, late_by(1), calendar=calendar))
    assert times.late
    assert len(words) == 1


def test_also_beside_bars_of_an_hour(tmp_path):
    hours = (DAYS[:, None].astype("datetime64[h]") + np.arange(24)).ravel()
    assert not found(write(tmp_path, hours, weekdays(US), calendar="24/7", bar="1h"))[1]
    _, words = found(write(tmp_path, hours, late_by(1), calendar="24/7", bar="1h"))
    assert len(words) == 1


def until(day: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda days: days[days <= np.datetime64(day)]


@pytest.mark.parametrize(
    "end",
    ["2021-03-05", "2021-03-06", "2021-03-07", "2020-12-25", "2021-01-01", "2020-09-03"],
)
def test_weekends_and_holidays_are_not_late(end, tmp_path):
    cut = until(end)
    times, words = found(write(tmp_path, cut(DAYS), cut(weekdays(US)), calendar="24/7"))
    assert (times.late, words) == (False, [])


@pytest.mark.parametrize("lag", [0, 10, 20])
def test_a_monthly_series_that_is_published_later_is_not_late(lag, tmp_path):
    months = np.arange(np.datetime64("2018-01"), np.datetime64("2021-02")).astype("datetime64[D]")
    times, words = found(write(tmp_path, weekdays(US), months + lag))
    assert times.holidays is None
    assert not times.late
    assert not any("late" in w for w in words)
    _, words = found(write(tmp_path, weekdays(US), months[:-3] + lag))
    assert any("late" in w for w in words)


def test_a_series_that_ends_with_the_panel_or_after_it_is_not_late(tmp_path):
    for cut in (None, -5):
        times, words = found(write(tmp_path, weekdays(US)[:cut], weekdays(US)))
        assert (times.late, words) == (False, [])
