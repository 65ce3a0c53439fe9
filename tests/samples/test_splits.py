"""Windows as tables of dates, the purge from times alone, and the proof that nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import DAY, START, make_samples

from harness.durations import NS_PER_MINUTE, Duration, parse_duration, parse_moment, show_moment
from harness.errors import RunError, UsageError
from harness.samples.splits import (
    NO_EMBARGO,
    Scheme,
    after,
    effective_embargo,
    make_folds,
    make_windows,
    prove_no_leak,
    require_windows,
)
from harness.types import Samples, Window

HOUR = 60 * NS_PER_MINUTE


def windows(
    scheme: str, train: str, test: str, first: str, end: str, *, step: str | None = None,
    embargo: int = 0, beyond: bool = False,
) -> tuple[Window, ...]:  # fmt: skip
    start = parse_moment(first)
    length = parse_duration(train)
    begin = None if scheme == "rolling" else length.after(start, -1)
    return make_windows(
        Scheme(start, train=length, train_from=begin),
        test=parse_duration(test),
        step=parse_duration(step or test),
        span_end=parse_moment(end),
        embargo=embargo,
        beyond=beyond,
    )


def dates(found: tuple[Window, ...]) -> list[str]:
    """`train start | cut | end` of each window."""
    return [" | ".join(map(show_moment, (w.train_start, w.cut, w.end))) for w in found]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            ("rolling", "12mo", "3mo", "2021-01-02", "2021-10-01"),
            ["2020-01-02 | 2021-01-02 | 2021-04-02", "2020-04-02 | 2021-04-02 | 2021-07-02"],
        ),
        (
            ("expanding", "12mo", "3mo", "2021-01-02", "2021-10-02"),
            [
                "2020-01-02 | 2021-01-02 | 2021-04-02",
                "2020-01-02 | 2021-04-02 | 2021-07-02",
                "2020-01-02 | 2021-07-02 | 2021-10-02",
            ],
        ),
        (  # month ends: cuts are counted from the first, and no day is left out
            ("rolling", "1mo", "1mo", "2023-01-31", "2023-05-01"),
            [
                "2022-12-31 | 2023-01-31 | 2023-02-28",
                "2023-01-28 | 2023-02-28 | 2023-03-31",
                "2023-02-28 | 2023-03-31 | 2023-04-30",
            ],
        ),
        (  # leap years
            ("rolling", "1y", "1y", "2020-02-29", "2022-03-01"),
            ["2019-02-28 | 2020-02-29 | 2021-02-28", "2020-02-28 | 2021-02-28 | 2022-02-28"],
        ),
        (
            ("rolling", "30d", "1w", "2024-02-26", "2024-03-11"),
            ["2024-01-27 | 2024-02-26 | 2024-03-04", "2024-02-03 | 2024-03-04 | 2024-03-11"],
        ),
        (("rolling", "1y", "1y", "2020-01-01", "2020-12-31"), []),
    ],
)
def test_windows_are_these_dates(settings, wanted):
    assert dates(windows(*settings)) == wanted


def test_a_step_longer_than_the_test_span_leaves_days_untested():
    found = windows("rolling", "1mo", "1w", "2023-01-31", "2023-04-15", step="1mo")
    assert dates(found) == [
        "2022-12-31 | 2023-01-31 | 2023-02-07",
        "2023-01-28 | 2023-02-28 | 2023-03-07",
        "2023-02-28 | 2023-03-31 | 2023-04-07",
    ]


def test_windows_beyond_the_span_begin_with_those_within_it():
    for scheme in ("rolling", "expanding"):
        settings = (scheme, "12mo", "3mo", "2021-01-02", "2021-10-01")
        within, beyond = windows(*settings), windows(*settings, beyond=True)
        assert beyond[: len(within)] == within
        assert len(beyond) > len(within)
    later = windows("rolling", "12mo", "3mo", "2021-01-02", "2021-10-01", beyond=True)
    end = parse_moment("2021-10-01")
    assert later[-1].train_start <= end < parse_duration("3mo").after(later[-1].train_start)


def test_the_embargo_is_the_larger_of_the_declared_one_and_the_horizon():
    assert effective_embargo(parse_duration("1h"), 4 * HOUR) == 4 * HOUR
    assert effective_embargo(parse_duration("1d"), 4 * HOUR) == DAY
    assert effective_embargo(NO_EMBARGO, 4 * HOUR) == 0
    (window,) = windows("rolling", "5d", "1d", "2021-03-10", "2021-03-11", embargo=4 * HOUR)
    assert window.limit == window.cut - 4 * HOUR


CASES = {
    "one symbol": make_samples(400, overlap=2),
    "three symbols": make_samples(200, overlap=3, symbols=3),
    "ragged": make_samples(400, overlap=5, symbols=2, ragged=True),
}
WALKS = ["rolling", "expanding"]


def walk(samples: Samples, scheme: str, embargo: int) -> tuple[Window, ...]:
    return windows(scheme, "4d", "1d", "2021-03-06", "2021-03-09", embargo=embargo)


@pytest.mark.parametrize("scheme", WALKS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("embargo", [0, 6 * HOUR, DAY + 1])
def test_a_row_trains_iff_it_resolved_before_the_embargo_and_is_tested_in_its_window(
    name, scheme, embargo
):
    samples = CASES[name]
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    assert ((np.diff(resolved) < 0).any()) == (name == "ragged")
    spans = walk(samples, scheme, embargo)
    assert len(spans) == 3
    for window, fold in zip(spans, make_folds(samples, spans), strict=True):
        rows = range(formed.size)
        train = [
            i
            for i in rows
            if window.train_start <= formed[i] and resolved[i] <= window.cut - embargo
        ]
        test = [i for i in rows if window.cut <= formed[i] < window.end]
        assert np.arange(formed.size)[fold.train].tolist() == train
        assert np.arange(formed.size)[fold.test].tolist() == test
        assert train
        assert test


@pytest.mark.parametrize("name", CASES)
def test_the_proof_states_the_latest_resolution_and_its_slack(name):
    samples, embargo = CASES[name], 6 * HOUR
    folds = make_folds(samples, walk(samples, "rolling", embargo))
    for fold, proof in zip(folds, prove_no_leak(samples, folds, embargo), strict=True):
        latest = samples.resolved_at[fold.train].max()
        assert (proof.latest_resolution, proof.embargo) == (latest, embargo)
        assert proof.slack == fold.window.cut - embargo - latest >= 0
        assert proof.n_train == samples.y[fold.train].size
        assert proof.n_test == samples.y[fold.test].size


def test_the_proof_catches_folds_that_were_tampered_with():
    samples, embargo = CASES["one symbol"], 6 * HOUR
    folds = make_folds(samples, walk(samples, "rolling", embargo))
    prove_no_leak(samples, folds, embargo)
    a, b = folds[1].train.start, folds[1].train.stop
    c, d = folds[1].test.start, folds[1].test.stop
    holed = np.delete(np.arange(a, b + 1), 5)
    nothing = slice(a, a)
    for change, words in [
        ({"train": slice(a, b + 1)}, "leak: training rows"),
        ({"train": slice(a - 1, b)}, "leak: training rows"),
        ({"train": holed}, "leak: training rows"),
        ({"test": slice(c - 1, d)}, "leak: test rows"),
        ({"test": slice(c, d + 1)}, "leak: test rows"),
        ({"train": nothing}, "no training rows: the panel does not reach it"),
        ({"test": nothing}, "no test rows"),
    ]:
        broken = [folds[0], folds[1]._replace(**change), folds[2]]
        with pytest.raises(RunError, match=words) as caught:
            prove_no_leak(samples, broken, embargo)
        assert str(caught.value).startswith("window 2 (2021-03-07), horizon 1h: ")
    with pytest.raises(RunError, match=r"window 1 .*leak: training rows"):
        prove_no_leak(samples, folds, embargo + HOUR)


def test_the_proof_looks_at_every_training_row_and_not_only_the_last():
    samples = CASES["ragged"]
    folds = make_folds(samples, walk(samples, "rolling", 6 * HOUR))
    late = samples.resolved_at.copy()
    late[folds[0].train[3]] = START + 30 * DAY
    with pytest.raises(RunError, match=r"window 1 .*leak"):
        prove_no_leak(replace(samples, resolved_at=late), folds, 6 * HOUR)


def test_a_span_without_a_whole_window_is_said_with_its_dates():
    require_windows(walk(CASES["ragged"], "rolling", 0), "h.toml", START, START)
    with pytest.raises(UsageError, match=r"walk_forward: no whole test window .*2021-03-01"):
        require_windows((), "h.toml", START, START + DAY)


@given(
    st.integers(1, 30),
    st.sampled_from(["mo", "y", "w", "d", "h", "m"]),
    st.integers(-(10**15), 4 * 10**15),
    st.integers(-20, 20),
)
def test_many_moments_move_as_one_does(count, unit, moment, times):
    duration = Duration(count, unit)
    moved = after(duration, np.array([moment]).view("M8[us]"), times)
    assert int(moved.view(np.int64)[0]) * 1_000 == duration.after(moment * 1_000, times)


def test_training_rows_are_a_slice_wherever_they_are_one_run():
    samples = make_samples(300, seed=2, overlap=0)
    late = samples.resolved_at.copy()
    late[100] += 5 * HOUR  # after the next five
    ragged = replace(samples, resolved_at=late)
    formed = samples.rows.formed_at
    cuts = [int(formed[k]) for k in (103, 200)]
    spans = [Window(i, int(formed[0]), c, c, c + 10 * HOUR) for i, c in enumerate(cuts)]
    split, whole = make_folds(ragged, spans)
    assert isinstance(whole.train, slice) and not isinstance(split.train, slice)
    for fold in (split, whole):
        wanted = np.flatnonzero((formed < fold.window.cut) & (late <= fold.window.limit))
        assert np.arange(300)[fold.train].tolist() == wanted.tolist()
