"""Features that read other columns than the target's: do they know the future?

Which columns count is decided by where they come from. Prices of one bar are checked against each
other, so a measure of prices cannot be dated apart from a target of prices; volume, an extra column
and a side series can. So can prices beside a target that is an extra column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.audit.foresight import Foresight, Origins, foresight
from harness.measures.table import MEASURES
from harness.models.protocol import Forecaster
from harness.panel.sections import OVERNIGHT
from harness.samples.features import Binary, Call, Column, Negative, Node, parse_feature
from harness.samples.rows import OriginMeasures
from harness.study.stages import MeasuredStudy
from harness.study.study import Study
from harness.tables import Table, table
from harness.types import F64

_MOST_ORIGINS = 30_000  # of symbols spread over the panel; of one symbol, the last
_PRICES = "prices"
_COLUMNS = (
    "horizon", "feature", "read", "partial", "lead", "ahead", "behind", "together", "n",
    "suspected",
)  # fmt: skip


@dataclass(frozen=True)
class OtherColumn:
    """A feature of a model of the verdict, the panel's columns that it reads beside the target's.

    `foresight` has its figures; forecast origins are `every` apart.
    """

    horizon: str
    every: str
    feature: str
    read: tuple[str, ...]
    foresight: Foresight

    @property
    def row(self) -> tuple[Any, ...]:
        """Its row in the log table `foresight`."""
        f = self.foresight
        figures = f.partial, f.lead, f.ahead, f.behind, f.together, f.n, f.suspected
        return self.horizon, self.feature, list(self.read), *figures


def other_columns(measured: MeasuredStudy, horizon: str) -> tuple[OtherColumn, ...]:
    """The features of the verdict's models that read other columns than the target's.

    Nothing is computed where there are none. A feature in which nothing is new is left out.
    """
    study = measured.study
    rule, models = study.hypothesis.verdict, study.models(horizon)
    deciding = {name: models[name] for name in (rule.baseline, *rule.candidates)}
    read = _read(study, deciding)
    if not read:
        return ()
    beside = [f for f in deciding[rule.baseline].features if f not in read]
    symbols = _some(measured.by_symbol)
    origins = _origins(study, symbols, horizon, beside)
    features = [_joined([_at(d, feature) for d in symbols]) for feature in read]
    found = foresight(origins, features)
    every = str(study.hypothesis.sample.every)
    return tuple(
        OtherColumn(horizon, every, feature, columns, figures)
        for (feature, columns), figures in zip(read.items(), found, strict=True)
        if figures is not None
    )


def foresight_table(found: Sequence[OtherColumn]) -> Table:
    """The log table `foresight`: a row per feature that reads another column."""
    return table(_COLUMNS, [column.row for column in found])


def warnings_of(found: Sequence[OtherColumn]) -> list[str]:
    """A warning for each set of columns that features read, if one of these is suspected."""
    by_read: dict[tuple[str, ...], list[OtherColumn]] = {}
    for column in found:
        if column.foresight.suspected:
            by_read.setdefault(column.read, []).append(column)
    return [_warning(read, suspects) for read, suspects in by_read.items()]


def _warning(read: tuple[str, ...], suspects: Sequence[OtherColumn]) -> str:
    """The feature with the clearest lead speaks, or the one with the largest correlation."""
    leading = [s for s in suspects if s.foresight.leading]
    column = max(leading or suspects, key=lambda s: s.foresight.ahead or abs(s.foresight.partial))
    f, words = column.foresight, []
    if f.leading:
        words.append(
            f"What is new in {column.feature} comes {f.lead} forecast "
            f"origin{'s' if f.lead != 1 else ''} (one every {column.every}) before the move of "
            f"volatility that it goes with: correlation {f.ahead:.2f}, against {f.behind:.2f} with "
            "moves up to the forecast origin."
        )
    if f.surprising:
        words.append(
            f"The correlation of {column.feature} with the part of the target that the target's "
            f"past does not explain is {f.partial:.2f}; most honest columns stay below 0.3."
        )
    more = len(suspects) - 1
    rest = f" The same holds for {more} more of its features." if more else ""
    return (
        f"The column {' or '.join(read)} may know the future. {' '.join(words)}{rest} Check when "
        "each value was known: the time zone, whether a bar is stamped at its start or its end, "
        "a shift, a centred mean, a backward fill, a day's value before the day has ended."
    )


def _read(study: Study, models: Mapping[str, Forecaster]) -> dict[str, tuple[str, ...]]:
    """Feature -> the columns that it reads and that could be dated apart from the target.

    A long window hides what is new at its end, so the shortest of a column is a feature here too,
    unless models read the column with a lag only.
    """
    own, plan = _source(study.hypothesis.target.measure), study.plan
    found: dict[str, tuple[str, ...]] = {}
    short: dict[str, str] = {}
    for feature in dict.fromkeys(f for model in models.values() for f in model.features):
        root = parse_feature(feature).root
        read = [plan.columns[name][0] for name, _ in _columns(root)]
        if others := sorted({_source(measure) for measure in read} - {own}):
            found[feature] = tuple(others)
            unlagged = {plan.columns[name][0] for name, lagged in _columns(root) if not lagged}
            short |= {m: _shortest(study, m) for m in unlagged if _source(m) != own}
    for measure, column in short.items():
        if f"log({column})" not in found:
            found.setdefault(column, (_source(measure),))
    return found


def _columns(node: Node, lagged: bool = False) -> Iterator[tuple[str, bool]]:
    """The columns of a feature, and whether each is read at an earlier forecast origin only."""
    match node:
        case Column():
            yield node.name, lagged
        case Negative(operand):
            yield from _columns(operand, lagged)
        case Call(function, operand):
            yield from _columns(operand, lagged or function == "lag")
        case Binary(_, left, right):
            yield from _columns(left, lagged)
            yield from _columns(right, lagged)


def _shortest(study: Study, measure: str) -> str:
    """The measure's column over the shortest window."""
    plan = study.plan
    spans = {c: plan.windows[scale] for c, (m, scale) in plan.columns.items() if m == measure}
    return min(spans, key=spans.__getitem__)


def _source(measure: str) -> str:
    """What a measure is made from: the prices of a bar, or a column of its own."""
    return _PRICES if measure in MEASURES or measure == OVERNIGHT else measure


def _some(by_symbol: Sequence[OriginMeasures]) -> list[OriginMeasures]:
    """As many symbols, evenly spread, as have a bounded number of origins, one at least."""
    total = sum(d.measured.origins.size for d in by_symbol)
    count = min(len(by_symbol), max(_MOST_ORIGINS * len(by_symbol) // max(total, 1), 1))
    return [by_symbol[k * len(by_symbol) // count] for k in range(count)]


def _at(d: OriginMeasures, feature: str) -> F64:
    return d.feature(parse_feature(feature))[-_MOST_ORIGINS:]


def _joined(parts: Sequence[F64]) -> F64:
    """Parts (D,) of all symbols, one after the other, each with a blank behind."""
    return np.concatenate([piece for part in parts for piece in (part, [np.nan])])


def _origins(
    study: Study, symbols: Sequence[OriginMeasures], horizon: str, beside: Sequence[str]
) -> Origins:
    plan, measure = study.plan, study.hypothesis.target.measure
    spans = {f"log({c})": plan.windows[s] for c, (m, s) in plan.columns.items() if m == measure}
    enough = {text: bars for text, bars in spans.items() if bars >= plan.every}
    moved = min(enough, key=enough.__getitem__) if enough else max(spans, key=spans.__getitem__)
    own = list(dict.fromkeys([*spans, *beside]))
    sizes = [min(d.measured.origins.size, _MOST_ORIGINS) for d in symbols]
    times = [d.measured.known_at[d.measured.origins][-_MOST_ORIGINS:] for d in symbols]
    return Origins(
        times=np.concatenate([np.append(t, 0) for t in times]),
        symbol=np.repeat(np.arange(len(sizes)), np.add(sizes, 1)),
        own=np.array([_joined([_at(d, text) for d in symbols]) for text in own]),
        target=_joined([_target(study, d, horizon) for d in symbols]),
        moved=_joined([_at(d, moved) for d in symbols]),
        steps=-(-plan.windows[horizon] // plan.every),
        spans=-(-spans[moved] // plan.every),
        every=plan.every * plan.bar,
    )


def _target(study: Study, d: OriginMeasures, horizon: str) -> F64:
    """Ln sigma of the target of each origin (D,), NaN where its span has not ended."""
    m = d.measured
    end = m.origins + study.plan.windows[horizon] // m.block
    inside = end < m.known_at.size
    out = np.full(end.size, np.nan)
    column = m.columns[study.target(horizon)]
    out[inside] = study.scale.log_sigma(study.scale.target(column[end[inside]]))
    return out[-_MOST_ORIGINS:]
