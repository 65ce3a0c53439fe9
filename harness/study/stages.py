"""The stages of a study, from bars to forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from harness.durations import show_moment
from harness.errors import SpecError
from harness.log.registrations import DataRead
from harness.models.protocol import Forecaster, looked_back
from harness.samples.features import Expression, parse_feature
from harness.samples.measured import PanelFacts, measure_panel
from harness.samples.peers import side_by_side
from harness.samples.rows import LookBack, OriginMeasures, build_samples
from harness.samples.splits import Fitting, require_windows
from harness.study.study import Span, Study
from harness.types import Forecasts, Measured, Progress, Samples, Window
from harness.walk.executors import HERE, Executor
from harness.walk.fold_fit import Settings
from harness.walk.walk_forward import Foreseen, foresee, walk_forward


def at_origins(study: Study, measured: Sequence[Measured]) -> list[OriginMeasures]:
    """Each symbol's measures at its forecast origins, from which features are computed."""
    floor = study.hypothesis.sample.floor
    return side_by_side(measured, study.plan, floor)


def sample(
    study: Study,
    by_symbol: Sequence[OriginMeasures],
    horizon: str,
    *,
    for_pretraining: bool = False,
) -> Samples:
    """Rows and targets of one horizon, with the features its models use.

    With `for_pretraining` only those that pretrained models look back over.
    """
    h = study.hypothesis
    wanted: dict[str, Expression] = {}
    past: list[LookBack] = []
    for model in study.models(horizon).values():
        behind = looked_back(model)
        wanted |= {
            text: parse_feature(text) for text in (behind if for_pretraining else model.features)
        }
        if model.look_back:
            past.append(LookBack(model.look_back, tuple(map(parse_feature, behind))))
    return build_samples(
        by_symbol,
        horizon=horizon,
        bars=study.plan.windows[horizon],
        target=study.target(horizon),
        window=study.plan.windows.get(str(h.target.window)),
        scale=study.scale,
        features=list(wanted.values()),
        look_back=past,
        returns=h.risk is not None,
    )


@dataclass(frozen=True)
class MeasuredStudy:
    """A study whose panel has been read and measured; it gives the rows of every horizon.

    `study` has the rows of its source panel, if it has one. `facts` describe the data read from
    the panel, `source_facts` those from the source panel. `cached`: the measures were cached by an
    earlier run.
    """

    study: Study
    by_symbol: tuple[OriginMeasures, ...]
    facts: PanelFacts
    source_facts: PanelFacts | None
    cached: bool

    @property
    def span(self) -> Span:
        """The span of the walk forward."""
        return self.study.span(self.facts)

    @cached_property
    def data(self) -> DataRead:
        """The data read, as registrations and records store it."""
        study, source, facts = self.study, None, self.source_facts
        if study.source is not None and facts is not None:
            source = _read(study.source, facts)
        return _read(study, self.facts, source)

    def samples(self, horizon: str) -> Samples:
        """Rows and targets of one horizon."""
        return sample(self.study, self.by_symbol, horizon)


def _require_peers(study: Study, measured: Sequence[Measured]) -> None:
    """SpecError for a function across symbols in a study of one symbol."""
    if len(measured) > 1:
        return
    h = study.hypothesis
    texts = {
        f"models.{name}": (*model.features, *looked_back(model))
        for horizon in map(str, h.target.horizons)
        for name, model in study.models(horizon).items()
    }
    read = {key: [parse_feature(text) for text in own] for key, own in texts.items()}
    read |= {f"regimes.{name}": list(of.expressions) for name, of in h.regimes.items()}
    for key, expressions in read.items():
        for expression in expressions:
            if expression.across:
                wanted = f"two symbols or more for {expression.across}; the study has one"
                raise SpecError(h.path, key, got=expression.text, wanted=wanted)


def _read(study: Study, facts: PanelFacts, source: DataRead | None = None) -> DataRead:
    panel, begun_by = study.hypothesis.panel, study.panel.begun_by
    selection = [panel.symbols, panel.draw, panel.draw_seed, panel.min_record, panel.unseen]
    inputs = study.plan.inputs
    return DataRead.by(study.panel_spec, inputs, facts, [*selection, begun_by], source)


def target_settings(study: Study) -> dict[str, Any]:
    """What the targets of a study depend on beside its bars, as its record holds it."""
    h = study.hypothesis
    return {
        "every": str(h.sample.every),
        "bipower_edge": h.sample.bipower_edge,
        "floor": h.sample.floor,
        "interval": str(h.sample.interval) if h.sample.interval else None,
        "jump_alpha": h.sample.jump_alpha,
        "target": h.target.measure,
        "window": str(h.target.window) if h.target.window else None,
        "unit": study.scale.unit,
        "scale": h.target.scale,
    }


def measure_study(
    study: Study, *, keep: bool = True, progress: Progress = lambda _: None
) -> MeasuredStudy:
    """Read and measure a study's panel, and its source panel if models are pretrained on one.

    With `keep` false the cache of measures is neither read nor written. Raises PanelError like
    `measure_panel`.
    """
    measured, facts, cached = measure_panel(study.panel, study.plan, keep=keep, progress=progress)
    source, source_facts = study.source, None
    if source is not None:
        source_measured, source_facts, _ = measure_panel(
            source.panel, source.plan, keep=keep, progress=progress
        )
        _require_peers(source, source_measured)
        by_symbol = at_origins(source, source_measured)
        horizons = map(str, study.hypothesis.target.horizons)
        pretraining = {h: sample(source, by_symbol, h, for_pretraining=True) for h in horizons}
        study = replace(study, pretraining=pretraining)
    _require_peers(study, measured)
    return MeasuredStudy(study, tuple(at_origins(study, measured)), facts, source_facts, cached)


def forecast(
    study: Study,
    samples: Samples,
    span: Span,
    progress: Progress = lambda _: None,
    epochs: Progress = lambda _: None,
    *,
    seeds: int = 1,
    keep: bool = False,
    executor: Executor | None = None,
) -> Forecasts:
    """Walk one horizon forward over the panel's span.

    Models whose fits depend on the seed are fitted with `seeds` seeds. With `keep`, cached fits
    are reused and new fits are cached.
    """
    walk = _walk(study, samples, span)
    store = study.fits(samples.horizon) if keep else None
    return walk_forward(
        walk.models,
        samples,
        walk.windows,
        walk.fittings,
        replace(walk.settings, seeds=seeds, store=store),
        executor=executor or HERE,
        progress=progress,
        epochs=epochs,
    )


def plan_forecast(study: Study, samples: Samples, span: Span) -> Foreseen:
    """The fits of one horizon: training time is estimated, all other models are walked."""
    walk = _walk(study, samples, span)
    settings = replace(walk.settings, seeds=study.hypothesis.run.seeds)
    return foresee(walk.models, samples, walk.windows, walk.fittings, settings)


class _Walk(NamedTuple):
    """What one horizon's walk forward needs in addition to its rows."""

    models: Mapping[str, Forecaster]
    windows: tuple[Window, ...]
    fittings: Mapping[str, Fitting]
    settings: Settings


def _walk(study: Study, samples: Samples, span: Span) -> _Walk:
    horizon = samples.horizon
    windows = tested_windows(study, samples, span)
    return _Walk(
        study.models(horizon),
        windows,
        study.fittings(horizon, span, windows),
        study.settings(horizon),
    )


def tested_windows(study: Study, samples: Samples, span: Span) -> tuple[Window, ...]:
    """The test windows of a horizon; UsageError if none, or no row trains the first."""
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
            wanted=f"{earliest} or later: before it no training row at horizon "
            f"{samples.horizon} has resolved, embargo included",
        )
    return windows
