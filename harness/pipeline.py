"""The whole pipeline, one call per stage: hypothesis in, verdict, card and record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.audit.auditor import Auditor
from harness.audit.probe import Stages
from harness.durations import iso_moment, show_moment
from harness.environment import CodeVersion, describe
from harness.errors import HarnessError, SpecError, of_the_file
from harness.history.family import Known, look_up
from harness.history.family_forecasts import check, setting_of, targets_differ
from harness.inference.evidence import Verdict
from harness.log.registrations import DataRead
from harness.log.run_digests import remember
from harness.log.store import Log
from harness.models.protocol import looked_back
from harness.record.make import horizon_forecasts, make_record
from harness.samples.features import Expression, parse_feature
from harness.samples.measured import PanelFacts, measure_panel
from harness.samples.rows import Decided, LookBack, build_samples
from harness.samples.splits import require_windows
from harness.scores.scoring import Scores
from harness.spec.hypothesis import Hypothesis
from harness.study.study import Span, Study, set_up
from harness.types import Forecasts, Measured, Samples, Window
from harness.verdict.fragility.variants import Basis
from harness.verdict.judge import judge, vary
from harness.walk.walk_forward import Foreseen, foresee, walk_forward
from harness.walk.workers import Workers

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
    gain_as: str
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


def sample(
    study: Study, decided: Sequence[Decided], horizon: str, *, lesson: bool = False
) -> Samples:
    """Rows and targets of one horizon, with the features that its models ask for.

    Of a `lesson` those alone that pupils look back over.
    """
    h = study.hypothesis
    wanted: dict[str, Expression] = {}
    past: list[LookBack] = []
    for model in study.models(horizon).values():
        behind = looked_back(model)
        wanted |= {text: parse_feature(text) for text in (behind if lesson else model.features)}
        if model.look_back:
            past.append(LookBack(model.look_back, tuple(map(parse_feature, behind))))
    return build_samples(
        decided,
        horizon=horizon,
        bars=study.plan.windows[horizon],
        target=study.target(horizon),
        window=study.plan.windows.get(str(h.target.window)),
        scale=study.scale,
        features=list(wanted.values()),
        look_back=past,
        returns=h.risk is not None,
    )


def with_lessons(
    study: Study, *, keep: bool = True, progress: Progress = lambda _: None
) -> tuple[Study, PanelFacts | None]:
    """The study with its source measured, rows by horizon, and what was read; as it is without."""
    source = study.source
    if source is None:
        return study, None
    measured, facts, _ = measure_panel(source.panel, source.plan, keep=keep, progress=progress)
    decided = decide_on(source, measured)
    horizons = map(str, study.hypothesis.target.horizons)
    lessons = {h: sample(source, decided, h, lesson=True) for h in horizons}
    return replace(study, lessons=lessons), facts


def forecast(
    study: Study,
    samples: Samples,
    span: Span,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
    *,
    seeds: int = 1,
    keep: bool = False,
    workers: Workers | None = None,
) -> Forecasts:
    """Walk one horizon forward over the panel's span.

    Models that draw are fitted with `seeds` seeds; `keep` takes fits that are kept already, and
    keeps the others.
    """
    *walk, settings = _walk(study, samples, span)
    store = study.fits(samples.horizon) if keep else None
    settings = replace(settings, seeds=seeds, store=store)
    mapper = (workers or Workers(1)).mapper
    return walk_forward(*walk, settings, mapper=mapper, progress=progress, epochs=epochs)


def plan_forecast(study: Study, samples: Samples, span: Span) -> Foreseen:
    """The fits of one horizon; what training will take is estimated, all else is walked."""
    *walk, settings = _walk(study, samples, span)
    return foresee(*walk, replace(settings, seeds=study.hypothesis.run.seeds))


def _walk(study: Study, samples: Samples, span: Span) -> tuple[Any, ...]:
    """The models, rows, windows, fittings and settings of one horizon's walk."""
    horizon = samples.horizon
    windows = tested_windows(study, samples, span)
    return (
        study.models(horizon),
        samples,
        windows,
        study.fittings(horizon, span, windows),
        study.settings(horizon),
    )


def tested_windows(study: Study, samples: Samples, span: Span) -> tuple[Window, ...]:
    """The windows of a horizon; UsageError where there is none or nothing to train the first on."""
    windows = study.windows(samples.horizon, span)
    path, first_test = study.hypothesis.path, study.scheme(span).first_test
    require_windows(windows, path, first_test, span.end)
    first, resolved = windows[0], int(samples.resolved_at.min())
    if resolved > first.limit:
        earliest = show_moment(resolved + first.cut - first.limit)
        raise SpecError(
            path,
            "walk_forward.first_test",
            got=show_moment(first.cut),
            wanted=f"{earliest} or later: before it no training row at horizon {samples.horizon} "
            "has resolved, the embargo included",
        )
    return windows


def run(
    hypothesis: Hypothesis,
    log: Log,
    *,
    search: Sequence[str | Path] = ("panels",),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep: bool = True,
    workers: int = 1,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
) -> Outcome:
    """Run a hypothesis and log it.

    `search` are the folders that panels are looked for in; `keep` false measures the panel and
    makes all fits afresh; `workers` are the processes that make fits which take long; `progress`
    is told what is done, `epochs` how far a fit that trains is. Raises UsageError for a mistake in
    the files, RunError for a run that failed: either way the log is as it was.
    """
    started, timer, code = clock(), Timer(), CodeVersion()
    with timer("set up"):
        study = set_up(hypothesis, [Path(folder) for folder in search])
        study.require_validation()
    with timer("measure"):
        measured, facts, kept = measure_panel(study.panel, study.plan, keep=keep, progress=progress)
        study, taught = with_lessons(study, keep=keep, progress=progress)
    decided = decide_on(study, measured)
    auditor = Auditor(study, facts, decided, Stages(decide_on, sample))
    forecasts: dict[str, Forecasts] = {}
    dropped: dict[str, int] = {}
    with Workers(workers) as pool:
        for horizon in map(str, hypothesis.target.horizons):
            with timer("features and targets"):
                samples = sample(study, decided, horizon)
                dropped[horizon] = samples.dropped
                if horizon == str(hypothesis.verdict.horizon):
                    deciding = samples
            with timer("fit and forecast"), of_the_file(hypothesis.path):
                forecasts[horizon] = forecast(
                    study,
                    samples,
                    study.span(facts),
                    progress,
                    epochs,
                    seeds=hypothesis.run.seeds,
                    keep=keep,
                    workers=pool,
                )
            with timer("audit"):
                auditor.rows(samples)
    with timer("audit"):
        audit = auditor.result()
    with timer("family"):
        data = DataRead.by(study, facts, taught)
        known = _known(log, study, data, forecasts, started)
    with timer("score and judge"):
        forbidden = [*audit.forbidden, *known.forbidden]
        judged = judge(study, decided, forecasts, facts.labels, forbidden)
    with timer("family"):
        tried = _tried(log, study, known, forecasts, judged.verdict)
    with timer("fragility"):
        again = partial(forecast, samples=deciding, span=study.span(facts))
        basis = Basis(study, decided, deciding, again, facts.start, keep)
        varied = vary(basis, forecasts[deciding.horizon], judged)
    with timer("record and card"):
        seconds = timer.total
        record: dict[str, Any] = {}

        def record_of(run_id: str) -> dict[str, Any]:
            record.update(
                make_record(
                    run_id,
                    study=study,
                    facts=facts,
                    taught=taught,
                    kept=kept,
                    dropped=dropped,
                    forecasts=forecasts,
                    judged=judged,
                    audit=audit,
                    varied=varied,
                    timings=timer.stages,
                    started=started,
                    seconds=seconds,
                    environment=describe(code, _parts(hypothesis), _plugins(hypothesis)),
                    tried=tried,
                )
            )
            return record

        run_id = log.publish(record_of, [horizon_forecasts(f) for f in forecasts.values()])
        models = {name: list(part.yhat) for name, part in forecasts.items()}
        remember(log, record | {"forecasts": models})
        card = log.write_card(record)
    return Outcome(
        run_id,
        hypothesis.identity.name,
        judged.verdict,
        card,
        seconds,
        judged.scores,
        gain_as=hypothesis.verdict.gain,
        figures=_illustrated(log, run_id) if hypothesis.run.figures else None,
    )


def _known(
    log: Log,
    study: Study,
    data: DataRead,
    forecasts: Mapping[str, Forecasts],
    started: datetime,
) -> Known:
    """What the log knew of the hypothesis and its panel before this run."""
    part = forecasts[str(study.hypothesis.verdict.horizon)]
    return look_up(
        log,
        study.hypothesis,
        data,
        (iso_moment(part.windows[0].cut), iso_moment(part.windows[-1].end)),
        started,
        lambda run_id: targets_differ(log, run_id, forecasts),
    )


def _tried(
    log: Log, study: Study, known: Known, forecasts: Mapping[str, Forecasts], verdict: Verdict
) -> dict[str, Any]:
    """Registration and family, as the record keeps them."""
    rule = study.hypothesis.verdict
    part = forecasts[str(rule.horizon)]
    family = known.words(verdict)
    setting = setting_of(study, part)
    family["reality_check"] = check(
        log, known, setting, part, verdict.evidence, rule.regime, rule.gain
    )
    return {"registration": dict(known.registration), "family": family}


def _parts(h: Hypothesis) -> list[str]:
    """What a hypothesis uses that may need a library of its own."""
    kinds = [k for m in h.models.values() if m.plugin is None for k in m.kinds]
    return [*kinds, *(["risk"] if h.risk else [])]


def _plugins(h: Hypothesis) -> dict[str, dict[str, str | None]]:
    """Kinds of installed packages, and what code they are."""
    return {m.kind: m.plugin.words() for m in h.models.values() if m.plugin is not None}


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
