"""A run, one call per stage: hypothesis in; verdict, card and record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.audit.auditor import Auditor
from harness.durations import iso_moment
from harness.environment import CodeVersion, describe
from harness.errors import HarnessError, UsageError, of_the_file, one_line
from harness.history.data_changes import PresentData
from harness.history.family import Known, look_up, targets_sketch
from harness.history.family_forecasts import check, setting_of
from harness.inference.evidence import GainAs, Verdict
from harness.log.run_digests import append_digest, sealed_holm
from harness.log.store import Log, as_log
from harness.panel.arguments import folder_list
from harness.panel.folders import panel_folders
from harness.record.make import horizon_forecasts, make_record
from harness.scores.risk.definitions import tail_words
from harness.scores.scoring import Scores
from harness.spec.hypothesis import Hypothesis
from harness.spec.reading import load_hypothesis
from harness.study.stages import forecast, measure_study
from harness.study.study import Study, set_up
from harness.types import Forecasts, Progress
from harness.verdict.fragility.variants import Basis
from harness.verdict.judge import judge, vary
from harness.walk.workers import Workers

if TYPE_CHECKING:
    from harness.cards.figures import Illustrated


@dataclass(frozen=True)
class Outcome:
    """The result of a run: its id, verdict, scores and the path of its card.

    `tail` says which VaR and ES the verdict is on, if it is; `warnings` are those of the card;
    `p_holm` is the p-value of the deciding candidate, adjusted by Holm for all `comparisons` of
    the run's family (None where no p-value decides); `gone` are runs of it that the log lost;
    `figures` are those drawn beside it, None if the hypothesis asks for none.
    """

    run_id: str
    hypothesis: str
    verdict: Verdict
    card: Path
    seconds: float
    scores: tuple[Scores, ...]
    gain_as: GainAs
    tail: str = ""
    warnings: tuple[str, ...] = ()
    p_holm: float | None = None
    comparisons: int = 0
    gone: tuple[str, ...] = ()
    figures: Illustrated | None = None

    def as_json(self) -> dict[str, Any]:
        """Its entry of `harness run --json`; with figures if the hypothesis asks for them."""
        drawn = {"figures": [str(path) for path in self.figures.paths]} if self.figures else {}
        verdict, best = self.verdict, self.verdict.best
        return {
            "run_id": self.run_id,
            "hypothesis": self.hypothesis,
            "status": verdict.status,
            "reasons": list(verdict.reasons),
            "candidate": best.candidate,
            "metric": best.metric,
            "horizon": best.horizon,
            "gain": best.gain,
            "gain_as": self.gain_as,
            "gain_low": best.gain_low,
            "gain_high": best.gain_high,
            "unbounded": best.unbounded,
            "level": best.level,
            "p_value": best.p_adjusted,
            "p_claim": best.p_claim,
            "p_holm": self.p_holm,
            "family_comparisons": self.comparisons,
            "family_gone": list(self.gone),
            "gain_shown": verdict.gain_shown,
            "claim_shown": verdict.claim_shown,
            "warnings": list(self.warnings),
            "card": str(self.card),
            "seconds": round(self.seconds, 3),
            **drawn,
        }


def run(
    hypothesis: Hypothesis | Study | str | Path,
    log: Log | str | Path | None = None,
    *,
    search: Sequence[str | Path] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep: bool = True,
    workers: int = 1,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
) -> Outcome:
    """Run a hypothesis and log it.

    Args:
        hypothesis: a hypothesis, the path of its file, or its study (hypothesis and panel).
        log: a log or its folder; None: HARNESS_LOG, else ./reports.
        search: folders in which panels are looked for; None: `panels` beside the hypothesis'
            folder, then `panels` here.
        clock: returns the time now, for the record.
        keep: use and fill the cache of measures and fits; False: measure and fit without it.
        workers: processes for fits that take long.
        progress, epochs: called with what is done, and with the progress of a fit that trains.

    Raises:
        UsageError: for a mistake in the files or arguments; the log is unchanged.
        RunError: for a run that failed; the log is unchanged.
    """
    log = as_log(log)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers: got {one_line(workers)}, wanted a whole number from 1 on")
    started, timer, code = clock(), Timer(), CodeVersion()
    with timer("set up"):
        study = _set_up(hypothesis, search)
        study.require_validation()
    h = study.hypothesis
    with timer("measure"):
        measured = measure_study(study, keep=keep, progress=progress)
    auditor = Auditor(measured)
    forecasts: dict[str, Forecasts] = {}
    dropped: dict[str, int] = {}
    with Workers(workers) as pool:
        for horizon in map(str, h.target.horizons):
            with timer("features and targets"):
                samples = measured.samples(horizon)
                dropped[horizon] = samples.dropped
                if horizon == str(h.verdict.horizon):
                    deciding = samples
            with timer("fit and forecast"), of_the_file(h.path):
                forecasts[horizon] = forecast(
                    measured.study,
                    samples,
                    measured.span,
                    progress,
                    epochs,
                    seeds=h.run.seeds,
                    keep=keep,
                    executor=pool,
                )
            with timer("audit"):
                auditor.rows(samples, forecasts[horizon])
    with timer("audit"):
        audit = auditor.result()
    with timer("family"):
        present = PresentData(measured, log, forecasts)
        targets = targets_sketch(deciding, measured.study.scale)
        known = _known(log, present, targets, started)
    with timer("score and judge"):
        judged = judge(measured, forecasts, [*audit.forbidden, *known.forbidden])
    with timer("family"):
        history = _history(log, present, known, judged.verdict)
    with timer("fragility"):
        varied = vary(Basis(measured, deciding, keep), forecasts[deciding.horizon], judged)
    with timer("record and card"):
        seconds = timer.total
        record: dict[str, Any] = {}

        def record_of(run_id: str) -> dict[str, Any]:
            record.update(
                make_record(
                    run_id,
                    measured=measured,
                    dropped=dropped,
                    forecasts=forecasts,
                    judged=judged,
                    audit=audit,
                    varied=varied,
                    timings=timer.stages,
                    started=started,
                    seconds=seconds,
                    environment=describe(code, h.libraries, _plugins(h)),
                    tried=history | {"targets": targets},
                )
            )
            return record

        run_id = log.publish(record_of, [horizon_forecasts(f) for f in forecasts.values()])
        models = {name: list(part.yhat) for name, part in forecasts.items()}
        append_digest(log, record | {"forecasts": models})
        card = log.write_card(record)
    return Outcome(
        run_id,
        h.identity.name,
        judged.verdict,
        card,
        seconds,
        judged.scores,
        gain_as=h.verdict.gain_as,
        tail=tail_words(h.verdict.metric, h.verdict.level, h.verdict.residuals),
        warnings=tuple(record["cautions"]),
        p_holm=sealed_holm(record),
        comparisons=record["family"]["comparisons"],
        gone=tuple(record["family"]["gone"]),
        figures=_illustrated(log, run_id) if h.run.figures else None,
    )


def _set_up(hypothesis: object, search: Sequence[str | Path] | None) -> Study:
    """The study of the argument of `run`; UsageError if it is of another type."""
    if isinstance(hypothesis, Study):
        return hypothesis
    if isinstance(hypothesis, str | Path):
        hypothesis = load_hypothesis(hypothesis)
    if not isinstance(hypothesis, Hypothesis):
        wanted = "a hypothesis or the path of its file"
        raise UsageError(f"run: hypothesis: got {type(hypothesis).__name__}, wanted {wanted}")
    folders = panel_folders(hypothesis.path) if search is None else folder_list(search)
    return set_up(hypothesis, folders)


def _known(log: Log, present: PresentData, targets: str, started: datetime) -> Known:
    """What the log has on the hypothesis, its panel and its targets from before this run."""
    h = present.measured.study.hypothesis
    part = present.forecasts[str(h.verdict.horizon)]
    return look_up(
        log,
        h,
        present.measured.data,
        targets,
        iso_moment(part.windows[0].cut),
        started,
        present.difference,
    )


def _history(log: Log, present: PresentData, known: Known, verdict: Verdict) -> dict[str, Any]:
    """Registration status and family, as they go into the record."""
    study, forecasts = present.measured.study, present.forecasts
    rule = study.hypothesis.verdict
    part = forecasts[str(rule.horizon)]
    family = known.words(verdict)
    setting = setting_of(study, part)
    family["reality_check"] = check(
        log, known, setting, part, verdict.evidence, rule.regime, rule.gain_as
    )
    registration = dict(known.registration)
    own, asked = registration["run_ids"], study.hypothesis.question_hash
    others = [r for r in known.members if r.run_id not in own and r.question != asked]
    registration["revisions"] = registration["revisions"] + present.of_others(others)
    return {"registration": registration, "family": family}


def _plugins(h: Hypothesis) -> dict[str, dict[str, str | None]]:
    """Kinds of model from installed packages, each with its package, version and source hash."""
    return {m.kind: m.plugin.words() for m in h.models.values() if m.plugin is not None}


def _illustrated(log: Log, run_id: str) -> Illustrated:
    """Draws the run's figures; an error in drawing does not fail the run, which is in the log."""
    from harness.cards.figures import Illustrated, illustrate

    try:
        return illustrate(log, run_id)
    except HarnessError as error:
        return Illustrated((), {"all": str(error)})


class Timer:
    """Seconds per stage, in order of first use."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds since the timer was made."""
        return time.perf_counter() - self._start

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the seconds of the block to this stage."""
        begin = time.perf_counter()
        yield
        self.stages[stage] = self.stages.get(stage, 0.0) + time.perf_counter() - begin
