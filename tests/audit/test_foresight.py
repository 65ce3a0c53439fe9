"""Columns that know the future are suspected, honest ones never."""

from __future__ import annotations

import numpy as np
import pytest
from support.columns import HONEST, KNOWS, Made, moved, trailing, volatility

from harness.audit.foresight import Foresight, Origins, foresight
from harness.types import F64

HOUR = 3_600_000_000_000


def blank(parts: list[F64]) -> F64:
    return np.concatenate([np.append(part, np.nan) for part in parts])


def origins(every: list[F64], *, steps: int = 4, step: int = HOUR, spans: int = 1) -> Origins:
    """Those of a HAR on the variances of some symbols."""
    size = every[0].size
    times = step * np.arange(1, size + 1)
    own = [
        blank([0.5 * np.log(trailing(v, k)) for v in every]) for k in dict.fromkeys((spans, 5, 24))
    ]
    return Origins(
        times=np.concatenate([np.append(times, 0) for _ in every]),
        symbol=np.repeat(np.arange(len(every)), size + 1),
        own=np.array(own),
        target=blank([moved(0.5 * np.log(trailing(v, steps)), -steps) for v in every]),
        moved=own[0],
        steps=steps,
        spans=spans,
        every=step,
    )


def look(made: Made, *, seed: int = 1, symbols: int = 1, n: int = 6_000, **of: int) -> Foresight:
    rng = np.random.default_rng(seed)
    every = [volatility(n, rng) for _ in range(symbols)]
    with np.errstate(invalid="ignore"):
        (found,) = foresight(origins(every, **of), [blank([made(v, rng) for v in every])])
    assert found is not None
    return found


@pytest.mark.parametrize("name", KNOWS)
def test_a_column_that_knows_the_future_is_suspected(name):
    assert look(KNOWS[name]).suspected


@pytest.mark.parametrize("name", KNOWS)
def test_also_one_of_several_symbols(name):
    assert look(KNOWS[name], symbols=3, n=2_500).suspected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("symbols", "n", "steps"), [(1, 4_000, 4), (1, 4_000, 1), (3, 1_500, 4), (1, 400, 4)]
)
def test_an_honest_column_is_not_suspected(symbols, n, steps, seed):
    rng = np.random.default_rng(seed)
    every = [volatility(n, rng) for _ in range(symbols)]
    made = {name: blank([make(v, rng) for v in every]) for name, make in HONEST.items()}
    found = foresight(origins(every, steps=steps), list(made.values()))
    suspected = [x for x, f in zip(made, found, strict=True) if f is not None and f.suspected]
    assert suspected == []


def test_a_calendar_has_no_news():
    for name in ("the hour of the day", "weekends", "nothing"):
        rng = np.random.default_rng(1)
        v = volatility(10_000, rng)
        assert foresight(origins([v]), [blank([HONEST[name](v, rng)])]) == [None]


@pytest.mark.parametrize("shift", [-1, -2, -5])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_lead_is_the_shift_on_days_too(shift, steps):
    day = 24 * HOUR
    found = look(lambda v, _: moved(v, shift), n=1_500, step=day, steps=steps)
    assert found.leading
    assert found.lead == -shift
    late = look(lambda v, _: moved(v, -shift), n=1_500, step=day, steps=steps)
    assert (late.lead, late.suspected) == (shift, False)


def test_a_slow_column_is_read_where_it_changes():
    found = look(KNOWS["the day's value before its end"])
    assert found.leading
    assert found.lead == 24
    before = look(HONEST["the day before"])
    assert (before.lead, before.suspected) == (0, False)


def test_moves_that_share_bars_give_no_alarm():
    for seed in range(3):
        for name in ("a noisy measure", "the last day", "the day before"):
            assert not look(HONEST[name], seed=seed, spans=24, steps=24).suspected


def test_noise_that_all_symbols_share_gives_no_alarm():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        common = volatility(300, rng)
        every = [common * rng.chisquare(20, 300) / 20 for _ in range(30)]
        noise = np.exp(rng.standard_normal(300))
        (found,) = foresight(origins(every, steps=1), [blank([noise] * 30)])
        assert found is not None
        assert not found.suspected


def test_a_scale_or_a_crash_changes_nothing_of_note():
    rng = np.random.default_rng(5)
    v = volatility(3_000, rng)
    at, column = origins([v]), blank([moved(v, -1)])
    (plain,) = foresight(at, [column])
    (scaled,) = foresight(at, [1e6 * column])
    crashed = column.copy()
    crashed[100] *= 1e9
    (crash,) = foresight(at, [crashed])
    assert plain is not None
    assert scaled is not None
    assert crash is not None
    assert scaled.ahead == pytest.approx(plain.ahead, abs=1e-9)
    assert crash.ahead == pytest.approx(plain.ahead, abs=0.05)


def test_too_few_origins_say_nothing():
    rng = np.random.default_rng(5)
    v = volatility(80, rng)
    assert foresight(origins([v]), [blank([moved(v, -1)])]) == [None]
