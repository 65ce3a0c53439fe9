"""The whole pipeline, one call per stage: hypothesis in, verdict, card and record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.durations import show_moment
from harness.environment import CodeVersion, describe
from harness.errors import SpecError
from harness.features import Expression, parse_feature
from harness.hypothesis import Hypothesis, check_measures
from harness.inference import evidence
from harness.log import Log
from harness.measures.cascade import CascadePlan, plan_cascade
from harness.measures.store import PanelFacts, measure_panel
from harness.metrics import Scores, score, series
from harness.models.protocol import Forecaster, Task, make_model
from harness.models.table import KINDS
from harness.panel import Panel, PanelSpec, find_panel, open_panel
from harness.record import horizon_forecasts, make_record
from harness.samples import Decided, LookBack, build_samples
from harness.scale import TargetScale
from harness.splits import effective_embargo, make_windows, require_windows
from harness.types import Evidence, Forecasts, Measured, Samples, Verdict, Window
from harness.verdict import decide, pooled_gain
from harness.walk import walk_forward

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a run gave: its id, the verdict, where the card lies, and every table behind it."""

    run_id: str
    hypothesis: str
    verdict: Verdict
    card: Path
    seconds: float
    scores: tuple[Scores, ...]
    relative: bool

    def as_json(self) -> dict[str, Any]:
        """What `harness run --json` says of it."""
        return {
            "run_id": self.run_id,
            "hypothesis": self.hypothesis,
            "status": self.verdict.status,
            "gain": self.verdict.best.gain,
            "card": str(self.card),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Study:
    """A hypothesis set up on its panel: nothing read, nothing measured yet."""

    hypothesis: Hypothesis
    panel_spec: PanelSpec
    panel: Panel
    plan: CascadePlan

    @cached_property
    def scale(self) -> TargetScale:
        """The target's scale and way back."""
        h = self.hypothesis
        units = self.plan.units
        unit = units[f"{h.target.measure}_{h.target.horizons[0]}"]
        return TargetScale(h.target.scale, unit, h.target.back or "none", h.sample.floor)

    def horizon_ns(self, horizon: str) -> int:
        """A horizon's length in ns of bars."""
        return self.plan.windows[horizon] * self.plan.bar

    def embargo(self, horizon: str) -> int:
        """The effective embargo of a horizon, ns."""
        return effective_embargo(self.hypothesis.walk_forward.embargo, self.horizon_ns(horizon))

    def windows(self, horizon: str, end: int, *, beyond: bool = False) -> tuple[Window, ...]:
        """The test windows of a horizon on a panel that ends at `end` (UTC ns)."""
        w = self.hypothesis.walk_forward
        key = self.embargo(horizon), end, beyond
        if key not in self._windows:
            self._windows[key] = make_windows(
                scheme=w.scheme,
                train=w.train,
                test=w.test,
                step=w.step,
                first_test=w.first_test,
                span_end=end,
                embargo=key[0],
                beyond=beyond,
            )
        return self._windows[key]

    @cached_property
    def _windows(self) -> dict[tuple[int, int, bool], tuple[Window, ...]]:
        return {}

    def _task(self, horizon: str) -> Task:
        h = self.hypothesis
        own, period = f"{h.target.measure}_{horizon}", f"{h.target.measure}_{h.sample.every}"
        steps = -(-self.plan.windows[horizon] // self.plan.every)
        squared = self.scale.unit == "variance"
        back = "{}" if squared else "sqrt({})"
        return Task(
            horizon,
            own=f"log({own})" if self.scale.is_log else own,
            variance=period if squared else f"square({period})",
            back=f"log({back})" if self.scale.is_log else back,
            steps=steps,
            every=str(h.sample.every),
            bars=self.plan.every,
            scale=self.scale,
        )

    @cached_property
    def _models(self) -> dict[str, dict[str, Forecaster]]:
        return {}

    def models(self, horizon: str) -> dict[str, Forecaster]:
        """Every model of the hypothesis, unfitted, for one horizon."""
        if horizon not in self._models:
            task = self._task(horizon)
            self._models[horizon] = {
                name: make_model(spec.kind, spec.params, task)
                for name, spec in self.hypothesis.models.items()
            }
        return self._models[horizon]


def set_up(hypothesis: Hypothesis, search: Sequence[Path]) -> Study:
    """Find the panel and plan what to measure; UsageError for what does not fit together."""
    h = hypothesis
    spec = find_panel(h.panel.name, search)
    check_measures(h, spec.extra_units)
    plan = plan_cascade(
        h.path,
        bar=spec.bar.ns,
        calendar=spec.calendar,
        every=h.sample.every,
        scales=h.sample.scales,
        horizons=h.target.horizons,
        measures=h.sample.measures,
        target=h.target.measure,
        extra=spec.extra_units,
        bipower_edge=h.sample.bipower_edge,
        interval=h.sample.interval,
        jump_alpha=h.sample.jump_alpha,
        periods=any(KINDS[model.kind].periods for model in h.models.values()),
    )
    panel = open_panel(spec, start=h.panel.start, end=h.panel.end, columns=plan.inputs)
    return Study(h, spec, panel, plan)


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
    )


def forecast(
    study: Study, samples: Samples, end: int, progress: Progress = lambda _: None
) -> Forecasts:
    """Walk one horizon forward over the panel's span, which ends at `end` (UTC ns)."""
    windows = study.windows(samples.horizon, end)
    w = study.hypothesis.walk_forward
    require_windows(windows, study.hypothesis.path, w.first_test, end)
    _require_training(study, samples, windows[0])
    return walk_forward(
        study.models(samples.horizon),
        samples,
        windows,
        beyond=study.windows(samples.horizon, end, beyond=True),
        embargo=study.embargo(samples.horizon),
        scale=study.scale,
        seed=study.hypothesis.run.seed,
        progress=progress,
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


def judge(study: Study, forecasts: Mapping[str, Forecasts]) -> tuple[tuple[Scores, ...], Verdict]:
    """Scores of every horizon and the verdict on the declared one."""
    rule = study.hypothesis.verdict
    scores: list[Scores] = []
    found: tuple[Evidence, ...] = ()
    for horizon, part in forecasts.items():
        outcome, models = series(part, study.scale)
        scores.append(score(part, study.scale, outcome, models))
        if horizon != str(rule.horizon):
            continue
        base = scores[-1].value(rule.baseline, rule.metric)
        relative = rule.gain == "relative"
        gains = {
            name: pooled_gain(
                rule.metric, base, scores[-1].value(name, rule.metric), relative=relative
            )
            for name in rule.candidates
        }
        found = evidence(
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
    verdict = decide(
        found, min_gain=rule.min_gain, alpha=rule.alpha, relative=rule.gain == "relative"
    )
    return tuple(scores), verdict


def run(
    hypothesis: Hypothesis,
    log: Log,
    *,
    search: Sequence[str | Path] = ("panels",),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep_measures: bool = True,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Run a hypothesis and log it.

    `search` are the folders that panels are looked for in; `keep_measures` false measures the
    panel afresh. Raises UsageError for a mistake in the files, RunError for a run that failed:
    either way the log is as it was.
    """
    started, timer, code = clock(), Timer(), CodeVersion()
    with timer("set up"):
        study = set_up(hypothesis, [Path(folder) for folder in search])
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
            forecasts[horizon] = forecast(study, samples, span_end(study, facts), progress)
    with timer("score and judge"):
        scores, verdict = judge(study, forecasts)
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
                    scores=scores,
                    verdict=verdict,
                    timings=timer.stages,
                    started=started,
                    seconds=seconds,
                    environment=describe(code),
                )
            )
            return record

        run_id = log.publish(record_of, [horizon_forecasts(f) for f in forecasts.values()])
        card = log.write_card(record)
    relative = hypothesis.verdict.gain == "relative"
    return Outcome(run_id, hypothesis.identity.name, verdict, card, seconds, scores, relative)


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


def span_end(study: Study, facts: PanelFacts) -> int:
    """Where the span ends: as declared, but not after the last bar."""
    declared = study.hypothesis.panel.end
    return facts.end if declared is None else min(declared, facts.end)
