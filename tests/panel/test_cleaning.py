"""Cleaning: each rule leaves out what it says, by the row and the one before; whole records."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.assets import history, read, write
from support.workspace import changed

from harness.errors import SpecError
from harness.panel.identity import panel_identity
from harness.panel.panel import open_panel
from harness.panel.prepare import prepare
from harness.panel.reading import read_panel
from harness.panel.report import check_panel
from harness.panel.selection import Selection
from harness.spec.reading import parse_hypothesis
from harness.types import Bars, Excluded

PRE = 'pre_close = "pre"\n'


def one(file: Path, *columns: str) -> Bars:
    (bars,) = read(file, *columns)
    assert isinstance(bars, Bars), bars
    return bars


def days(bars: Bars) -> list[int]:
    """Which of the file's days the bars are."""
    return ((bars.ts - bars.ts[0]) // bars.bar).tolist()


def test_a_repeated_stamp_leaves_the_first_row_and_without_the_key_is_refused(tmp_path):
    frame = history(20, seed=1)
    frame = pl.concat([frame[:8], frame[7:8].with_columns(close=pl.col("low")), frame[8:]])
    bars = one(write(tmp_path, frame, PRE + "[rows]\ndrop_repeated = true\n"))
    assert bars.left_out == {"rows with the stamp of an earlier row": 1}
    whole = one(write(tmp_path, history(20, seed=1), PRE))
    assert bars.columns["close"].tobytes() == whole.columns["close"].tobytes()
    report = check_panel(read_panel(write(tmp_path, frame, PRE)))
    assert "duplicate time stamp" in report.symbols[0].problems[0]


def test_of_a_stamp_the_first_row_that_is_a_bar_stays(tmp_path):
    frame = history(20, seed=1)
    suspended = frame[7:8].with_columns(status=pl.lit(0, pl.Int32).cast(frame["status"].dtype))
    frame = pl.concat([frame[:7], suspended, frame[7:]])
    more = PRE + "[rows]\nkeep = 'status == 1'\ndrop_repeated = true\n"
    assert days(one(write(tmp_path, frame, more))) == list(range(20))


def test_a_move_beyond_its_bound_is_left_out_and_its_return_is_no_return(tmp_path):
    frame = history(30, seed=2)
    factor = pl.Series(np.where(np.arange(30) >= 12, 1.5, 1.0))  # a rise by half on day 12
    jumped = frame.with_columns(
        *((pl.col(c) * factor).alias(c) for c in ("open", "high", "low", "close")),
        pre=pl.col("pre") * pl.Series(np.where(np.arange(30) >= 13, 1.5, 1.0)),
    )
    bars = one(write(tmp_path, jumped, PRE + "[rows]\nlargest_move = 0.3\n"))
    assert bars.left_out == {"rows that move by more than 0.3": 1}
    assert days(bars) == [d for d in range(30) if d != 12]
    returns = np.diff(np.log(bars.columns["close"]))
    wanted = np.log1p(frame["r"].to_numpy()[1:])
    assert np.allclose(returns, np.delete(wanted, 11), rtol=0, atol=1e-12)


def test_an_adjustment_beyond_its_bound_is_left_out_whatever_stands_before_it(tmp_path):
    frame = history(30, seed=3)  # a 3-for-1 split on day 10, dividends of 2 % on day 20
    bound = PRE + "[rows]\nlargest_adjustment = 0.1\n"
    bars = one(write(tmp_path, frame, bound))
    assert bars.left_out == {
        "rows whose previous close is more than 0.1 off that of the row before": 1
    }
    assert 10 not in days(bars) and 20 in days(bars)
    tight = one(write(tmp_path, frame, PRE + "[rows]\nlargest_adjustment = 0.001\n"))
    assert set(range(30)) - set(days(tight)) == {10, 20}
    # A day that is no bar hides no move: the next one's previous close is its close.
    rising = frame.with_columns(
        status=pl.when(pl.int_range(30) == 5).then(0).otherwise(1),
        close=pl.when(pl.int_range(30) == 5).then(pl.col("close") * 1.4).otherwise("close"),
        high=pl.when(pl.int_range(30) == 5).then(pl.col("high") * 1.4).otherwise("high"),
        pre=pl.when(pl.int_range(30) == 6).then(pl.col("pre") * 1.4).otherwise("pre"),
    )
    kept = one(write(tmp_path, rising, bound.replace("[rows]", "[rows]\nkeep = 'status == 1'")))
    assert 6 in days(kept) and 5 not in days(kept)


def test_what_is_left_out_depends_on_nothing_later_and_not_on_the_columns(tmp_path):
    frame = history(40, seed=4)
    more = PRE + "[rows]\nlargest_move = 0.03\nlargest_adjustment = 0.01\ndrop_repeated = true\n"
    file = write(tmp_path, frame, more)
    spec = read_panel(file)

    def left(rows: pl.DataFrame, *columns: str) -> list[int]:
        write(tmp_path, rows, more)
        (raw,) = open_panel(spec, start=None, end=None, columns=columns).source.bars()
        return prepare(spec, raw).raw.ts.tolist()

    whole = left(frame, "close")
    assert 10 < len(whole) < 38
    assert left(frame, "open", "high") == whole
    for end in (11, 20, 33):
        part = left(frame[:end], "close")
        assert part == whole[: len(part)]
        assert whole[len(part) :] == [] or whole[len(part)] > part[-1]


def test_check_and_facts_count_what_was_cleaned(tmp_path):
    frame = history(30, seed=3).with_columns(
        status=pl.when(pl.int_range(30) == 4).then(None).otherwise(1)
    )
    more = PRE + "[rows]\nkeep = 'status > 0'\nlargest_adjustment = 0.1\n"
    report = check_panel(read_panel(write(tmp_path, frame, more)))
    assert report.left_out == {
        "rows without status > 0": 1,
        "rows whose previous close is more than 0.1 off that of the row before": 1,
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[rows]\nlargest_move = 0.2\n", "rows.largest_move: got 0.2, wanted no such key without"),
        ('adj_close = "adj"\n[rows]\nlargest_move = 0.2\n', "columns.pre_close or columns.return"),
        (
            'return = "r"\n[rows]\nlargest_adjustment = 0.2\n',
            "rows.largest_adjustment: got 0.2, wanted no such key without columns.pre_close",
        ),
        (PRE + "[rows]\nlargest_move = 0.0\n", "wanted a share above 0 such as 0.21"),
        (PRE + "[rows]\ndrop_repeated = 1\n", "rows.drop_repeated: got 1, wanted true or false"),
        (
            "[labels]\npath='l.csv'\nsymbol='s'\ncolumns={industry='x'}\n"
            "[labels.groups.sector]\nof='industri'\ntexts={a=['b']}\n",
            "labels.groups.sector.of: got 'industri', wanted one of industry",
        ),
        (
            "[labels]\npath='l.csv'\nsymbol='s'\ncolumns={industry='x'}\n"
            "[labels.groups.sector]\nof='industry'\ntexts={a=['b'], c=['b']}\n",
            "labels.groups.sector.texts.c[0]: got 'b', wanted each text once",
        ),
    ],
)
def test_a_mistake_in_the_cleaning_is_one_line_with_its_key(more, words, tmp_path):
    with pytest.raises(SpecError) as refused:
        read_panel(write(tmp_path, history(5, seed=1), more))
    assert words in " ".join(str(refused.value).split())


def test_a_label_made_of_another_groups_its_texts_and_knows_no_others(tmp_path):
    labels = (
        "[labels]\npath='l.csv'\nsymbol='s'\ncolumns={industry='x'}\n"
        "[labels.groups.sector]\nof='industry'\n"
        "texts={money=['banks', 'brokers'], rest=['steel']}\n"
    )
    frame = pl.concat([history(5, seed=i).with_columns(s=pl.lit(s)) for i, s in enumerate("ABCD")])
    (tmp_path / "l.csv").write_text("s,x\nA,banks\nB,brokers\nC,ships\n")
    spec = read_panel(write(tmp_path, frame, PRE + labels))
    panel = open_panel(spec, start=None, end=None, columns=["close"])
    assert panel.labels["sector"] == {"A": "money", "B": "money", "C": "unknown", "D": "unknown"}
    assert panel.labels["industry"]["C"] == "ships"
    plain = dataclasses.replace(spec, labels=dataclasses.replace(spec.labels, groups={}))
    assert panel_identity(spec, ["close"]) != panel_identity(plain, ["close"])


def test_cleaning_at_its_defaults_says_nothing_of_how_bars_are_read(tmp_path):
    plain = read_panel(write(tmp_path, history(5, seed=1), PRE))
    meaning = panel_identity(plain, ["close"])
    for more in ("drop_repeated = true", "largest_move = 0.2", "largest_adjustment = 0.2"):
        other = read_panel(write(tmp_path, history(5, seed=1), PRE + f"[rows]\n{more}\n"))
        assert panel_identity(other, ["close"]) != meaning
    off = read_panel(write(tmp_path, history(5, seed=1), PRE + "[rows]\ndrop_repeated = false\n"))
    assert panel_identity(off, ["close"]) == meaning


def test_symbols_without_a_whole_record_are_excluded_with_their_count(tmp_path):
    whole, gappy = history(20, seed=1), history(20, seed=2)
    frame = pl.concat([whole, gappy.filter(pl.int_range(20) % 4 != 1).with_columns(s=pl.lit("B"))])
    file = write(tmp_path, frame)
    assert all(isinstance(b, Bars) for b in read(file, select=Selection(min_record=0.75)))
    found = read(file, select=Selection(min_record=0.8))
    assert [b.symbol for b in found] == ["A", "B"]
    assert found[1] == Excluded("B", "bars at 15 of 20 times; wanted a share of 0.8 at least")
    keys = {
        open_panel(
            read_panel(file),
            start=None,
            end=None,
            columns=["close"],
            select=Selection(min_record=m),
        ).identity()
        for m in (None, 0.75, 0.8)
    }
    assert len(keys) == 3


def test_min_record_is_in_the_hash_and_a_file_without_it_keeps_its_own():
    plain = parse_hypothesis(changed(), Path("x.toml"))
    text = changed(('name = "tiny"\n', 'name = "tiny"\nmin_record = 0.9\n'))
    other = parse_hypothesis(text, Path("x.toml"))
    assert other.panel.min_record == 0.9
    assert other.spec_hash != plain.spec_hash
    with pytest.raises(SpecError, match=r"panel.min_record: got 1.5, wanted a share above 0"):
        parse_hypothesis(text.replace("0.9", "1.5"), Path("x.toml"))
