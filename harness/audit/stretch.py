"""Where an audit looks: a short stretch of decisions, origins in it, and small windows to fit in.

A stretch is as long as the longest window and look-back need, then some training rows, then two
test windows; so what is recomputed at every origin costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.samples.features import Expression, evaluate
from harness.types import I64, Gap, Samples, Window

FEWEST = 20  # training rows from which on a small window is fitted
_TRAIN, _TEST, _HELD_OUT = 150, 24, 40  # decisions
_TRIES = (512, 8_192, 131_072)


@dataclass(frozen=True)
class Needs:
    """How much a stretch must hold before its first test, in decisions unless said otherwise.

    `warm` before a feature is known, `steps` of the longest horizon; `embargo` in ns; `validates`
    whether rows are held out, `staged` whether a model splits its rows among two stages.
    """

    warm: int
    steps: int
    embargo: int
    validates: bool
    staged: bool = False

    @property
    def train(self) -> int:
        """Training decisions, those held out included."""
        # A stage has half the rows or so, less what lies between two parts: horizon and embargo.
        alone = 2 * _TRAIN + 6 * self.steps if self.staged else _TRAIN
        return alone + (2 * _HELD_OUT if self.validates else 0)


@dataclass(frozen=True)
class Stretch:
    """Bars from `start` to `end` are read; `cuts` begin the two test windows, `stop` ends them.

    `origins` are where the future is replaced and models are fitted again; at `more` of them only
    features are made again, among them where filled bars end.
    `train` is where training rows begin, `validation` where those held out do. UTC ns.
    """

    start: int | None
    end: int
    train: int
    validation: int | None
    cuts: tuple[int, int]
    stop: int
    origins: tuple[int, ...]
    more: tuple[int, ...]

    def windows(self, embargo: int, origin: int | None = None) -> tuple[Window, ...]:
        """The test windows, those begun by the origin; the second trains on as long a span."""
        ends = (*self.cuts[1:], self.stop)
        moved = [0, *np.diff(self.cuts).tolist()]
        return tuple(
            Window(k, self.train + shift, cut - embargo, cut, end, self._held_out(shift))
            for k, (cut, end, shift) in enumerate(zip(self.cuts, ends, moved, strict=True))
            if origin is None or cut <= origin
        )

    def _held_out(self, shift: int) -> int | None:
        return None if self.validation is None else self.validation + shift


def with_rows(samples: Samples, windows: Iterable[Window]) -> tuple[Window, ...]:
    """The windows with rows to train on and to test."""
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    return tuple(
        w
        for w in windows
        if ((formed >= w.train_start) & (resolved <= w.limit)).sum() >= FEWEST
        and ((formed >= w.cut) & (formed < w.end)).any()
    )


def look_back(expressions: Iterable[Expression], units: dict[str, str]) -> int:
    """How many decisions before its own the farthest-looking feature needs, found by trying."""
    most = 0
    for expression in expressions:
        for size in _TRIES:
            rng = np.random.default_rng(0)
            columns = {name: rng.uniform(0.5, 1.5, size) for name in expression.columns}
            known = np.isfinite(evaluate(expression, columns, units, 1e-9))
            if known.any():
                most = max(most, int(known.argmax()))
                break
    return most


def place(
    decisions: I64,
    needs: Needs,
    first_test: int,
    gaps: Sequence[Gap],
    bar: int,
    more: int,
    rng: np.random.Generator,
) -> Stretch:
    """A stretch among a symbol's decisions (their times, ascending), where chance has it.

    Within the tested span, but around a gap of the panel where it has any, since bars are filled
    there. What the data do not hold before it is left out.
    """
    last = decisions.size - 1 - needs.steps
    inside = [g for g in gaps if decisions[0] < g.start and g.end + 3 * bar < decisions[last]]
    begun = max(int(np.searchsorted(decisions, first_test)) + 2 * _TEST, _least(decisions, needs))
    begun = min(begun, last)
    if inside:
        gap = inside[int(rng.integers(len(inside)))]
        near = int(np.searchsorted(decisions, gap.end)) + int(rng.integers(1, 2 * _TEST))
        stop = min(max(near, min(_least(decisions, needs), last)), last)
    else:
        stop = int(rng.integers(begun, last + 1))
    stop = max(stop, 2)
    test = max(min(_TEST, stop // 4), 1)
    cuts = decisions[[stop - 2 * test, stop - test]]
    limit = int(np.searchsorted(decisions, cuts[0] - needs.embargo)) - needs.steps
    train = limit - needs.train
    start = train - needs.warm - 2
    end = int(decisions[min(stop + needs.steps, decisions.size - 1)])
    begin = None if start < 0 else int(decisions[start])
    held = int(decisions[max(limit - _HELD_OUT, 0)]) if needs.validates else None
    at_gaps = [g.end + bar for g in inside if (begin or 0) <= g.start and g.end + bar < end]
    others = rng.choice(decisions[max(train, 0) : stop], more).tolist()
    return Stretch(
        start=begin,
        end=end,
        train=int(decisions[max(train, 0)]),
        validation=held,
        cuts=(int(cuts[0]), int(cuts[1])),
        stop=int(decisions[stop]),
        origins=_origins(decisions, stop, test, rng),
        more=tuple(sorted({*at_gaps[:1], *others})),
    )


def _least(decisions: I64, needs: Needs) -> int:
    """The first decision at which a whole stretch has its place."""
    step = int(np.median(np.diff(decisions)))
    embargo = -(-needs.embargo // max(step, 1))
    return needs.warm + needs.train + needs.steps + embargo + 2 * _TEST + 3


def _origins(decisions: I64, stop: int, test: int, rng: np.random.Generator) -> tuple[int, ...]:
    """One between two decisions of the first window, one at a decision of the second."""
    first = stop - 2 * test + int(rng.integers(test))
    between = decisions[first] + int(rng.random() * (decisions[first + 1] - decisions[first]))
    at = decisions[stop - test + int(rng.integers(test))]
    return int(between), int(at)
