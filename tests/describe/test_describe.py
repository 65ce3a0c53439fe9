"""`harness describe`: a page with figures beside it, a short table, one line for every mistake."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from support.workspace import ROOT

from harness.cards.render import number
from harness.describe.page import WORDS
from harness.describe.panel import Question, default_measure, describe_volatility
from harness.describe.roughness import METHODS
from harness.durations import parse_duration
from harness.panel.reading import find_panel, read_panel

PANELS = ROOT / "panels"
HOURLY = ("--scale", "1h", "--every", "1h")
DAILY = """\
[panel]
name = "{name}"
title = "Days from a file"
bar = "1d"
calendar = "sessions"
timezone = "UTC"
how_to_get = "ask your broker"

[source]
kind = "csv"
path = "{name}.csv"

[columns]
ts = "ts"
symbol = "symbol"
close = "close"
"""


def days_file(folder, name, **closes):
    """A daily panel of these symbols."""
    lines = ["ts,symbol,close"]
    for symbol, path in closes.items():
        days = np.datetime64("2015-01-01") + np.arange(len(path))
        lines += [f"{day},{symbol},{c:.6f}" for day, c in zip(days, path, strict=True)]
    (folder / "panels" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / "panels" / f"{name}.toml").write_text(DAILY.format(name=name))


def prices(n, seed=0):
    rng = np.random.default_rng(seed)
    return 100 * np.exp(np.cumsum(0.01 * rng.standard_t(5, n)))


def test_a_page_is_written_with_the_figures_it_shows(in_workspace, command):
    done = command("describe", "tiny", *HOURLY).done()
    folder = in_workspace / "reports" / "describe"
    page = (folder / "tiny.md").read_text()
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert sorted(shown) == sorted(p.name for p in folder.iterdir() if p.suffix == ".svg")
    assert shown == ["tiny-1-series.svg", "tiny-1-scaling.svg"]
    for name in shown:
        ET.fromstring((folder / name).read_bytes())
    assert "rv\\_1h" in page or "`rv_1h`" in page
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "reports/describe/tiny.md and 2 figures" in done.out


def test_the_same_panel_gives_the_same_bytes(in_workspace, command):
    for name in ("a", "b"):
        command("describe", "tiny", *HOURLY, "--out", f"{name}/page.md").done()
    first, again = (
        {p.name: p.read_bytes() for p in (in_workspace / name).iterdir()} for name in ("a", "b")
    )
    assert first == again
    assert set(first) == {"page.md", "page-1-series.svg", "page-1-scaling.svg"}


def test_json_holds_the_figures_of_the_page(in_workspace, command):
    found = command("describe", "tiny", *HOURLY, "--json").done().json
    (symbol,) = found["symbols"]
    page = Path(found["page"]).read_text()
    assert number(symbol["roughness"]["variogram"]["hurst"], 3) in page
    assert f"{symbol['log_sigma']['mean']:.4g}" in page
    assert symbol["log_sigma"]["n"] == 719  # thirty days of hours; the first bar has no return
    assert set(symbol["roughness"]) == set(METHODS)
    assert symbol["roughness"]["rs"]["hurst"] is None


def test_windows_that_overlap_are_warned_of(in_workspace, command):
    command("describe", "tiny", "--scale", "4h", "--every", "1h").done()
    page = Path("reports/describe/tiny.md")
    assert "Windows of 4h every 1h overlap" in page.read_text()
    command("describe", "tiny", *HOURLY).done()
    assert "overlap" not in page.read_text()


def test_a_row_for_every_symbol_and_a_reason_for_each_left_out(in_workspace, command):
    still = prices(900, 3)
    still[100:150] = still[100]
    many = {f"S{i}": prices(900, i) for i in range(4)}
    days_file(in_workspace, "many", **many, SHORT=prices(40), FLAT=np.full(900, 5.0), STILL=still)
    done = command("describe", "many").done()
    page = Path("reports/describe/many.md").read_text()
    assert [line.split()[0] for line in done.out.splitlines()[3:8]] == [*many, "STILL"]
    assert "- SHORT: got 39 values of rv\\_1d, wanted 500 or more" in page
    assert "- FLAT: constant price: no price among its 900 bars ever moves" in page
    assert "49 values of 0 have no logarithm and are left out" in page
    assert page.count(".svg)") == 6
    assert "Figures of the first 3 symbols" in page
    only = command("describe", "many", "--symbol", "S3", "--json").done().json
    assert [s["symbol"] for s in only["symbols"]] == ["S3"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tinny"], "no panel 'tinny' in panels; did you mean 'tiny'?"),
        (
            ["tiny", "--measure", "rw"],
            "--measure: got 'rw', wanted a volatility or a variance: rv,",
        ),
        (["tiny", "--measure", "ret"], "--measure: got 'ret', wanted a volatility"),
        (
            ["tiny", "--measure", "medrv", "--scale", "10m"],
            "--measure: got 'medrv over 10m (2 bar)', wanted a window",
        ),
        (["tiny", "--scale", "7m"], "--scale: got '7m', wanted a multiple of the panel's bar, 5m"),
        (["tiny", "--scale", "1mo"], "--scale: got '1mo', wanted a fixed duration above 0"),
        (["tiny", "--every", "soon"], "--every: got 'soon', wanted a fixed duration above 0"),
        (["tiny", "--start", "0001-01-01"], "--start: got '0001-01-01', wanted a date such as"),
        (["tiny", "--scale", "99999999d"], "--scale: got '99999999d', wanted a fixed duration"),
        (["tiny", "--start", "yesterday"], "--start: got 'yesterday', wanted a date such as"),
        (["tiny", "--start", "2021-01-20", "--end", "2021-01-10"], "--end: got 2021-01-10, wanted"),
        (["tiny", "--start", "2031-01-20"], "empty span"),
        (["tiny", "--symbol", "SIN"], "--symbol: got 'SIN', wanted one of the 1 symbols"),
        (["tiny"], "got 29 values of rv_1d, wanted 500 or more: take a longer span"),
        (["flat"], "no symbol is left: FLAT: constant price: no price among its 900 bars ever"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_is_one_line_and_leaves_no_page(in_workspace, command, arguments, words):
    days_file(in_workspace, "flat", FLAT=np.full(900, 5.0))
    assert words in command("describe", *arguments).refused()
    assert not (in_workspace / "reports").exists()


def test_a_page_that_cannot_be_written_is_one_line(in_workspace, command):
    (in_workspace / "file").write_text("in the way")
    assert "file" in command("describe", "tiny", *HOURLY, "--out", "file/x.md").refused(1)


def test_the_series_is_that_of_the_measure_at_each_decision(in_workspace):
    path = prices(700, 9)
    days_file(in_workspace, "days", X=path)
    day = parse_duration("1d")
    spec = find_panel("days", [in_workspace / "panels"])
    (found,) = describe_volatility(spec, Question("rv", day, day)).symbols
    written = np.round(path, 6)
    assert found.log_sigma == pytest.approx(np.log(np.abs(np.diff(np.log(written)))), abs=1e-9)
    assert found.log.mean == pytest.approx(found.log_sigma.mean())
    assert found.level.mean == pytest.approx(np.exp(found.log_sigma).mean())


def test_the_default_measure_is_the_best_that_the_bars_allow():
    day, week = parse_duration("1d"), parse_duration("7d")
    sp500 = read_panel(PANELS / "sp500-daily.toml")  # has no open
    assert default_measure(sp500, day) == "pk"
    assert default_measure(sp500, week) == "rv"
    assert default_measure(read_panel(PANELS / "nasdaq-daily.toml"), day) == "gk"
    assert default_measure(read_panel(PANELS / "vix-daily.toml"), day) == "vix"
    assert default_measure(read_panel(PANELS / "simulated-1m.toml"), day) == "rv"


def test_twenty_years_of_the_sp500_are_rough():
    spec = read_panel(PANELS / "sp500-daily.toml")
    day = parse_duration("1d")
    (found,) = describe_volatility(spec, Question("pk", day, day)).symbols
    assert found.log.n == 5031
    assert 0.05 < found.laws["variogram"].hurst < 0.10
    assert 1.0 < found.laws["dfa"].exponent < 1.1
    # A month's realised volatility every day, as a rolling window of returns gives it: smooth.
    month = Question("rv", parse_duration("22d"), day)
    (smooth,) = describe_volatility(spec, month).symbols
    assert 0.5 < smooth.laws["variogram"].hurst < 0.7
    assert smooth.log.mean + 0.5 * math.log(252) == pytest.approx(-1.9, abs=0.15)


def test_the_page_has_words_for_every_method_of_roughness():
    assert list(WORDS) == list(METHODS)
