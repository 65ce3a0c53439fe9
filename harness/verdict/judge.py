"""From forecasts to the verdict: scores of every horizon, evidence at one, fragility."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.errors import RunError
from harness.inference.evidence import Evidence, Verdict
from harness.inference.findings import Compared, Finding, findings, nests
from harness.inference.gains import Seed, saved_losses
from harness.inference.loss_differences import LossDifferences, describe
from harness.scores.distribution.assess import Distributions
from harness.scores.distribution.assess import assess as assess_laws
from harness.scores.forecast_origins import by_origin
from harness.scores.groups import Adaptation, GroupScores, adaptation, by_group, of_group, only
from harness.scores.losses import Values
from harness.scores.metrics import METRICS
from harness.scores.regimes import mark, periods_in
from harness.scores.risk.assess import Risk, assess
from harness.scores.risk.forecasts import Violations
from harness.scores.scoring import Scores, score, series
from harness.scores.seeds import SeedScores, by_seed, groups_over_seeds, over_seeds
from harness.spec.sections import Acceptance
from harness.study.stages import MeasuredStudy
from harness.study.study import Study
from harness.types import F64, Forecasts
from harness.verdict.fragility.rows import Registered, Row
from harness.verdict.fragility.variants import Basis, fragility
from harness.verdict.rivals import Rival, find_rival
from harness.verdict.rule import decide, pooled_gain
from harness.verdict.weigh import Weighed, weigh


@dataclass(frozen=True)
class Judged:
    """Scores of every horizon and group, losses after shifts, the verdict and further tests.

    `values` are those of the outcome and of every model at the verdict's horizon, over all rows.
    With several seeds, scores, groups and evidence are means over them and `spread` has the scores
    of each; everything else uses the first seed.

    `differences` describe the loss differences of every candidate. They and the `rival` are left
    out where the gain is the share of symbols won: such a gain is no mean of differences, and a
    large one counts no more than a small one. `ties` are candidates whose forecasts equal the
    baseline's up to rounding. `violations` are over the rows of the verdict.
    """

    scores: tuple[Scores, ...]
    groups: tuple[GroupScores, ...]
    adaptations: tuple[Adaptation, ...]
    verdict: Verdict
    values: tuple[Values, Mapping[str, Values]]
    ability: tuple[Finding, ...] = ()
    risks: tuple[Risk, ...] = ()
    distributions: tuple[Distributions, ...] = ()
    spread: tuple[SeedScores, ...] = ()
    differences: tuple[LossDifferences, ...] = ()
    rival: Rival | None = None
    ties: tuple[str, ...] = ()
    violations: Violations | None = None


def judge(
    measured: MeasuredStudy,
    forecasts: Mapping[str, Forecasts],
    forbidden: Sequence[str] = (),
) -> Judged:
    """Score every horizon and decide at the declared one; `forbidden` makes the verdict void."""
    study, labels = measured.study, measured.facts.labels
    h, rule = study.hypothesis, study.hypothesis.verdict
    scores: list[Scores] = []
    groups: list[GroupScores] = []
    adaptations: list[Adaptation] = []
    spread: list[SeedScores] = []
    found: tuple[Evidence, ...] = ()
    ability: tuple[Finding, ...] = ()
    risks: list[Risk] = []
    distributions: list[Distributions] = []
    violations: Violations | None = None
    for horizon, part in forecasts.items():
        decided = study.decided_tail(horizon)
        outcome, models = series(part, study.scale, decided=decided)
        again = [series(part.of_seed(r), study.scale, decided=decided)[1] for r in part.repeats]
        each = [score(part, study.scale, outcome, of) for of in (models, *again)]
        scores.append(over_seeds(each))
        spread += by_seed(h.run.seed, each)
        marked = mark(measured.by_symbol, part, h.regimes)
        regimes = [by_group(part, outcome, of, marked, labels) for of in (models, *again)]
        mine = groups_over_seeds(regimes)
        groups += mine
        adaptations += adaptation(part, outcome, models, marked, rule.metric)
        risks += _risk(study, part, models)
        distributions += _distributions(study, part)
        if horizon != str(rule.horizon):
            continue
        deciding, periods = (outcome, models), None
        if rule.regime is None:
            figures = [{n: s.value(n, rule.metric) for n in s.pooled} for s in each]
        else:
            rows = marked.groups[rule.regime]
            periods = periods_in(marked.periods.get(rule.regime), rows)
            if rows.size < 2:
                few = f"{rule.regime!r} with {rows.size} forecasts"
                raise RunError(f"verdict.regime: got {few}, wanted at least 2 in it")
            whole = part, outcome
            part, outcome, models = only(*whole, models, rows)
            again = [only(*whole, of, rows)[2] for of in again]
            figures = [of_group(of, "regime", rule.regime, rule.metric) for of in regimes]
        seeds = [
            _seed(rule, models | of, figures[0] | own)
            for of, own in zip(({}, *again), figures, strict=True)
        ]
        weighed = Weighed(part, outcome, seeds, periods)
        asked = partial(
            weigh,
            rule,
            weighed,
            metric=rule.metric,
            gain_as=rule.gain_as,
            min_gain=rule.min_gain,
            seed=h.run.seed,
        )
        found = asked(rule.candidates, version=h.rule_version)
        ability = findings(_compared(study, part, outcome, models))
        by_model = figures
        violations = Violations.of(outcome, models)
    verdict = decide(found, rule, forbidden=forbidden, version=h.rule_version)
    wins = rule.gain_as == "wins"
    return Judged(
        tuple(scores),
        tuple(groups),
        tuple(adaptations),
        verdict,
        deciding,
        ability,
        tuple(risks),
        tuple(distributions),
        tuple(spread),
        () if wins else _loss_differences(rule, found, weighed, asked),
        None if wins else find_rival(rule, verdict.best.candidate, weighed, by_model),
        tuple(n for n in rule.candidates if deciding[1][n] is deciding[1][rule.baseline]),
        violations,
    )


def _risk(study: Study, part: Forecasts, models: Mapping[str, Values]) -> Iterator[Risk]:
    """VaR and ES of one horizon, if the hypothesis has [risk]."""
    h, tails = study.hypothesis, study.tails(part.horizon)
    if tails is not None:
        base, drawn = h.verdict.baseline, _drawn(h.verdict, part)
        decided = study.decided_tail(part.horizon)
        shown = (decided.law, decided.level) if decided else (0, 0)
        yield assess(part, models, tails, baseline=base, seed=h.run.seed, drawn=drawn, shown=shown)


def _distributions(study: Study, part: Forecasts) -> Iterator[Distributions]:
    """Forecast distributions of one horizon, if the hypothesis has [distribution]."""
    if study.laws is not None:
        yield assess_laws(part, study.laws, drawn=_drawn(study.hypothesis.verdict, part))


def _drawn(rule: Acceptance, part: Forecasts) -> tuple[str, ...]:
    """The models that figures of single forecasts may show."""
    return (rule.baseline, *rule.candidates) if part.horizon == str(rule.horizon) else ()


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
        part.resolved_at,
        part.overlap,
        baseline=rule.baseline,
        candidates=rule.candidates,
        metric=rule.metric,
        gain_as=rule.gain_as,
        log_target=study.scale.is_log,
        unit=study.scale.unit,
        nested=tuple(name for name in rule.candidates if nests(words[name], base)),
        level=1.0 - 2.0 * rule.alpha,
        seed=h.run.seed,
    )


def _seed(rule: Acceptance, models: dict[str, Values], figures: Mapping[str, float]) -> Seed:
    base = figures[rule.baseline]
    gains = {
        name: pooled_gain(rule.metric, base, figures[name], gain_as=rule.gain_as)
        for name in rule.candidates
    }
    return Seed(models, gains, base)


def _loss_differences(
    rule: Acceptance,
    found: Sequence[Evidence],
    of: Weighed,
    again: Callable[..., Sequence[Evidence]],
) -> tuple[LossDifferences, ...]:
    """`again(candidates, most_cosines)` is the evidence with fewer degrees of freedom."""
    metric, origins = METRICS[rule.metric], by_origin(of.forecasts.formed_at)
    formed_at = of.forecasts.formed_at[origins.starts]

    def each(name: str) -> list[F64]:
        return [
            saved_losses(metric, origins, of.outcome, s.models[rule.baseline], s.models[name],
                         s.gains[name] * (s.base if rule.gain_as == "relative" else 1.0))
            for s in of.seeds
        ]  # fmt: skip

    def fewer(name: str) -> Callable[[int], Evidence]:
        return lambda most: again((name,), most_cosines=most)[0]

    return tuple(describe(e, each(e.candidate), formed_at, fewer(e.candidate)) for e in found)


def vary(basis: Basis, forecasts: Forecasts, judged: Judged) -> list[Row]:
    """The fragility table of a verdict; a void verdict has none."""
    if judged.verdict.status == "void":
        return []
    h = basis.study.hypothesis
    registered = Registered.of(h, judged.verdict)
    rows = fragility(basis, registered, forecasts, *judged.values)
    return [*registered.references(judged.verdict), *rows]
