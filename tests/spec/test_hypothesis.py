"""Hypothesis files: what is accepted, what each mistake is told, what the hash covers."""

# ruff: noqa: E501 - a message stands here as the user sees it: on one line

from __future__ import annotations

import json
import pickle
import re
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.durations import Duration, parse_moment
from harness.errors import SpecError, UsageError
from harness.measures.table import MEASURES
from harness.models.table import KINDS
from harness.spec.hypothesis import Hypothesis, canonical
from harness.spec.reading import check_measures, load_hypothesis, parse_hypothesis

GOOD = '''
[hypothesis]
name = "har-rv-j"
title = "HAR-RV-J: jump-augmented volatility forecast"
claim = "Splitting improves the 4h forecast by at least 3 points of R2 (log)."
approach = """
Free text."""

[panel]
name = "btcusdt-1m"
start = "2020-01-01"
end = "2026-04-03"

[sample]
every = "1h"
scales = ["1h", "4h", "1d"]
measures = ["rv", "bv", "j"]

[target]
measure = "rv"
scale = "log"
horizons = ["1h", "4h", "1d"]
back = "lognormal"

[walk_forward]
scheme = "rolling"
train = "12mo"
test = "3mo"
embargo = "1d"
first_test = "2021-01-02"

[models.persistence]
kind = "persistence"

[models.smooth]
kind = "ewma"

[models.har-rv]
kind = "ols"
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]

[models.har-rv-j]
kind = "ols"
features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)", "log1p(j_h)"]

[verdict]
baseline = "har-rv"
candidates = ["har-rv-j", "smooth"]
metric = "r2_log"
horizon = "4h"
min_gain = 0.03
alpha = 0.05
'''
PATH = Path("h.toml")
DURATIONS = "a duration above 0 such as '30m', '4h', '1d', '2w', '12mo' or '5y'"
EMBARGO = "a fixed duration such as '1h' or '1d', or '0d' for no embargo"
FIXED = "a fixed duration above 0 such as '30m', '4h', '1d' or '2w'"
NAMES = "a name of a-z, 0-9 and '-' that starts with a letter or digit, at most 60 long"
MOMENTS = "a date such as 2021-01-02 or 2021-01-02T06:00Z, from 1900 to 2199"
FUNCTION_NAMES = (
    "log, log1p, sqrt, square, abs, positive, negative, lag, mean, ewma, panel_mean, panel_sd"
)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def parse(text: str) -> Hypothesis:
    return parse_hypothesis(text, PATH)


def message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_good_file_is_read_whole(tmp_path):
    path = tmp_path / "har.toml"
    path.write_text(GOOD, encoding="utf-8")
    h = load_hypothesis(str(path))
    assert (h.path, h.text) == (path, GOOD)
    assert h.identity.approach == "Free text."
    assert h.panel.start == parse_moment("2020-01-01")
    assert h.sample.scales == (Duration(1, "h"), Duration(4, "h"), Duration(1, "d"))
    assert (h.sample.bipower_edge, h.sample.floor) == ("inside", 1e-6)
    assert h.walk_forward.train == Duration(12, "mo")
    assert h.walk_forward.step == h.walk_forward.test == Duration(3, "mo")
    assert list(h.models) == ["persistence", "smooth", "har-rv", "har-rv-j"]
    assert h.models["smooth"].params.decay == 0.94
    assert h.models["har-rv-j"].params.features[3] == "log1p(j_h)"
    assert (h.verdict.gain_as, h.verdict.horizon, h.run.seed) == ("difference", Duration(4, "h"), 1)


def test_a_hypothesis_is_frozen_and_travels_between_processes():
    h = parse(GOOD)
    with pytest.raises(FrozenInstanceError):
        h.path = Path("other")
    with pytest.raises(ValidationError):
        h.verdict.min_gain = 0.0
    assert pickle.loads(pickle.dumps(h)) == h


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'every = "1h"',
            'evry = "1h"',
            "sample.evry: got 'evry', wanted one of the keys every, scales, measures, "
            "bipower_edge, floor, interval, jump_alpha; did you mean 'every'?",
        ),
        ('train = "12mo"\n', "", "walk_forward.train: wanted this key, which is missing: " + DURATIONS),
        ("[panel]\n", "[panel]\nsymbols = []\n", "panel.symbols: got [], wanted a list of symbols such as ['SPY']"),
        ("[panel]\n", "[panel]\nsymbols = ['A', 'A']\n", "panel.symbols[1]: got 'A', wanted symbols without repeats"),
        ("[panel]\n", "[panel]\ndraw = 0\n", "panel.draw: got 0, wanted a whole number of symbols from 1 on"),
        ("[panel]\n", "[panel]\ndraw_seed = 3\n", "panel.draw_seed: got 3, wanted no such key without panel.draw"),
        (
            "[panel]\n",
            "[panel]\ndraw = 1\nsymbols = ['A']\n",
            "panel.draw: got 1, wanted no such key together with panel.symbols",
        ),
        ("[panel]\n", "[panel]\nmin_history = 10\n", f"panel.min_history: got 10, wanted {DURATIONS}"),
        ('test = "3mo"', 'test = "3x"', f"walk_forward.test: got '3x', wanted {DURATIONS}"),
        (
            'train = "12mo"',
            'train = "51y"',
            f"walk_forward.train: got '51y', wanted {DURATIONS}, at most 50 years",
        ),
        ('every = "1h"', "every = 60", f"sample.every: got 60, wanted {FIXED}"),
        (
            'embargo = "1d"',
            'embargo = "1mo"',
            f"walk_forward.embargo: got '1mo', wanted {EMBARGO}",
        ),
        ('embargo = "1d"', 'embargo = "0"', f"walk_forward.embargo: got '0', wanted {EMBARGO}"),
        (
            '"1h", "4h", "1d"]\nmeasures',
            '"1h", "4h", "1d", "60m"]\nmeasures',
            "sample.scales[3]: got '60m', wanted scales without repeats",
        ),
        ("measures = [", "measures = 3 # [", "sample.measures: got 3, wanted a list of measures such as ['rv', 'bv']"),
        (
            '"rv", "bv", "j"]',
            '"rv", "BV"]',
            "sample.measures[1]: got 'BV', wanted a measure ("
            f"{', '.join(MEASURES)}, or a panel's extra column)",
        ),
        (
            'back = "lognormal"',
            'back = "smear"',
            "target.back: got 'smear', wanted one of naive, lognormal, smearing; did you mean 'smearing'?",
        ),
        (
            'back = "lognormal"\n',
            "",
            "target.back: wanted one of naive, lognormal, smearing, because target.scale is 'log'",
        ),
        (
            'scale = "log"\n',
            'scale = "level"\n',
            "target.back: got 'lognormal', wanted no such key, because target.scale is 'level'",
        ),
        ("[sample]", "[sampel]", "sampel: got 'sampel', wanted one of the keys hypothesis, panel, sample, target, walk_forward, models, verdict, regimes, sweep, risk, distribution, run, source, document; did you mean 'sample'?"),
        ("[verdict]", "[models.verdict]\nkind='persistence'\n[models.x]", f"models.x.kind: wanted this key, which is missing: one of {', '.join(KINDS)} (and 1 more mistake)"),
        ("[panel]", "[[panel]]", "panel: got [{'name': 'btcusdt-1m', 'start': '2020-01-01', 'end': '2026-04-03'}], wanted a table [panel]"),
        ('kind = "ewma"', 'kind = "emwa"', f"models.smooth.kind: got 'emwa', wanted one of {', '.join(KINDS)}; did you mean 'ewma'?"),
        ('kind = "ewma"', 'kind = "ewma"\ndecy = 0.9', "models.smooth.decy: got 'decy', wanted one of the keys kind, scope, refit, decay, rescale; did you mean 'decay'?"),
        ('kind = "ewma"', 'kind = "ewma"\ndecay = 1.0', "models.smooth.decay: got 1.0, wanted less than 1"),
        ('features = ["log(rv_1h)", "log(rv_4h)", "log(rv_1d)"]', "features = []", "models.har-rv.features: got [], wanted at least 1 item"),
        ("[models.smooth]", "[models.Smooth]", f"models.Smooth: got 'Smooth', wanted {NAMES}"),
        ('"log(rv_4h)"', '"lg(rv_4h)"', f"models.har-rv.features[1]: got 'lg(rv_4h)', wanted a feature expression ('lg' is not a function: there are {FUNCTION_NAMES}); did you mean 'log'?"),
        ('"log(rv_4h)"', '"log(rw_4h)"', "models.har-rv.features[1]: got 'log(rw_4h)', wanted columns of rv, bv, j over 1h, 4h, 1d or h (sample.measures, sample.scales), not rw_4h; did you mean 'rv_4h'?"),
        ('"log(rv_4h)"', '"log(rv_5h)"', "models.har-rv.features[1]: got 'log(rv_5h)', wanted columns of rv, bv, j over 1h, 4h, 1d or h (sample.measures, sample.scales), not rv_5h; did you mean 'rv_4h'?"),
        ('"log(rv_4h)"', '"log( rv_1h )"', "models.har-rv.features[1]: got 'log(rv_1h)', wanted features without repeats; at the horizon 1h it equals log(rv_1h)"),
        ('"log(rv_1d)"]', '"log(rv_h)"]', "models.har-rv.features[2]: got 'log(rv_h)', wanted features without repeats; at the horizon 1h it equals log(rv_1h)"),
        ('"4h", "1d"]\nback', '"4h", "2d"]\nback', "models.har-rv-j.features[3]: got 'log1p(j_h)', wanted every horizon in sample.scales, because j_h is j over the horizon; 2d is missing"),
        ('metric = "r2_log"', 'metric = "r2log"', "verdict.metric: got 'r2log', wanted one of ic, r2_log, mae_log, rmse, mae, mse, mse_var, qlike, corr, direction, mape, nll, quantile_loss, joint_loss, fz_loss; did you mean 'r2_log'?"),
        ('metric = "r2_log"', 'metric = ["r2_log"]', "verdict.metric: got ['r2_log'], wanted one of ic, r2_log, mae_log, rmse, mae, mse, mse_var, qlike, corr, direction, mape, nll, quantile_loss, joint_loss, fz_loss; did you mean 'r2_log'?"),
        ("min_gain = 0.03", "min_gain = '3%'", "verdict.min_gain: got '3%', wanted a number from 0 on"),
        ("min_gain = 0.03", "min_gain = inf", "verdict.min_gain: got inf, wanted a number from 0 on"),
        ("min_gain = 0.03", "min_gain = true", "verdict.min_gain: got true, wanted a number from 0 on"),
        ("min_gain = 0.03", "min_gain = 2.0", "verdict.min_gain: got 2.0, wanted below 1, since R² is a share: 2 points are 0.02"),
        ('metric = "r2_log"\nhorizon = "4h"\nmin_gain = 0.03', 'metric = "direction"\nhorizon = "4h"\nmin_gain = 3.0', "verdict.min_gain: got 3.0, wanted below 1, since direction is a share of rows, 0 to 1"),
        ('metric = "r2_log"\nhorizon = "4h"\nmin_gain = 0.03', 'metric = "qlike"\ngain = "relative"\nhorizon = "4h"\nmin_gain = 5.0', "verdict.min_gain: got 5.0, wanted below 1, since the gain is a share of the baseline's qlike: 2 % is 0.02"),
        ("alpha = 0.05", "alpha = 0.5", "verdict.alpha: got 0.5, wanted a number above 0 and below 0.5"),
        ("alpha = 0.05", "alpha = nan", "verdict.alpha: got nan, wanted a number above 0 and below 0.5"),
        ('metric = "r2_log"', 'metric = "nll"\ngain = "relative"', "verdict.gain: got 'relative', wanted 'difference': nll can be negative, so there is no relative gain"),
        ("alpha = 0.05", 'alpha = 0.05\ngain = "relative"', "verdict.gain: got 'relative', wanted 'difference': r2_log is not a loss, so there is no relative gain"),
        ("alpha = 0.05", "alpha = 0.05\n[run]\nseed = 1.5", "run.seed: got 1.5, wanted a whole number from 0 to 2^32 - 1"),
        ('horizon = "4h"', 'horizon = "4d"', "verdict.horizon: got '4d', wanted one of 1h, 4h, 1d; did you mean '4h'?"),
        ('baseline = "har-rv"', 'baseline = "har"', "verdict.baseline: got 'har', wanted one of persistence, smooth, har-rv, har-rv-j; did you mean 'har-rv'?"),
        ('"har-rv-j", "smooth"]', '"har-rv"]', "verdict.candidates[0]: got 'har-rv', wanted a model other than the baseline"),
        ('"har-rv-j", "smooth"]', '"smooth", "smooth"]', "verdict.candidates[1]: got 'smooth', wanted candidates without repeats"),
        ('"har-rv-j", "smooth"]', "]", "verdict.candidates: got [], wanted a list of models' names"),
        ('start = "2020-01-01"', 'start = "01/02/2020"', f"panel.start: got '01/02/2020', wanted {MOMENTS}"),
        ('start = "2020-01-01"', "start = 9999-12-31", f"panel.start: got 9999-12-31, wanted {MOMENTS}"),
        ('start = "2020-01-01"', "start = 0001-01-01T00:00:00+14:00", f"panel.start: got 0001-01-01 00:00:00+14:00, wanted {MOMENTS}"),
        ('start = "2020-01-01"', "start = 06:00:00", f"panel.start: got 06:00:00, wanted {MOMENTS}"),
        ('start = "2020-01-01"', "start = 2021-02-01", "walk_forward.first_test: got '2021-01-02', wanted a moment after panel.start, 2021-02-01"),
        ('end = "2026-04-03"', 'end = "2020-01-01"', "panel.end: got '2020-01-01', wanted a moment after panel.start, 2020-01-01 (and 1 more mistake)"),
        ('end = "2026-04-03"', 'end = "2021-01-02"', "walk_forward.first_test: got '2021-01-02', wanted a moment before panel.end, 2021-01-02"),
        ('test = "3mo"', 'test = "3mo"\nvalidation = "12mo"', "walk_forward.validation: got '12mo', wanted shorter than walk_forward.train, 12mo, of which it is a part"),
        ('test = "3mo"', 'test = "3mo"\nstep = "2mo"', "walk_forward.step: got '2mo', wanted at least walk_forward.test, 3mo, so that test windows do not overlap"),
        ('test = "3mo"', 'test = "3mo"\nstep = "91d"', "walk_forward.step: got '91d', wanted at least walk_forward.test, 3mo, so that test windows do not overlap"),
        ('name = "har-rv-j"', 'name = "../har"', f"hypothesis.name: got '../har', wanted {NAMES}"),
        ('name = "har-rv-j"', 'name = "har\\n"', f"hypothesis.name: got 'har\\n', wanted {NAMES}"),
        ('name = "har-rv-j"', f'name = "{"x" * 61}"', f"hypothesis.name: got '{'x' * 61}', wanted {NAMES}"),
        ('title = "HAR', 'title = "a\\nb', "hypothesis.title: got 'a\\nb-RV-J: jump-augmented volatility forecast', wanted one line of text"),
        ('claim = "Splitting', 'claim = "\\u001b[2J', "hypothesis.claim: got '\\x1b[2J improves the 4h forecast by at least 3 points of R2 (log).', wanted a sentence or two of text"),
        ("[panel]", '"a\\nb" = 1\n[panel]', "hypothesis.'a\\nb': got 'a\\nb', wanted one of the keys name, title, claim, approach"),
        ("min_gain = 0.03", f"min_gain = 0x{'f' * 5000}", "verdict.min_gain: got a number of thousands of digits, wanted a number from 0 on"),
        ('metric = "r2_log"', f"metric = 0x{'f' * 5000}", "verdict.metric: got a number of thousands of digits, wanted one of ic, r2_log, mae_log, rmse, mae, mse, mse_var, qlike, corr, direction, mape, nll, quantile_loss, joint_loss, fz_loss"),
        ("min_gain = 0.03", f"min_gain = {'9' * 5000}", None),
        ("[panel]", "[panel", "line 9: got '[panel', wanted TOML: expected ']' at the end of a table declaration (at line 9, column 7)"),
        ("[panel]", "[hypothesis]", "line 9: got '[hypothesis]', wanted TOML: cannot declare ('hypothesis',) twice (at line 9, column 12)"),
        ("[panel]", "a = " + "[" * 9000, "the file: wanted less deeply nested TOML"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_in_one_line(old, new, said):
    told = message(changed(old, new))
    if said is not None:
        assert told == f"h.toml: {said}"


def test_the_first_mistake_in_the_file_is_told_and_the_others_counted():
    text = changed('every = "1h"', 'every = "x"').replace("alpha = 0.05", "alpha = 2")
    text = text.replace('kind = "ewma"', 'kind = "emwa"')
    assert message(text) == f"h.toml: sample.every: got 'x', wanted {FIXED} (and 2 more mistakes)"


@pytest.mark.parametrize("section", re.findall(r"^\[([a-z_]+)\]$", GOOD, re.MULTILINE))
def test_every_section_is_required(section):
    without = re.sub(rf"^\[{section}\]\n(?:[^\[\n].*\n|\n)*", "", GOOD, flags=re.MULTILINE)
    assert section not in tomllib.loads(without)
    assert message(without) == (
        f"h.toml: {section}: wanted a section [{section}], which is missing"
    )


def test_the_models_are_required():
    without = re.sub(r"^\[models\.[a-z-]+\]\n(?:[^\[\n].*\n|\n)*", "", GOOD, flags=re.MULTILINE)
    assert message(without) == (
        "h.toml: models.NAME: wanted a section [models.NAME], which is missing"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file: wanted a hypothesis file, but it is empty"),
        (b" \n\n", "the file: wanted a hypothesis file, but it is empty"),
        (b"a = '\xff'", "the file: wanted a hypothesis file in UTF-8 (byte 5 is invalid)"),
        (b"#" * 1_000_001, "the file: wanted a hypothesis file of at most 1 MB"),
    ],
)
def test_a_file_that_is_no_spec_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "h.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_hypothesis(path)
    assert str(caught.value) == f"{path}: {said}"


def test_a_missing_file_is_told_the_nearest_one(tmp_path):
    (tmp_path / "har-rv-j.toml").write_text(GOOD)
    with pytest.raises(UsageError) as caught:
        load_hypothesis(tmp_path / "har-rv.toml")
    assert str(caught.value) == (
        f"{tmp_path / 'har-rv.toml'}: no such file, wanted a hypothesis file (TOML); "
        f"did you mean '{tmp_path / 'har-rv-j.toml'}'?"
    )


@pytest.mark.parametrize("name", [".", "x" * 5000, "a\0b"])
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(
        UsageError, match=r"cannot be read \(.+\), wanted a hypothesis file"
    ) as told:
        load_hypothesis(tmp_path / name)
    assert "\n" not in str(told.value)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path):
    path = tmp_path / "h.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_hypothesis(path).spec_hash == parse(GOOD).spec_hash


def test_measures_are_checked_against_the_panels_extra_columns():
    h = parse(changed('measures = ["rv", "bv", "j"]', 'measures = ["rv", "j", "vixx"]'))
    with pytest.raises(SpecError) as caught:
        check_measures(h, {"vix"})
    assert str(caught.value) == (
        f"h.toml: sample.measures[2]: got 'vixx', wanted one of {', '.join(MEASURES)}, vix; "
        "did you mean 'vix'?"
    )
    check_measures(h, {"vixx"})
    with pytest.raises(SpecError, match=r"target\.measure: got 'rvv'"):
        check_measures(parse(changed('measure = "rv"', 'measure = "rvv"')), ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[sample]", "# a remark\n\n[sample]  # and another"),
        ("HAR-RV-J: jump-augmented volatility forecast", "Another title"),
        ("Free text.", "Other text."),
        ("Splitting improves", "Splitting   improves"),
        ('start = "2020-01-01"', "start = 2020-01-01"),
        ('start = "2020-01-01"', "start = 2020-01-01T01:00:00+01:00"),
        ('every = "1h"', 'every = "60m"'),
        ('train = "12mo"', 'train = "1y"'),
        ('test = "3mo"', 'test = "3mo"\nstep = "3mo"'),
        ('every = "1h"', 'every = "1h"\nfloor = 0.000001\nbipower_edge = "inside"'),
        ('every = "1h"', 'every = "1h"\njump_alpha = 0.001'),
        ('kind = "ewma"', 'kind = "ewma"\ndecay = 0.94'),
        ('"log(rv_4h)"', '" log( rv_4h )"'),
        ("alpha = 0.05", 'alpha = 5e-2\ngain = "difference"\n[run]\nseed = 1'),
        ('["1h", "4h", "1d"]\nmeasures', '["1d", "4h", "1h"]\nmeasures'),
        ('["rv", "bv", "j"]', '["j", "bv", "rv"]'),
        ('["har-rv-j", "smooth"]', '["smooth", "har-rv-j"]'),
    ],
)
def test_how_a_hypothesis_is_written_does_not_change_its_hash(old, new):
    assert parse(changed(old, new)).spec_hash == parse(GOOD).spec_hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "har-rv-j"', 'name = "har-rv-jj"'),
        ("at least 3 points", "at least 2 points"),
        ('"btcusdt-1m"', '"btcusdt-5m"'),
        ('start = "2020-01-01"\n', ""),
        ('end = "2026-04-03"', 'end = "2026-04-04"'),
        ("[panel]\n", '[panel]\nsymbols = ["BTCUSDT"]\n'),
        ("[panel]\n", "[panel]\ndraw = 3\n"),
        ("[panel]\n", "[panel]\ndraw = 3\ndraw_seed = 2\n"),
        ("[panel]\n", '[panel]\nmin_history = "2y"\n'),
        ('every = "1h"', 'every = "2h"'),
        ('every = "1h"', 'every = "1h"\nfloor = 1e-7'),
        ('every = "1h"', 'every = "1h"\nbipower_edge = "straddle"'),
        ('every = "1h"', 'every = "1h"\ninterval = "5m"'),
        ('every = "1h"', 'every = "1h"\njump_alpha = 0.01'),
        ('"1d"]\nmeasures', '"1d", "1w"]\nmeasures'),
        ('measure = "rv"', 'measure = "bv"'),
        ('back = "lognormal"', 'back = "naive"'),
        ('"1d"]\nback', '"1d", "30m"]\nback'),
        ('"rolling"', '"expanding"'),
        ('train = "12mo"', 'train = "11mo"'),
        ('test = "3mo"', 'test = "3mo"\nstep = "4mo"'),
        ('embargo = "1d"', 'embargo = "2d"'),
        ('first_test = "2021-01-02"', 'first_test = "2021-01-03"'),
        ('kind = "persistence"', 'kind = "moving-average"\nwindow = 3'),
        ('kind = "ewma"', 'kind = "ewma"\ndecay = 0.95'),
        ('"log(rv_4h)"', '"log(bv_4h)"'),
        ('kind = "ols"', 'kind = "ols"\nintercept = false'),
        ("[models.smooth]", "[models.extra]\nkind = 'persistence'\n[models.smooth]"),
        ('baseline = "har-rv"', 'baseline = "persistence"'),
        (', "smooth"]', "]"),
        ('metric = "r2_log"', 'metric = "qlike"'),
        ('horizon = "4h"', 'horizon = "1d"'),
        ("min_gain = 0.03", "min_gain = 0.030000000000000002"),
        ("alpha = 0.05", "alpha = 0.01"),
        ("alpha = 0.05", "alpha = 0.05\n[run]\nseed = 2"),
        ("alpha = 0.05", 'alpha = 0.05\n[risk]\nlevels = [0.01]\nresiduals = ["t"]'),
    ],
)
def test_whatever_can_change_a_number_or_the_verdict_changes_the_hash(old, new):
    text = changed(old, new)
    if '"30m"' in new:  # j_h needs each horizon among the scales; compare within the change
        text = text.replace("log1p(j_h)", "log1p(j_4h)")
        assert parse(text).spec_hash != parse(text.replace(', "30m"]', "]")).spec_hash
    else:
        assert parse(text).spec_hash != parse(GOOD).spec_hash


def test_a_relative_gain_is_another_hypothesis_than_a_difference():
    text = changed('metric = "r2_log"', 'metric = "qlike"')
    relative = text.replace("alpha = 0.05", 'alpha = 0.05\ngain = "relative"')
    assert parse(relative).verdict.gain_as == "relative"
    assert parse(relative).spec_hash != parse(text).spec_hash


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(re.split(r"^(?=\[)", GOOD.strip() + "\n", flags=re.MULTILINE)[1:]), st.data()
)
def test_the_order_of_tables_and_keys_does_not_change_the_hash(tables, data):
    shuffled = []
    for table in tables:
        head, *keys = re.findall(r'^(?:\[.+|\w+ = """[^"]+""".*|\w+ = .+)$', table, re.MULTILINE)
        shuffled += [head, *data.draw(st.permutations(keys))]
    text = "\n".join(shuffled)
    assert tomllib.loads(text) == tomllib.loads(GOOD)
    assert parse(text).spec_hash == parse(GOOD).spec_hash


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_accepted_or_refused_in_one_line(data):
    lines = GOOD.split("\n")
    at = [i for i, line in enumerate(lines) if " = " in line and '"""' not in line]
    i = data.draw(st.sampled_from(at))
    odd = ["0", "-1", "1e400", "nan", "true", '""', '"x"', '"log(x)"', "[]", "[[]]", "{}", "{a=1}"]
    odd += ["2020-01-01", "12:00:00", '"1e9999d"', '"99999999999y"', '[""]', "[1]", "'''\n'''"]
    lines[i] = f"{lines[i].split(' = ')[0]} = {data.draw(st.sampled_from(odd))}"
    try:
        parse("\n".join(lines))
    except SpecError as error:
        assert str(error).isprintable()


def test_the_canonical_form_is_plain_json_with_defaults_spelled_out():
    plain = canonical(parse(GOOD))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["walk_forward"]["step"] == "3mo"
    assert plain["models"]["smooth"] == {"kind": "ewma", "decay": 0.94}
    assert plain["models"]["har-rv"]["intercept"] is True
    assert plain["run"] == {"seed": 1}
    assert set(plain["hypothesis"]) == {"name", "claim"}
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", parse(GOOD).spec_hash)
