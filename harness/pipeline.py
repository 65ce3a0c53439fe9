"""The whole pipeline, one call per stage: hypothesis in, verdict, card and record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import show_moment
from harness.environment import CodeVersion, describe
from harness.errors import HarnessError, RunError, SpecError
from harness.features import Expression, parse_feature
from harness.fold_fits import Settings
from harness.groups import Adaptation, GroupScores, adaptation, by_group, of_group, only
from harness.hypothesis import Hypothesis
from harness.inference import evidence
from harness.log import Log
from harness.measures.store import measure_panel
from harness.metrics import Scores, Values, score, series
from harness.record import horizon_forecasts, make_record
from harness.regimes import mark
from harness.risk.assess import Risk, assess
from harness.samples import Decided, LookBack, build_samples
from harness.sections import Acceptance
from harness.splits import require_windows
from harness.study import Span, Study, set_up
from harness.types import Evidence, Forecasts, Measured, Samples, Verdict, Window
from harness.verdict import decide, pooled_gain
from harness.walk import Foreseen, foresee, walk_forward

if TYPE_CHECKING:
    from harness.cards.figures import Illustrated

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run gave: its id, the verdict, where the card lies, and every table behind it.

    `figures` are those drawn beside the card, None for a hypothesis that does not ask for any.
    """

    run_id: str
    hypothesis: str
    verdict: Verdict
    card: Path
    seconds: float
    scores: tuple[Scores, ...]
    relative: bool
    figures: Illustrated | None = None

    def as_json(self) -> dict[str, Any]:
        """What `harness run --json` says of it; figures where the hypothesis asks for them."""
        drawn = {"figures": [str(path) for path in self.figures.paths]} if self.figures else {}
        return {
            "run_id": self.run_id,
            "hypothesis": self.hypothesis,
            "status": self.verdict.status,
            "gain": self.verdict.best.gain,
            "card": str(self.card),
            "seconds": round(self.seconds, 3),
            **drawn,
        }


def decide_on(study: Study, measured: Sequence[Measured]) -> list[Decided]:
    """Every symbol's measures at its decisions; what features are made of."""
    floor = study.hypothesis.sample.floor
    return [Decided(m, study.plan.units, floor) for m in measured]


def sample(study: Study, decided: Sequence[Decided], horizon: str) -> Samples:
    """Rows and targets of one horizon, with the features that its models ask for."""
    h = study.hypothesis
    wanted: dict[str, Expression] = {}
    past: list[LookBack] = []
    for model in study.models(horizon).values():
        own = {text: parse_feature(text) for text in model.features}
        wanted |= own
        if model.look_back:
            past.append(LookBack(model.look_back, tuple(own.values())))
    return build_samples(
        decided,
        horizon=horizon,
        bars=study.plan.windows[horizon],
        measure=h.target.measure,
        scale=study.scale,
        features=list(wanted.values()),
        look_back=past,
        returns=h.risk is not None,
    )


def forecast(
    study: Study,
    samples: Samples,
    span: Span,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
) -> Forecasts:
    """Walk one horizon forward over the panel's span."""
    return walk_forward(*_walk(study, samples, span), progress=progress, epochs=epochs)


def plan_forecast(study: Study, samples: Samples, span: Span) -> Foreseen:
    """The fits of one horizon; what training will take is estimated, all else is walked."""
    return foresee(*_walk(study, samples, span))


def _walk(study: Study, samples: Samples, span: Span) -> tuple[Any, ...]:
    """The models, rows, windows, fittings and settings of one horizon's walk."""
    h, horizon = study.hypothesis, samples.horizon
    windows = study.windows(horizon, span)
    require_windows(windows, h.path, study.scheme(span).first_test, span.end)
    _require_training(study, samples, windows[0])
    return (
        study.models(horizon),
        samples,
        windows,
        study.fittings(horizon, span, windows),
        Settings(
            study.embargo(horizon),
            study.scale,
            h.run.seed,
            h.walk_forward.min_train,
            study.tails(horizon),
        ),
    )


def _require_training(study: Study, samples: Samples, first: Window) -> None:
    resolved = int(samples.resolved_at.min())
    if resolved > first.limit:
        earliest = show_moment(resolved + first.cut - first.limit)
        raise SpecError(
            study.hypothesis.path,
            "walk_forward.first_test",
            got=show_moment(first.cut),
            wanted=f"{earliest} or later: before it no training row at horizon {samples.horizon} "
            "has resolved, the embargo included",
        )


@dataclass(frozen=True)
class Judged:
    """Scores of every horizon, by group too, what shifts cost, and the verdict."""

    scores: tuple[Scores, ...]
    groups: tuple[GroupScores, ...]
    adaptations: tuple[Adaptation, ...]
    verdict: Verdict
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
    risks: list[Risk] = []
    found: tuple[Evidence, ...] = ()
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
        if rule.regime is None:
            values = {name: scores[-1].value(name, rule.metric) for name in models}
        else:
            rows = marked.groups[rule.regime]
            if rows.size < 2:
                raise RunError(f"verdict.regime {rule.regime}: {rows.size} forecasts are in it")
            part, outcome, models = only(part, outcome, models, rows)
            values = of_group(mine, "regime", rule.regime, rule.metric)
        found = _evidence(rule, part, outcome, models, values)
    verdict = decide(
        found,
        min_gain=rule.min_gain,
        alpha=rule.alpha,
        relative=rule.gain == "relative",
        claim=rule.claim,
        regime=rule.regime,
        forbidden=forbidden,
    )
    return Judged(tuple(scores), tuple(groups), tuple(adaptations), verdict, tuple(risks))


def _risk(study: Study, part: Forecasts, models: Mapping[str, Values]) -> Iterator[Risk]:
    """VaR and ES of one horizon, where the hypothesis asks for them."""
    h, tails = study.hypothesis, study.tails(part.horizon)
    if tails is not None:
        rule = h.verdict
        drawn = (rule.baseline, *rule.candidates) if part.horizon == str(rule.horizon) else ()
        yield assess(part, models, tails, baseline=rule.baseline, seed=h.run.seed, drawn=drawn)


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


def run(
    hypothesis: Hypothesis,
    log: Log,
    *,
    search: Sequence[str | Path] = ("panels",),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep_measures: bool = True,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
) -> Outcome:
    """Run a hypothesis and log it.

    `search` are the folders that panels are looked for in; `keep_measures` false measures the
    panel afresh; `progress` is told what is done, `epochs` how far a fit that trains is. Raises
    UsageError for a mistake in the files, RunError for a run that failed: either way the log is
    as it was.
    """
    started, timer, code = clock(), Timer(), CodeVersion()
    with timer("set up"):
        study = set_up(hypothesis, [Path(folder) for folder in search])
        study.require_validation()
    with timer("measure"):
        measured, facts, kept = measure_panel(
            study.panel, study.plan, keep=keep_measures, progress=progress
        )
    decided = decide_on(study, measured)
    forecasts: dict[str, Forecasts] = {}
    dropped: dict[str, int] = {}
    for horizon in map(str, hypothesis.target.horizons):
        with timer("features and targets"):
            samples = sample(study, decided, horizon)
            dropped[horizon] = samples.dropped
        with timer("fit and forecast"):
            forecasts[horizon] = forecast(study, samples, study.span(facts), progress, epochs)
    with timer("score and judge"):
        judged = judge(study, decided, forecasts, facts.labels)
    with timer("record and card"):
        seconds = timer.total
        record: dict[str, Any] = {}

        def record_of(run_id: str) -> dict[str, Any]:
            record.update(
                make_record(
                    run_id,
                    study=study,
                    facts=facts,
                    kept=kept,
                    dropped=dropped,
                    forecasts=forecasts,
                    judged=judged,
                    timings=timer.stages,
                    started=started,
                    seconds=seconds,
                    environment=describe(code, _parts(hypothesis)),
                )
            )
            return record

        run_id = log.publish(record_of, [horizon_forecasts(f) for f in forecasts.values()])
        card = log.write_card(record)
    return Outcome(
        run_id,
        hypothesis.identity.name,
        judged.verdict,
        card,
        seconds,
        judged.scores,
        relative=hypothesis.verdict.gain == "relative",
        figures=_illustrated(log, run_id) if hypothesis.run.figures else None,
    )


def _parts(h: Hypothesis) -> list[str]:
    """What a hypothesis uses that may need a library of its own."""
    return [*(m.kind for m in h.models.values()), *(["risk"] if h.risk else [])]


def _illustrated(log: Log, run_id: str) -> Illustrated:
    """The published run's figures; what keeps them from being drawn takes nothing from the run."""
    from harness.cards.figures import Illustrated, illustrate

    try:
        return illustrate(log, run_id)
    except HarnessError as error:
        return Illustrated((), {"all": str(error)})


class Timer:
    """Seconds per stage, in the order first met."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds since the timer was made."""
        return time.perf_counter() - self._start

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add what happens inside to this stage."""
        begin = time.perf_counter()
        yield
        self.stages[stage] = self.stages.get(stage, 0.0) + time.perf_counter() - begin
