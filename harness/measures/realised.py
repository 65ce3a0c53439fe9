"""Measures from returns: local, noise-robust, jump tests, and the split into jump and rest.

Each function takes a Window and returns the column (count,) in its unit: a volatility is sigma
per bar of the panel, whatever the interval of the returns. measures/table.py has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.durations import NS_PER_MINUTE
from harness.kernels import windows as loops
from harness.measures.windows import Blocks, Window, log_move
from harness.types import F64

_SPARSE_NS = 20 * NS_PER_MINUTE  # returns with little noise, as in the 2009 paper
_MIN = math.pi / (math.pi - 2.0)
_MED = math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi)
_MED_QUARTIC = 3.0 * math.pi / (9.0 * math.pi + 72.0 - 52.0 * math.sqrt(3.0))
_TRIPOWER = (math.gamma(0.5) / (2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0))) ** 3
_RATIO_VARIANCE = math.pi**2 / 4.0 + math.pi - 5.0


def rv(window: Window) -> F64:
    """Realised volatility."""
    squares = window.blocks.variations[0]
    return window.once("rv", lambda: _root(window.over(squares), 1.0 / window.bars))


def bv(window: Window) -> F64:
    """Bipower volatility, divided by the number of all bars of the window."""
    scale = math.pi / 2.0 / window.bars
    return window.once("bv", lambda: _root(_products(window), scale))


def j(window: Window) -> F64:
    """The jump part of rv: what bv does not explain."""
    total, smooth = rv(window), bv(window)
    out = total * total
    out -= smooth * smooth
    np.maximum(out, 0.0, out=out)
    return np.sqrt(out, out=out)


def minrv(window: Window) -> F64:
    """Nearest-neighbour truncation by the smaller of two returns."""
    return _sigma(window, _MIN * window.mean_of_returns("minrv", _least, 2))


def medrv(window: Window) -> F64:
    """Nearest-neighbour truncation by the median of three returns."""
    return _sigma(window, _MED * window.mean_of_returns("medrv", _median_square, 3))


def rq(window: Window) -> F64:
    """Fourth root of realised quarticity."""
    return _fourth_root(window, window.mean_of_returns("rq", _quartic, 1) / 3.0)


def medrq(window: Window) -> F64:
    """Fourth root of quarticity by the median of three returns."""
    mean = window.mean_of_returns("medrq", _median_quartic, 3)
    return _fourth_root(window, _MED_QUARTIC * mean)


def tpq(window: Window) -> F64:
    """Fourth root of tripower quarticity."""
    return _fourth_root(window, _tripower(window))


def rsp(window: Window) -> F64:
    """Positive semivolatility."""
    return _sigma(window, window.mean_of_returns("rsp", _positive, 1, signed=True))


def rsn(window: Window) -> F64:
    """Negative semivolatility."""
    return _sigma(window, window.mean_of_returns("rsn", _negative, 1, signed=True))


def sj(window: Window) -> F64:
    """Signed root of signed jump variation."""
    up, down = rsp(window), rsn(window)
    difference = up * up - down * down
    return np.sign(difference) * np.sqrt(np.abs(difference))


def rk(window: Window) -> F64:
    """Parzen realised kernel."""
    return _by_window(window, loops.realised_kernels)


def tsrv(window: Window) -> F64:
    """Two-scale realised volatility."""
    return _by_window(window, loops.two_scales)


def rvss(window: Window) -> F64:
    """Realised volatility of returns over the interval, averaged over all starting bars."""
    blocks, step = window.blocks, window.blocks.interval
    close = blocks.raw["close"]

    def contributions(first: int, last: int) -> F64:
        out = np.full(last - first, np.nan)
        begin = max(first, step)
        moves = log_move(close[begin:last], close[begin - step : last - step])
        np.square(moves, out=out[begin - first :])
        return out

    size = blocks.raw_size
    sums = blocks.sums("rvss", contributions, step, size)
    total = window.total(*sums, step, size, straddle=False)
    return np.sqrt(total / (step * (window.bars - step + 1.0)))


def ret(window: Window) -> F64:
    """Log return from the close before the window to its last close."""
    size, width = window.blocks.raw_size, window.width
    ends = window.blocks.raw["close"][size - 1 :: size]
    out = np.full(ends.size, np.nan)
    out[width:] = log_move(ends[width:], ends[:-width])
    return out


def absret(window: Window) -> F64:
    """|ret| as a volatility per bar."""
    return np.abs(ret(window)) / math.sqrt(window.bars)


def cc(window: Window) -> F64:
    """Standard deviation of returns about their mean, divisor n - 1."""
    return _sigma(window, sample_variance(window, window.blocks.returns))


def bns(window: Window) -> F64:
    """Ratio jump statistic: standard normal without jumps; 0 where no price moves."""
    return window.once("bns", lambda: _ratio_statistic(window))


def _ratio_statistic(window: Window) -> F64:
    total = window.over(window.blocks.variations[0]) / window.n
    counted = window.n if window.blocks.straddle else window.n - 1
    smooth = math.pi / 2.0 / counted * _products(window)
    with np.errstate(divide="ignore", invalid="ignore"):
        # All products are 0 where a single bar moves: 0 / 0 is then replaced by 1, the minimum.
        spread = np.fmax(_tripower(window) / (smooth * smooth), 1.0)
        share = np.where(total == 0.0, 0.0, 1.0 - smooth / total)
    return share / np.sqrt(_RATIO_VARIANCE / window.n * spread)


def lm(window: Window) -> F64:
    """The largest ratio of |return| to local volatility among the bars of the window."""
    blocks = window.blocks
    largest = blocks.once("lm", lambda: _lee_mykland(blocks))
    return _trailing(np.maximum, largest, window.width)


def _lee_mykland(blocks: Blocks) -> F64:
    """The largest statistic of each block (count,); it is 0 for a bar that does not move."""
    moves, terms = np.abs(blocks.returns), lee_mykland_window(blocks.a_day) - 2
    products = np.full(moves.size, np.nan)
    products[1:] = moves[1:] * moves[:-1]
    local = np.full(moves.size, np.nan)
    local[1:] = _trailing(np.add, products, terms)[:-1] / terms
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where((moves == 0.0) & (local >= 0.0), 0.0, moves / np.sqrt(local))
    return statistic.reshape(-1, blocks.size).max(axis=1)


def lee_mykland_window(a_day: float) -> int:
    """K for `a_day` returns in a trading day: the least whole number of at least sqrt(252 a_day).

    Lee & Mykland (2008), section 1.3: K between sqrt(252 nobs) and 252 nobs, the smallest
    preferred; at least 3, so that one product is left.
    """
    return max(math.ceil(math.sqrt(252.0 * a_day)), 3)


def jj(window: Window) -> F64:
    """j where bns is significant, else 0."""
    from statistics import NormalDist

    least = NormalDist().inv_cdf(1.0 - window.blocks.jump_alpha)
    statistic = bns(window)
    return np.where(statistic > least, j(window), np.where(np.isnan(statistic), np.nan, 0.0))


def jc(window: Window) -> F64:
    """The continuous part of rv: rv without jj."""
    total, jump = rv(window), jj(window)
    return np.sqrt(np.maximum(total * total - jump * jump, 0.0))


def sample_variance(window: Window, values: F64) -> F64:
    """Variance per merged bar about the window's own mean, divisor n - 1; values (n,)."""
    out = np.empty(window.blocks.count)
    loops.centred_squares(values, window.blocks.size, window.width, out)
    return out / (window.n - 1)


def _products(window: Window) -> F64:
    """Sum |r_i||r_{i-1}| over the products counted."""
    _, inside, straddling = window.blocks.variations
    size, straddle = window.blocks.size, window.blocks.straddle
    return window.total(inside, straddling, 2, size, straddle=straddle)


def _tripower(window: Window) -> F64:
    """Quarticity per merged bar."""
    return _TRIPOWER * window.mean_of_returns("tpq", _three_to_four_thirds, 3)


def _by_window(window: Window, loop: Callable[..., None]) -> F64:
    blocks = window.blocks
    sparse = max(_SPARSE_NS // blocks.length, 1)
    out = np.empty(blocks.count)
    loop(blocks.returns, blocks.log_prices, blocks.size, window.width, sparse, out)
    return np.sqrt(out * (1.0 / window.bars))


def _root(sums: F64, scale: float) -> F64:
    """sqrt(sums * scale), written over the sums."""
    sums *= scale
    return np.sqrt(sums, out=sums)


def _sigma(window: Window, variance: F64) -> F64:
    """Sigma per bar of the panel from a variance per merged bar."""
    return np.sqrt(variance / window.blocks.interval)


def _fourth_root(window: Window, quarticity: F64) -> F64:
    return np.sqrt(np.sqrt(quarticity) / window.blocks.interval)


def _trailing(ufunc: np.ufunc, x: F64, width: int) -> F64:
    """`ufunc` over the last `width` values, NaN where there are fewer.

    Rows of `width` are accumulated from both ends: a window is the end of one row and the start
    of the next, so it uses only its own values and costs the same for every width.
    """
    rows = np.zeros((-(-x.size // width), width))
    rows.ravel()[: x.size] = x
    out = ufunc.accumulate(rows, axis=1)
    back = ufunc.accumulate(rows[:, ::-1], axis=1)[:, ::-1]
    ufunc(back[:-1, 1:], out[1:, :-1], out=out[1:, :-1])
    out = out.ravel()[: x.size]
    out[: width - 1] = np.nan
    return out


def _least(a: F64, b: F64) -> F64:
    return np.square(np.minimum(a, b))


def _median(a: F64, b: F64, c: F64) -> F64:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median_square(a: F64, b: F64, c: F64) -> F64:
    return np.square(_median(a, b, c))


def _median_quartic(a: F64, b: F64, c: F64) -> F64:
    return np.square(np.square(_median(a, b, c)))


def _quartic(a: F64) -> F64:
    return np.square(np.square(a))


def _three_to_four_thirds(a: F64, b: F64, c: F64) -> F64:
    return _quartic(np.cbrt(a * b * c))


def _positive(r: F64) -> F64:
    return np.square(np.maximum(r, 0.0))


def _negative(r: F64) -> F64:
    return np.square(np.minimum(r, 0.0))


ESTIMATORS: dict[str, Callable[[Window], F64]] = {
    f.__name__: f
    for f in (
        *(rv, bv, j, minrv, medrv, rq, medrq, tpq, rsp, rsn, sj, rk, tsrv, rvss),
        *(ret, absret, cc, bns, lm, jc, jj),
    )
}
