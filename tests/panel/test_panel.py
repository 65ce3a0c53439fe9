"""Panel files and panels: what is refused and why, what is filled, hashed and reported."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.workspace import ROOT

from harness.durations import NS_PER_MINUTE, parse_moment
from harness.errors import PanelError, SpecError, UsageError
from harness.panel.panel import load_frame, open_panel, panel_fingerprint
from harness.panel.reading import BrokenPanel, find_panel, list_panels, read_panel
from harness.panel.report import check_panel, describe_panel

PANELS = ROOT / "panels"
GOOD = """[panel]
name = "p"
title = "test"
bar = "1m"
calendar = "24/7"
timezone = "UTC"
fill = "carry"
how_to_get = "ask a friend"
[source]
kind = "csv"
path = "f.csv"
symbol = "X"
[columns]
ts = "ts"
close = "close"
volume = "volume"
[columns.extra]
rv5 = { column = "RV5", unit = "variance" }
"""
START = parse_moment("2021-01-01")
DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")


def write(folder: Path, text: str = GOOD, rows: dict[int, float] | None = None) -> Path:
    """The panel file p.toml; `rows` (minute -> close) become its f.csv."""
    (folder / "p.toml").write_text(text)
    lines = ["ts,close,volume,RV5"]
    for minute, close in (rows or {}).items():
        lines.append(f"2021-01-01 00:{minute:02d},{close},5,0.1")
    (folder / "f.csv").write_text("\n".join(lines) + "\n")
    return folder / "p.toml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('bar = "1m"', 'bar = "1mo"', "panel.bar: got '1mo', wanted a fixed duration"),
        ('name = "p"', 'name = "q"', "panel.name: got 'q', wanted 'p', the file's own name"),
        ('fill = "carry"', 'fill = "cary"', "wanted one of carry, none; did you mean 'carry'?"),
        ('title = "test"', 'titel = "test"', "panel.titel: got 'titel', wanted one of the keys"),
        ('timezone = "UTC"', 'timezone = "Europe/Berlni"', "did you mean 'Europe/Berlin'?"),
        ('timezone = "UTC"', 'timezone = "../etc"', "panel.timezone: got '../etc', wanted an IANA"),
        ('calendar = "24/7"', 'calendar = "sessions"', "panel.calendar: got 'sessions', wanted"),
        ('kind = "csv"', 'kind = "cvs"', "source.kind: got 'cvs'"),
        ('kind = "csv"', 'kind = ["csv"]', "source.kind: got ['csv']"),
        ('path = "f.csv"', "path = 3", "source.path: got 3"),
        ('path = "f.csv"', 'paht = "f.csv"', "source.paht: got 'paht'"),
        ('close = "close"', "", "columns.close: wanted a column, because fill = 'carry'"),
        ('close = "close"', 'symbol = "s"\nclose = "c"', "source.symbol: got 'X', wanted no such"),
        ("rv5 =", "rv =", "columns.extra.rv: got 'rv', wanted a name"),
        ("rv5 =", "close =", "columns.extra.close: got 'close', wanted a name"),
        ("rv5 =", "RV5 =", "columns.extra.RV5: got 'RV5', wanted a name"),
        ('"variance"', '"var"', "did you mean 'variance'?"),
        ("[source]", "decimals = 13\n[source]", "panel.decimals: got 13"),
        ("[columns]\n", "[colums]\n", "colums"),
        ("[panel]", "[panel", "wanted TOML"),
    ],
)
def test_a_bad_panel_file_is_one_line_with_file_key_got_and_wanted(tmp_path, old, new, words):
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        read_panel(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("decimals = 2", "panel.decimals: got 2, wanted no such key for simulated bars"),
        ("[columns]\nts = 'ts'", "columns: wanted no such section"),
        ("[source]\nhurst = 0.6", "source.hurst: got 0.6"),
        ("[source]\ncomponents = []", "source.components: got []"),
        ("[source]\nstart = 'soon'", "source.start: got 'soon', wanted a date"),
        ("[source]\nlog_vol = 'components'", "source.hurst: got 0.12, wanted no such key"),
    ],
)
def test_parameters_of_simulated_bars_are_checked(tmp_path, change, words):
    text = (PANELS / "simulated-1m.toml").read_text().replace('"simulated-1m"', '"p"')
    if change.startswith("[source]"):
        line = change.split("\n")[1]
        kept = [x for x in text.split("\n") if not x.startswith(line.split(" ")[0] + " ")]
        text = "\n".join(kept).replace("[source]", change)
    elif change.startswith("["):
        text += change
    else:
        text = text.replace("[source]", f"{change}\n[source]")
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(SpecError) as caught:
        read_panel(tmp_path / "p.toml")
    assert words in str(caught.value)


def test_an_unknown_panel_names_the_nearest_and_the_folders():
    with pytest.raises(UsageError, match=r"no panel 'btcusd-1m' in .*did you mean 'btcusdt-1m'\?"):
        find_panel("btcusd-1m", [PANELS])


def test_a_name_is_never_a_path(tmp_path):
    write(tmp_path)
    (tmp_path / "inner").mkdir()
    with pytest.raises(UsageError, match=r"no panel '\.\./p'"):
        find_panel("../p", [tmp_path / "inner"])


def test_the_first_folder_wins_and_a_broken_file_is_listed_with_its_error(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, GOOD.replace('"test"', f'"{folder}"'))
    (tmp_path / "two" / "broken.toml").write_text("[panel]\n")
    broken, good = list_panels([tmp_path / "one", tmp_path / "two", tmp_path / "absent"])
    assert isinstance(broken, BrokenPanel)
    assert "broken.toml: panel" in str(broken.error)
    assert good.title == "one"


def test_shipped_panels_are_sound():
    names = [panel.name for panel in list_panels([PANELS]) if not isinstance(panel, BrokenPanel)]
    shipped = {"btcusdt-1m", "simulated-1m", "sp500-daily", "nasdaq-daily", "vix-daily"}
    assert shipped <= set(names)
    assert len(names) == len(list(PANELS.glob("*.toml")))
    for name in ("sp500-daily", "nasdaq-daily", "vix-daily"):
        assert check_panel(find_panel(name, [PANELS])).ok


def test_missing_minutes_carry_the_last_close_and_are_reported(tmp_path):
    spec = read_panel(write(tmp_path, rows={0: 10, 1: 20, 4: 30}))
    (bars,) = open_panel(spec, start=None, end=None, columns=["close", "volume"]).bars()
    assert (bars.start, bars.n, bars.rows, bars.ts) == (START, 5, 3, None)
    assert bars.columns["close"].tolist() == [10, 20, 20, 20, 30]
    assert bars.columns["volume"].tolist() == [5, 5, 0, 0, 5]
    (gap,) = bars.gaps
    assert (gap.start, gap.end, gap.missing) == (
        START + 2 * NS_PER_MINUTE,
        START + 3 * NS_PER_MINUTE,
        2,
    )
    assert bars.known_at(np.array([4])).tolist() == [START + 5 * NS_PER_MINUTE]


def test_high_and_low_are_carried_from_the_close_even_when_it_is_not_asked_for(tmp_path):
    text = GOOD.replace('volume = "volume"', 'high = "close"\nlow = "close"')
    spec = read_panel(write(tmp_path, text, rows={0: 10, 2: 30}))
    (bars,) = open_panel(spec, start=None, end=None, columns=["high", "low"]).bars()
    assert sorted(bars.columns) == ["high", "low"]
    assert bars.columns["high"].tolist() == [10, 10, 30]


def test_an_extra_column_is_never_carried(tmp_path):
    spec = read_panel(write(tmp_path, rows={0: 10, 2: 30}))
    panel = open_panel(spec, start=None, end=None, columns=["rv5"])
    with pytest.raises(PanelError, match="the extra column 'rv5' cannot be carried"):
        list(panel.bars())
    assert panel.extra_units == {"rv5": "variance", "volume": "none"}


def test_a_column_the_panel_has_not_is_refused_with_the_nearest(tmp_path):
    spec = read_panel(write(tmp_path, rows={0: 10}))
    with pytest.raises(UsageError, match=r"no column 'volum', it has .*; did you mean 'volume'\?"):
        open_panel(spec, start=None, end=None, columns=["volum"])


def test_sessions_keep_their_stamps_and_weekends_are_no_gaps(tmp_path):
    text = GOOD.replace('"1m"', '"1d"').replace('"24/7"', '"sessions"').replace('"carry"', '"none"')
    file = write(tmp_path, text)
    rows = ["2021-01-01,1,0,0", "2021-01-04,2,0,0", "2021-01-05,3,0,0"]
    (tmp_path / "f.csv").write_text("\n".join(["ts,close,volume,RV5", *rows]) + "\n")
    (bars,) = open_panel(read_panel(file), start=None, end=None, columns=["close"]).bars()
    days = [(ts - START) // (1_440 * NS_PER_MINUTE) for ts in bars.ts.tolist()]
    assert (days, bars.gaps, bars.n) == ([0, 3, 4], (), 3)


def test_the_identity_changes_with_span_columns_panel_file_and_data(tmp_path):
    file = write(tmp_path, rows={0: 10, 1: 20})

    def identity(start=None, columns=("close",)) -> str:
        return open_panel(read_panel(file), start=start, end=None, columns=columns).identity()

    seen = [identity(), identity(START), identity(columns=("close", "volume"))]
    assert identity() == seen[0]
    file.write_text(GOOD + "# changed\n")
    seen.append(identity())
    write(tmp_path, rows={0: 10, 1: 21, 2: 22})
    seen.append(identity())
    assert len(set(seen)) == 5


def test_the_fingerprint_is_of_the_content_and_not_of_the_file(tmp_path):
    spec = read_panel(write(tmp_path, rows={0: 10, 1: 20}))

    def prints() -> list[str]:
        panel = open_panel(spec, start=None, end=None, columns=["close"])
        return [bars.fingerprint for bars in panel.bars()]

    first = prints()
    (tmp_path / "f.csv").write_text(
        "ts,RV5,close,volume\n2021-01-01 00:00,0,10.0,1\n2021-01-01 00:01,0,2e1,1\n"
    )
    assert prints() == first
    write(tmp_path, rows={0: 10, 1: 20.01})
    assert prints() != first
    assert panel_fingerprint(first) != panel_fingerprint(first * 2)


def test_load_frame_gives_every_column_filled_and_in_utc(tmp_path):
    text = GOOD.replace("[columns.extra]", "").replace('rv5 = { column = "RV5",', "#")
    frame = load_frame(read_panel(write(tmp_path, text, rows={0: 10, 2: 20})))
    assert frame.columns == ["symbol", "ts", "close", "volume"]
    assert frame["ts"].dtype == pl.Datetime("ns", "UTC")
    assert frame["ts"][1] == datetime(2021, 1, 1, 0, 1, tzinfo=UTC)
    assert frame["close"].to_list() == [10, 10, 20]


def test_a_check_lists_every_problem_of_every_symbol(tmp_path):
    text = GOOD.replace('symbol = "X"\n', "").replace("[columns]\n", '[columns]\nsymbol = "name"\n')
    file = write(tmp_path, text)
    rows = ["00:01,A,1,-5,0", "00:00,A,-1,5,0", "00:00,A,2,5,0", "00:00,B,3,5,0"]
    lines = ["ts,name,close,volume,RV5", *(f"2021-01-01 {row}" for row in rows)]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    report = check_panel(read_panel(file))
    assert not report.ok
    assert report.rows == 4
    bad, good = report.symbols
    assert [problem.split(" at ")[0] for problem in bad.problems] == [
        "ts: unsorted",
        "ts: duplicate time stamp",
        "close: non-positive price: got '-1'",
        "volume: negative value: got '-5'",
    ]
    assert (good.symbol, good.problems, good.rows) == ("B", (), 1)
    assert json.loads(json.dumps(report.as_dict()))["symbols"][0]["start"] == "2021-01-01"


def test_a_description_counts_gaps_and_zero_returns_and_survives_bad_bars(tmp_path):
    text = GOOD.replace("[columns.extra]", "").replace('rv5 = { column = "RV5",', "#")
    spec = read_panel(write(tmp_path, text, rows={0: 10, 1: 10, 4: 30}))
    described = json.loads(json.dumps(describe_panel(spec)))
    assert (described["rows"], described["missing"], described["gaps"]) == (3, 2, 1)
    assert described["share_filled"] == pytest.approx(2 / 5)
    assert (described["start"], described["end"]) == ("2021-01-01", "2021-01-01 00:05")
    (symbol,) = described["symbols"]
    assert symbol["zero_return_share"] == 0.5
    assert symbol["ranges"]["close"] == [10, 30]
    write(tmp_path, text, rows={0: 10, 1: -10})
    (symbol,) = describe_panel(spec)["symbols"]
    assert "non-positive price" in symbol["problems"][0]


def test_simulated_symbols_do_not_depend_on_how_many_are_asked_for(tmp_path):
    text = (PANELS / "simulated-1m.toml").read_text().replace("simulated-1m", "p")
    text = text.replace("days = 1096", "days = 2")
    frames = {}
    for count in (1, 3):
        (tmp_path / "p.toml").write_text(text.replace("[source]", f"[source]\nsymbols = {count}"))
        frames[count] = load_frame(read_panel(tmp_path / "p.toml"))
    assert frames[3]["symbol"].unique(maintain_order=True).to_list() == [
        "SIM0001",
        "SIM0002",
        "SIM0003",
    ]
    assert frames[1].equals(frames[3].filter(pl.col("symbol") == "SIM0001"))
    closes = frames[3].partition_by("symbol")
    assert not closes[0]["close"].equals(closes[1]["close"])


def test_a_span_of_simulated_bars_is_a_part_of_the_whole(tmp_path):
    text = (PANELS / "simulated-1m.toml").read_text().replace("simulated-1m", "p")
    (tmp_path / "p.toml").write_text(text.replace("days = 1096", "days = 3"))
    spec = read_panel(tmp_path / "p.toml")
    whole = load_frame(spec)
    start, end = parse_moment("2020-10-02"), parse_moment("2020-10-03")
    assert load_frame(spec, start, end).equals(whole[1_440:2_880])
    with pytest.raises(PanelError, match="empty span"):
        load_frame(spec, parse_moment("2030-01-01"), None)


@needs_data
def test_open_and_close_outside_low_and_high_are_caught_in_real_currencies(tmp_path):
    text = (
        GOOD.replace('"1m"', '"1d"')
        .replace('"24/7"', '"sessions"')
        .replace('"carry"', '"none"')
        .replace('kind = "csv"\npath = "f.csv"\nsymbol = "X"', f"kind='parquet'\npath='{DATA}/y'")
        .replace(f"{DATA}/y", f"{Path(DATA).resolve()}/yahoo_daily_ohlc.parquet")
        .split("[columns]")[0]
    )
    for name in ("open", "high", "low", "close", "symbol"):
        text += ("[columns]\nts = 'date'\n" if name == "open" else "") + f"{name} = '{name}'\n"
    spec = read_panel(write(tmp_path, text))
    frame = pl.read_parquet(f"{DATA}/yahoo_daily_ohlc.parquet")
    reports = {symbol.symbol: symbol for symbol in check_panel(spec).symbols}
    assert set(reports) == set(frame["symbol"].unique())
    for symbol, bars in (("EURUSD", 127), ("USDJPY", 273)):
        of = frame.filter(pl.col("symbol") == symbol)
        outside = {n: (of[n] > of["high"]) | (of[n] < of["low"]) for n in ("open", "close")}
        assert (outside["open"] | outside["close"]).sum() == bars
        problems = " ".join(reports[symbol].problems)
        for name, rows in outside.items():
            assert (f"{name} outside low and high" in problems) == (rows.sum() > 0)
            assert rows.sum() == 0 or f"{rows.sum():,} such rows" in problems
    assert reports["SPY"].problems == ()


@needs_data
def test_gaps_of_the_real_minutes_are_those_listed_for_them():
    spec = find_panel("btcusdt-1m", [PANELS])
    span = {"start": parse_moment("2019-12-31"), "end": parse_moment("2026-07-17")}
    (bars,) = open_panel(spec, **span, columns=["close"]).bars()
    by_year: dict[int, int] = {}
    for gap in bars.gaps:
        year = datetime.fromtimestamp(gap.start / 1e9, UTC).year
        by_year[year] = by_year.get(year, 0) + gap.missing
    assert by_year == {2020: 1_252, 2021: 993, 2023: 80}
    assert bars.n - bars.rows == 2_325
    assert bars.columns["close"].tolist() == np.round(bars.columns["close"], 2).tolist()
