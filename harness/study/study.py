"""A hypothesis set up on its panel: measures, fit times and models. No bar is read yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.durations import Duration, parse_duration
from harness.errors import SpecError, UsageError
from harness.measures.cascade import CascadePlan, plan_cascade
from harness.models.protocol import Forecaster, Task, make_model
from harness.panel.panel import Panel, open_panel
from harness.panel.reading import find_panel
from harness.panel.selection import Selection
from harness.panel.spec import PanelSpec
from harness.samples.measured import PanelFacts
from harness.samples.splits import (
    Fitting,
    Scheme,
    effective_embargo,
    make_refits,
    make_windows,
)
from harness.samples.target_scale import TargetScale
from harness.scores.metrics import METRICS
from harness.scores.risk.forecasts import DecidedTail
from harness.spec.hypothesis import Hypothesis, ModelSpec
from harness.spec.reading import check_measures
from harness.spec.sections import PanelSpan
from harness.types import Samples, Window
from harness.walk.fit_cache import FitCache, fits_folder
from harness.walk.fold_fit import Settings
from harness.walk.residuals.kept import ResidualPlan
from harness.walk.residuals.laws import Laws
from harness.walk.residuals.tails import Tails

_DAY_NS = 86_400_000_000_000
_CHECKED = "the cross checks of a hypothesis refuse a file without this key"


@dataclass(frozen=True)
class Span:
    """A time span, UTC ns."""

    start: int
    end: int

    def at(self, share: float) -> int:
        """The last midnight (UTC) before this share of the span has passed."""
        moment = self.start + int(share * (self.end - self.start))
        return moment - moment % _DAY_NS


@dataclass(frozen=True)
class Study:
    """A hypothesis set up on its panel; no bar has been read yet.

    `source` is the study of its pretrained models on the source panel. `pretraining` maps horizon
    -> the rows of the source panel, once that is measured.
    """

    hypothesis: Hypothesis
    panel_spec: PanelSpec
    panel: Panel
    plan: CascadePlan
    source: Study | None = None
    pretraining: Mapping[str, Samples] = field(default_factory=dict)

    @cached_property
    def scale(self) -> TargetScale:
        """The target's scale and back-transformation."""
        h = self.hypothesis
        units = self.plan.units
        unit = units[f"{h.target.measure}_{h.target.horizons[0]}"]
        return TargetScale(h.target.scale, unit, h.target.back or "none", h.sample.floor)

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures that are computed: of the sample, the target and what models need."""
        return tuple(dict.fromkeys(name for name, _ in self.plan.columns.values()))

    @property
    def interval(self) -> Duration:
        """The interval of the returns: sample.interval, or the panel's bar."""
        return self.hypothesis.sample.interval or self.panel_spec.bar

    def horizon_ns(self, horizon: str) -> int:
        """A horizon's length in ns; a session counts as one day."""
        return parse_duration(horizon).ns

    def target(self, horizon: str) -> str:
        """The column that is forecast; its target value is the one at the end of the horizon."""
        target = self.hypothesis.target
        return f"{target.measure}_{target.window or horizon}"

    def embargo(self, horizon: str) -> int:
        """The effective embargo of a horizon in ns."""
        return effective_embargo(self.hypothesis.walk_forward.embargo, self.horizon_ns(horizon))

    def tails(self, horizon: str) -> Tails | None:
        """What each fit computes of its residuals for VaR and ES; None without [risk]."""
        risk = self.hypothesis.risk
        if risk is None:
            return None
        return Tails(risk.levels, risk.residuals, self.plan.windows[horizon], self.scale)

    def decided_tail(
        self, horizon: str, *, level: float | None = None, residuals: str | None = None
    ) -> DecidedTail | None:
        """The VaR and ES that the verdict is on, or others; None if it is on volatility."""
        tails, rule = self.tails(horizon), self.hypothesis.verdict
        if tails is None or not METRICS[rule.metric].of_risk:
            return None
        return DecidedTail(
            tails,
            tails.residuals.index(residuals or rule.residuals),
            tails.levels.index(level or rule.level),
        )

    @property
    def laws(self) -> Laws | None:
        """The residual distributions that each fit estimates; None without [distribution]."""
        asked = self.hypothesis.distribution
        return None if asked is None else Laws(asked.levels, asked.laws)

    def settings(self, horizon: str) -> Settings:
        """The settings shared by all fits of a horizon; without a fit cache and with one seed."""
        h = self.hypothesis
        return Settings(
            embargo=self.embargo(horizon),
            scale=self.scale,
            seed=h.run.seed,
            min_train=h.walk_forward.min_train,
            keep=ResidualPlan(self.tails(horizon), self.laws),
            source=self.pretraining.get(horizon),
        )

    def span(self, facts: PanelFacts) -> Span:
        """The span of the walk forward: as declared, within the first and the last bar."""
        start, end = self.hypothesis.panel.start, self.hypothesis.panel.end
        first, last = facts.start, facts.end
        return Span(
            first if start is None else max(start, first), last if end is None else min(end, last)
        )

    def scheme(self, span: Span) -> Scheme:
        """How training spans are placed."""
        w = self.hypothesis.walk_forward
        if w.scheme == "proportional":
            assert w.shares is not None, _CHECKED
            train, held_out, _ = w.shares
            first = span.at(train + held_out)
            held = first - span.at(train) if held_out else None
            return Scheme(first, train_from=span.start, validation=held)
        assert w.first_test is not None, _CHECKED
        if w.scheme == "fixed":
            held = None if w.validate_from is None else w.first_test - w.validate_from
            return Scheme(w.first_test, train_from=w.train_from, validation=held)
        assert w.train is not None, _CHECKED
        if w.scheme == "rolling":
            return Scheme(w.first_test, train=w.train, validation=w.validation)
        assert w.scheme == "expanding", f"no training spans for scheme {w.scheme!r}"
        begin = w.train.after(w.first_test, -1)
        return Scheme(w.first_test, train_from=begin, validation=w.validation)

    def windows(self, horizon: str, span: Span, *, beyond: bool = False) -> tuple[Window, ...]:
        """The test windows of a horizon; `beyond` as in make_windows."""
        w = self.hypothesis.walk_forward
        return make_windows(
            self.scheme(span),
            test=w.test,
            step=w.step,
            span_end=span.end,
            embargo=self.embargo(horizon),
            beyond=beyond,
        )

    def require_validation(self) -> None:
        """SpecError if early stopping or conformal quantiles lack validation rows."""
        w = self.hypothesis.walk_forward
        if w.holds_out:
            return
        keys = {"fixed": "validate_from", "proportional": "shares"}
        key = f"walk_forward.{keys.get(w.scheme, 'validation')}"
        if self.laws is not None and self.laws.conformal:
            wanted = "validation rows, to calibrate the conformal law of [distribution]"
            raise SpecError(self.hypothesis.path, key, wanted=wanted)
        for horizon in map(str, self.hypothesis.target.horizons):
            for name, model in self.models(horizon).items():
                if model.validates:
                    raise SpecError(
                        self.hypothesis.path,
                        key,
                        wanted=f"validation rows, because models.{name} stops early on them",
                    )

    def fittings(self, horizon: str, span: Span, windows: Sequence[Window]) -> dict[str, Fitting]:
        """For each model, the windows at which it is fitted, and for which symbols."""
        w, scheme, embargo = self.hypothesis.walk_forward, self.scheme(span), self.embargo(horizon)
        default = w.refit or ("never" if w.scheme in ("fixed", "proportional") else "window")
        by_refit: dict[str, tuple[tuple[Window, ...], tuple[Window, ...]]] = {}
        fittings = {}
        for name, model in self.hypothesis.models.items():
            refit = model.refit or default
            key = str(refit)
            if key not in by_refit and key == "window":
                later = make_windows(
                    scheme,
                    test=w.test,
                    step=w.step,
                    span_end=span.end,
                    embargo=embargo,
                    beyond=True,
                )
                by_refit[key] = tuple(windows), later
            elif key not in by_refit:
                cadence = refit if isinstance(refit, Duration) else None
                by_refit[key] = make_refits(scheme, windows, cadence, span.end, embargo)
            fittings[name] = Fitting(*by_refit[key], refit=key, scope=model.scope)
        return fittings

    def _task(self, horizon: str) -> Task:
        h = self.hypothesis
        own, period = self.target(horizon), f"{h.target.measure}_{h.sample.every}"
        back = "{}" if (squared := self.scale.unit == "variance") else "sqrt({})"
        return Task(
            horizon,
            own=f"log({own})" if self.scale.is_log else own,
            variance=period if squared else f"square({period})",
            back=f"log({back})" if self.scale.is_log else back,
            steps=-(-self.plan.windows[horizon] // self.plan.every),
            every=str(h.sample.every),
            bars=self.plan.every,
            scale=self.scale,
            loss=h.training_loss,
            holds_out=h.walk_forward.holds_out,
        )

    @cached_property
    def _models(self) -> dict[str, dict[str, Forecaster]]:
        return {}

    def fits(self, horizon: str) -> FitCache:
        """The cache of fits at this horizon, with its models in words as part of the keys."""
        task = asdict(self._task(horizon))
        told, words = {key: task.pop(key) for key in ("loss", "holds_out")}, {}
        for name, spec in self.hypothesis.trained.items():
            own: dict[str, Any] = {"model": spec.words(), "task": task}
            if spec.plugin is not None:
                own |= {"plugin": spec.plugin.words(), **told}
                if own["plugin"]["source"] is None:  # changes of its code could not be seen
                    continue
            words[name] = json.dumps(own, sort_keys=True)
        return FitCache(fits_folder(), words)

    def models(self, horizon: str) -> dict[str, Forecaster]:
        """All models of the hypothesis for one horizon, not yet fitted.

        SpecError for a plug-in that cannot be used.
        """
        if horizon not in self._models:
            task = self._task(horizon)
            self._models[horizon] = {
                name: self._made(name, spec, task) for name, spec in self.hypothesis.models.items()
            }
        return self._models[horizon]

    def _made(self, name: str, spec: ModelSpec, task: Task) -> Forecaster:
        if spec.plugin is None:
            return make_model(spec.kind, spec.params, task)
        from harness.models.plugins import Unusable

        try:
            return spec.plugin.build(spec.params, task, self.plan.columns)
        except Unusable as error:
            path, wanted = self.hypothesis.path, f"a kind that can be used: {error}"
            raise SpecError(path, f"models.{name}.kind", got=spec.kind, wanted=wanted) from None


def set_up(hypothesis: Hypothesis, search: Sequence[Path]) -> Study:
    """Find the panels and plan the measures; UsageError if panel and hypothesis do not fit."""
    h = hypothesis
    spec = _found(h, "panel", h.panel.name, search)
    if h.source is None:
        return on_panel(h, spec)
    if h.panel.unseen:
        return _split_over_assets(h, h.source, spec, search)
    return replace(on_panel(h, spec), source=_on_source(h, h.source, search))


def _found(h: Hypothesis, section: str, name: str, search: Sequence[Path]) -> PanelSpec:
    """The panel that a section names; UsageError with file and key if there is none."""
    try:
        return find_panel(name, search)
    except SpecError:  # it names the panel file and its key
        raise
    except UsageError as error:
        raise UsageError(f"{h.path}: {section}.name: {error}") from None


def _on_source(h: Hypothesis, source: PanelSpan, search: Sequence[Path]) -> Study:
    """The study of the pretrained models on the source panel."""
    pretrained = {name: model for name, model in h.models.items() if model.params.pretrains}
    alone = replace(
        h,
        panel=source,
        models=pretrained,
        source=None,
        regimes={},
        risk=None,
        distribution=None,
    )
    return on_panel(alone, _found(h, "source", source.name, search), section="source")


def _split_over_assets(
    h: Hypothesis, span: PanelSpan, spec: PanelSpec, search: Sequence[Path]
) -> Study:
    """The study without the symbols of its source; SpecError if they cannot be separated."""
    _require_shared(h, span, spec)
    source = _on_source(h, span, search)
    seen = source.panel.symbols
    study = on_panel(h, spec, seen=() if spec.members else seen)
    if both := sorted(set(seen) & set(study.panel.made_of)):
        wanted = f"a panel without symbols that [source] uses; {both[0]} is in both"
        raise SpecError(h.path, "panel.unseen", got=True, wanted=wanted)
    return replace(study, source=source)


def _require_shared(h: Hypothesis, source: PanelSpan, spec: PanelSpec) -> None:
    """SpecError unless the symbols of panel and source come from the same panel."""
    whose = spec.members.name if spec.members else spec.name
    if source.name != whose:
        wanted = f"no such key unless source.name is '{whose}', whose symbols are split"
        raise SpecError(h.path, "panel.unseen", got=True, wanted=wanted)


def on_panel(
    hypothesis: Hypothesis,
    spec: PanelSpec,
    *,
    seen: tuple[str, ...] = (),
    section: str = "panel",
) -> Study:
    """The study of a hypothesis on this panel, without the symbols that were `seen`.

    `section` is the table that names the panel.
    """
    h = hypothesis
    check_measures(h, spec.extra_units)
    if h.risk and "close" not in spec.names:
        wanted = f"a panel with a close, for the returns of VaR; {spec.name} has none"
        raise SpecError(h.path, "risk", wanted=wanted)
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
        session_bars=spec.session_bars,
        periods=any(spec.entry.periods for spec in h.models.values()),
        stepwise=[m for spec in h.models.values() for m in spec.entry.stepwise],
        returns=h.risk is not None,
    )
    panel = open_panel(
        spec,
        start=h.panel.start,
        end=h.panel.end,
        columns=plan.inputs,
        select=_selection(h, seen, section),
    )
    return Study(h, spec, panel, plan)


def _selection(h: Hypothesis, seen: tuple[str, ...], section: str) -> Selection:
    panel, first_test, begun_by = h.panel, h.walk_forward.first_test, None
    if panel.min_history is not None:
        assert first_test is not None, _CHECKED
        begun_by = panel.min_history.after(first_test, -1)
    return Selection(
        file=h.path,
        symbols=panel.symbols,
        draw=panel.draw,
        draw_seed=panel.draw_seed,
        begun_by=begun_by,
        min_record=panel.min_record,
        seen=seen,
        section=section,
    )
