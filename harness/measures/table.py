"""The measures that a hypothesis can name: units, inputs, formulas, sources.

A measure `m` over a scale `s` of w bars is a column `m_s` (`rv_1h`, `bv_1d`). The unit `sigma` is
a volatility per bar of the panel: the square root of a variance per bar, or the fourth root of a
quarticity, never annualised. The unit `none` is a plain number (a test statistic, a return over
the window, a signed volatility) that cannot be a target. A panel's own extra column
(`[columns.extra]`) is a measure too: its mean over the window, in its own unit.

`sample.interval` merges every q bars into one, counted from the grid of forecast origins: the
merged bar has the first open, the last close and the range of all. Below, a window has n = w / q
such bars with r_i = ln(c_i / c_{i-1}). c_0 is the last close before the window, so a window of n
bars has n returns, and the first return of a session is the overnight one. No zero return is
added at the start; the first bar of a panel has no return. Products are those inside the window,
n - k + 1 products of k neighbours, or n with `sample.bipower_edge = "straddle"`. Returns are not
centred, except where stated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MANY_ZEROS = 0.02
"""Share of returns of 0 from which measures that read zeros as jumps are warned of.

On 600 simulated days of 1,440 returns without a jump, at a significance of 0.001, `bns` found jumps
on 0.7 % of days with 1 % zeros, 2 to 8 % with 2 %, 27 to 72 % with 5 % and over 92 % with 10 %:
zeros in place of random returns, or prices that stand still and then catch up. With 288 returns a
day it was 1, 1, 2 to 10 and 21 to 47 %. With 2 % zeros the square of `bv` is 2 to 3 % low.
"""

JUMP_ALPHA = 0.001  # significance level of a jump, unless sample.jump_alpha is set


@dataclass(frozen=True)
class Measure:
    """A measure: the bar columns it reads, its unit, its formula and the source of it.

    `minimum_bars` is the shortest window, in bars of sample.interval. `zeros` says what returns of
    0 do to it: `jumps`: products of neighbouring returns vanish, so that what moves beside them is
    read as a jump; `none`: nothing, its square has the same mean for the same moves; empty: other.
    """

    name: str
    inputs: tuple[str, ...]
    unit: str
    minimum_bars: int
    formula: str
    source: str
    zeros: str = ""


_CLOSE = ("close",)
_RANGE = ("high", "low")
_OHLC = ("open", "high", "low", "close")

_FROM_RETURNS = (
    Measure(
        "rv",
        _CLOSE,
        "sigma",
        1,
        "sqrt((1/w) sum r_i^2), r_i = ln(c_i / c_{i-1}), over the w bars of the window",
        "Andersen, Bollerslev, Diebold & Labys (2003), Econometrica 71, eq. 6, per bar",
        zeros="none",
    ),
    Measure(
        "bv",
        _CLOSE,
        "sigma",
        2,
        "sqrt((pi/2)/w sum |r_i||r_{i-1}|); sample.bipower_edge says whether the product "
        "that straddles the window's left edge is counted",
        "Barndorff-Nielsen & Shephard (2004), J. Financial Econometrics 2, eq. 5, per bar",
        zeros="jumps",
    ),
    Measure(
        "j",
        _CLOSE,
        "sigma",
        2,
        "sqrt(max(rv^2 - bv^2, 0)), with rv and bv of the same window",
        "Andersen, Bollerslev & Diebold (2007), Rev. Economics & Statistics 89, eq. 9",
        zeros="jumps",
    ),
    Measure(
        "minrv",
        _CLOSE,
        "sigma",
        2,
        "sqrt(pi/(pi - 2) mean min(|r_i|, |r_{i-1}|)^2 / q), the mean over the products counted",
        "Andersen, Dobrev & Schaumburg (2012), J. Econometrics 169, MinRV of section 2, per bar",
        zeros="jumps",
    ),
    Measure(
        "medrv",
        _CLOSE,
        "sigma",
        3,
        "sqrt(pi/(6 - 4 sqrt(3) + pi) mean med(|r_i|, |r_{i-1}|, |r_{i-2}|)^2 / q), the mean over "
        "the products counted",
        "Andersen, Dobrev & Schaumburg (2012), J. Econometrics 169, MedRV of section 2, per bar",
        zeros="jumps",
    ),
    Measure(
        "rq",
        _CLOSE,
        "sigma",
        1,
        "((1/3) mean r_i^4 / q^2)^(1/4): square(rq_1d) is the sqrt(RQ) of HARQ, per bar",
        "Barndorff-Nielsen & Shephard (2002), J. Royal Statistical Society B 64, section 3, "
        "fourth root per bar",
    ),
    Measure(
        "medrq",
        _CLOSE,
        "sigma",
        3,
        "(3 pi/(9 pi + 72 - 52 sqrt(3)) mean med(|r_i|, |r_{i-1}|, |r_{i-2}|)^4 / q^2)^(1/4), the "
        "mean over the products counted",
        "Andersen, Dobrev & Schaumburg (2012), J. Econometrics 169, MedRQ, fourth root per bar",
    ),
    Measure(
        "tpq",
        _CLOSE,
        "sigma",
        3,
        "(m^-3 mean (|r_i||r_{i-1}||r_{i-2}|)^(4/3) / q^2)^(1/4), m = 2^(2/3) Gamma(7/6) / "
        "Gamma(1/2), the mean over the products counted",
        "Barndorff-Nielsen & Shephard (2004), J. Financial Econometrics 2, tripower quarticity, "
        "fourth root per bar",
        zeros="jumps",
    ),
    Measure(
        "rsp",
        _CLOSE,
        "sigma",
        1,
        "sqrt((1/w) sum of r_i^2 over r_i > 0); rsp^2 + rsn^2 = rv^2",
        "Barndorff-Nielsen, Kinnebrock & Shephard (2010), Measuring downside risk, RS+, per bar",
        zeros="none",
    ),
    Measure(
        "rsn",
        _CLOSE,
        "sigma",
        1,
        "sqrt((1/w) sum of r_i^2 over r_i < 0); rsp^2 + rsn^2 = rv^2",
        "Barndorff-Nielsen, Kinnebrock & Shephard (2010), Measuring downside risk, RS-, per bar",
        zeros="none",
    ),
    Measure(
        "sj",
        _CLOSE,
        "none",
        1,
        "sign(d) sqrt(|d|), d = rsp^2 - rsn^2: a signed volatility per bar",
        "Patton & Sheppard (2015), Rev. Economics & Statistics 97, signed jump variation, its "
        "signed root",
    ),
)

_THROUGH_NOISE = (
    Measure(
        "rk",
        _CLOSE,
        "sigma",
        2,
        "sqrt((1/w) sum over |h| <= H of k(h/(H + 1)) sum r_i r_{i-|h|}), k Parzen's, products "
        "inside the window, end prices not jittered; H = ceil(3.5134 (v/s)^(2/5) n^(3/5)), at "
        "most n - 1, v = sum r_i^2 / 2n, s = subsampled variation of 20-minute returns (of all "
        "where a bar is longer)",
        "Barndorff-Nielsen, Hansen, Lunde & Shephard (2009), Econometrics J. 12, eq. 1, H in "
        "section 2.2",
        zeros="none",
    ),
    Measure(
        "tsrv",
        _CLOSE,
        "sigma",
        2,
        "sqrt(max((a - (m/n) d) / (1 - m/n), 0) / w), d = sum r_i^2, a = (1/K) sum of squared "
        "returns over K bars, m = (n - K + 1)/K; K = (3 (d/s)^2)^(1/3) rounded, from 2 to n/2, "
        "which is (12 v^2/s^2)^(1/3) n^(2/3) with v = d/2n and s as for rk",
        "Zhang, Mykland & Ait-Sahalia (2005), J. American Statistical Association 100, eq. 64",
        zeros="none",
    ),
    Measure(
        "rvss",
        _CLOSE,
        "sigma",
        1,
        "sqrt(mean of squared returns over q bars / q), over the w - q + 1 such returns inside "
        "the window: q grids, one a bar after the other; it is rv without sample.interval",
        "Zhang, Mykland & Ait-Sahalia (2005), J. American Statistical Association 100, the "
        "second-best estimator, per bar",
        zeros="none",
    ),
)

_MOVES = (
    Measure(
        "ret",
        _CLOSE,
        "none",
        1,
        "ln(c_n / c_0): the log return over the window",
        "by definition",
    ),
    Measure(
        "absret",
        _CLOSE,
        "sigma",
        1,
        "|ln(c_n / c_0)| / sqrt(w): its square is unbiased for the variance per bar without drift",
        "by definition",
    ),
    Measure(
        "cc",
        _CLOSE,
        "sigma",
        2,
        "sqrt(1/(n - 1) sum (r_i - mean r)^2 / q): centred on the window's mean, divisor n - 1",
        "by definition: the sample standard deviation of close-to-close returns",
    ),
)

_JUMPS = (
    Measure(
        "bns",
        _CLOSE,
        "none",
        3,
        "(1 - b/v) / sqrt((pi^2/4 + pi - 5)/n max(1, t/b^2)), v = mean r_i^2, b = (pi/2) mean "
        "|r_i||r_{i-1}|, t = tpq^4, means over the products counted; standard normal without "
        "jumps; 0 where nothing moves",
        "Huang & Tauchen (2005), J. Financial Econometrics 3, the ratio statistic z_TP,rm",
        zeros="jumps",
    ),
    Measure(
        "lm",
        _CLOSE,
        "none",
        1,
        "max of |r_i| / sqrt(mean of the K - 2 products |r_j||r_{j-1}| with j < i) over the "
        "window; K = ceil(sqrt(252 returns a trading day)), a day being 24 hours or a regular "
        "session of the exchange; bars before the window count; 0 for a bar "
        "that does not move, infinite (so dropped) for one that does after K - 2 products of 0",
        "Lee & Mykland (2008), Rev. Financial Studies 21, eqs 7 and 8",
        zeros="jumps",
    ),
    Measure(
        "jj",
        _CLOSE,
        "sigma",
        3,
        "j where bns exceeds the normal quantile of 1 - sample.jump_alpha, else 0",
        "Andersen, Bollerslev & Diebold (2007), Rev. Economics & Statistics 89, section III",
        zeros="jumps",
    ),
    Measure(
        "jc",
        _CLOSE,
        "sigma",
        3,
        "sqrt(rv^2 - jj^2)",
        "Andersen, Bollerslev & Diebold (2007), Rev. Economics & Statistics 89, section III",
        zeros="jumps",
    ),
)

_FROM_RANGES = (
    Measure(
        "pk",
        _RANGE,
        "sigma",
        1,
        "sqrt((1/w) sum (ln(h_i / l_i))^2 / (4 ln 2))",
        "Parkinson (1980), J. Business 53, eq. 4, per bar",
    ),
    Measure(
        "gk",
        _OHLC,
        "sigma",
        1,
        "sqrt((1/w) sum (ln(h_i/l_i)^2 / 2 - (2 ln 2 - 1) ln(c_i/o_i)^2)); overnight moves are "
        "left out",
        "Garman & Klass (1980), J. Business 53, the practical estimator of section V, per bar",
    ),
    Measure(
        "rs",
        _OHLC,
        "sigma",
        1,
        "sqrt((1/w) sum (ln(h_i/c_i) ln(h_i/o_i) + ln(l_i/c_i) ln(l_i/o_i))); overnight moves "
        "are left out",
        "Rogers & Satchell (1991), Annals of Applied Probability 1, p. 504, per bar",
    ),
    Measure(
        "yz",
        _OHLC,
        "sigma",
        2,
        "sqrt((v(ln(o_i/c_{i-1})) + k v(ln(c_i/o_i)) + (1 - k) q rs^2) / q): v is the "
        "variance about the window's mean, divisor n - 1; k = 0.34/(1.34 + (n + 1)/(n - 1))",
        "Yang & Zhang (2000), J. Business 73, the minimum-variance estimator, alpha = 1.34",
    ),
)

MEASURES: dict[str, Measure] = {
    m.name: m for m in (*_FROM_RETURNS, *_THROUGH_NOISE, *_MOVES, *_JUMPS, *_FROM_RANGES)
}


def zeros_as_jumps(measures: Iterable[str], share: float | None) -> list[str]:
    """Those of the measures that read zero returns as jumps, if the share of zeros is high.

    None of them where there are no returns (None).
    """
    if share is None or share < MANY_ZEROS:
        return []
    return [m for m in measures if m in MEASURES and MEASURES[m].zeros == "jumps"]
