"""The stretch of an audit: a short span of bars with origins and two small test windows.

A stretch covers the longest measure window and look-back, some training rows and two test windows,
so that the recomputation at an origin takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.samples.features import Call, Expression, evaluate
from harness.types import F64, I64, Gap, Samples, Window

FEWEST = 20  # training rows that a small window needs
_TRAIN, _TEST, _HELD_OUT = 150, 24, 40  # forecast origins
_TRIES = (512, 8_192, 131_072)


@dataclass(frozen=True)
class Needs:
    """What a stretch needs before its first test row, in forecast origins unless noted.

    `warm`: until all features are known; `steps`: the longest horizon; `embargo` in ns;
    `validates`: rows are held out; `staged`: a model splits its rows between two stages.
    """

    warm: int
    steps: int
    embargo: int
    validates: bool
    staged: bool = False

    @property
    def train(self) -> int:
        """Training rows, including held-out rows."""
        # A stage has about half of the rows, less the gap between them: horizon and embargo.
        alone = 2 * _TRAIN + 6 * self.steps if self.staged else _TRAIN
        return alone + (2 * _HELD_OUT if self.validates else 0)


@dataclass(frozen=True)
class Stretch:
    """Bars from `start` to `end` are read; `cuts` start the two test windows, `stop` ends them.

    At `origins` the future is replaced and models are refitted; at `more` origins only features are
    recomputed, for example where filled bars end. Training rows start at `train`, held-out rows at
    `validation`. UTC ns.
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
        """The test windows with a cut by the origin; both training spans are equally long."""
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
    """The windows that have enough training rows and any test rows."""
    formed, resolved = samples.rows.formed_at, samples.resolved_at
    return tuple(
        w
        for w in windows
        if ((formed >= w.train_start) & (resolved <= w.limit)).sum() >= FEWEST
        and ((formed >= w.cut) & (formed < w.end)).any()
    )


def look_back(expressions: Iterable[Expression], units: dict[str, str]) -> int:
    """The longest look-back of these features in forecast origins, found by evaluating them."""
    most = 0
    for expression in expressions:
        for size in _TRIES:
            rng = np.random.default_rng(0)
            columns = {name: rng.uniform(0.5, 1.5, size) for name in expression.columns}
            known = np.isfinite(_alike(expression, columns, units))
            if known.any():
                most = max(most, int(known.argmax()))
                break
    return most


def _alike(expression: Expression, columns: Mapping[str, F64], units: dict[str, str]) -> F64:
    """A feature in a panel of symbols that are all alike."""

    def across(call: Call) -> F64:
        return _alike(Expression(call.operand), columns, units)

    return evaluate(expression, columns, units, 1e-9, across)


def place(
    decisions: I64,
    needs: Needs,
    first_test: int,
    gaps: Sequence[Gap],
    bar: int,
    more: int,
    rng: np.random.Generator,
) -> Stretch:
    """A random stretch among a symbol's forecast origins (times, ascending).

    It is within the tested span, but around a gap of the panel if there is any, since bars are
    filled there. It starts with the data if they start too late.
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
    """The first position at which a stretch of full length can end."""
    step = int(np.median(np.diff(decisions)))
    embargo = -(-needs.embargo // max(step, 1))
    return needs.warm + needs.train + needs.steps + embargo + 2 * _TEST + 3


def _origins(decisions: I64, stop: int, test: int, rng: np.random.Generator) -> tuple[int, ...]:
    """One between two forecast origins of the first window, one at an origin of the second."""
    first = stop - 2 * test + int(rng.integers(test))
    between = decisions[first] + int(rng.random() * (decisions[first + 1] - decisions[first]))
    at = decisions[stop - test + int(rng.integers(test))]
    return int(between), int(at)
