"""From forecasts to the verdict: scores of every horizon, evidence on one, how fragile it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.ability.findings import Compared, Finding, findings, nests
from harness.errors import RunError
from harness.fragility.rows import Registered, Row
from harness.fragility.variants import Basis, fragility
from harness.groups import Adaptation, GroupScores, adaptation, by_group, of_group, only
from harness.inference import evidence
from harness.metrics import Scores, Values, score, series
from harness.regimes import mark
from harness.risk.assess import Risk, assess
from harness.samples import Decided
from harness.sections import Acceptance
from harness.study import Study
from harness.types import Evidence, Forecasts, Verdict
from harness.verdict import decide, pooled_gain


@dataclass(frozen=True)
class Judged:
    """Scores of every horizon, by group too, what shifts cost, the verdict and further tests.

    `values` are the outcome's and every model's at the verdict's horizon, over all its rows.
    """

    scores: tuple[Scores, ...]
    groups: tuple[GroupScores, ...]
    adaptations: tuple[Adaptation, ...]
    verdict: Verdict
    values: tuple[Values, Mapping[str, Values]]
    ability: tuple[Finding, ...] = ()
    risks: tuple[Risk, ...] = ()


def judge(
    study: Study,
    decided: Sequence[Decided],
    forecasts: Mapping[str, Forecasts],
    labels: Mapping[str, Mapping[str, str]],
    forbidden: Sequence[str] = (),
) -> Judged:
    """Score every horizon and decide on the declared one; `forbidden` makes the verdict void."""
    h, rule = study.hypothesis, study.hypothesis.verdict
    scores: list[Scores] = []
    groups: list[GroupScores] = []
    adaptations: list[Adaptation] = []
    found: tuple[Evidence, ...] = ()
    ability: tuple[Finding, ...] = ()
    risks: list[Risk] = []
    for horizon, part in forecasts.items():
        outcome, models = series(part, study.scale)
        scores.append(score(part, study.scale, outcome, models))
        marked = mark(decided, part, h.regimes)
        mine = by_group(part, outcome, models, marked, labels)
        groups += mine
        adaptations += adaptation(part, outcome, models, marked, rule.metric)
        risks += _risk(study, part, models)
        if horizon != str(rule.horizon):
            continue
        deciding = outcome, models
        if rule.regime is None:
            values = {name: scores[-1].value(name, rule.metric) for name in models}
        else:
            rows = marked.groups[rule.regime]
            if rows.size < 2:
                raise RunError(f"verdict.regime {rule.regime}: {rows.size} forecasts are in it")
            part, outcome, models = only(part, outcome, models, rows)
            values = of_group(mine, "regime", rule.regime, rule.metric)
        found = _evidence(rule, part, outcome, models, values)
        ability = findings(_compared(study, part, outcome, models))
    verdict = decide(
        found,
        min_gain=rule.min_gain,
        alpha=rule.alpha,
        relative=rule.gain == "relative",
        claim=rule.claim,
        regime=rule.regime,
        forbidden=forbidden,
    )
    return Judged(
        tuple(scores),
        tuple(groups),
        tuple(adaptations),
        verdict,
        deciding,
        ability,
        tuple(risks),
    )


def _risk(study: Study, part: Forecasts, models: Mapping[str, Values]) -> Iterator[Risk]:
    """VaR and ES of one horizon, where the hypothesis asks for them."""
    h, tails = study.hypothesis, study.tails(part.horizon)
    if tails is not None:
        rule = h.verdict
        drawn = (rule.baseline, *rule.candidates) if part.horizon == str(rule.horizon) else ()
        yield assess(part, models, tails, baseline=rule.baseline, seed=h.run.seed, drawn=drawn)


def _compared(
    study: Study, part: Forecasts, outcome: Values, models: dict[str, Values]
) -> Compared:
    h, rule = study.hypothesis, study.hypothesis.verdict
    words = {name: spec.words() for name, spec in h.models.items()}
    base = words[rule.baseline]
    return Compared(
        outcome,
        models,
        part.formed_at,
        part.overlap,
        baseline=rule.baseline,
        candidates=rule.candidates,
        metric=rule.metric,
        relative=rule.gain == "relative",
        log_target=study.scale.is_log,
        unit=study.scale.unit,
        nested=tuple(name for name in rule.candidates if nests(words[name], base)),
        level=1.0 - 2.0 * rule.alpha,
        seed=h.run.seed,
    )


def _evidence(
    rule: Acceptance,
    part: Forecasts,
    outcome: Values,
    models: dict[str, Values],
    values: Mapping[str, float],
) -> tuple[Evidence, ...]:
    base, relative = values[rule.baseline], rule.gain == "relative"
    gains = {
        name: pooled_gain(rule.metric, base, values[name], relative=relative)
        for name in rule.candidates
    }
    return evidence(
        part,
        outcome,
        models,
        baseline=rule.baseline,
        candidates=rule.candidates,
        metric=rule.metric,
        gains=gains,
        relative=relative,
        baseline_value=base,
        alpha=rule.alpha,
    )


def vary(basis: Basis, forecasts: Forecasts, judged: Judged) -> list[Row]:
    """The fragility table of a verdict; of a void one nothing is to be varied."""
    if judged.verdict.status == "void":
        return []
    registered = Registered.of(basis.study.hypothesis.verdict, judged.verdict)
    rows = fragility(basis, registered, forecasts, *judged.values)
    return [*registered.references(judged.verdict), *rows]
