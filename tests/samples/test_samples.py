"""Rows and targets: what is known when, what a target is, what is dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.worlds import DAY, LEVEL_SIGMA, LOG_SIGMA, make_bars, make_plan, sessions

from harness.durations import NS_PER_MINUTE, parse_duration
from harness.errors import RunError
from harness.measures.cascade import CascadePlan, measure
from harness.samples.features import parse_feature
from harness.samples.peers import side_by_side
from harness.samples.rows import LookBack, OriginMeasures, build_samples
from harness.samples.target_scale import TargetScale
from harness.types import Bars, Samples

HOUR = 60 * NS_PER_MINUTE


def samples_of(
    bars: list[Bars],
    plan: CascadePlan,
    horizon: str,
    *,
    features: tuple[str, ...] = ("log(rv_4h)",),
    scale: TargetScale = LOG_SIGMA,
    target: str = "rv",
) -> Samples:
    return build_samples(
        [OriginMeasures(measure(b, plan), plan.units, 1e-6) for b in bars],
        horizon=horizon,
        bars=plan.windows[horizon],
        target=f"{target}_{horizon}",
        scale=scale,
        features=[parse_feature(f) for f in features],
    )


def returns_between(bars: Bars, start: int, end: int) -> np.ndarray:
    """Log returns of the bars that begin at or after `start` and are known by `end`."""
    known = bars.known_at(np.arange(bars.n))
    r = np.diff(np.log(bars.columns["close"]), prepend=np.nan)
    return r[(known > start) & (known <= end)]


@pytest.mark.parametrize(("every", "horizon"), [("1h", "4h"), ("4h", "1h"), ("2h", "90m")])
def test_a_target_is_the_measure_over_the_bars_between_decision_and_resolution(every, horizon):
    bars = make_bars(2_400, seed=1)
    plan = make_plan(every=every, scales=["4h"], horizons=[horizon], measures=["rv"])
    samples = samples_of([bars], plan, horizon)
    length = parse_duration(horizon).ns
    assert np.array_equal(
        samples.resolved_at - samples.rows.formed_at, np.full(len(samples.y), length)
    )
    assert (samples.rows.formed_at % parse_duration(every).ns == 0).all()
    for i in (0, 3, len(samples.y) - 1):
        r = returns_between(bars, samples.rows.formed_at[i], samples.resolved_at[i])
        assert r.size == length // NS_PER_MINUTE
        assert samples.y[i] == pytest.approx(0.5 * np.log(np.mean(r**2)), rel=1e-9)
        before = samples.rows.formed_at[i] - 4 * HOUR
        r = returns_between(bars, before, samples.rows.formed_at[i])
        assert samples.rows.X[i, 0] == pytest.approx(0.5 * np.log(np.mean(r**2)), rel=1e-9)


def test_decisions_without_complete_features_or_target_are_dropped_and_counted():
    bars = make_bars(2 * 1_440, seed=2)
    plan = make_plan(every="1h", scales=["4h"], horizons=["2h"], measures=["rv"])
    samples = samples_of([bars], plan, "2h", features=("log(rv_4h)", "lag(log(rv_4h), 3)"))
    # 48 decisions; the first bar has no return, so rv_4h begins at the fifth and its lag at the
    # eighth; the last two have no complete target.
    assert (len(samples.y), samples.dropped) == (48 - 7 - 2, 7 + 2)
    assert samples.rows.formed_at[0] == bars.start + 8 * HOUR
    assert samples.resolved_at[-1] == bars.start + 48 * HOUR


@pytest.mark.parametrize(
    ("every", "horizon", "overlap"),
    [("1h", "1h", 0), ("1h", "4h", 3), ("4h", "1h", 0), ("2h", "3h", 1), ("1h", "90m", 1)],
)
def test_overlap_counts_the_later_decisions_whose_target_shares_bars(every, horizon, overlap):
    plan = make_plan(every=every, scales=["4h"], horizons=[horizon], measures=["rv"])
    samples = samples_of([make_bars(2_400, seed=3)], plan, horizon)
    formed = samples.rows.formed_at
    assert np.sum(formed[1:] < samples.resolved_at[0]) == samples.overlap == overlap


def test_rows_of_several_symbols_stand_in_time_order_and_keep_their_own_values():
    plan = make_plan(every="1h", scales=["4h"], horizons=["2h"], measures=["rv"])
    early = make_bars(2_000, seed=4, symbol="A")
    late = make_bars(1_500, seed=5, symbol="B", start=early.start + 333 * NS_PER_MINUTE)
    both = samples_of([early, late], plan, "2h")
    assert both.symbols == ("A", "B")
    key = both.rows.formed_at * 2 + both.rows.symbol
    assert (np.diff(key) > 0).all()
    for code, bars in enumerate((early, late)):
        alone, own = samples_of([bars], plan, "2h"), both.rows.symbol == code
        assert np.array_equal(both.y[own], alone.y)
        assert np.array_equal(both.rows.X[own], alone.rows.X)
        assert np.array_equal(both.rows.formed_at[own], alone.rows.formed_at)
        assert np.array_equal(both.resolved_at[own], alone.resolved_at)
    parts = [samples_of([b], plan, "2h").dropped for b in (early, late)]
    assert both.dropped == sum(parts)


def test_a_horizon_of_sessions_resolves_when_its_last_session_has_closed():
    days = sessions(60)
    plan = make_plan(
        every="1d", scales=["5d"], horizons=["5d"], calendar="sessions", measures=["rv"]
    )
    samples = samples_of([make_bars(60, seed=6, ts=days)], plan, "5d", features=("rv_5d",))
    first = int(np.flatnonzero(days + DAY == samples.rows.formed_at[0])[0])
    assert first == 5  # the first session has no return
    assert np.array_equal(samples.resolved_at, days[first + 5 :] + DAY)
    assert samples.overlap == 4


def test_a_level_target_is_the_measure_itself_and_a_log_target_is_floored():
    plan = make_plan(every="1h", scales=["4h"], horizons=["1h"], measures=["rv"])
    bars = make_bars(1_200, seed=7)
    close = bars.columns["close"].copy()
    close[600:720] = close[600]
    bars = replace(bars, columns={"close": close})
    level = samples_of([bars], plan, "1h", scale=LEVEL_SIGMA)
    log = samples_of([bars], plan, "1h")
    assert level.y.min() == 0.0
    assert np.array_equal(log.y, np.log(np.maximum(level.y, 1e-6)))
    variance = TargetScale("log", "variance", "naive", 1e-3)
    assert variance.target(np.array([0.0, 1e-7, 4.0])).tolist() == [
        np.log(1e-6),
        np.log(1e-6),
        np.log(4.0),
    ]


def test_a_span_too_short_for_any_row_is_an_error_in_words():
    plan = make_plan(every="1h", scales=["1d"], horizons=["1h"], measures=["rv"])
    with pytest.raises(RunError, match="horizon 1h: no forecast origin has complete features"):
        samples_of([make_bars(600, seed=8)], plan, "1h", features=("rv_1d",))


def test_a_look_back_gives_each_row_its_own_past_and_drops_what_has_none():
    one, two = (
        make_bars(40, seed=1, ts=sessions(40)),
        make_bars(30, seed=2, symbol="B", ts=sessions(30)),
    )
    plan = make_plan(
        every="1d", scales=["1d", "3d"], horizons=["1d"], measures=["rv"], calendar="sessions"
    )
    by_symbol = [OriginMeasures(measure(b, plan), plan.units, 1e-6) for b in (one, two)]
    features = [parse_feature("rv_1d"), parse_feature("rv_3d")]
    settings = {
        "horizon": "1d", "bars": 1, "target": "rv_1d", "scale": LOG_SIGMA, "features": features
    }  # fmt: skip
    plain = build_samples(by_symbol, **settings)
    samples = build_samples(by_symbol, **settings, look_back=[LookBack(5, features[:1])])
    # rv_3d begins at the fourth bar; five of rv_1d, which begins at the second, at the sixth.
    assert samples.dropped == plain.dropped + 2 * 2
    past = samples.rows.columns(("rv_1d",)).sequences(5)
    assert past.shape == (samples.y.size, 5, 1)
    for row in range(samples.y.size):
        code = samples.rows.symbol[row]
        values = by_symbol[code].feature(features[0])
        known = by_symbol[code].measured.known_at
        place = int(np.searchsorted(known, samples.rows.formed_at[row]))
        assert np.array_equal(past[row, :, 0], values[place - 4 : place + 1])
    few = samples.rows.take(np.array([7, 3]))
    assert np.array_equal(few.columns(("rv_1d",)).sequences(5), past[[7, 3]])


def test_a_target_over_a_window_of_its_own_is_read_at_the_horizons_end():
    bars = make_bars(60, seed=4, ts=sessions(60))
    plan = make_plan(
        every="1d", scales=["1d", "5d"], horizons=["1d"], measures=["rv"], calendar="sessions"
    )
    measured = measure(bars, plan)
    settings = {"horizon": "1d", "bars": 1, "scale": LEVEL_SIGMA, "features": []}
    by_symbol = [OriginMeasures(measured, plan.units, 1e-6)]
    samples = build_samples(by_symbol, **settings, target="rv_5d", window=5)
    column = measured.columns["rv_5d"]
    place = np.searchsorted(measured.known_at, samples.rows.formed_at)
    assert samples.y.tolist() == column[place + 1].tolist()
    np.testing.assert_array_equal(samples.last, column[place])
    assert samples.resolved_at.tolist() == measured.known_at[place + 1].tolist()
    # Four of the five bars of a target are in each of the next four.
    assert samples.overlap == 4
    assert build_samples(by_symbol, **settings, target="rv_1d").overlap == 0


def side(*bars: Bars, plan: CascadePlan | None = None) -> list[OriginMeasures]:
    plan = plan or make_plan()
    return side_by_side([measure(b, plan) for b in bars], plan, 1e-6)


def across(members: list[OriginMeasures], text: str) -> list[np.ndarray]:
    return [d.feature(parse_feature(text)) for d in members]


def moments(d: OriginMeasures) -> np.ndarray:
    return d.measured.known_at[d.measured.origins]


def test_a_function_across_symbols_is_of_those_known_at_the_same_moment():
    bars = [make_bars(60 * 24 * 6, seed=s, symbol=name) for s, name in ((1, "A"), (2, "B"))]
    late = make_bars(60 * 24 * 3, seed=3, symbol="C", start=bars[0].start + 3 * DAY)
    both = side(*bars, late)
    x, mean, sd = (
        across(both, t.format("log(rv_4h)")) for t in ("{}", "panel_mean({})", "panel_sd({})")
    )
    # It counts from where its bars are more than the longest window of the study.
    longest = max(make_plan().windows.values()) * NS_PER_MINUTE
    counts = moments(both[2]) - late.start > longest
    third = np.full(x[0].size, np.nan)
    third[np.isin(moments(both[0]), moments(both[2])[counts])] = x[2][counts]
    known = moments(both[0]) - bars[0].start > longest
    every = np.array([x[0], x[1], third])[:, known]
    assert 0 < np.isnan(every[2]).sum() < every[2].size
    np.testing.assert_allclose(mean[0][known], np.nanmean(every, axis=0), rtol=1e-14)
    np.testing.assert_allclose(sd[1][known], np.nanstd(every, axis=0), rtol=1e-12)
    assert np.isnan(mean[0][~known]).all()
    assert mean[2].tobytes() == mean[0][np.isin(moments(both[0]), moments(both[2]))].tobytes()
    rest = both[0].feature(parse_feature("log(rv_4h) - panel_mean(log(rv_4h))"))
    np.testing.assert_allclose(rest, x[0] - mean[0])


def test_a_symbol_that_lists_later_or_is_in_no_study_yet_moves_no_earlier_value():
    bars = [make_bars(60 * 24 * 6, seed=s, symbol=name) for s, name in ((1, "A"), (2, "B"))]
    listed = bars[0].start + 3 * DAY
    without = across(side(*bars), "panel_mean(log(rv_4h))")[0]
    # With few bars it is in no study. What it has later must not change the values until then.
    for days in (1.5, 3):
        late = make_bars(int(60 * 24 * days), seed=3, symbol="C", start=listed)
        with_it = across(side(*bars, late), "panel_mean(log(rv_4h))")[0]
        same = with_it == without
        unknown = np.isnan(with_it) & np.isnan(without)
        longest = max(make_plan().windows.values()) * NS_PER_MINUTE
        before = moments(side(*bars)[0]) - listed <= longest
        assert (same | unknown)[before].all()
        assert not same[~before].all()


def test_a_symbol_of_other_moments_or_alone_has_no_panel():
    plan = make_plan(every="1d", scales=["5d"], horizons=["1d"], calendar="sessions")
    days = sessions(40)
    one, other, shifted = (
        make_bars(40, seed=k, symbol=name, ts=days + offset)
        for k, name, offset in ((1, "A", 0), (2, "B", 0), (2, "B", HOUR))
    )
    alone = OriginMeasures(measure(one, plan), plan.units, 1e-6)
    for members in ([alone], side(one, plan=plan), side(one, shifted, plan=plan)):
        for text in ("panel_mean(log(rv_5d))", "panel_sd(log(rv_5d))"):
            assert np.isnan(across(members, text)[0]).all(), text
    assert np.isfinite(across(side(one, other, plan=plan), "panel_sd(log(rv_5d))")[0]).any()
