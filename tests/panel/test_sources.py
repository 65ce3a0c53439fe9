"""Reading files: every bad cell, column or file is one line that names it; symbols are streamed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.workspace import ROOT

from harness.errors import PanelError, SpecError
from harness.panel.panel import load_frame, open_panel
from harness.panel.reading import find_panel, read_panel
from harness.panel.sources import files
from harness.panel.sources.table import KINDS

HEAD = """[panel]
name = "p"
title = "test"
bar = "1m"
calendar = "24/7"
how_to_get = "ask a friend"
"""
MADE = f"""{HEAD}
[source]
kind = "made"
seed = 1
start = "2021-01-01"
days = 2
annual_vol = 0.5
log_vol = "components"
components = [{{half_life_days = 1.0, sd = 0.3}}]
"""
START = datetime(2021, 1, 1, tzinfo=UTC)


def panel(folder: Path, *, kind: str = "csv", path: str = "f.csv", head: str = "", **columns: str):
    """A panel `p` over a file in `folder`; `symbol_name` sets source.symbol."""
    symbol = columns.pop("symbol_name", None)
    text = f"{HEAD}{head}\n[source]\nkind = '{kind}'\npath = '{path}'\n"
    text += f"symbol = '{symbol}'\n" if symbol else ""
    text += "[columns]\nts = 'ts'\n"
    for name, column in (columns or {"close": "close"}).items():
        text += f"{name} = '{column}'\n"
    (folder / "p.toml").write_text(text)
    return read_panel(folder / "p.toml")


def csv(folder: Path, *rows: str, header: str = "ts,close") -> None:
    (folder / "f.csv").write_text("\n".join([header, *rows]) + "\n")


def read(spec, start: int | None = None, end: int | None = None, columns=("close",)):
    return list(open_panel(spec, start=start, end=end, columns=columns).bars())


def refusal(spec, columns=("close",)) -> str:
    with pytest.raises(PanelError) as caught:
        read(spec, columns=columns)
    message = str(caught.value)
    assert "\n" not in message
    return message


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("stamps", "timezone", "first"),
    [
        (("2021-01-01 00:00", "2021-01-01 00:01"), "UTC", START),
        (("2021-01-01T00:00:00Z", "2021-01-01T00:01:00+00:00"), None, START),
        (("2021-01-01T00:00:00.000+0530", "2021-01-01T00:01:00.000+05:30"), None,
         START - timedelta(hours=5, minutes=30)),
        (("2021-01-01 00:00:00-03:00", "2021-01-01 00:01:00-03:00"), "UTC",
         START + timedelta(hours=3)),
        (("2021-07-01 00:00:00", "2021-07-01 00:01:00"), "America/New_York",
         datetime(2021, 7, 1, 4, tzinfo=UTC)),
        (("2021-01-01 00:00:00 UTC", "2021-01-01 00:01:00 UTC"), None, START),
    ],
)  # fmt: skip
def test_text_stamps_are_read_as_utc(tmp_path, stamps, timezone, first):
    csv(tmp_path, *(f"{stamp},1.5" for stamp in stamps))
    (bars,) = read(panel(tmp_path, head=f"timezone = '{timezone}'" if timezone else ""))
    assert (bars.start, bars.n, bars.symbol) == (ns(first), 2, "f")


@pytest.mark.parametrize(
    ("rows", "timezone", "words"),
    [
        (("2021-01-01 00:00,1", "noon,2", "x,3"), "UTC",
         "p.toml: f: ts: 'noon' is not a timestamp like 2024-01-31 09:30 at row 2 of f.csv, "
         "2 such rows"),
        (("noon,2",), "UTC", "'noon' is not a timestamp like"),
        (("2021-01-01 00:00,1", ",2"), "UTC", "time stamp missing at row 2 of f.csv, 1 such rows"),
        (("2021-01-01T00:00Z,1", "2021-01-01T01:01+01:00,2"), None,
         "mixed time zones: '2021-01-01T01:01+01:00' has +01:00 where the first row has +00:00"),
        (("2021-01-01T00:00Z,1", "2021-01-01T00:01,2"), None,
         "has no zone where the first row has +00:00 at row 2"),
        (("2021-01-01T00:00,1", "2021-01-01T00:01Z,2"), "UTC",
         "has +00:00 where the first row has no zone at row 2"),
        (("2021-10-31 01:59,1", "2021-10-31 02:30,2"), "Europe/Berlin",
         "'2021-10-31 02:30' does not exist or is ambiguous in Europe/Berlin at row 2"),
        (("2021-03-28 01:59,1", "2021-03-28 02:30,2"), "Europe/Berlin", "does not exist"),
        (("2021-01-01 00:00,1",), None,
         "column 'ts' has timestamps without a time zone; set panel.timezone"),
        (("2021-01-01 00:00,1", "2021-01-01 00:01,abc", "2021-01-01 00:02,"), "UTC",
         "close: not finite: got 'abc' at row 2 of f.csv (2021-01-01 00:01), 2 such rows"),
        (("2021-01-01 00:00,1", "2021-01-01 00:01,inf"), "UTC", "got 'inf' at row 2"),
        (("2021-01-01 00:00,1", "2021-01-01 00:01"), "UTC", "got None at row 2"),
        (("2021-01-01 00:00,1,9,9",), "UTC", "f.csv: cannot be read: "),
        ((), "UTC", "f: empty span"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_with_its_row(tmp_path, rows, timezone, words):
    csv(tmp_path, *rows)
    message = refusal(panel(tmp_path, head=f"timezone = '{timezone}'" if timezone else ""))
    assert words in message


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("00:02,1", "00:01,2"), "ts: unsorted at row 2 of f.csv (2021-01-01 00:01), 1 such rows"),
        (("00:02,1", "00:02,2"), "duplicate time stamp at row 2"),
        (("00:00,1", "00:01,0"), "close: non-positive price: got '0' at row 2"),
        (("00:00:00,1", "00:01:20,2"), "wrong bar spacing at row 2 of f.csv (2021-01-01 00:01:20)"),
        (("00:00,1", "00:03,2", "00:05,2"), "missing bars: 3 in 2 gaps, the first 2 from "
         "2021-01-01 00:01 to 2021-01-01 00:02; wanted none, or panel.fill = 'carry'"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_its_row(tmp_path, rows, words):
    csv(tmp_path, *(f"2021-01-01 {row}" for row in rows))
    assert words in refusal(panel(tmp_path, head="timezone = 'UTC'"))


def test_only_the_asked_columns_are_read_and_checked(tmp_path):
    csv(tmp_path, "2021-01-01 00:00,1,x,2", header="ts,close,high,low")
    spec = panel(tmp_path, head="timezone = 'UTC'", close="close", high="high", low="low")
    assert list(read(spec)[0].columns) == ["close"]
    assert "high: not finite: got 'x'" in refusal(spec, columns=["high", "low"])


def test_the_row_of_a_bad_bar_is_its_row_in_the_file_not_in_the_span(tmp_path):
    rows = [f"2021-01-01 00:0{i},{-1 if i == 7 else 1}" for i in range(10)]
    csv(tmp_path, *rows)
    spec = panel(tmp_path, head="timezone = 'UTC'")
    with pytest.raises(PanelError, match=r"got '-1' at row 8 of f\.csv"):
        read(spec, start=ns(START) + 5 * 60_000_000_000)


def test_a_missing_column_names_the_nearest(tmp_path):
    csv(tmp_path, "2021-01-01 00:00,1", header="ts,clse")
    message = refusal(panel(tmp_path, head="timezone = 'UTC'"))
    assert message.endswith("f.csv: no column 'close'; did you mean 'clse'?")


def test_a_file_that_is_no_parquet_is_one_line(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"PAR1 but nothing else\nreally")
    message = refusal(panel(tmp_path, kind="parquet", path="f.parquet"))
    assert "f.parquet: cannot be read" in message


def test_a_parquet_file_cut_short_is_one_line(tmp_path):
    frame = pl.DataFrame({"ts": [START], "close": [1.0]})
    frame.write_parquet(tmp_path / "whole.parquet")
    (tmp_path / "f.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-20])
    message = refusal(panel(tmp_path, kind="parquet", path="f.parquet"))
    assert "f.parquet: cannot be read" in message


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"ts": [START], "close": ["1"]}, "column 'close' holds String, wanted numbers"),
        ({"ts": [1], "close": [1.0]}, "column 'ts' holds Int64, wanted dates or times"),
        ({"ts": [datetime(2021, 1, 1)], "close": [1.0]}, "without a time zone"),
        ({"ts": [date(2021, 1, 1)], "close": [1.0]}, "without a time zone"),
        ({"ts": [START, None], "close": [1.0, 2.0]}, "time stamp missing at row 2 of f.parquet"),
        ({"ts": [START], "close": [None]}, "got None at row 1"),
    ],
)
def test_a_parquet_column_of_the_wrong_kind_is_named(tmp_path, frame, words):
    typed = {"close": pl.Float64} if frame["close"] == [None] else None
    pl.DataFrame(frame, schema_overrides=typed).write_parquet(tmp_path / "f.parquet")
    assert words in refusal(panel(tmp_path, kind="parquet", path="f.parquet"))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_the_span_holds_whole_bars_from_start_to_end(tmp_path, unit):
    stamps = [START + timedelta(minutes=i) for i in range(10)]
    frame = pl.DataFrame({"ts": stamps, "close": [float(i + 1) for i in range(10)]})
    frame.with_columns(pl.col("ts").dt.cast_time_unit(unit)).write_parquet(tmp_path / "f.parquet")
    spec = panel(tmp_path, kind="parquet", path="f.parquet")
    (bars,) = read(spec, ns(stamps[2]), ns(stamps[6]))
    assert bars.columns["close"].tolist() == [3, 4, 5, 6]
    (bars,) = read(spec, ns(stamps[2]) + 1, ns(stamps[6]) - 1)
    assert bars.columns["close"].tolist() == [4, 5]


def test_a_float32_file_is_rounded_back_to_its_decimals(tmp_path):
    prices = np.array([4261.48, 0.1, 19_999.99])
    stamps = [START + timedelta(minutes=i) for i in range(3)]
    frame = pl.DataFrame({"ts": stamps, "close": prices.astype(np.float32)})
    frame.with_columns(volume="close").write_parquet(tmp_path / "f.parquet")
    columns = {"close": "close", "volume": "volume"}
    spec = panel(tmp_path, kind="parquet", path="f.parquet", head="decimals = 2", **columns)
    (bars,) = read(spec, columns=["close", "volume"])
    assert bars.columns["close"].tolist() == prices.tolist()
    assert bars.columns["volume"].tolist() == prices.astype(np.float32).astype(float).tolist()


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("together", [1, 500_000])
def test_symbols_of_one_file_are_read_one_by_one(tmp_path, monkeypatch, interleaved, together):
    monkeypatch.setattr(files, "_ROWS_TOGETHER", together)
    stamps = [START + timedelta(minutes=i) for i in range(4)]
    rows = [(s, t, float(ord(s) + i)) for s in "CAB" for i, t in enumerate(stamps)]
    rows = sorted(rows, key=lambda row: row[1]) if interleaved else rows
    frame = pl.DataFrame(rows, schema=["name", "ts", "close"], orient="row")
    frame.write_parquet(tmp_path / "f.parquet")
    columns = {"close": "close", "symbol": "name"}
    spec = panel(tmp_path, kind="parquet", path="f.parquet", **columns)
    opened = open_panel(spec, start=ns(stamps[1]), end=None, columns=["close"])
    assert opened.symbols == ("A", "B", "C")
    found = {bars.symbol: bars.columns["close"].tolist() for bars in opened.bars()}
    assert found == {s: [ord(s) + 1.0, ord(s) + 2.0, ord(s) + 3.0] for s in "ABC"}
    assert list(found) == ["A", "B", "C"]


def test_a_bad_row_of_one_symbol_among_many_is_named_by_its_row_in_the_file(tmp_path):
    rows = ["00:00,A,1", "00:00,B,1", "00:01,A,1", "00:01,B,-2"]
    csv(tmp_path, *(f"2021-01-01 {row}" for row in rows), header="ts,name,close")
    spec = panel(tmp_path, head="timezone = 'UTC'", close="close", symbol="name")
    assert "p.toml: B: close: non-positive price: got '-2' at row 4 of f.csv" in refusal(spec)


def test_a_row_without_a_symbol_is_named(tmp_path):
    csv(tmp_path, "2021-01-01 00:00,A,1", "2021-01-01 00:01,,1", header="ts,name,close")
    spec = panel(tmp_path, head="timezone = 'UTC'", close="close", symbol="name")
    assert "no symbol in column 'name' at row 2, 1 such rows" in refusal(spec)


def test_a_glob_without_a_symbol_takes_each_file_for_one(tmp_path):
    (tmp_path / "many").mkdir()
    for name in ("ZZ", "AA"):
        (tmp_path / "many" / f"{name}.csv").write_text("ts,close\n2021-01-01T00:00Z,1\n")
    assert [bars.symbol for bars in read(panel(tmp_path, path="many/*.csv"))] == ["AA", "ZZ"]


def test_a_glob_with_a_symbol_joins_its_files_and_names_the_bad_one(tmp_path):
    (tmp_path / "2021-01.csv").write_text("ts,close\n2021-01-01T00:00Z,1\n2021-01-01T00:01Z,2\n")
    later = tmp_path / "2021-02.csv"
    later.write_text("ts,close\n2021-01-01T00:02Z,3\n")
    spec = panel(tmp_path, path="2021-*.csv", symbol_name="X")
    (bars,) = read(spec)
    assert (bars.symbol, bars.columns["close"].tolist()) == ("X", [1, 2, 3])
    later.write_text("ts,close\n2021-01-01T00:02Z,3\n2021-01-01T00:03Z,-1\n")
    assert "got '-1' at row 2 of 2021-02.csv" in refusal(spec)


def test_a_missing_file_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    spec = panel(tmp_path, path="no.csv")
    assert refusal(spec) == (
        f"{tmp_path}/p.toml: source.path: no.csv not found beside the panel file or under "
        "HARNESS_DATA (not set); how to get it: ask a friend"
    )
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    assert f"HARNESS_DATA ({tmp_path}/data)" in refusal(spec)
    (tmp_path / "data" / "no.csv").write_text("ts,close\n2021-01-01T00:00Z,1\n")
    assert read(spec)[0].n == 1


def shipped(name: str):
    return find_panel(name, [ROOT / "panels"])


def test_a_source_that_reads_no_file_is_known_by_its_entry(tmp_path, monkeypatch):
    made = replace(KINDS["simulated"], name="made", makes=("open", "close"))
    monkeypatch.setitem(KINDS, "made", made)
    (tmp_path / "p.toml").write_text(MADE)
    (found,) = read(read_panel(tmp_path / "p.toml"), columns=("open", "close"))
    assert found.columns.keys() == {"open", "close"}
    assert found.n == 2 * 1_440
    (tmp_path / "p.toml").write_text(f"{MADE}[columns]\nts = 'ts'\n")
    with pytest.raises(SpecError, match="columns: wanted no such section: kind 'made' makes its"):
        read_panel(tmp_path / "p.toml")


def test_bundled_daily_series_are_read_with_their_dates():
    frame = load_frame(shipped("sp500-daily"))
    assert frame.shape == (5_031, 6)
    assert frame.row(0) == (
        "SP500", datetime(1999, 1, 4, tzinfo=UTC), 1228.099976, 1248.810059, 1219.099976, 877e6,
    )  # fmt: skip
    assert frame["ts"][-1] == datetime(2018, 12, 31, tzinfo=UTC)
    assert "open" not in frame.columns


def test_holidays_of_the_bundled_vix_are_no_bars():
    frame = load_frame(shipped("vix-daily"))
    assert frame.height == 1_305 - 46
    assert datetime(2014, 1, 20, tzinfo=UTC) not in frame["ts"].to_list()
    assert frame["vix"][0] == 13.76


def test_reading_bundled_data_imports_neither_arch_nor_pandas():
    program = (
        "import sys; from pathlib import Path; from harness.panel.panel import open_panel\n"
        "from harness.panel.reading import find_panel\n"
        "import harness.panel.sources.simulated\n"
        "spec = find_panel('vix-daily', [Path('panels')])\n"
        "assert list(open_panel(spec, start=None, end=None, columns=['vix']).bars())\n"
        "heavy = {'arch', 'pandas', 'pyarrow', 'scipy', 'statsmodels', 'sklearn', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
