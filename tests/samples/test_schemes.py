"""How training and test follow one another: fixed and proportional splits, refits, scopes."""
# ruff: noqa: E501 - messages are shown as they are printed

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import workspace

import harness
from harness.durations import parse_moment, show_moment
from harness.errors import SpecError
from harness.spec.reading import parse_hypothesis
from harness.spec.sections import SCHEMES
from harness.study.study import Span, set_up

ROLLING = 'scheme = "rolling"\ntrain = "10d"\ntest = "5d"'
FIRST = 'first_test = "2021-01-13"'
FIXED = (
    (ROLLING, 'scheme = "fixed"\ntrain_from = "2021-01-02"\ntest = "5d"'),
    (FIRST, f'{FIRST}\nvalidate_from = "2021-01-10"'),
)
SHARES = (
    (ROLLING, 'scheme = "proportional"\nshares = [0.4, 0.2, 0.4]\ntest = "3d"'),
    (f"{FIRST}\n", ""),
)
HAR = 'kind = "ols"\nfeatures'


# How each scheme is written, and where its second window's training span begins.
EXAMPLES: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "rolling": ((), "2021-01-08"),
    "expanding": ((("rolling", "expanding"),), "2021-01-03"),
    "fixed": (FIXED, "2021-01-02"),
    "proportional": (SHARES, "2021-01-01"),
}


def record_of(folder: Path, *changes: tuple[str, str]) -> dict[str, Any]:
    workspace.lay_out(folder)
    file = folder / "hypotheses/tiny-har.toml"
    file.write_text(workspace.changed(*changes))
    log = harness.open_log(folder / "reports")
    outcome = harness.run(harness.load_hypothesis(file), log, search=[folder / "panels"])
    return log.read(outcome.run_id)


def folds(record: dict[str, Any], horizon: str = "4h") -> list[tuple[str, str, str, str]]:
    """(train start, cut, test end, refit) of every fit of a horizon."""
    table = record["tables"]["folds"]
    columns = (table[c] for c in ("horizon", "train_start", "cut", "test_end", "refit"))
    rows = [row[1:] for row in zip(*columns, strict=True) if row[0] == horizon]
    return [(a[:16], b[:16], c[:16], refit) for a, b, c, refit in rows]


def test_every_scheme_has_an_example_here():
    assert set(EXAMPLES) == set(SCHEMES), "add the new scheme to EXAMPLES"


@pytest.mark.parametrize("scheme", EXAMPLES)
def test_the_training_spans_of_a_scheme_begin_where_it_says(scheme, tmp_path):
    workspace.lay_out(tmp_path)
    changes, begins = EXAMPLES[scheme]
    hypothesis = parse_hypothesis(workspace.changed(*changes), tmp_path / "h.toml")
    span = Span(parse_moment("2021-01-01"), parse_moment("2021-01-31"))
    study = set_up(hypothesis, [tmp_path / "panels"])
    _, second, *_ = study.windows("4h", span)
    assert show_moment(second.train_start) == begins


def test_a_fixed_split_is_fitted_once_and_scored_by_window(tmp_path):
    record = record_of(tmp_path, *FIXED)
    assert folds(record) == [("2021-01-02T00:00", "2021-01-13T00:00", "2021-01-28T00:00", "never")]
    scores = record["tables"]["scores"]
    starts = {s for s, scope in zip(scores["window_start"], scores["scope"], strict=True)
              if scope == "window"}  # fmt: skip
    assert sorted(s[:10] for s in starts) == ["2021-01-13", "2021-01-18", "2021-01-23"]
    words = "fixed, train from 2021-01-02, held out from 2021-01-10, test from 2021-01-13, test 5d"
    assert words in record["card"]


def test_proportional_shares_are_of_the_span_and_begin_at_midnight(tmp_path):
    record = record_of(tmp_path, *SHARES)
    # 30 days from the first: 0.6 of them are over on the 19th.
    assert folds(record) == [("2021-01-01T00:00", "2021-01-19T00:00", "2021-01-31T00:00", "never")]
    assert "train, held out and test shares 0.4, 0.2, 0.4" in record["card"]


def test_refits_are_counted_from_the_first_cut_and_a_model_can_have_its_own(tmp_path):
    changes = (FIRST, f'{FIRST}\nrefit = "6d"'), (HAR, f'refit = "never"\n{HAR}')
    record = record_of(tmp_path, *changes)
    assert folds(record) == [
        ("2021-01-03T00:00", "2021-01-13T00:00", "2021-01-19T00:00", "6d"),
        ("2021-01-09T00:00", "2021-01-19T00:00", "2021-01-25T00:00", "6d"),
        ("2021-01-15T00:00", "2021-01-25T00:00", "2021-01-28T00:00", "6d"),
        ("2021-01-03T00:00", "2021-01-13T00:00", "2021-01-28T00:00", "never"),
    ]
    table = record["tables"]["fits"]
    rows = zip(table["horizon"], table["model"], table["refit"], strict=True)
    assert [r[1:] for r in rows if r[0] == "4h"] == [("persistence", "6d")] * 3 + [("har", "never")]


REFUSED = (
    (((FIRST, ""),), "walk_forward.first_test: wanted this key, which is missing: a date"),
    (((ROLLING, ROLLING.replace('train = "10d"\n', "")),), "walk_forward.train: wanted this key, which is missing: a duration"),
    (((ROLLING, f'{ROLLING}\nshares = [0.5, 0.2, 0.3]'),), "walk_forward.shares: got [0.5, 0.2, 0.3], wanted no such key for scheme 'rolling', whose keys are train, first_test, validation"),
    (((ROLLING, ROLLING.replace("rolling", "fixed")),), "walk_forward.train: got '10d', wanted no such key for scheme 'fixed', whose keys are train_from, first_test, validate_from (and 1 more mistake)"),
    ((*FIXED, ("2021-01-10", "2021-01-13")), "walk_forward.first_test: got '2021-01-13', wanted a moment after walk_forward.validate_from, 2021-01-13"),
    ((*FIXED, ("2021-01-02", "2021-01-11")), "walk_forward.validate_from: got '2021-01-10', wanted a moment after walk_forward.train_from, 2021-01-11"),
    ((*SHARES, ("0.4, 0.2, 0.4", "0.4, 0.2, 0.2")), "walk_forward.shares: got [0.4, 0.2, 0.2], wanted three shares of the span that add up to 1"),
    ((*SHARES, ("0.4, 0.2, 0.4", "0.8, 0.2, 0")), "walk_forward.shares: got [0.8, 0.2, 0], wanted three shares"),
    (((FIRST, f'{FIRST}\nrefit = "often"'),), "walk_forward.refit: got 'often', wanted 'never' or a duration above 0"),
    (((FIRST, f'{FIRST}\nstep = "6d"\nrefit = "1d"'),), "walk_forward.refit: got '1d', wanted no such key unless walk_forward.step is walk_forward.test"),
    (((FIRST, f'{FIRST}\nstep = "6d"'), (HAR, f'refit = "1d"\n{HAR}')), "models.har.refit: got '1d', wanted no such key unless walk_forward.step is walk_forward.test"),
    (((HAR, f'scope = "symbol"\n{HAR}'),), "models.har.scope: got 'symbol', wanted one of pooled, effects, asset"),
    (((HAR, f'scope = "effects"\nintercept = false\n{HAR}'),), "models.har.intercept: got false, wanted true, because models of scope 'effects' have an intercept for each symbol"),
    ((('kind = "persistence"', 'kind = "persistence"\nscope = "effects"'),), "models.persistence.scope: got 'effects', wanted one of pooled, asset"),
)  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_keys_that_do_not_go_together_are_told_in_one_line(changes, words):
    with pytest.raises(SpecError) as error:
        parse_hypothesis(workspace.changed(*changes), Path("h.toml"))
    line = str(error.value)
    assert line.startswith(f"h.toml: {words}")
    assert "\n" not in line


def test_new_keys_change_the_hash_only_where_they_are_used():
    def digest(*changes: tuple[str, str]) -> str:
        return parse_hypothesis(workspace.changed(*changes), Path("h.toml")).spec_hash

    plain = digest()
    assert digest((HAR, f'scope = "pooled"\n{HAR}')) == plain
    assert digest((FIRST, f"{FIRST}\nmin_train = 100")) == plain
    others = [
        digest((HAR, f'scope = "asset"\n{HAR}')),
        digest((HAR, f'refit = "never"\n{HAR}')),
        digest((FIRST, f'{FIRST}\nrefit = "1d"')),
        digest((FIRST, f"{FIRST}\nmin_train = 50")),
        digest(*SHARES),
        digest(*SHARES, ("0.4, 0.2, 0.4", "0.2, 0.4, 0.4")),
    ]
    assert len({plain, *others}) == 7
