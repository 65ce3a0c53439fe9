"""A split over assets, and panels of random portfolios: who is in them, their bars, whole runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import workspace
from support.runs import assert_same, study

from harness.durations import parse_moment
from harness.errors import HarnessError, PanelError, SpecError
from harness.panel.identity import panel_identity
from harness.panel.panel import open_panel
from harness.panel.reading import find_panel, read_panel
from harness.spec.reading import parse_hypothesis
from harness.study.study import set_up

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
STOCKS = """\
[panel]
name = "stocks"
title = "Daily closes of simulated stocks"
bar = "1d"
calendar = "sessions"
timezone = "UTC"

[source]
kind = "csv"
path = "stocks.csv"

[columns]
ts = "date"
symbol = "symbol"
close = "close"
"""
BASKETS = """\
[panel]
name = "baskets"
title = "Random portfolios of simulated stocks"
bar = "1d"
calendar = "sessions"
timezone = "UTC"

[source]
kind = "portfolios"
panel = "stocks"
count = 3
least = 2
most = 3
seed = 4
began_by = "2021-02-01"
without_draw = 4
"""
MODEL = """[models.net]
kind = "deepvol"
layers = 1
width = 4
sequence_length = 60
batch = 4
least_stocks = 2
most_stocks = 3
epochs = 1
device = "cpu"

"""
SPEC = workspace.changed(
    ('[panel]\nname = "tiny"', '[panel]\nname = "stocks"\nunseen = true'),
    ('every = "1h"', 'every = "1d"'),
    ('scales = ["1h", "4h", "1d"]', 'scales = ["1d"]'),
    ('horizons = ["1h", "4h"]\nback = "lognormal"', 'horizons = ["1d"]'),
    ('scale = "log"', 'scale = "level"'),
    ('train = "10d"\ntest = "5d"', 'train = "10mo"\ntest = "1mo"'),
    ("2021-01-13", "2021-11-01"),
    ('["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', '["rv_1d", "mean(rv_1d, 5)"]'),
    ('metric = "r2_log"\nhorizon = "4h"', 'metric = "qlike"\nhorizon = "1d"'),
    ("[verdict]", MODEL + '[source]\nname = "stocks"\ndraw = 4\n\n[verdict]'),
    ('candidates = ["har"]', 'candidates = ["net"]'),
)  # fmt: skip


def write_stocks(folder: Path, n: int = 10, days: int = 500) -> None:
    """Stocks A0 to A9 from 2021 on; A9 is listed in March."""
    rng = np.random.default_rng(8)
    dates = pl.date_range(pl.date(2021, 1, 1), pl.date(2023, 1, 1), eager=True)[:days]
    frames = []
    for k in range(n):
        own = dates[75 if k == 9 else 0 :]
        own = own.filter(pl.Series(rng.random(own.len()) > 0.02))
        close = 50.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(own.len())))
        frames.append(pl.DataFrame({"symbol": f"A{k}", "date": own, "close": close}))
    pl.concat(frames).write_csv(folder / "stocks.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "panels").mkdir()
    write_stocks(tmp_path / "panels")
    for name, text in (("stocks", STOCKS), ("baskets", BASKETS)):
        (tmp_path / f"panels/{name}.toml").write_text(text)
    return tmp_path


def opened(folder: Path, name: str = "baskets", **span: Any) -> Any:
    spec = read_panel(folder / f"panels/{name}.toml")
    span = {key: parse_moment(value) for key, value in span.items()}
    return open_panel(spec, **{"start": None, "end": None, **span}, columns=["close"])


# --- portfolios


def test_a_portfolio_is_its_members_weighted_on_the_dates_that_all_have(folder):
    panel = opened(folder)
    source = panel.source
    assert panel.symbols == ("P0001", "P0002", "P0003")
    seen = set(
        set_up(parse_hypothesis(SPEC, Path("x.toml")), [folder / "panels"]).source.panel.symbols
    )
    held = set(panel.made_of)
    assert held and not held & seen and "A9" not in held
    frame = pl.read_csv(folder / "panels/stocks.csv", try_parse_dates=True)
    for bars in panel.bars():
        members, weights = source._holding(bars.symbol)
        assert (
            2 <= len(members) <= 3 and weights.sum() == pytest.approx(1.0) and (weights > 0).all()
        )
        wide = frame.pivot("symbol", index="date", values="close").sort("date")
        wide = wide.select("date", *members).drop_nulls()
        prices = wide.select(members).to_numpy()
        assert (bars.ts == wide["date"].cast(pl.Datetime("ns")).to_physical().to_numpy()).all()
        value, close = 100.0, [100.0]
        for today, before in zip(prices[1:], prices[:-1], strict=True):
            value *= 1.0 + sum(
                w * (a / b - 1.0) for w, a, b in zip(weights, today, before, strict=True)
            )
            close.append(value)
        assert bars.columns["close"] == pytest.approx(close)


def test_a_portfolio_is_the_same_whatever_span_and_symbols_are_read(folder):
    whole = {b.symbol: b for b in opened(folder).bars()}
    early = {b.symbol: b for b in opened(folder, end="2021-09-01").bars()}
    for symbol, bars in early.items():
        n = bars.n
        assert bars.columns["close"].tobytes() == whole[symbol].columns["close"][:n].tobytes()
    late = {b.symbol: b for b in opened(folder, start="2021-06-01").bars()}
    for symbol, bars in late.items():
        own, every = (np.diff(np.log(b.columns["close"])) for b in (bars, whole[symbol]))
        assert own == pytest.approx(every[-own.size :])
    (alone,) = opened(folder).only(("P0002",)).bars()
    assert alone.fingerprint == whole["P0002"].fingerprint


def test_a_portfolio_s_identity_and_meaning_follow_its_members(folder):
    before = opened(folder).identity()
    meaning = panel_identity(read_panel(folder / "panels/baskets.toml"), ("close",))
    write_stocks(folder / "panels", days=499)
    assert opened(folder).identity() != before
    stocks = folder / "panels/stocks.toml"
    stocks.write_text(STOCKS.replace('timezone = "UTC"', 'timezone = "UTC"\non_bad = "exclude"'))
    spec = read_panel(folder / "panels/baskets.toml")
    assert panel_identity(spec, ("close",)) != meaning
    assert spec.levelled and spec.members.name == "stocks"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("most = 3", "most = 7")], "source.most: too few assets for a portfolio: 5 symbols"),
        ([("without_draw = 4", "without_draw = 40")], "without_draw: got 40, wanted at most 10"),
        ([("least = 2", "least = 4")], "source.most: got 3, wanted at least source.least, 4"),
        ([('panel = "stocks"', 'panel = "stoks"')], "source.panel: got 'stoks', wanted another"),
        ([('panel = "stocks"', 'panel = "baskets"')], "source.panel: got 'baskets', wanted"),
        ([('began_by = "2021-02-01"', 'began_by = "soon"')], "source.began_by: got 'soon'"),
        ([('bar = "1d"', 'bar = "1h"'), ('"sessions"', '"24/7"')], "wanted a panel of 1h bars"),
        ([("seed = 4", "seed = 4\n[columns]\nts = 'x'")], "columns: wanted no such section: kind"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_panel_of_portfolios_is_named(folder, changes, words):
    text = BASKETS
    for old, new in changes:
        text = text.replace(old, new, 1)
    (folder / "panels/baskets.toml").write_text(text)
    with pytest.raises(HarnessError) as refused:
        opened(folder)
    assert words in str(refused.value)


def test_a_member_whose_bars_are_refused_is_named(folder):
    (folder / "panels/stocks.toml").write_text(
        STOCKS.replace('timezone = "UTC"', 'timezone = "UTC"\non_bad = "exclude"')
    )
    member = opened(folder).made_of[0]
    file = folder / "panels/stocks.csv"
    lines = file.read_text().splitlines()
    row = next(k for k, line in enumerate(lines) if line.startswith(member))
    lines[row] = ",".join([*lines[row].split(",")[:2], "-1.0"])
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(PanelError, match=f"source.panel: {member} of stocks is in a portfolio"):
        list(opened(folder).bars())


# --- what is unseen


def planned(folder: Path, *changes: tuple[str, str]) -> Any:
    hypothesis = parse_hypothesis(workspace.changed(*changes, text=SPEC), Path("x.toml"))
    return set_up(hypothesis, [folder / "panels"])


def test_panel_and_source_share_no_symbol(folder):
    found = planned(folder)
    seen, unseen = found.source.panel.symbols, found.panel.symbols
    assert not set(seen) & set(unseen)
    assert len(seen) == 4 and len(unseen) == 6
    fewer = planned(folder, ("unseen = true", "unseen = true\ndraw = 2"))
    assert len(fewer.panel.symbols) == 2 and set(fewer.panel.symbols) < set(unseen)
    # A source that ends earlier has seen what it has seen.
    early = planned(folder, ("draw = 4", 'draw = 4\nend = "2021-02-01"'))
    assert not set(early.source.panel.symbols) & set(early.panel.symbols)


def test_portfolios_of_unseen_symbols_are_held_to_it(folder):
    panel = ('name = "stocks"\nunseen', 'name = "baskets"\nunseen')
    found = planned(folder, panel)
    assert not set(found.panel.made_of) & set(found.source.panel.symbols)
    with pytest.raises(SpecError, match=r"panel.unseen: got true, wanted a panel without symbols"):
        planned(folder, panel, ("draw = 4", "draw = 9"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("draw = 4", "draw = 10")], "panel.unseen: got true, wanted a [source] that leav"),
        ([('[source]\nname = "stocks"', '[source]\nname = "tiny"')],
         "unless source.name is 'stocks'"),
        ([("draw = 4", "draw = 4\nunseen = true")], "source.unseen: got true, wanted no such key"),
        ([('"tiny-har"', '"x"'), (MODEL, ""), ('[source]\nname = "stocks"\ndraw = 4\n', ""),
          ('candidates = ["net"]', 'candidates = ["har"]')],
         "panel.unseen: got true, wanted no such key without [source]"),
        ([("most_stocks = 3", "most_stocks = 1")],
         "net.most_stocks: got 1, wanted at least models"),
        ([('every = "1d"\nscales = ["1d"]', 'every = "1d"\nscales = ["1d", "2d"]'),
          ('horizons = ["1d"]', 'horizons = ["1d", "2d"]')],
         "models.net.kind: got 'deepvol', wanted a kind that forecasts more than one step"),
    ],
)  # fmt: skip
def test_a_mistake_in_what_is_unseen_is_one_line(folder, changes, words):
    (folder / "panels/tiny.toml").write_text(workspace.PANEL)
    with pytest.raises(SpecError) as refused:
        planned(folder, *changes)
    assert words in str(refused.value)


def test_a_symbol_asked_for_that_was_seen_is_named(folder):
    seen = planned(folder).source.panel.symbols[0]
    with pytest.raises(SpecError, match=rf"panel.symbols\[0\]: got '{seen}', wanted a symbol that"):
        planned(folder, ("unseen = true", f'unseen = true\nsymbols = ["{seen}"]'))


def test_the_key_is_not_in_the_hash_of_a_file_without_it():
    plain, said, other = (
        parse_hypothesis(
            workspace.changed(("unseen = true", text), text=SPEC) if text else SPEC, Path("x")
        )
        for text in ("end = '2030-01-01'", "end = '2030-01-01'\nunseen = false", "")
    )
    assert plain.spec_hash == said.spec_hash != other.spec_hash


# --- whole runs


@needs_torch
@pytest.mark.parametrize("panel", ["stocks", "baskets"])
def test_a_run_states_the_split_and_is_made_again_the_same(folder, panel, monkeypatch, command):
    monkeypatch.setattr("harness.study.study.fits_folder", lambda: folder / "fits")
    text = workspace.changed(('name = "stocks"\nunseen', f'name = "{panel}"\nunseen'), text=SPEC)
    log, run_id = study(folder, text)
    record = log.read(run_id)
    assert record["audit"]["leaks"] == [] if "leaks" in record["audit"] else True
    assert record["verdict"]["status"] != "void"
    assert record["panel"]["unseen"] is True
    assert len(record["source"]["symbols"]) == 4
    assert "| split over assets | " in record["card"]
    assert "is among the 4 symbols used for pretraining" in record["card"]
    if panel == "baskets":
        assert not set(record["panel"]["made_of"]) & set(record["source"]["symbols"])
    assert_same((log, run_id), study(folder, text))
    monkeypatch.chdir(folder)
    (folder / "hypotheses").mkdir(exist_ok=True)
    (folder / "hypotheses/x.toml").write_text(text)
    plan = command("plan", "hypotheses/x.toml", "--json").done().json
    assert plan["source"] == "stocks, 4 symbols" and plan["split over assets"] == "yes"
    assert [t["model"] for t in plan["training"]] == ["net"]


def test_a_panel_of_portfolios_is_found_like_any_other(folder):
    assert find_panel("baskets", [folder / "panels"]).kind == "portfolios"
