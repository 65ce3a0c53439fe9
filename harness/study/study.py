"""A hypothesis set up on its panel: what to measure, when to fit, which models. Nothing is read."""

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
    """A stretch of time, UTC ns."""

    start: int
    end: int

    def at(self, share: float) -> int:
        """The midnight (UTC) before this share of it has passed."""
        moment = self.start + int(share * (self.end - self.start))
        return moment - moment % _DAY_NS


@dataclass(frozen=True)
class Study:
    """A hypothesis set up on its panel: nothing read, nothing measured yet.

    `source` is the same hypothesis, with the models that learn from it, on the panel that they
    learn from; `pretraining` its rows by horizon, once it is measured.
    """

    hypothesis: Hypothesis
    panel_spec: PanelSpec
    panel: Panel
    plan: CascadePlan
    source: Study | None = None
    pretraining: Mapping[str, Samples] = field(default_factory=dict)

    @cached_property
    def scale(self) -> TargetScale:
        """The target's scale and way back."""
        h = self.hypothesis
        units = self.plan.units
        unit = units[f"{h.target.measure}_{h.target.horizons[0]}"]
        return TargetScale(h.target.scale, unit, h.target.back or "none", h.sample.floor)

    def horizon_ns(self, horizon: str) -> int:
        """A horizon's length in ns; a session counts as a day."""
        return parse_duration(horizon).ns

    def target(self, horizon: str) -> str:
        """The column that is forecast, read where the horizon has ended."""
        target = self.hypothesis.target
        return f"{target.measure}_{target.window or horizon}"

    def embargo(self, horizon: str) -> int:
        """The effective embargo of a horizon, ns."""
        return effective_embargo(self.hypothesis.walk_forward.embargo, self.horizon_ns(horizon))

    def tails(self, horizon: str) -> Tails | None:
        """What every fit keeps for VaR and ES; None where nobody asks for them."""
        risk = self.hypothesis.risk
        if risk is None:
            return None
        return Tails(risk.levels, risk.residuals, self.plan.windows[horizon], self.scale)

    @property
    def laws(self) -> Laws | None:
        """The laws of its residuals that every fit keeps; None where nobody asks for them."""
        asked = self.hypothesis.distribution
        return None if asked is None else Laws(asked.levels, asked.laws)

    def settings(self, horizon: str) -> Settings:
        """What every fit at a horizon shares; no store of fits, and one seed."""
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
        """What is walked over: as declared, but not before the first bar or after the last."""
        start, end = self.hypothesis.panel.start, self.hypothesis.panel.end
        first, last = facts.start, facts.end
        return Span(
            first if start is None else max(start, first), last if end is None else min(end, last)
        )

    def scheme(self, span: Span) -> Scheme:
        """How training spans lie."""
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
        begin = w.train.after(w.first_test, -1)
        return Scheme(w.first_test, train_from=begin, validation=w.validation)

    def windows(self, horizon: str, span: Span, *, beyond: bool = False) -> tuple[Window, ...]:
        """The test windows of a horizon; `beyond` as make_windows has it."""
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
        """SpecError where no rows are held out for what needs them: early stopping, conformal."""
        w = self.hypothesis.walk_forward
        if w.validation or w.validate_from or (w.shares and w.shares[1]):
            return
        keys = {"fixed": "validate_from", "proportional": "shares"}
        key = f"walk_forward.{keys.get(w.scheme, 'validation')}"
        if self.laws is not None and self.laws.conformal is not None:
            wanted = "rows to hold out, on which the conformal law of [distribution] is calibrated"
            raise SpecError(self.hypothesis.path, key, wanted=wanted)
        for horizon in map(str, self.hypothesis.target.horizons):
            for name, model in self.models(horizon).items():
                if model.validates:
                    raise SpecError(
                        self.hypothesis.path,
                        key,
                        wanted=f"rows to hold out, since models.{name} stops early on them",
                    )

    def fittings(self, horizon: str, span: Span, windows: Sequence[Window]) -> dict[str, Fitting]:
        """When and for whom each model is fitted."""
        w, scheme, embargo = self.hypothesis.walk_forward, self.scheme(span), self.embargo(horizon)
        usual = w.refit or ("never" if w.scheme in ("fixed", "proportional") else "window")
        made: dict[str, tuple[tuple[Window, ...], tuple[Window, ...]]] = {}
        found = {}
        for name, model in self.hypothesis.models.items():
            refit = model.refit or usual
            key = str(refit)
            if key not in made and key == "window":
                later = make_windows(
                    scheme,
                    test=w.test,
                    step=w.step,
                    span_end=span.end,
                    embargo=embargo,
                    beyond=True,
                )
                made[key] = tuple(windows), later
            elif key not in made:
                cadence = refit if isinstance(refit, Duration) else None
                made[key] = make_refits(scheme, windows, cadence, span.end, embargo)
            found[name] = Fitting(*made[key], refit=key, scope=model.scope)
        return found

    def _task(self, horizon: str) -> Task:
        h = self.hypothesis
        own, period = self.target(horizon), f"{h.target.measure}_{h.sample.every}"
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

    def fits(self, horizon: str) -> FitCache:
        """Where fits at this horizon are kept, and what its models are in words."""
        task = asdict(self._task(horizon))
        words = {}
        for name, spec in self.hypothesis.models.items():
            own: dict[str, Any] = {"model": spec.words(), "task": task}
            if spec.plugin is not None:
                own["plugin"] = spec.plugin.words()
                if own["plugin"]["source"] is None:  # whether it was changed cannot be seen
                    continue
            words[name] = json.dumps(own, sort_keys=True)
        return FitCache(fits_folder(), words)

    def models(self, horizon: str) -> dict[str, Forecaster]:
        """Every model of the hypothesis, unfitted, for one horizon.

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
    """Find the panels and plan what to measure; UsageError for what does not fit together."""
    h = hypothesis
    spec = _found(h, "panel", h.panel.name, search)
    if h.source is None:
        return on_panel(h, spec)
    if h.panel.unseen:
        return _split_over_assets(h, h.source, spec, search)
    return replace(on_panel(h, spec), source=_beforehand(h, h.source, search))


def _found(h: Hypothesis, section: str, name: str, search: Sequence[Path]) -> PanelSpec:
    """The panel that a section names; UsageError with file and key where there is none."""
    try:
        return find_panel(name, search)
    except SpecError:  # names the panel's own file and key
        raise
    except UsageError as error:
        raise UsageError(f"{h.path}: {section}.name: {error}") from None


def _beforehand(h: Hypothesis, source: PanelSpan, search: Sequence[Path]) -> Study:
    """The models that learn from the source, on it."""
    pupils = {name: model for name, model in h.models.items() if model.params.pretrains}
    alone = replace(
        h,
        panel=source,
        models=pupils,
        source=None,
        regimes={},
        risk=None,
        distribution=None,
    )
    return on_panel(alone, _found(h, "source", source.name, search), section="source")


def _split_over_assets(
    h: Hypothesis, span: PanelSpan, spec: PanelSpec, search: Sequence[Path]
) -> Study:
    """The study on symbols that its source has not; SpecError where they cannot be told apart."""
    _require_shared(h, span, spec)
    source = _beforehand(h, span, search)
    seen = source.panel.symbols
    study = on_panel(h, spec, seen=() if spec.members else seen)
    if both := sorted(set(seen) & set(study.panel.made_of)):
        wanted = f"a panel made of no symbol that [source] takes; {both[0]} is in both"
        raise SpecError(h.path, "panel.unseen", got=True, wanted=wanted)
    return replace(study, source=source)


def _require_shared(h: Hypothesis, source: PanelSpan, spec: PanelSpec) -> None:
    """SpecError where panel and source have no symbols in common that could be told apart."""
    whose = spec.members.name if spec.members else spec.name
    if source.name != whose:
        wanted = f"no such key unless source.name is '{whose}', whose symbols are to be told apart"
        raise SpecError(h.path, "panel.unseen", got=True, wanted=wanted)


def on_panel(
    hypothesis: Hypothesis,
    spec: PanelSpec,
    *,
    seen: tuple[str, ...] = (),
    section: str = "panel",
) -> Study:
    """The same on a panel that has been found, without the symbols that were `seen`.

    `section` is the table that asks for the panel.
    """
    h = hypothesis
    check_measures(h, spec.extra_units)
    if h.risk and "close" not in spec.names:
        wanted = f"a panel with a close, whose returns VaR is of, which {spec.name} has not"
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
