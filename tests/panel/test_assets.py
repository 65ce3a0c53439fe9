"""Panels of many assets: adjusted prices, rows left out, exclusions, labels, side series."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.assets import HEAD, history, read, write
from support.workspace import ROOT
from support.worlds import make_plan

from harness.durations import parse_moment
from harness.errors import PanelError, SpecError
from harness.measures.cascade import measure
from harness.panel.panel import open_panel
from harness.panel.reading import find_panel, list_panels, read_panel
from harness.panel.report import check_panel, describe_panel
from harness.panel.selection import Selection
from harness.samples.measured import measure_panel
from harness.types import Bars, Excluded

PANELS = ROOT / "panels"
DATA = os.environ.get("HARNESS_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="HARNESS_DATA is not set")
DAY = 86_400_000_000_000
START = parse_moment("2021-01-04")


ADJUSTING = {"adj_close": "adj", "pre_close": "pre", "return": "r"}


@pytest.mark.parametrize("kind", ADJUSTING)
def test_adjusted_prices_have_the_true_returns_and_ranges(kind, tmp_path):
    frame = history(60, seed=1)
    file = write(tmp_path, frame, f'{kind} = "{ADJUSTING[kind]}"\n')
    (bars,) = read(file, "open", "high", "low", "close")
    close = bars.columns["close"]
    true = frame["true"].to_numpy()
    assert np.allclose(np.diff(np.log(close)), np.diff(np.log(true)), rtol=0, atol=1e-12)
    quoted = frame["close"].to_numpy()
    assert np.abs(np.diff(np.log(quoted)) - np.diff(np.log(true))).max() > 1.0
    for name in ("open", "high", "low"):
        ratio = frame[name].to_numpy() / quoted
        assert np.allclose(bars.columns[name] / close, ratio, rtol=1e-14)
    assert set(bars.columns) == {"open", "high", "low", "close"}


@pytest.mark.parametrize("kind", ADJUSTING)
def test_a_measure_of_adjusted_prices_is_that_of_the_adjusted_series(kind, tmp_path):
    frame = history(60, seed=2)
    scale = pl.col("true") / pl.col("close")
    right = frame.with_columns((pl.col(c) * scale).alias(c) for c in ("open", "high", "low"))
    right = right.with_columns(close="true")
    plan = make_plan(
        every="1d", scales=["5d"], horizons=["5d"], measures=["rv", "gk", "yz"],
        calendar="sessions",
    )  # fmt: skip
    (bars,) = read(write(tmp_path, frame, f'{kind} = "{ADJUSTING[kind]}"\n'), *plan.inputs)
    found = measure(bars, plan)
    (tmp_path / "p.toml").unlink()
    (bars,) = read(write(tmp_path, right), *plan.inputs)
    wanted = measure(bars, plan)
    for name in ("rv_5d", "gk_5d", "yz_5d"):
        assert np.allclose(found.columns[name], wanted.columns[name], rtol=1e-9, equal_nan=True)
        assert np.isfinite(found.columns[name][5:]).all()


def test_a_bar_without_a_range_has_none_once_adjusted(tmp_path):
    flat = pl.col("close").alias
    frame = history(40, seed=3).with_columns(flat("open"), flat("high"), flat("low"))
    for kind, column in ADJUSTING.items():
        (bars,) = read(write(tmp_path, frame, f'{kind} = "{column}"\n'), "open", "high", "close")
        assert bars.columns["high"].tobytes() == bars.columns["close"].tobytes()
        assert bars.columns["open"].tobytes() == bars.columns["close"].tobytes()


@pytest.mark.parametrize("kind", ADJUSTING)
def test_an_adjusted_bar_depends_on_no_later_bar(kind, tmp_path):
    frame, more = history(40, seed=4), f'{kind} = "{ADJUSTING[kind]}"\n'
    (whole,) = read(write(tmp_path, frame, more), "high", "close")
    later = pl.int_range(pl.len()) >= 25
    noise = [pl.when(later).then(pl.col(c) * 1.7).otherwise(c).alias(c) for c in ("adj", "pre")]
    for changed in (frame[:25], frame.with_columns(noise)):
        (part,) = read(write(tmp_path, changed, more), "high", "close")
        for name in ("high", "close"):
            assert part.columns[name][:25].tobytes() == whole.columns[name][:25].tobytes()


def test_a_first_return_is_never_wanted(tmp_path):
    frame = history(20, seed=5).with_columns(r=pl.when(pl.int_range(pl.len()) > 0).then("r"))
    (bars,) = read(write(tmp_path, frame, 'return = "r"\n'))
    assert bars.n == 20


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("adj_close", 0.0, "adj: cannot adjust: got '0.0' at row 8 of f.csv (2021-01-11)"),
        ("pre_close", -1.0, "wanted a price above 0"),
        ("return", -1.5, "wanted a return above -1"),
        ("return", None, "r: cannot adjust: got None"),
    ],
)
def test_a_bar_that_cannot_be_adjusted_is_named(kind, value, words, tmp_path):
    column = ADJUSTING[kind]
    at = pl.when(pl.int_range(pl.len()) != 7).then(column).otherwise(pl.lit(value)).alias(column)
    file = write(tmp_path, history(20, seed=6).with_columns(at), f'{kind} = "{column}"\n')
    with pytest.raises(PanelError) as caught:
        read(file)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            'adj_close = "adj"\nreturn = "r"\n',
            "columns.return: got 'r', wanted no such key together",
        ),
        ("[rows]\nkeep = 'status'\n", "rows.keep: got 'status', wanted comparisons of a column"),
        ("[rows]\nkeep = 'status == 1 or r > 0'\n", "rows.keep: got 'status == 1 or r > 0'"),
        ("[rows]\nkeep = '__import__(\"os\") == 1'\n", "rows.keep"),
        ("[rows]\nkeeep = 'status == 1'\n", "did you mean 'keep'?"),
        ("[rows]\ndrop_inconsistent = 1\n", "rows.drop_inconsistent: got 1, wanted true or false"),
        ("[side.vix]\npanel = 'vxi'\ncolumn = 'vix'\n", "side.vix.panel: got 'vxi', wanted a pan"),
        ("[side.vix]\npanel = 'p'\ncolumn = 'clos'\n", "did you mean 'close'?"),
        ("[side.rv]\npanel = 'p'\ncolumn = 'close'\n", "side.rv: got 'rv', wanted a name"),
        ("[side.v]\npanel = 'p'\ncolumn = 'close'\nmax_age = '1mo'\n", "side.v.max_age: got '1mo'"),
        ("[side]\nvix = 3\n", "side.vix: got 3, wanted a table [side.vix]"),
        ("[labels]\npath = 'l.csv'\nsymbol = 's'\n", "labels.columns: wanted this key"),
        ("[labels]\npath='l.csv'\nsymbol='s'\ncolumns={close='x'}\n", "labels.columns.close: got"),
    ],
)
def test_a_mistake_in_the_panel_file_is_one_line_with_its_key(more, words, tmp_path):
    file = write(tmp_path, history(5, seed=1), more)
    with pytest.raises(SpecError) as caught:
        read_panel(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_on_bad_is_one_of_two_words(tmp_path):
    head = HEAD.replace("[source]", 'on_bad = "exlude"\n[source]')
    with pytest.raises(SpecError, match="did you mean 'exclude'"):
        read_panel(write(tmp_path, history(5, seed=1), head=head))


def test_rows_that_fail_a_condition_are_left_out_and_counted(tmp_path):
    status = pl.Series("status", [1, 0, 1, 1, None, 1, 1, 1])
    frame = history(8, seed=7).with_columns(status)
    file = write(tmp_path, frame, "[rows]\nkeep = 'status == 1 and r > -0.9'\n")
    (bars,) = read(file)
    assert bars.rows == bars.n == 6
    assert bars.left_out == {"rows without status == 1": 2}
    assert bars.ts.tolist() == [START + DAY * i for i in (0, 2, 3, 5, 6, 7)]
    assert check_panel(read_panel(file)).left_out == bars.left_out
    assert describe_panel(read_panel(file))["left_out"] == bars.left_out


def test_a_place_in_the_file_is_right_when_rows_before_it_are_left_out(tmp_path):
    frame = history(8, seed=7).with_columns(
        pl.Series("status", [0, 0, 1, 1, 1, 1, 1, 1]),
        pl.when(pl.int_range(pl.len()) == 5).then(-1.0).otherwise("close").alias("close"),
    )
    file = write(tmp_path, frame, "[rows]\nkeep = 'status == 1'\n")
    with pytest.raises(PanelError, match=r"got '-1.0' at row 6 of f.csv \(2021-01-09\)"):
        read(file)


def test_a_condition_on_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PanelError, match="no column 'stat'; did you mean 'status'"):
        read(write(tmp_path, history(8, seed=7), "[rows]\nkeep = 'stat == 1'\n"))


def test_the_return_of_a_suspended_day_does_not_count_and_that_of_an_odd_bar_does(tmp_path):
    frame = history(12, seed=8).with_columns(
        status=pl.when(pl.int_range(pl.len()) == 4).then(0).otherwise(1),
        pre=pl.when(pl.int_range(pl.len()) == 4).then(1e-3).otherwise("pre"),
        high=pl.when(pl.int_range(pl.len()) == 8).then(pl.col("low") / 2).otherwise("high"),
    )
    more = "pre_close = 'pre'\n[rows]\nkeep = 'status == 1'\ndrop_inconsistent = true\n"
    (bars,) = read(write(tmp_path, frame, more))
    assert sorted(bars.left_out.values()) == [1, 1]
    r = np.log1p(frame["r"].to_numpy())
    moves = np.diff(np.log(bars.columns["close"]))
    wanted = [*r[1:4], *r[5:8], r[8] + r[9], *r[10:]]
    assert np.allclose(moves, wanted, atol=1e-12)


def test_which_bars_are_left_out_does_not_depend_on_the_columns_asked_for(tmp_path):
    odd = pl.int_range(pl.len()).is_in([3, 6])
    frame = history(9, seed=9).with_columns(
        low=pl.when(odd).then(pl.col("high") * 2).otherwise("low")
    )
    file = write(tmp_path, frame, "[rows]\ndrop_inconsistent = true\n")
    (close,), (ranges,) = read(file, "close"), read(file, "high", "low")
    assert close.ts.tolist() == ranges.ts.tolist()
    assert list(close.left_out.values()) == [2]
    assert set(close.columns) == {"close"}


def three(tmp_path: Path, on_bad: str = "exclude", more: str = "") -> Path:
    """Symbols A (sound), B (a NaN), C (short), D (constant)."""
    sound, short = history(60, seed=1), history(4, seed=2).with_columns(s=pl.lit("C"))
    bad = history(60, seed=3).with_columns(
        s=pl.lit("B"), close=pl.when(pl.int_range(pl.len()) == 30).then(None).otherwise("close")
    )
    still = history(60, seed=4).with_columns(
        [pl.lit(5.0).alias(c) for c in ("open", "high", "low", "close")], s=pl.lit("D")
    )
    head = HEAD.replace("[source]", f'on_bad = "{on_bad}"\n[source]')
    return write(tmp_path, pl.concat([sound, bad, short, still]), more, head=head)


PLAN = {"every": "1d", "scales": ["5d"], "horizons": ["1d"], "measures": ["rv"]}


def facts_of(file: Path, **more: object):
    plan = make_plan(**PLAN, calendar="sessions")
    panel = open_panel(read_panel(file), start=None, end=None, columns=plan.inputs, **more)
    return measure_panel(panel, plan, keep=False)[1]


def test_bad_symbols_are_excluded_each_with_its_reason(tmp_path):
    facts = facts_of(three(tmp_path))
    assert facts.symbols == ("A",)
    reasons = {e.symbol: e.reason for e in facts.excluded}
    assert reasons["B"].startswith("close: not finite: got None at row 91 of f.csv")
    assert reasons["C"] == "too little history: 4 bars on the grid, the longest window has 5"
    assert reasons["D"].startswith("constant price")
    assert facts.available == 4


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (("A", "B"), "B: close: not finite"),
        (("A", "C"), "C: too little history: 4 bars"),
        (("A", "D"), "D: constant price"),
    ],
)
def test_by_default_one_bad_symbol_is_a_named_error(symbols, words, tmp_path):
    file = three(tmp_path, "refuse")
    with pytest.raises(PanelError, match=words):
        facts_of(file, select=Selection(symbols=symbols))


def test_a_panel_of_which_no_symbol_is_left_says_why(tmp_path):
    file = three(tmp_path)
    with pytest.raises(PanelError, match=r"no symbol is left: B: close: .* \(and 1 more\)"):
        facts_of(file, select=Selection(symbols=("B", "D")))


def test_a_check_of_a_panel_that_excludes_is_ok_and_says_what_goes(tmp_path):
    report = check_panel(read_panel(three(tmp_path)))
    assert report.ok
    assert [s.symbol for s in report.symbols if s.excluded] == ["B"]
    assert not check_panel(read_panel(three(tmp_path, "refuse"))).ok


def test_kept_measures_bring_their_facts_along(tmp_path):
    plan = make_plan(**PLAN, calendar="sessions")
    labels = "[labels]\npath = 'l.csv'\nsymbol = 's'\ncolumns = { sector = 'x' }\n"
    file = three(tmp_path, more="[rows]\nkeep = 'status == 1'\n" + labels)
    (tmp_path / "l.csv").write_text("s,x\nA,tech\n")

    def run():
        panel = open_panel(read_panel(file), start=None, end=None, columns=plan.inputs)
        return measure_panel(panel, plan)

    (_, first, kept), (_, again, kept_again) = run(), run()
    assert (kept, kept_again) == (False, True)
    assert first == again
    assert again.labels == {"sector": {"A": "tech"}}
    (tmp_path / "l.csv").write_text("s,x\nA,energy\n")
    _, changed, kept = run()
    assert not kept
    assert changed.fingerprint != first.fingerprint


def test_only_the_symbols_asked_for_are_read(tmp_path):
    file = three(tmp_path)
    panel = open_panel(
        read_panel(file), start=None, end=None, columns=["close"],
        select=Selection(symbols=("C", "A")),
    )  # fmt: skip
    assert (panel.symbols, panel.available) == (("A", "C"), 4)
    assert [b.symbol for b in panel.read()] == ["A", "C"]


def test_files_of_one_symbol_each_are_opened_only_when_asked_for(tmp_path):
    head = HEAD.replace('path = "f.csv"', 'path = "*.csv"').replace('symbol = "s"\n', "")
    file = write(tmp_path, history(5, seed=1), head=head)
    (tmp_path / "broken.csv").write_text("ts,close\n")
    (bars,) = read(file, "high", select=Selection(symbols=("f",)))
    assert (bars.symbol, bars.n) == ("f", 5)


def test_an_unknown_symbol_names_the_hypothesis_its_key_and_the_nearest(tmp_path):
    select = Selection("h.toml", symbols=("A", "BB"))
    with pytest.raises(SpecError, match=r"^h.toml: panel.symbols\[1\]: got 'BB', wanted one of .*"):
        read(three(tmp_path), select=select)


def test_a_draw_repeats_nests_and_follows_the_seed(tmp_path):
    symbols = tuple(f"S{i:03d}" for i in range(200))
    small, large = (Selection(draw=n, draw_seed=3).of("p", symbols) for n in (20, 100))
    assert (len(small), len(large)) == (20, 100)
    assert list(small) == sorted(small)
    assert set(small) < set(large)
    assert small == Selection(draw=20, draw_seed=3).of("p", symbols)
    assert small != Selection(draw=20, draw_seed=4).of("p", symbols)
    with pytest.raises(SpecError, match=r"panel.draw: got 201, wanted at most 200"):
        Selection(draw=201).of("p", symbols)


def test_a_symbol_that_began_too_late_is_excluded(tmp_path):
    late = history(30, seed=2)[10:].with_columns(s=pl.lit("B"))
    file = write(tmp_path, pl.concat([history(30, seed=1), late]))
    found = read(file, select=Selection(begun_by=START + 9 * DAY))
    assert isinstance(found[0], Bars)
    assert found[1] == Excluded(
        "B", "history from 2021-01-14 only; wanted from 2021-01-13 or before"
    )
    assert all(isinstance(b, Bars) for b in read(file, select=Selection(begun_by=START + 10 * DAY)))


LABELS = "[labels]\npath = 'l.csv'\nsymbol = 'ticker'\ncolumns = { sector = 'gics' }\n"


def test_labels_are_those_of_the_file_and_unknown_where_it_says_nothing(tmp_path):
    file = three(tmp_path, more=LABELS)
    (tmp_path / "l.csv").write_text("ticker,gics\nA,Tech\nB,\nZ,Oil\nA,Tech\n")
    panel = open_panel(read_panel(file), start=None, end=None, columns=["close"])
    assert panel.labels == {"sector": {"A": "Tech", "B": "unknown", "C": "unknown", "D": "unknown"}}
    assert describe_panel(panel.spec)["labels"] == {"sector": {"unknown": 3, "Tech": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "labels.path: l.csv not found .* how to get it: ask a friend"),
        ("ticker,gisc\nA,Tech\n", "no column 'gics'; did you mean 'gisc'"),
        ("ticker,gics\nA,Tech\nA,Oil\n", "symbol 'A' has two different rows"),
    ],
)
def test_a_file_of_labels_that_will_not_do_is_named(text, words, tmp_path):
    file = three(tmp_path, more=LABELS)
    if text is not None:
        (tmp_path / "l.csv").write_text(text)
    with pytest.raises(PanelError, match=words):
        check_panel(read_panel(file))


SIDE = """[panel]
name = "fear"
title = "a side series"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
how_to_get = "ask for fear"
[source]
kind = "csv"
path = "fear.csv"
symbol = "V"
[columns]
ts = "ts"
[columns.extra]
fear = { column = "fear", unit = "none" }
"""
JOIN = "[side.fear]\npanel = 'fear'\ncolumn = 'fear'\nmax_age = '3d'\n"


def with_side(tmp_path: Path, values: dict[str, float], n: int = 12) -> Path:
    """A panel of n days from 4 January 2021 on, joined with values by date."""
    file = write(tmp_path, history(n, seed=1), JOIN)
    (tmp_path / "fear.toml").write_text(SIDE)
    rows = [f"{day},{value}" for day, value in values.items()]
    (tmp_path / "fear.csv").write_text("\n".join(["ts,fear", *rows]) + "\n")
    return file


def test_a_side_series_is_the_last_value_known_and_grows_old(tmp_path):
    file = with_side(tmp_path, {"2021-01-05": 20.0, "2021-01-06": 30.0, "2021-01-11": 40.0})
    (bars,) = read(file, "close", "fear")
    none = np.nan
    wanted = [none, 20, 30, 30, 30, 30, none, 40, 40, 40, 40, none]
    assert np.array_equal(bars.columns["fear"], wanted, equal_nan=True)
    assert open_panel(read_panel(file), start=None, end=None, columns=["fear"]).extra_units == {
        "fear": "none"
    }


def test_a_span_begins_with_what_was_known_before_it(tmp_path):
    spec = read_panel(with_side(tmp_path, {"2021-01-05": 20.0, "2021-01-11": 40.0}))
    start, end = parse_moment("2021-01-07"), parse_moment("2021-01-11")
    (bars,) = open_panel(spec, start=start, end=end, columns=["fear", "close"]).bars()
    assert np.array_equal(bars.columns["fear"], [20, 20, np.nan, np.nan], equal_nan=True)


def test_side_values_after_a_bar_change_nothing_before(tmp_path):
    values = {str(np.datetime64("2021-01-01") + i): 10.0 + i for i in range(15)}
    (whole,) = read(with_side(tmp_path, values), "close", "fear")
    for day in range(4, 14):
        date = str(np.datetime64("2021-01-01") + day)
        known = START + DAY * np.arange(12) + DAY <= parse_moment(date)
        changed = {d: v * (7.0 if d >= date else 1.0) for d, v in values.items()}
        gone = {d: v for d, v in values.items() if d < date}
        for other in (changed, gone):
            (bars,) = read(with_side(tmp_path, other), "close", "fear")
            was, now = whole.columns["fear"], bars.columns["fear"]
            assert now[known].tobytes() == was[known].tobytes()
            assert now[~known].tobytes() != was[~known].tobytes()


def test_a_decision_without_a_side_value_is_dropped_and_only_that(tmp_path):
    file = with_side(
        tmp_path, {f"2021-01-{d:02d}": 20.0 for d in range(4, 31) if not 9 < d < 16}, 27
    )
    plan = make_plan(**{**PLAN, "scales": ["1d", "2d"], "measures": ["rv", "fear"]},
                     calendar="sessions", extra={"fear": "none"})  # fmt: skip
    panel = open_panel(read_panel(file), start=None, end=None, columns=plan.inputs)
    (measured,), facts, _ = measure_panel(panel, plan, keep=False)
    missing = np.flatnonzero(np.isnan(measured.columns["fear_1d"]))
    assert missing.tolist() == [9, 10, 11]
    assert np.flatnonzero(np.isnan(measured.columns["fear_2d"])).tolist() == [0, 9, 10, 11, 12]
    assert facts.side_missing == {"fear": 3}
    assert list(facts.side) == ["fear"]


def test_a_side_series_is_part_of_identity_and_fingerprint(tmp_path):
    def both(values: dict[str, float], columns=("close", "fear")) -> tuple[str, str]:
        spec = read_panel(with_side(tmp_path, values, 20))
        panel = open_panel(spec, start=None, end=None, columns=columns)
        plan = make_plan(**{**PLAN, "measures": ["rv", *columns[1:]]},
                         calendar="sessions", extra={"fear": "none"})  # fmt: skip
        return panel.identity(), measure_panel(panel, plan, keep=False)[1].fingerprint

    values = {"2021-01-04": 20.0}
    first, other = both(values), both({**values, "2021-01-09": 21.0})
    assert first[0] != other[0]
    assert first[1] != other[1]
    # A run that does not ask for the series does not depend on it.
    assert both(values, ("close",))[1] == both({"2021-01-04": 1.0}, ("close",))[1]


def test_a_side_series_without_data_says_how_to_get_it_and_only_when_wanted(tmp_path):
    file = with_side(tmp_path, {"2021-01-04": 20.0})
    (tmp_path / "fear.csv").unlink()
    with pytest.raises(PanelError) as caught:
        open_panel(read_panel(file), start=None, end=None, columns=["fear", "close"])
    message = str(caught.value)
    assert message.startswith(f"{file}: side.fear: {tmp_path / 'fear.toml'}: source.path: fear.csv")
    assert "how to get it: ask for fear" in message
    assert read(file)[0].n == 12


def test_a_side_panel_of_many_symbols_is_refused(tmp_path):
    file = with_side(tmp_path, {"2021-01-04": 20.0})
    text = SIDE.replace('symbol = "V"\n', "").replace('ts = "ts"', 'ts = "ts"\nsymbol = "s"')
    (tmp_path / "fear.toml").write_text(text)
    (tmp_path / "fear.csv").write_text("ts,s,fear\n2021-01-04,V,1\n2021-01-04,W,1\n")
    with pytest.raises(PanelError, match=r"side.fear: .*2 symbols; wanted one"):
        read(file, "fear")


def test_a_side_panel_is_found_in_the_other_folders_of_a_search(tmp_path):
    file = with_side(tmp_path, {"2021-01-04": 20.0})
    (tmp_path / "other").mkdir()
    (tmp_path / "fear.toml").rename(tmp_path / "other" / "fear.toml")
    with pytest.raises(SpecError, match=r"side.fear.panel: got 'fear', wanted a panel with a file"):
        read_panel(file)
    assert find_panel("p", [tmp_path, tmp_path / "other"]).side["fear"].panel.name == "fear"
    assert [p.name for p in list_panels([tmp_path, tmp_path / "other"])] == ["fear", "p"]


def test_side_values_reach_minutes_at_the_end_of_their_day(tmp_path):
    with_side(tmp_path, {"2021-01-04": 20.0, "2021-01-05": 30.0})
    head = HEAD.replace('"1d"', '"1m"').replace('"sessions"', '"24/7"')
    stamps = pl.datetime_range(
        pl.datetime(2021, 1, 4, 23, 57), pl.datetime(2021, 1, 5, 0, 3), "1m", eager=True
    )
    frame = history(7, seed=1).with_columns(stamps.dt.to_string("%Y-%m-%d %H:%M").alias("ts"))
    (bars,) = read(write(tmp_path, frame, JOIN, head=head), "close", "fear")
    # The bar of 23:59 ends at midnight, when the day's value is known.
    assert np.isnan(bars.columns["fear"][:2]).all()
    assert (bars.columns["fear"][2:] == 20.0).all()


FOUND = {  # rows, rows left out, symbols excluded
    "vix-cboe-daily": (9_235, 0, 0),
    "sp500-members-daily": (2_333_174, 1, 0),
    "yahoo-daily": (129_496, 1_193, 1),
    "csi300-daily": (841_797, 16_184, 0),
    "csi300-clean": (840_999, 16_982, 0),
    "btcusd-daily": (3_893, 0, 0),
    "oxford-spx": (5_017, 0, 0),
    "oxford-13": (36_835, 12, 0),
    "etf-gold-daily": (8_037, 0, 0),
}


@needs_data
@pytest.mark.parametrize("name", FOUND)
def test_a_shipped_panel_is_what_its_note_says(name):
    report = check_panel(find_panel(name, [PANELS]))
    assert report.ok
    excluded = sum(s.excluded for s in report.symbols)
    assert (report.rows, sum(report.left_out.values()), excluded) == FOUND[name]


@needs_data
def test_real_splits_and_dividends_are_no_returns():
    spec = find_panel("sp500-members-daily", [PANELS])
    select = Selection(symbols=("AAPL", "JCI"))
    panel = open_panel(spec, start=None, end=None, columns=["close", "vix"], select=select)
    frame = pl.read_parquet(f"{DATA}/sp500_daily.parquet", columns=["symbol", "adj_close"])
    for bars in panel.bars():
        wanted = frame.filter(pl.col("symbol") == bars.symbol)["adj_close"].to_numpy()
        assert np.array_equal(bars.columns["close"], wanted.astype(float))
        assert not np.isnan(bars.columns["vix"]).any()
    assert set(panel.labels["sector"].values()) == {"Information Technology", "Industrials"}


@needs_data
def test_a_real_ex_rights_day_is_no_fall(tmp_path):
    spec = find_panel("csi300-daily", [PANELS])
    select = Selection(symbols=("sh.600036",))
    (bars,) = open_panel(spec, start=None, end=None, columns=["close"], select=select).bars()
    quoted = pl.read_parquet(f"{DATA}/csi300_daily.parquet").filter(
        (pl.col("symbol") == "sh.600036") & (pl.col("tradestatus") == 1)
    )
    r = (quoted["close"].cast(pl.Float64) / quoted["preclose"].cast(pl.Float64)).to_numpy()
    assert np.allclose(np.diff(np.log(bars.columns["close"])), np.log(r[1:]), atol=1e-12)
    assert np.abs(np.diff(np.log(quoted["close"].to_numpy())) - np.log(r[1:])).max() > 0.05
