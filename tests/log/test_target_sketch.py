"""Sketches of targets: the same targets are recognised, others are not, whatever was sampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.log.target_sketch import Sketch, alike, sketch_of
from harness.types import F64, I64

HOUR = 3_600 * 10**9
START = 1_262_304_000 * 10**9  # 2010


def targets(seed: int, days: int = 900, symbols: int = 1) -> F64:
    """ln sigma (days, symbols)."""
    return np.random.default_rng(seed).normal(-5.0, 0.6, (days, symbols))


def sketch(
    y: F64, names: Sequence[str] = (), days: slice | I64 = slice(None), step: int = 24
) -> Sketch:
    n, k = y.shape
    formed = np.repeat(START + np.arange(n) * step * HOUR, k).reshape(n, k)[days].ravel()
    code = np.tile(np.arange(k, dtype=np.int32), (n, 1))[days].ravel()
    return Sketch.read(
        sketch_of(formed, code, names or [f"S{j}" for j in range(k)], y[days].ravel())
    )


def same(one: Sketch, other: Sketch) -> bool:
    found = {bool(alike(one, [other])[0]), bool(alike(other, [one])[0])}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("symbols", [1, 3, 40])
def test_parts_and_roundings_of_the_same_targets_are_alike_and_others_are_not(symbols):
    y = targets(1, symbols=symbols)
    whole = sketch(y)
    assert same(whole, sketch(y.round(4)))
    assert same(whole, sketch(y, days=slice(1, None)))
    assert same(whole, sketch(y, days=np.delete(np.arange(900), [5, 400])))
    assert same(whole, sketch(y, days=slice(300, 480)))
    assert same(whole, sketch(y, [f"T{j}" for j in range(symbols)]))
    assert not same(whole, sketch(targets(2, symbols=symbols)))
    assert not same(whole, sketch(-y - 10.0))


@pytest.mark.parametrize("few", [1, 5, 20])
def test_some_symbols_of_many_have_the_same_targets(few):
    y = targets(1, symbols=40)
    assert same(sketch(y), sketch(y[:, 7 : 7 + few], [f"S{j}" for j in range(7, 7 + few)]))


def test_fewer_forecast_origins_of_the_same_targets_are_alike():
    y = targets(1, days=2_000)
    assert same(sketch(y, step=4), sketch(y[::3], step=12))


def test_of_many_unrelated_targets_none_are_alike():
    for days in (20, 60, 400):
        others = [sketch(targets(seed, days)) for seed in range(2, 300)]
        assert not alike(sketch(targets(1, days)), others).any()


def test_what_shares_no_forecast_origin_or_has_no_targets_is_not_alike():
    y = targets(1)
    whole = sketch(y)
    assert not same(whole, sketch(np.full((900, 1), np.nan)))
    assert not same(sketch(y, days=slice(0, 400)), sketch(y, days=slice(400, None)))
    assert alike(whole, []).size == 0


def test_targets_at_one_level_are_no_evidence_of_another_panel():
    y = targets(1)
    y[::2] = np.nan  # at the floor, where the caller leaves them out
    other = targets(2)
    other[::2] = np.nan
    assert not same(sketch(y), sketch(other))


def test_a_sketch_is_read_as_it_was_written_and_stays_small():
    y = targets(1, days=7_300, symbols=50)
    found = sketch(y)
    again = Sketch.read(found.text())
    assert np.array_equal(found.minutes, again.minutes)
    assert np.array_equal(found.values, again.values, equal_nan=True)
    assert len(found.text()) < 40_000


def test_what_is_no_sketch_is_refused():
    for text in ("nothing", "1:no sketch", "2:AAAA"):
        with pytest.raises(ValueError, match=r"."):
            Sketch.read(text)
