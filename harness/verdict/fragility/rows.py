"""A variant of the fragility table: its gain, interval, p-value, verdict and agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from harness.errors import RunError
from harness.inference.evidence import Evidence, GainAs, Verdict, no_gain
from harness.inference.gains import Seed
from harness.scores.losses import Values
from harness.scores.metrics import METRICS, columns_of
from harness.tables import Table, table
from harness.types import F64, Forecasts
from harness.verdict.rule import decide, pooled_gain
from harness.verdict.weigh import Weighed, weigh

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis
    from harness.spec.sections import Acceptance

# Which variants a run stores. Raise it with them, and say what changed: 2: `interval`.
METHOD = 2


@dataclass(frozen=True)
class Row:
    """One row of the table; a variant that was not computed has no gain, and `note` says why.

    `kind` is `registered` (the reference), `loss`, `level`, `residuals`, `seed`, `training`,
    `interval`, `proxy`, `windows`, `year` or `regime`. The gain is in the metric's unit; with
    `gain_as` relative it is a share of the baseline's loss, with wins a share of the symbols.
    Interval and p-value use the registered alpha, p adjusted for the number of candidates; `n`
    counts forecast origins. `status` is the verdict under the registered rule with `min_gain` as
    minimum (0, or 1/2 for wins: any gain).
    `agrees`: it is the registered verdict; `same_sign`: the gain has the sign of the registered
    one; both are None if there is nothing to compare.
    """

    kind: str
    variant: str
    candidate: str
    baseline: str
    metric: str
    gain_as: GainAs
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    unbounded: str | None = None
    p_value: float | None = None
    n: int | None = None
    min_gain: float | None = None
    status: str | None = None
    agrees: bool | None = None
    same_sign: bool | None = None
    note: str = ""


COLUMNS = tuple(f.name for f in fields(Row))


def fragility_table(rows: Sequence[Row]) -> dict[str, Table]:
    """`fragility`, column by column."""
    return {"fragility": table(COLUMNS, [tuple(asdict(row).values()) for row in rows])}


@dataclass(frozen=True)
class Scored:
    """Forecasts, the values that evidence reads, and every metric of each model (M,).

    `periods` counts the separate periods of a regime of shifts, None for any other rows.
    """

    forecasts: Forecasts
    outcome: Values
    models: Mapping[str, Values]
    figures: Mapping[str, F64]
    periods: int | None = None


@dataclass(frozen=True)
class Registered:
    """The rule, the deciding candidate and the result: the reference for all variants.

    `any_gain` is the status under the same rule with "any gain" instead of the registered minimum;
    `seed` is the run's, `version` that of the rule.
    """

    rule: Acceptance
    candidate: str
    gain: float
    status: str
    any_gain: str | None
    seed: int
    version: int

    @classmethod
    def of(cls, hypothesis: Hypothesis, verdict: Verdict) -> Registered:
        """From the verdict."""
        rule, version = hypothesis.verdict, hypothesis.rule_version
        best, any_gain = verdict.best, None
        if rule.claim == "better":
            any_gain = decided(rule, best, no_gain(rule.gain_as), rule.gain_as, version).status
        seed = hypothesis.run.seed
        return cls(rule, best.candidate, best.gain, verdict.status, any_gain, seed, version)

    def head(self, kind: str, variant: str, metric: str | None = None) -> Row:
        """A row without results."""
        metric = metric or self.rule.metric
        m = METRICS[metric]
        possible = {"difference": True, "relative": m.has_share, "wins": m.loss is not None}
        gain_as = self.rule.gain_as if possible[self.rule.gain_as] else "difference"
        return Row(kind, variant, self.candidate, self.rule.baseline, metric, gain_as)

    def without(self, kind: str, variant: str, why: str, metric: str | None = None) -> Row:
        """A row of a variant that was not computed."""
        return replace(self.head(kind, variant, metric), note=why)

    def row(
        self, kind: str, variant: str, scored: Scored, *, metric: str | None = None, note: str = ""
    ) -> Row:
        """The variant's gain, evidence and verdict."""
        head = self.head(kind, variant, metric)
        try:
            found = self._evidence(scored, head)
        except RunError as error:
            return replace(head, note="; ".join(filter(None, (f"not applicable: {error}", note))))
        if math.isnan(found.gain):
            why = f"{head.metric} is not defined for {head.candidate} or for {head.baseline}"
            return replace(head, note="; ".join(filter(None, (why, note))))
        row = replace(
            head,
            gain=found.gain,
            gain_low=found.gain_low,
            gain_high=found.gain_high,
            unbounded=found.unbounded,
            p_value=found.p_adjusted,
            n=found.n,
            note=note,
        )
        return self._held_against(row, found)

    def references(self, verdict: Verdict) -> list[Row]:
        """The registered gain; again under "any gain" if a minimum was registered."""
        best = verdict.best
        row = replace(
            self.head("registered", "as registered"),
            gain=best.gain,
            gain_low=best.gain_low,
            gain_high=best.gain_high,
            unbounded=best.unbounded,
            p_value=best.p_adjusted,
            n=best.n,
            min_gain=self.rule.min_gain,
            status=self.status,
        )
        anything = no_gain(self.rule.gain_as)
        if self.any_gain is None or self.rule.min_gain == anything:
            return [row]
        anyhow = "as registered, but for any gain"
        return [row, replace(row, variant=anyhow, min_gain=anything, status=self.any_gain)]

    def _evidence(self, scored: Scored, head: Row) -> Evidence:
        figures = [scored.figures[name] for name in (head.baseline, head.candidate)]
        base, own = (float(f[columns_of(f).index(head.metric)]) for f in figures)
        gain = pooled_gain(head.metric, base, own, gain_as=head.gain_as)
        (found,) = weigh(
            self.rule,
            Weighed(
                scored.forecasts,
                scored.outcome,
                [Seed(scored.models, {head.candidate: gain}, base)],
                scored.periods,
            ),
            (head.candidate,),
            metric=head.metric,
            gain_as=head.gain_as,
            min_gain=self._least(head),
            seed=self.seed,
            version=self.version,
        )
        return found

    def _carried(self, row: Row) -> bool:
        """Whether the registered minimum has a meaning for the row's metric."""
        return row.metric == self.rule.metric or row.gain_as != "difference"

    def _least(self, row: Row) -> float:
        return self.rule.min_gain if self._carried(row) else no_gain(row.gain_as)

    def _held_against(self, row: Row, found: Evidence) -> Row:
        """The row with its verdict, if the rule has a minimum for its metric."""
        rule, anything, carried = self.rule, no_gain(row.gain_as), self._carried(row)
        if rule.claim == "equal":
            if not carried:
                why = f"no verdict: a margin in {rule.metric} says nothing about {row.metric}"
                return replace(row, note="; ".join(filter(None, (why, row.note))))
            status = decided(rule, found, rule.min_gain, row.gain_as, self.version).status
            return replace(row, min_gain=rule.min_gain, status=status, agrees=status == self.status)
        least = self._least(row)
        status = decided(rule, found, least, row.gain_as, self.version).status
        return replace(
            row,
            min_gain=least,
            status=status,
            agrees=status == (self.status if carried else self.any_gain),
            same_sign=_sign(found.gain - anything) == _sign(self.gain - no_gain(rule.gain_as)),
        )


def decided(
    rule: Acceptance, found: Evidence, min_gain: float, gain_as: GainAs, version: int
) -> Verdict:
    """The registered rule on one candidate's evidence, with another minimum gain."""
    own = {"min_gain": min_gain, "gain_as": gain_as, "regime": None}
    return decide([found], rule.model_copy(update=own), version=version)


def _sign(value: float) -> int:
    return (value > 0.0) - (value < 0.0)
