"""Every compiled loop against its own Python text, and both against sums done another way."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import scipy.stats
from support.garch import CASES as GARCH_CASES
from support.kernels import all_kernels
from support.worlds import close_to, exact_sum, make_bars

from harness.kernels import cascade, moments, ranks, resampling, scores, windows
from harness.kernels.loader import _undisturbed

Arguments = tuple[object, ...]


def test_a_signal_while_a_loop_is_compiled_waits_until_it_is_done():
    done = []

    class Told(Exception):
        pass

    def handler(number, frame):
        raise Told(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Told), _undisturbed():
            sender = threading.Thread(target=signal.raise_signal, args=[signal.SIGTERM])
            sender.start()  # it comes to another thread, whose mask is its own
            sender.join()
            done.append("compiled")
        assert done == ["compiled"]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_processes_that_want_a_loop_at_once_compile_it_once(tmp_path):
    """The one that waited has the other's object code, whichever came first."""
    ask = (
        "import sys; from harness.kernels.cascade import parkinson_sums as loop; "
        "sys.stdout.write(str(hash(loop.object_code())))"
    )
    settings = {**os.environ, "HARNESS_CACHE": str(tmp_path), "PYTHONHASHSEED": "0"}
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ask],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300) for process in asking]
    assert told[0][0] == told[1][0] != b""
    assert sorted(error.count(b"compiling") for _, error in told) == [0, 1]


def block_sum_cases() -> Iterator[Arguments]:
    for blocks, size, room in [
        (1, 1, 1),
        (1, 7, 7),
        (9, 13, 26),
        (5, 60, 60),
        (11, 1, 3),
        (6, 8, 96),
    ]:
        close = make_bars(blocks * size, seed=blocks).columns["close"].copy()
        if close.size > 20:
            close[close.size // 2 :] *= math.exp(5.0)  # beyond the series: a move of 5
            close[close.size // 3 :] *= 1.04  # just beyond its threshold
        out = [np.full(blocks, 9.0) for _ in range(3)]
        yield close, size, np.empty(room), *out


def parkinson_cases() -> Iterator[Arguments]:
    for blocks, size in [(1, 1), (3, 7), (5, 60)]:
        bars = make_bars(blocks * size, seed=size)
        yield bars.columns["high"], bars.columns["low"], size, np.empty(blocks)


def plain_sum_cases() -> Iterator[Arguments]:
    for blocks, size in [(1, 1), (3, 7), (5, 60)]:
        yield make_bars(blocks * size, seed=size).columns["flow"], size, np.empty(blocks)


def window_sum_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(3)
    for blocks, width in [(1, 1), (1, 4), (30, 7), (30, 30), (30, 31)]:
        x = rng.exponential(size=blocks)
        x[0] = math.nan
        yield x, width, np.empty(blocks)


def centred_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(10)
    for blocks, size, width in [(1, 1, 1), (9, 7, 2), (6, 60, 4), (3, 5, 4)]:
        x = rng.gumbel(size=blocks * size) + 5.0
        x[0] = math.nan
        yield x, size, width, np.empty(blocks)


def through_noise_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(11)
    for blocks, size, width, sparse in [(1, 2, 1, 1), (9, 13, 2, 5), (5, 60, 3, 20), (4, 6, 2, 9)]:
        n = blocks * size
        y = np.log(make_bars(n, seed=blocks).columns["close"]) + 2e-4 * (rng.random(n) < 0.5)
        y[: n // 3] = y[0]  # nothing moves
        y[2 * n // 3 :] = y[-1] + 1e-3 * (np.arange(n - 2 * n // 3) % 2)  # nothing but noise
        yield np.diff(y, prepend=math.nan), y, size, width, sparse, np.empty(blocks)


def table(rng: np.random.Generator, n: int, q: int) -> np.ndarray:
    return rng.gamma(1.5, 2.0, (n, q)) * 10.0 ** rng.integers(-3, 4, q) - 0.3


def columns_of(rows: np.ndarray) -> np.ndarray:
    """The table as kernels read it: one column of rows after the other."""
    return np.ascontiguousarray(rows.T)


def segment_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(4)
    for n, q, cuts in [(1, 1, [0, 1]), (41, 3, [0, 1, 1, 17, 40]), (60, 5, [5, 33, 60])]:
        m = len(cuts) - 1
        out = np.full(m, 9.0), np.full((m, q), 9.0), np.zeros((m, q, q))
        for chunk in (7, 256):
            copies = [np.copy(a) for a in out]
            yield columns_of(table(rng, n, q)), np.array(cuts), np.empty((q, chunk)), *copies


def tree(segments: int, leaves: int, seed: int) -> tuple[np.ndarray, ...]:
    """A tree whose leaves are filled with the moments of random segments, empty ones among them."""
    rng, q = np.random.default_rng(seed), 3
    sizes = rng.integers(1, 9, segments)
    sizes[segments // 2] = 0
    cuts = np.concatenate(([0], np.cumsum(sizes)))
    z = table(rng, int(cuts[-1]), q)
    count, mean = np.zeros(2 * leaves), np.zeros((2 * leaves, q))
    cross, own = np.zeros((2 * leaves, q, q)), slice(leaves, leaves + segments)
    room = np.empty((q, 4))
    moments.segment_moments.plain(columns_of(z), cuts, room, count[own], mean[own], cross[own])
    return z, cuts, count, mean, cross


def tree_cases() -> Iterator[Arguments]:
    for segments, leaves in [(1, 1), (5, 8), (8, 8)]:
        _, _, *nodes = tree(segments, leaves, segments)
        yield leaves, *nodes


def window_moment_cases() -> Iterator[Arguments]:
    first, last = np.array([0, 2, 3, 4]), np.array([5, 6, 3, 7])
    _, _, *nodes = tree(7, 8, 1)
    moments.merge_tree.plain(8, *nodes)
    yield 8, *nodes, first, last, np.empty(4), np.empty((4, 3)), np.empty((4, 3, 3))


def gram_of(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = z.mean(axis=0)
    return ((z - centre).T @ (z - centre))[None], centre[None]


def least_squares_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(6)
    z = table(rng, 50, 4)
    z[:, 1] += 0.8 * z[:, 0]
    doubled = np.column_stack((z[:, :2], z[:, 0] - 2.0 * z[:, 1], z[:, 3]))
    for data, columns, intercept in [(z, [0, 1, 2], 1), (z, [2, 0], 0), (doubled, [0, 1, 2], 1)]:
        p = len(columns)
        room = np.zeros((p, p)), np.zeros(p), np.full((1, 1 + p), 9.0)
        yield *gram_of(data), np.array(columns), 3, intercept, 1e-11, *room


def linear_forecast_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(7)
    edges, start = np.array([0, 4, 4, 11]), np.array([3, 9, 13])
    z, beta = columns_of(table(rng, 20, 4)), rng.normal(size=(3, 3))
    yield z, np.array([2, 0]), beta, start, edges, np.empty(11)


def ranked() -> Iterator[tuple[np.ndarray, list[int]]]:
    """Values, and where windows begin and end."""
    rng = np.random.default_rng(8)
    ties, spread = rng.integers(-2, 3, 37).astype(float), rng.gumbel(size=37)
    ties[ties == 0.0] = np.where(rng.random(37) < 0.5, 0.0, -0.0)[ties == 0.0]
    wide = np.concatenate((-np.geomspace(1e-300, 1e300, 9), np.geomspace(1e300, 1e-300, 9)))
    yield ties, [0, 1, 20, 37]
    yield spread, [0, 37]
    yield wide, [0, 7, 18]
    yield np.array([3.0]), [0, 1]
    yield np.zeros(6), [0, 2, 6]


def key_cases() -> Iterator[Arguments]:
    for x, _ in ranked():
        yield x.view(np.int64), x.size.bit_length(), np.empty(x.size, np.int64)


def rank_cases() -> Iterator[Arguments]:
    for x, edges in ranked():
        order = np.argsort(x, kind="stable")
        window = np.repeat(np.arange(len(edges) - 1, dtype=np.int32), np.diff(edges))
        room = np.empty(len(edges) - 1, np.int64), np.empty(x.size), np.empty(x.size)
        yield order, x.size.bit_length(), x, window, *room


def earlier_cases() -> Iterator[Arguments]:
    for x, _ in ranked():
        distinct, code = np.unique(x, return_inverse=True)
        yield code, np.empty(distinct.size, np.int64), np.full(x.size, 9)


def score_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(9)
    for n, edges in [(45, [0, 45]), (45, [0, 1, 30, 30, 45]), (64, [0, 64])]:
        y, f, s_y, s_f, v_y, v_f = rng.gumbel(size=(6, n))
        rank_f, last = rng.gumbel(size=(2, n))
        rank_f[30:] = 0.1
        last[[0, 31]] = np.nan
        last[3] = y[3]
        qlike = rng.gamma(2.0, 1.0, n)
        moved = np.where(np.arange(n) % 7 == 0, np.nan, np.exp(s_y))
        args = y + 9.0, rank_f, y, f, s_y, s_f, moved, v_y, v_f, qlike, y, f, last
        yield np.array(edges), *args, np.empty((len(edges) - 1, 12))


def resampled_cases() -> Iterator[Arguments]:
    rng = np.random.default_rng(12)
    for n, k, draws, blocks, scale in [(1, 1, 1, 1, 0.0), (40, 3, 5, 30, 4.0), (9, 2, 3, 2, 1e300)]:
        running = np.zeros((n + 1, k))
        np.cumsum(rng.gumbel(size=(n, k)), axis=0, out=running[1:])
        gaps, places = rng.standard_exponential((draws, blocks)), rng.random((draws, blocks))
        places[0, 0] = np.nextafter(1.0, 0.0)
        yield running, gaps, places, scale, np.full((draws, k), 9.0)


def adapted_cases() -> Iterator[Arguments]:
    """Residuals that drift, fits of which one is not known, targets that resolve late."""
    for n, lag, gamma, seed in ((300, 1, 0.3, 1), (80, 24, 0.05, 2), (1, 1, 0.1, 3)):
        rng = np.random.default_rng(seed)
        own = np.sort(rng.gumbel(size=(3, 20)), axis=1)
        own[1] = math.nan
        place, rows = np.arange(n, dtype=np.int64) * 3 // n, np.arange(n, dtype=np.int64)
        levels = np.array([0.1, 0.12, 0.5, 0.9])
        r = rng.gumbel(size=n) * np.linspace(1.0, 4.0, n)
        due = np.maximum(rows - lag + 1, 0)
        yield r, own, place, due, levels, gamma, levels.copy(), np.full((n, 4), math.nan)


CASES: dict[str, Callable[[], Iterator[Arguments]]] = {
    "adapting.adapted_quantiles": adapted_cases,
    "resampling.resampled_sums": resampled_cases,
    "cascade.block_sums": block_sum_cases,
    "cascade.parkinson_sums": parkinson_cases,
    "cascade.plain_sums": plain_sum_cases,
    "cascade.window_sums": window_sum_cases,
    "moments.segment_moments": segment_cases,
    "moments.merge_tree": tree_cases,
    "moments.window_moments": window_moment_cases,
    "moments.least_squares": least_squares_cases,
    "moments.linear_forecasts": linear_forecast_cases,
    "ranks.sort_keys": key_cases,
    "ranks.average_ranks": rank_cases,
    "ranks.earlier_below": earlier_cases,
    "scores.group_scores": score_cases,
    "windows.centred_squares": centred_cases,
    "windows.realised_kernels": through_noise_cases,
    "windows.two_scales": through_noise_cases,
    **GARCH_CASES,
}


def test_every_kernel_has_cases_here():
    assert sorted(all_kernels()) == sorted(CASES), "give every kernel its cases in CASES"


@pytest.mark.parametrize("name", CASES)
def test_compiled_code_gives_the_bits_of_its_python_text(name):
    kernel, compared = all_kernels()[name], 0
    for case in CASES[name]():
        ours, plain = ([np.copy(a) if isinstance(a, np.ndarray) else a for a in case] for _ in "12")
        with np.errstate(all="ignore"):
            assert kernel(*ours) == kernel.plain(*plain)
        for i, (a, b, before) in enumerate(zip(ours, plain, case, strict=True)):
            if isinstance(a, np.ndarray):
                assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (name, i)
                compared += not np.array_equal(a, before)
    assert compared


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_refuses_arrays_it_would_misread(name):
    kernel, case = all_kernels()[name], next(iter(CASES[name]()))
    with pytest.raises(TypeError, match=rf"{name} takes {len(case)} arguments"):
        kernel(*case[:-1])
    for i, argument in enumerate(case):
        if isinstance(argument, np.ndarray):
            other = {"f8": "f4", "i8": "i4", "i4": "i8"}[argument.dtype.str[1:]]
            misread = np.zeros(argument.shape, other)
            strided = np.repeat(argument, 2, axis=-1)[..., ::2]
            for wrong in (misread, argument[None], *([strided] if strided.size > 1 else [])):
                with pytest.raises(TypeError, match="wanted a C-contiguous"):
                    kernel(*case[:i], wrong, *case[i + 1 :])


def test_block_sums_are_sums_of_squared_log_returns_and_of_neighbouring_products():
    for case in block_sum_cases():
        close, size, _, squares, products, straddles = case
        cascade.block_sums(*case)
        r = np.abs(np.diff([math.log(c) for c in close], prepend=math.nan))
        for k in range(squares.size):
            own = r[k * size : (k + 1) * size]
            before = r[k * size - 1] if k else math.nan
            want = exact_sum(own * own), exact_sum(own[1:] * own[:-1]), own[0] * before
            # ln(b) - ln(a) itself keeps 1e-13 of a return of 1e-3.
            got = squares[k], products[k], straddles[k]
            assert np.allclose(got, want, rtol=1e-9, atol=1e-18, equal_nan=True), k


def test_resampled_sums_are_sums_of_the_rows_that_their_blocks_name():
    for running, gaps, places, scale, out in resampled_cases():
        resampling.resampled_sums(running, gaps, places, scale, out)
        n, x = len(running) - 1, np.diff(running, axis=0)
        for draw, (gap, place) in enumerate(zip(gaps, places, strict=True)):
            lengths = [1 + int(min(g * scale, n)) for g in gap[:-1]] + [n]
            begins = [min(int(u * n), n - 1) for u in place]
            rows = [(a + i) % n for a, m in zip(begins, lengths, strict=True) for i in range(m)][:n]
            assert close_to(out[draw], x[rows].sum(axis=0), 1e-9)


def test_parkinson_and_plain_sums_are_their_formulas():
    for high, low, size, out in parkinson_cases():
        cascade.parkinson_sums(high, low, size, out)
        terms = np.log(high / low) ** 2 / (4.0 * np.log(2.0))
        assert close_to(out, [exact_sum(t) for t in terms.reshape(-1, size)], 1e-13)
    for values, size, out in plain_sum_cases():
        cascade.plain_sums(values, size, out)
        assert close_to(out, [exact_sum(v) for v in values.reshape(-1, size)], 1e-13)


def test_window_sums_are_sums_of_the_last_blocks_and_missing_before():
    for blocks, width, out in window_sum_cases():
        cascade.window_sums(blocks, width, out)
        for k in range(out.size):
            last = blocks[k - width + 1 : k + 1] if k >= width - 1 else [math.nan]
            assert close_to(out[k], exact_sum(last), 1e-13)


def test_centred_squares_are_about_the_windows_own_mean():
    for x, size, width, out in centred_cases():
        windows.centred_squares(x, size, width, out)
        for k in range(out.size):
            own = x[(k + 1 - width) * size : (k + 1) * size] if k >= width - 1 else x[:1]
            assert close_to(out[k], exact_sum((own - exact_sum(own) / own.size) ** 2), 1e-12)


def test_segment_and_window_moments_are_those_of_their_rows():
    z, cuts, count, mean, cross = tree(7, 8, 1)
    moments.merge_tree(8, count, mean, cross)
    first, last = np.array([0, 0, 2, 3, 6]), np.array([7, 5, 6, 4, 7])
    n, centre, gram = np.empty(5), np.empty((5, 3)), np.empty((5, 3, 3))
    moments.window_moments(8, count, mean, cross, first, last, n, centre, gram)
    for k in range(5):
        rows = z[cuts[first[k]] : cuts[last[k]]]
        assert n[k] == len(rows)
        if len(rows):
            middle = [exact_sum(column) / len(rows) for column in rows.T]
            off = rows - middle
            scale = np.sqrt(np.outer(np.diag(off.T @ off), np.diag(off.T @ off)))
            assert close_to(centre[k], middle, 1e-13)
            assert np.all(np.abs(gram[k] - off.T @ off) <= 1e-12 * scale + 1e-300)


def test_least_squares_gives_numpy_coefficients_and_names_the_column_it_cannot_solve():
    full, without, doubled = least_squares_cases()
    rng = np.random.default_rng(6)
    z = table(rng, 50, 4)
    z[:, 1] += 0.8 * z[:, 0]
    assert moments.least_squares(*full) == 0
    want, *_ = np.linalg.lstsq(np.column_stack((np.ones(50), z[:, :3])), z[:, 3])
    assert close_to(full[-1][0], want, 1e-10)
    assert moments.least_squares(*without) == 0
    off = z - z.mean(axis=0)
    want, *_ = np.linalg.lstsq(off[:, [2, 0]], off[:, 3])
    assert close_to(without[-1][0], [0.0, *want], 1e-10)
    assert moments.least_squares(*doubled) == 1 + 2


def test_linear_forecasts_are_the_rows_times_the_coefficients():
    ((z, columns, beta, start, edges, out),) = linear_forecast_cases()
    moments.linear_forecasts(z, columns, beta, start, edges, out)
    for k in range(start.size):
        rows = z.T[start[k] : start[k] + edges[k + 1] - edges[k]][:, columns]
        assert close_to(out[edges[k] : edges[k + 1]], beta[k, 0] + rows @ beta[k, 1:], 1e-12)


def test_ranks_are_scipys_average_ranks_pooled_and_within_windows():
    for case, (x, edges) in zip(rank_cases(), ranked(), strict=True):
        *_, pooled, within = case
        assert ranks.average_ranks(*case) == 0
        assert np.array_equal(pooled, scipy.stats.rankdata(x))
        parts = [scipy.stats.rankdata(x[a:b]) for a, b in itertools.pairwise(edges)]
        assert np.array_equal(within, np.concatenate(parts))


def test_sorted_keys_put_rows_in_the_order_of_their_values_ties_by_row():
    for bits, row_bits, keys in key_cases():
        ranks.sort_keys(bits, row_bits, keys)
        assert (keys >= 0).all()
        order = np.sort(keys) & ((1 << row_bits) - 1)
        assert np.array_equal(order, np.argsort(bits.view(np.float64), kind="stable"))


def test_ranks_say_when_an_order_is_none():
    order, row_bits, *rest = next(rank_cases())
    assert ranks.average_ranks(order[::-1].copy(), row_bits, *rest) == 1


def test_earlier_values_below_are_counted_one_by_one():
    for (x, _), (code, tree, below) in zip(ranked(), earlier_cases(), strict=True):
        ranks.earlier_below(code, tree, below)
        assert below.tolist() == [int(np.sum(x[:i] < x[i])) for i in range(x.size)]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return math.nan if np.ptp(a) == 0.0 or np.ptp(b) == 0.0 else np.corrcoef(a, b)[0, 1]


def test_group_scores_are_their_formulas():
    undefined = 0
    for case in score_cases():
        edges, *_, out = case
        scores.group_scores(*case)
        for g, (a, b) in enumerate(itertools.pairwise(edges)):
            columns = (x[a:b] for x in case[1:-1])
            rank_y, rank_f, y, f, s_y, s_f, moved, v_y, v_f, qlike, _, _, last = columns
            if a == b:
                assert np.isnan(out[g]).all()
                continue
            e, s_e, v_e = y - f, s_y - s_f, v_y - v_f
            known = np.isfinite(last)
            right = np.sign(y - last)[known] == np.sign(f - last)[known]
            spread = np.sum((y - y.mean()) ** 2)
            want = [
                correlation(rank_y, rank_f),
                1.0 - np.sum(e**2) / spread if b - a > 1 else math.nan,
                np.abs(e).mean(),
                np.sqrt(np.mean(s_e**2)),
                np.abs(s_e).mean(),
                np.mean(s_e**2),
                np.mean(v_e**2),
                qlike.mean(),
                correlation(s_y, s_f),
                right.mean() if known.any() else math.nan,
                np.nanmean(np.abs(s_e) / moved) if np.isfinite(moved).any() else math.nan,
                0.5 * (math.log(2.0 * math.pi) + 1.0 + qlike.mean()) + y.mean(),
            ]
            assert close_to(out[g], want, 1e-10), g
            undefined += math.isnan(want[0])
    assert undefined == 2  # one row alone, and a constant forecast


@pytest.mark.parametrize("value", [0.0, 0.1, -13.815510557964274])
def test_a_column_that_never_moves_has_no_spread_whatever_its_value(value):
    # 0.1 summed many times and divided is not 0.1: the spread must be zero all the same.
    n, rng = 1_000, np.random.default_rng(0)
    flat, moving = np.full(n, value), rng.gumbel(size=n)
    z = np.vstack((flat, moving))
    count, mean, cross = np.empty(2), np.empty((2, 2)), np.zeros((2, 2, 2))
    cuts = np.array([0, 333, 1_000])
    moments.segment_moments(z, cuts, np.empty((2, 256)), count, mean, cross)
    assert (mean[:, 0] == value).all()
    assert not cross[:, 0].any()
    out = np.empty((1, 12))
    args = flat, moving, flat, moving, flat, *([moving] * 8)
    scores.group_scores(np.array([0, n]), *args, out)
    assert np.isnan(out[0, [0, 1, 8]]).all()
