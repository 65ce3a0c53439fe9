"""Whether a feature knows the future: does what is new in it come before volatility moves?

A column of a file may be stamped too early, centred, filled backward or joined before its day has
ended. Nothing in a panel proves it, but two figures tell such a column from honest ones:

* the correlation of the feature with the surprise of the target, both net of the target's own past
  (least squares, time of the week removed). An honest feature knows some of what comes, seldom more
  than 0.3 of what the past does not say.
* the correlation of the feature's innovations (net of its own last three values) with the surprise
  of volatility from origin to origin, at leads and lags. News in an honest feature comes with the
  move or after it. A feature that changes at less than half of the origins is read where it
  changes, and volatility over the time from one change to the next.

Values are squeezed (asinh) and cut at four standard deviations, so that no crash decides; standard
errors are robust to changing variance, and to all that symbols share on one date.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I64

# Bounds between honest columns and those that know the future; docs/methods.md has the figures.
_MOST_PARTIAL = 0.4
_LEADING, _LEADING_TOO = 0.3, 0.2  # together: alone, and with a large partial correlation
_MARGIN = 1.2  # times the largest correlation at a lag
_SIGMAS = 4.0
_CUT = 4.0  # standard deviations
_OWN_LAGS = 3
_FEWEST = 60  # origins, or changes of a feature
_CHANGES, _STEPS = 5, 48  # leads and lags looked at, at most
_RARE = 0.34
_PER_SLOT = 50  # origins at one time of the week, for its mean to be removed
_SIGNED = 0.1  # share of values of the rarer sign, from which the size is looked at too
_WEEK, _DAY = 604_800_000_000_000, 86_400_000_000_000


@dataclass(frozen=True)
class Origins:
    """The forecast origins of all symbols, one symbol after the other, each with a blank behind.

    times (N,) are UTC ns and symbol (N,) codes; own (q, N) is what the target's past says; target
    (N,) is its ln sigma and moved (N,) ln sigma from the origin before to this one. They are NaN
    where unknown and in blanks. A target spans `steps` origins, `moved` `spans` of them; `every`
    is ns from one origin to the next.
    """

    times: I64
    symbol: I64
    own: F64
    target: F64
    moved: F64
    steps: int
    spans: int
    every: int


class LeadLag(NamedTuple):
    """Correlations of a feature's innovations with moves of volatility, as sizes from 0 to 1.

    `ahead` is the largest with a later move, `behind` with one up to the forecast origin.
    `together` is the root of the sum of squares of all with later moves, less what chance gives.
    `lead` is the number of forecast origins to the move with the largest of all; 0 or less: the
    feature follows.
    """

    lead: int
    ahead: float
    behind: float
    together: float
    leading: bool


@dataclass(frozen=True)
class Foresight:
    """The figures of a feature over `n` origins, and whether they are above their bounds.

    `partial` is the correlation with the target's surprise; the others are those of LeadLag.
    """

    partial: float
    lead: int
    ahead: float
    behind: float
    together: float
    leading: bool
    n: int
    surprising: bool

    @property
    def suspected(self) -> bool:
        """Whether the feature may know the future."""
        return self.surprising or self.leading


def foresight(origins: Origins, features: Sequence[F64]) -> list[Foresight | None]:
    """The figures of each feature (N,); None where nothing is new in it, or origins are few."""
    forms = [(k, form) for k, feature in enumerate(features) for form in _forms(feature)]
    q, later = len(origins.own), np.append(origins.moved[1:], np.nan)
    z = np.vstack([origins.own, *(form for _, form in forms), origins.target, later])
    rows = np.flatnonzero(np.isfinite(z).all(axis=0))
    if rows.size < _FEWEST:
        return [None] * len(features)
    z = z[:, rows]
    net, varies = _within(z, origins, rows)
    surprise = _scaled(_residuals(net, net[:q]))
    dates = _places(origins.times)
    news = np.zeros(dates.size)
    news[rows + 1] = surprise[-1]
    blocks = dates[rows] // (2 * origins.steps)
    best: list[Foresight | None] = [None] * len(features)
    for j, (k, _) in enumerate(forms, q):
        if not varies[j]:
            continue
        values = np.full(dates.size, np.nan)
        values[rows] = net[j]
        lag = _lead_lag(origins, features[k], values, news, dates)
        partial, sigmas = _correlation(surprise[j], surprise[-2], blocks)
        large = abs(partial) > _MOST_PARTIAL and sigmas > _SIGMAS
        surprising = large and lag.together > _LEADING_TOO
        found = Foresight(partial, *lag, rows.size, surprising)
        known = best[k]
        if known is None or (found.suspected and not known.suspected):
            best[k] = found
    return best


def _forms(feature: F64) -> Iterator[F64]:
    """The feature, squeezed; and its size, if it has both signs."""
    known = np.abs(feature[np.isfinite(feature)])
    unit = float(np.median(known) or np.mean(known)) if known.size else 0.0
    squeezed = np.arcsinh(feature / (unit or 1.0))
    yield squeezed
    above = np.count_nonzero(feature > 0.0), np.count_nonzero(feature < 0.0)
    if min(above) > _SIGNED * known.size:
        yield np.abs(squeezed)


def _lead_lag(origins: Origins, feature: F64, values: F64, news: F64, dates: I64) -> LeadLag:
    """Of values (N,), the feature without means, and news (N,), the surprise in each move."""
    known = np.isfinite(values)
    changes = np.append(True, feature[1:] != feature[:-1])
    share = float(np.mean(changes[known]))
    gap, most = 1, min(max(_DAY // origins.every, _CHANGES), _STEPS)
    if share < _RARE:
        at = np.flatnonzero(changes | ~known)
        values, dates = values[at], dates[at]
        news = np.diff(np.cumsum(news)[at], prepend=0.0)
        news[~np.isfinite(values)] = 0.0
        news = _scaled(news[None])[0]
        gap, most = max(round(1.0 / max(share, 1.0 / known.size)), 1), _CHANGES
    if origins.spans > 1:  # where moves share bars, each has an echo as many origins later
        most = min(most, (origins.spans - 1) // gap)
    fresh = _innovations(values)
    size = math.sqrt(float(fresh @ fresh) * float(news @ news))
    if most < 1 or size == 0.0:
        return LeadLag(0, 0.0, 0.0, 0.0, False)
    n = fresh.size
    later = np.array([fresh[: n - k] @ news[k:] for k in range(1, most + 1)]) / size
    earlier = np.array([fresh[k:] @ news[: n - k] for k in range(most + 1)]) / size
    k, lag = int(np.abs(later).argmax()) + 1, int(np.abs(earlier).argmax())
    ahead, behind = abs(float(later[k - 1])), abs(float(earlier[lag]))
    squares = float(later @ later) - most / np.count_nonzero(fresh)
    together = math.sqrt(max(squares, 0.0))
    _, sigmas = _correlation(fresh[: n - k], news[k:], dates[: n - k])
    return LeadLag(
        lead=(k if ahead > behind else -lag) * gap,
        ahead=ahead,
        behind=behind,
        together=together,
        leading=sigmas > _SIGMAS and together > _LEADING and ahead > _MARGIN * behind,
    )


def _innovations(values: F64) -> F64:
    """Values (N,) net of their own last ones, scaled; 0 where one of them is unknown."""
    n, out = values.size, np.zeros(values.size)
    lags = np.full((_OWN_LAGS + 1, n), np.nan)
    for k, row in enumerate(lags):
        row[k:] = values[: n - k]
    rows = np.flatnonzero(np.isfinite(lags).all(axis=0))
    if rows.size >= _FEWEST:
        lags = lags[:, rows]
        out[rows] = _scaled(_residuals(lags[:1], lags[1:]))[0]
    return out


def _within(z: F64, origins: Origins, rows: I64) -> tuple[F64, NDArray[np.bool_]]:
    """Z (m, n) without means of times of the week (or of the day, or none), scaled by symbol.

    And whether each row still varies: a calendar does not.
    """
    least = np.maximum(1e-6 * z.var(axis=1), 1e-24 * np.mean(z * z, axis=1))  # rounding
    for period in (_WEEK, _DAY):
        if 1 < period // origins.every <= rows.size // _PER_SLOT:
            z = z - _means(z, origins.times[rows] % period // origins.every)
            break
    symbol = origins.symbol[rows]
    z = z - _means(z, symbol)
    spread = np.sqrt(_means(z * z, symbol))
    return z / np.where(spread > 0.0, spread, 1.0), z.var(axis=1) > least


def _means(z: F64, group: I64) -> F64:
    """The mean of each row of z (m, n) over the columns of the same group (n,) of codes."""
    if not group.any():  # one group
        return z.mean(axis=1, keepdims=True)
    count = np.maximum(np.bincount(group), 1)
    return np.array([(np.bincount(group, row) / count)[group] for row in z])


def _residuals(z: F64, x: F64) -> F64:
    """Z (m, n) net of x (q, n), by least squares."""
    size = np.sqrt(np.einsum("ij,ij->i", x, x))
    x = x[size > 0.0] / size[size > 0.0, None]
    return z - (z @ x.T) @ np.linalg.pinv(x @ x.T, rcond=1e-10, hermitian=True) @ x


def _scaled(z: F64) -> F64:
    """Rows of z (m, n) in standard deviations, cut."""
    spread = z.std(axis=1, keepdims=True)
    return np.clip(z / np.where(spread > 0.0, spread, 1.0), -_CUT, _CUT)


def _correlation(a: F64, b: F64, blocks: I64) -> tuple[float, float]:
    """Correlation of a and b (n,), means 0, and its size in standard errors; blocks (n,) codes."""
    size = math.sqrt(float(a @ a) * float(b @ b))
    products = np.bincount(blocks, a * b)
    products = products[np.bincount(blocks) > 0]
    total = float(products.sum())
    spread = float(products @ products) - total * total / products.size
    if size == 0.0 or spread <= 0.0:
        return 0.0, 0.0
    return total / size, abs(total) / math.sqrt(spread)


def _places(times: I64) -> I64:
    """The place of each time among all times (N,)."""
    return np.unique(times, return_inverse=True)[1]
