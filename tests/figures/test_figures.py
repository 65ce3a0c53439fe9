"""Figures: the same bytes for the same input, words for every series, readable on any page."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.workspace import ROOT

from harness.figures import distribution, fits, risk, roughness, scores, style

DAY = 86_400_000_000_000
STARTS = 1_609_545_600_000_000_000 + 30 * DAY * np.arange(21)
NAN = np.full(21, np.nan)
WILD = ["har", "$x_1$ & <b>", "_hidden"]


def noise(n, seed=0):
    return 1.0 + np.random.default_rng(seed).random(n)


def named(n, names=WILD):
    return {name: noise(n, seed) for seed, name in enumerate(names)}


def scaling(n=8, used=6):
    x = np.arange(1.0, n + 1)
    return roughness.ScalingLine(
        x, 0.4 * x + noise(n) / 9, x <= used, 0.4, 0.1, ("log2 lag", "log2 m")
    )


# name -> the figure, and every word its legend or axes must hold
EXAMPLES = {
    "loss_over_windows": (
        lambda: scores.loss_over_windows(STARTS, named(21), "QLIKE", "nats"),
        [*WILD, "QLIKE (nats)"],
    ),
    "forecast_against_outcome": (
        lambda: scores.forecast_against_outcome(
            STARTS[0] + DAY * np.arange(900), noise(900), named(900), "rv over 1d", "σ per bar"
        ),
        [
            *WILD,
            "outcome",
            "(σ per bar, log axis)",
            "time (UTC), the last 300 of 900 forecast origins",
        ],
    ),
    "calibration_by_decile": (
        lambda: scores.calibration_by_decile(noise(90, 9), named(90), "ln rv over 1d", "ln σ"),
        [*WILD, "as forecast", "mean outcome (ln σ)"],
    ),
    "by_group_bars": (
        lambda: scores.by_group_bars(
            {"calm": dict.fromkeys(WILD, 0.2), "crisis": {"har": 0.4, WILD[1]: np.nan}},
            "QLIKE",
            "nats",
        ),
        [*WILD, "calm", "crisis", "n/a", "QLIKE (nats)"],
    ),
    "adaptation_curves": (
        lambda: scores.adaptation_curves(np.arange(21), named(21), "QLIKE", "nats"),
        [*WILD, "cumulative QLIKE (nats)", "forecast origins since the volatility shift was known"],
    ),
    "memory_curve": (
        lambda: scores.memory_curve(
            [5, 10, 20, 40],
            {"lstm": [3.0, 2.0, 1.5, 1.75], "none": [np.nan] * 4},
            "sequence_length",
            "QLIKE",
            "nats",
            higher_is_better=False,
        ),
        ["lstm, best at 20: 1.5", "none (no data)", "sequence_length", "QLIKE (nats)"],
    ),
    "training_history": (
        lambda: fits.training_history(
            np.arange(1, 31), named(30, ["training", "validation"]), "QLIKE", "nats", kept=12
        ),
        ["training", "validation", "weights kept: epoch 12", "epoch", "QLIKE (nats)"],
    ),
    "weights_by_epoch": (
        lambda: fits.weights_by_epoch(
            np.arange(1, 31), {"weight of HAR": np.full(30, 0.9)}, kept=7
        ),
        ["weight of HAR", "weights kept: epoch 7", "epoch", "mean weight (share of 1)"],
    ),
    "coefficients_through_time": (
        lambda: fits.coefficients_through_time(STARTS, {**named(21), "const": NAN}),
        [*WILD, "const (no data)", "coefficient (as fitted)"],
    ),
    "attention_by_lag": (
        lambda: fits.attention_by_lag(np.arange(20), np.full(20, 0.05)),
        ["mean attention weight", "equal weights: 1/20", "weight (share of 1)"],
    ),
    "scaling_plot": (
        lambda: roughness.scaling_plot(dict.fromkeys(["Variogram", "DFA", "R/S"], scaling())),
        ["Variogram", "DFA", "R/S", "slope 0.400", "points fitted", "left out", "log2 lag"],
    ),
    "returns_and_var": (
        lambda: risk.returns_and_var(
            STARTS, np.linspace(-0.04, 0.02, 21), {"har": np.full(21, -0.0355), "none": NAN}, 0.01
        ),
        [
            "return",
            "VaR har: 2 of 21 below, 0.2 expected",
            "VaR none: 0 of 0 below, 0.0 expected (no data)",
            "log return over the horizon",
        ],
    ),
    "pit_histogram": (
        lambda: distribution.pit_histogram(
            np.linspace(0, 1, 11), {law: named(10) for law in ("conformal", "normal")}
        ),
        [*WILD, "conformal", "normal", "density (1 is calibrated)", "PIT of the outcome"],
    ),
    "fan_of_quantiles": (
        lambda: distribution.fan_of_quantiles(
            STARTS,
            noise(21),
            {m: {0.05: noise(21) - 0.9, 0.5: noise(21), 0.95: noise(21) + 1} for m in WILD[:2]},
            "rv over 1d",
            "σ per bar",
            log=True,
        ),
        [*WILD[:2], "rv over 1d", "(σ per bar, log axis)", "time (UTC)"],
    ),
    "log_series": (
        lambda: roughness.log_series(
            STARTS[0] + DAY * np.arange(4000), {"_X": noise(4000)}, "per 1-minute bar"
        ),
        ["_X", "ln σ (σ: per 1-minute bar)", "time (UTC), means of 3 neighbours"],
    ),
}


@cache
def drawn(name):
    return EXAMPLES[name][0]()


SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    """Every text of the figure; that it parses is half of the test."""
    texts = ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]
    return [text.replace("\u200b", "") for text in texts]


def test_every_figure_has_an_example():
    made = {
        name
        for module in (scores, fits, roughness, risk, distribution)
        for name, thing in vars(module).items()
        if name[0] != "_" and getattr(thing, "__module__", "") == module.__name__
    }
    assert made - {"ScalingLine"} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_figure_is_well_formed_and_names_every_series_and_unit(name):
    assert set(EXAMPLES[name][1]) <= set(words(drawn(name)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_figure_holds_no_day_no_path_and_no_font_of_this_machine(name):
    text = drawn(name).decode()
    fonts = set(re.findall(r"font-family: ([^;\"]*)", text))
    assert fonts == {"'DejaVu Sans', 'Verdana', 'Arial', 'Helvetica', sans-serif"}
    assert "metadata" not in text
    assert str(Path.home()) not in text
    links = set(re.findall(r"https?://[^\"\s]*", text))
    assert all(link.startswith("http://www.w3.org/") for link in links)


def digests():
    return {name: hashlib.sha256(drawn(name)).hexdigest() for name in EXAMPLES}


def test_the_same_input_gives_the_same_bytes_again_and_in_another_process(tmp_path):
    here = digests()
    for name, (draw, _) in EXAMPLES.items():
        assert draw() == drawn(name), name
    # Another folder, another zone, another user's matplotlibrc; and no pyplot, so no global state.
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    paths = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/figures")]
    code = "import sys, test_figures as t; print(t.digests(), 'matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"{here} False"


def test_a_figure_changes_with_its_input():
    first = scores.loss_over_windows(STARTS, {"har": noise(21)}, "QLIKE", "nats")
    assert first != scores.loss_over_windows(STARTS, {"har": noise(21, 1)}, "QLIKE", "nats")


def test_drawing_leaves_matplotlib_as_it_was():
    import matplotlib as mpl

    # Not its backend: to look at that one would choose one, and import pyplot.
    before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
    EXAMPLES["loss_over_windows"][0]()
    assert {key: mpl.rcParams[key] for key in before} == before


EMPTY = {
    "loss_over_windows": lambda x, y: scores.loss_over_windows(x, y, "QLIKE", "nats"),
    "forecast_against_outcome": lambda x, y: scores.forecast_against_outcome(
        x, np.full(len(x), np.nan), y, "rv", "σ"
    ),
    "calibration_by_decile": lambda x, y: scores.calibration_by_decile(x, y, "ln rv", "ln σ"),
    "by_group_bars": lambda _, y: scores.by_group_bars(
        {"calm": {m: v[0] for m, v in y.items()}} if y else {}, "QLIKE", "nats"
    ),
    "adaptation_curves": lambda x, y: scores.adaptation_curves(x, y, "QLIKE", "nats"),
    "memory_curve": lambda x, y: scores.memory_curve(
        x, y, "length", "QLIKE", "nats", higher_is_better=True
    ),
    "training_history": lambda x, y: fits.training_history(x, y, "QLIKE", "nats"),
    "weights_by_epoch": fits.weights_by_epoch,
    "coefficients_through_time": fits.coefficients_through_time,
    "attention_by_lag": lambda x, _: fits.attention_by_lag(x, np.full(len(x), np.nan)),
    "scaling_plot": lambda _, y: roughness.scaling_plot(
        {
            m: roughness.ScalingLine(
                np.arange(21.0), v, np.zeros(21), np.nan, np.nan, ("log2 lag", "log2 m")
            )
            for m, v in y.items()
        }
    ),
    "returns_and_var": lambda x, y: risk.returns_and_var(x, np.full(len(x), np.nan), y, 0.01),
    "pit_histogram": lambda x, y: distribution.pit_histogram(
        np.linspace(0.0, 1.0, len(x) + 1), {"conformal": y} if y else {}
    ),
    "fan_of_quantiles": lambda x, y: distribution.fan_of_quantiles(
        x, np.full(len(x), np.nan), {m: {0.1: v, 0.9: v} for m, v in y.items()}, "rv", "σ", log=True
    ),
    "log_series": lambda x, y: roughness.log_series(x, y, "per bar"),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("series", [{}, {"har": NAN}, {"har": NAN * np.inf}], ids=str)
def test_a_figure_of_nothing_says_so(name, series):
    x = STARTS if series else STARTS[:0]
    assert "no data" in words(EMPTY[name](x, series))


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"by_group_bars", "scaling_plot"}))
def test_series_of_another_length_are_refused_by_the_figures_name(name):
    draw = EMPTY[name]
    if name == "attention_by_lag":
        with pytest.raises(ValueError, match="attention_by_lag: weights: got shape"):
            fits.attention_by_lag(np.arange(3), np.ones(4))
        return
    with pytest.raises(ValueError, match=rf"{name}: har: got shape \(5,\), wanted \(21,\)"):
        draw(STARTS, {"har": np.ones(5)})


def test_a_calibration_shows_the_mean_outcome_of_every_decile():
    forecast = noise(95, 3) ** 3
    outcome = 2.0 * forecast - 1.0
    means, outcomes = scores._by_decile(outcome, forecast)
    ordered = np.sort(forecast)
    assert means.size == 10
    assert means[0] == pytest.approx(ordered[:10].mean())
    np.testing.assert_allclose(outcomes, 2.0 * means - 1.0)
    few, _ = scores._by_decile(np.array([1.0, np.nan, 3.0]), np.array([5.0, 4.0, 2.0]))
    assert few.tolist() == [2.0, 5.0]


def test_dates_may_be_nanoseconds_datetimes_or_text():
    stamps = STARTS.view("datetime64[ns]")
    figures = {
        scores.loss_over_windows(times, {"har": noise(21)}, "QLIKE", "nats")
        for times in (STARTS, stamps, [str(t) for t in stamps])
    }
    assert len(figures) == 1


@pytest.mark.parametrize("days", [0.2, 1, 2, 12, 61, 200, 299, 301, 400, 1499, 6000])
def test_dates_on_the_axis_never_repeat(days):
    times = STARTS[0] + (days * DAY * np.linspace(0, 1, 50)).astype(np.int64)
    shown = [
        w
        for w in words(scores.loss_over_windows(times, {"har": noise(50)}, "QLIKE", "nats"))
        if re.match(r"\d{4}($|-)|\d\d-\d\d \d\d:\d\d", w)
    ]
    assert 2 <= len(shown) == len(set(shown)) <= 10


def luminance(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722], linear


def contrast(a, b):
    low, high = sorted((luminance(a)[0], luminance(b)[0]))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_every_colour_can_be_seen_on_light_and_dark(page):
    assert contrast(style.GREY, page) > 4.2
    assert min(contrast(colour, page) for colour in style.COLOURS) > 3


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def lab(linear):
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    f = np.cbrt(to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_the_colour_blind(sight):
    seen = [lab(np.asarray(SIGHT[sight]) @ luminance(colour)[1]) for colour in style.COLOURS]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 10  # CIE76; about 2 can just be told apart


def test_no_two_of_fifteen_series_look_alike():
    lines = {(str(v["color"]), str(v["linestyle"])) for v in (style.look(i, 9) for i in range(15))}
    bars = {(v["color"], v["hatch"]) for v in map(style.bar_look, range(15))}
    assert len(lines) == len(bars) == 15


def test_a_long_quantity_stays_on_its_figure(monkeypatch):
    drawn = []

    def kept(*args, **options):
        drawn.append(make_figure(*args, **options))
        return drawn[-1]

    make_figure = style.make_figure
    monkeypatch.setattr(style, "make_figure", kept)
    quantity = "rv over the 20d that end in 45d, sh.600061 (exponential of its expected logarithm)"
    many = [f"a model with a long name {k}" for k in range(4)]
    scores.forecast_against_outcome(STARTS, noise(21), named(21, many), quantity, "σ per bar")
    fans = {name: {p: noise(21) for p in (0.05, 0.95)} for name in many}
    distribution.fan_of_quantiles(STARTS, noise(21), fans, quantity, "σ per bar", log=True)
    assert len(drawn) == 2
    for figure in drawn:
        for axes in figure.axes:
            label = axes.yaxis.label.get_window_extent()
            assert 0.0 <= label.y0 < label.y1 <= figure.bbox.height
