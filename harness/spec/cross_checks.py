"""Checks between keys of a hypothesis that are each valid alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.durations import NS_PER_MINUTE, Duration, length, parse_moment, show_moment
from harness.errors import nearest
from harness.inference.evidence import FEWEST_SYMBOLS, HALF
from harness.samples.features import (
    OWN_SCALE,
    Expression,
    FeatureError,
    parse_feature,
    split_column,
)
from harness.samples.splits import effective_embargo
from harness.scores.metrics import METRICS
from harness.spec.regimes_and_sweeps import group_names
from harness.spec.sections import SCHEMES, Acceptance, PanelSpan
from harness.spec.tail_checks import tail_problems
from harness.toml.problems import Loc, Problem, unknown_word

if TYPE_CHECKING:
    from harness.models.params import Params
    from harness.spec.hypothesis import Hypothesis


def cross_checks(h: Hypothesis) -> Iterator[Problem]:
    """All problems between keys that are each valid alone."""
    yield from _scheme_conflicts(h)
    yield from _panel_conflicts("panel", h.panel)
    yield from _span_conflicts(h)
    yield from _history_conflicts(h)
    yield from _repeats(("sample", "measures"), h.sample.measures)
    yield from _repeats(("sample", "scales"), h.sample.scales)
    yield from _repeats(("target", "horizons"), h.target.horizons)
    if h.target.scale == "log" and h.target.back is None:
        wanted = "one of naive, lognormal, smearing, because target.scale is 'log'"
        yield Problem(("target", "back"), wanted)
    if h.target.scale == "level" and h.target.back is not None:
        wanted = "no such key, because target.scale is 'level'"
        yield Problem(("target", "back"), wanted, h.target.back)
    for name, model in h.models.items():
        sizes = (getattr(model.params, f"{end}_stocks", 0) for end in ("least", "most"))
        if (least := next(sizes)) > (most := next(sizes)):
            wanted = f"at least models.{name}.least_stocks, {least}"
            yield Problem(("models", name, "most_stocks"), wanted, most)
        if model.scope == "effects" and not getattr(model.params, "intercept", True):
            wanted = "true, because models of scope 'effects' have an intercept for each symbol"
            yield Problem(("models", name, "intercept"), wanted, False)
        yield from _expression_conflicts(h, model.params, ("models", name))
    for name, regime in h.regimes.items():
        for expression in regime.expressions:
            yield from _column_conflicts(h, expression, ("regimes", name))
    if h.risk:
        yield from _repeats(("risk", "residuals"), h.risk.residuals)
    if h.distribution:
        yield from _repeats(("distribution", "laws"), h.distribution.laws)
    yield from _source_conflicts(h)
    for metric, figures in h.document.figures.items() if h.document else ():
        for stranger in set(figures) - set(h.models):
            yield unknown_word(("document", "figures", metric, stranger), stranger, h.models)
    yield from _step_conflicts(h)
    yield from _window_conflicts(h)
    yield from _verdict_conflicts(h)


def _expression_conflicts(h: Hypothesis, params: Params, loc: Loc) -> Iterator[Problem]:
    """Unknown or repeated features of a model and of the models in its tables."""
    for key in params.lists:
        features = [parse_feature(text) for text in getattr(params, key, ())]
        for i, feature in enumerate(features):
            yield from _column_conflicts(h, feature, (*loc, key, i))
        yield from _feature_repeats(h, features, (*loc, key))
    for key in params.expressions:
        yield from _column_conflicts(h, parse_feature(getattr(params, key)), (*loc, key))
    for text in params.made:
        try:
            parse_feature(text)
        except FeatureError as error:
            yield Problem(loc, f"shorter expressions, because products are formed of them: {error}")
    for key, inner in params.inner.items():
        yield from _expression_conflicts(h, inner, (*loc, key))


def _source_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """[source] without a pretrained model, the reverse, and a split over assets without it."""
    if h.panel.unseen and h.source is None:
        yield Problem(
            ("panel", "unseen"), "no such key without [source], whose symbols it leaves out", True
        )
    if h.source is not None and h.source.unseen:
        yield Problem(("source", "unseen"), "no such key: it belongs in [panel]", True)
    pretrained = [name for name, model in h.models.items() if model.params.pretrains]
    if h.source is None:
        if pretrained:
            wanted = f"this section, because models.{pretrained[0]} is pretrained on another panel"
            yield Problem(("source",), wanted)
        return
    if not pretrained:
        yield Problem(("source",), "no such section: no model is pretrained on another panel")
    yield from _panel_conflicts("source", h.source)


def _step_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """Horizons of several steps with kinds that forecast one step."""
    for horizon in h.target.horizons:
        if length(horizon) == length(h.sample.every):
            continue
        for name, model in h.models.items():
            if model.entry.one_step:
                wanted = f"a kind that forecasts more than one step, because {horizon} in "
                wanted += f"target.horizons is not sample.every, {h.sample.every}"
                yield Problem(("models", name, "kind"), wanted, model.kind)


def _window_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """target.window, and keys and kinds that work with the horizon only."""
    window, t = h.target.window, h.target
    if window is None:
        return
    loc: Loc = ("target", "window")
    if window not in h.sample.scales or t.measure not in h.sample.measures:
        wanted = "one of sample.scales, with target.measure among sample.measures"
        yield Problem(loc, wanted, str(window))
    inside = all(_shorter(window, horizon) for horizon in t.horizons)
    if not (inside or all(_shorter(horizon, window) for horizon in t.horizons)):
        wanted = "longer than every horizon or shorter than every one, or no such key"
        yield Problem(loc, wanted, str(window))
    if h.risk:
        wanted = "no such key together with [risk], which uses returns over the horizon"
        yield Problem(loc, wanted, str(window))
    for name, model in h.models.items():
        kind = model.entry
        if (kind.periods or kind.stepwise) and not (kind.flat and inside):
            wanted = f"a kind that reads features: {kind.name} forecasts the whole horizon, "
            yield Problem(("models", name, "kind"), wanted + "not target.window", model.kind)


def _scheme_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """Keys that the scheme lacks or does not use."""
    walk = h.walk_forward
    needed, allowed = SCHEMES[walk.scheme]
    own = {key for keys in SCHEMES.values() for part in keys for key in part}
    for key in sorted(own):
        loc: Loc = ("walk_forward", key)
        value = getattr(walk, key)
        if key in needed and value is None:
            described = type(walk).model_fields[key].description
            yield Problem(loc, f"this key, which is missing: {described}")
        elif key not in needed and key not in allowed and value is not None:
            keys = ", ".join((*needed, *allowed))
            shown = list(value) if isinstance(value, tuple) else str(value)
            yield Problem(
                loc, f"no such key for scheme '{walk.scheme}', whose keys are {keys}", shown
            )


def _span_conflicts(h: Hypothesis) -> Iterator[Problem]:
    start, end, walk = h.panel.start, h.panel.end, h.walk_forward
    order = [("panel.start", start)]
    for key in ("train_from", "validate_from", "first_test"):
        moment, loc = getattr(walk, key), ("walk_forward", key)
        if moment is None:
            continue
        for name, earlier in order:
            same = name == "panel.start" and key == "train_from"
            if earlier is not None and (moment < earlier if same else moment <= earlier):
                wanted = f"a moment after {name}, {show_moment(earlier)}"
                yield Problem(loc, wanted, show_moment(moment))
                break
        if end is not None and moment >= end:
            yield Problem(
                loc, f"a moment before panel.end, {show_moment(end)}", show_moment(moment)
            )
        order.append((f"walk_forward.{key}", moment))
    if _shorter(walk.step, walk.test):
        wanted = f"at least walk_forward.test, {walk.test}, so that test windows do not overlap"
        yield Problem(("walk_forward", "step"), wanted, str(walk.step))
    yield from _refit_conflicts(h)
    yield from _length_conflicts(h)


def _length_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """A training or validation span too short for any target to resolve in it."""
    walk = h.walk_forward
    longest = max(h.target.horizons, key=length)
    embargo = effective_embargo(walk.embargo, longest.ns)
    least = Duration((longest.ns + embargo) // NS_PER_MINUTE, "m")
    for key in ("train", "validation"):
        span = getattr(walk, key)
        if span is not None and not _shorter(least, span):
            wanted = (
                f"longer than the horizon {longest} plus the embargo; otherwise no target in it "
                "is known at the cut"
            )
            yield Problem(("walk_forward", key), wanted, str(span))
    if walk.train and walk.validation and not _shorter(walk.validation, walk.train):
        wanted = f"shorter than walk_forward.train, {walk.train}, of which it is a part"
        yield Problem(("walk_forward", "validation"), wanted, str(walk.validation))


def _refit_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """A refit cadence needs adjacent test windows."""
    walk = h.walk_forward
    if walk.step == walk.test:
        return
    if walk.refit is not None:
        wanted = "no such key unless walk_forward.step is walk_forward.test"
        yield Problem(("walk_forward", "refit"), wanted, str(walk.refit))
    for name, model in h.models.items():
        if model.refit is not None:
            wanted = "no such key unless walk_forward.step is walk_forward.test"
            yield Problem(("models", name, "refit"), wanted, str(model.refit))


def _panel_conflicts(section: str, panel: PanelSpan) -> Iterator[Problem]:
    """Problems between keys of [panel], or of [source], which has the same keys."""
    if panel.start is not None and panel.end is not None and panel.end <= panel.start:
        wanted = f"a moment after {section}.start, {show_moment(panel.start)}"
        yield Problem((section, "end"), wanted, show_moment(panel.end))
    yield from _repeats((section, "symbols"), panel.symbols or ())
    if panel.symbols is not None and panel.draw is not None:
        yield Problem((section, "draw"), f"no such key together with {section}.symbols", panel.draw)
    if panel.draw is None and "draw_seed" in panel.model_fields_set:
        wanted = f"no such key without {section}.draw"
        yield Problem((section, "draw_seed"), wanted, panel.draw_seed)


def _history_conflicts(h: Hypothesis) -> Iterator[Problem]:
    if h.walk_forward.first_test is not None:
        return
    wanted = "no such key without walk_forward.first_test, from which it counts back"
    for section, panel in (("panel", h.panel), ("source", h.source)):
        if panel is not None and panel.min_history is not None:
            yield Problem((section, "min_history"), wanted, str(panel.min_history))


def _shorter(step: Duration, test: Duration) -> bool:
    """Whether `step` can be shorter than `test`; days and months are compared in every month."""
    if step.is_calendar == test.is_calendar:
        return length(step) < length(test)
    january = parse_moment("2000-01-01")
    starts = [Duration(1, "mo").after(january, times) for times in range(48)]
    return any(step.after(start) < test.after(start) for start in starts)


def _repeats(loc: Loc, values: Sequence[str | Duration]) -> Iterator[Problem]:
    same = [length(value) if isinstance(value, Duration) else value for value in values]
    for i, value in enumerate(values):
        if same[i] in same[:i]:
            yield Problem((*loc, i), f"{loc[-1]} without repeats", str(value))


def _feature_repeats(h: Hypothesis, features: list[Expression], loc: Loc) -> Iterator[Problem]:
    """No two equal features: `rv_h` is `rv_4h` at the horizon 4h."""
    for i, feature in enumerate(features):
        for horizon in map(str, h.target.horizons):
            before = [
                earlier for earlier in features[:i] if earlier.at(horizon) == feature.at(horizon)
            ]
            if before:
                wanted = (
                    f"features without repeats; at the horizon {horizon} it equals {before[0].text}"
                )
                yield Problem((*loc, i), wanted, feature.text)
                break


def _column_conflicts(h: Hypothesis, feature: Expression, loc: Loc) -> Iterator[Problem]:
    """A feature may use the measures of the sample and the target, its scales and `h`."""
    measures = list(dict.fromkeys((*h.sample.measures, h.target.measure)))
    scales = [str(scale) for scale in h.sample.scales]
    known = [f"{m}_{s}" for m in measures for s in (*scales, OWN_SCALE)]
    for column in sorted(feature.columns):
        measure, scale = split_column(column)
        if column not in known:
            wanted = (
                f"columns of {', '.join(measures)} over {', '.join(scales)} or {OWN_SCALE} "
                f"(sample.measures, sample.scales), not {column}"
            )
            like = [name for name in known if name.endswith("_h") == column.endswith("_h")]
            yield Problem(loc, wanted, feature.text, nearest(column, like))
        elif scale == OWN_SCALE:
            for horizon in map(str, h.target.horizons):
                if horizon not in scales:
                    wanted = (
                        f"every horizon in sample.scales, because {column} is {measure} over the "
                        f"horizon; {horizon} is missing"
                    )
                    yield Problem(loc, wanted, feature.text)


def _verdict_conflicts(h: Hypothesis) -> Iterator[Problem]:
    rule, names = h.verdict, list(h.models)
    if rule.baseline not in names:
        yield unknown_word(("verdict", "baseline"), rule.baseline, names)
    for i, candidate in enumerate(rule.candidates):
        loc: Loc = ("verdict", "candidates", i)
        if candidate not in names:
            yield unknown_word(loc, candidate, names)
        elif candidate == rule.baseline:
            yield Problem(loc, "a model other than the baseline", candidate)
    yield from _repeats(("verdict", "candidates"), rule.candidates)
    if rule.horizon not in h.target.horizons:
        horizons = [str(horizon) for horizon in h.target.horizons]
        yield unknown_word(("verdict", "horizon"), str(rule.horizon), horizons)
    groups = group_names(h.regimes)
    if rule.regime is not None and rule.regime not in groups:
        if groups:
            yield unknown_word(("verdict", "regime"), rule.regime, groups)
        else:
            yield Problem(("verdict", "regime"), "a table [regimes] with this regime", rule.regime)
    if rule.claim == "equal" and not rule.min_gain:
        wanted = "above 0: the largest difference between equal models"
        yield Problem(("verdict", "min_gain"), wanted, rule.min_gain)
    if rule.gain_as == "relative" and not METRICS[rule.metric].has_share:
        signed = METRICS[rule.metric].signed
        why = "can be negative" if signed else "is not a loss"
        wanted = f"'difference': {rule.metric} {why}, so there is no relative gain"
        yield Problem(("verdict", "gain"), wanted, rule.gain_as)
    if rule.claim == "equal" and rule.rule == "point":
        wanted = "'test': that models are equal is shown by an interval, not by an estimate"
        yield Problem(("verdict", "rule"), wanted, rule.rule)
    if rule.gain_as == "wins":
        yield from _wins_conflicts(h)
    yield from tail_problems(rule, h.risk)


def bar_problems(rule: Acceptance) -> Iterator[Problem]:
    """A minimum gain that no forecast can reach: usually points or per cent instead of a share.

    Only of files that are read to be run: a logged run may have been held to such a gain.
    """
    if rule.gain_as == "wins" and rule.rule == "point":
        return
    widest = 1.0 if rule.gain_as != "difference" else METRICS[rule.metric].widest
    if widest is None or rule.min_gain < widest:
        return
    if rule.gain_as == "wins":
        why = "no interval lies above all of the symbols"
    elif rule.gain_as == "relative":
        why = f"the gain is a share of the baseline's {rule.metric}: 2 % is 0.02"
    elif rule.metric == "r2_log":
        why = "R² is a share: 2 points are 0.02"
    else:
        why = f"{rule.metric} is a {METRICS[rule.metric].unit}"
    yield Problem(("verdict", "min_gain"), f"below {widest:g}, since {why}", rule.min_gain)


def _wins_conflicts(h: Hypothesis) -> Iterator[Problem]:
    """Problems of gain = 'wins', the share of symbols on which the candidate is better."""
    rule, panel = h.verdict, h.panel
    if METRICS[rule.metric].loss is None:
        wanted = f"'difference': {rule.metric} has no loss per forecast to compare symbols by"
        yield Problem(("verdict", "gain"), wanted, rule.gain_as)
    if rule.claim == "equal":
        wanted = "'better' with gain = 'wins': equal models win half of the symbols by chance"
        yield Problem(("verdict", "claim"), wanted, rule.claim)
    elif not HALF <= rule.min_gain <= 1.0:
        wanted = "a share of the symbols from 0.5 to 1, because verdict.gain is 'wins'"
        yield Problem(("verdict", "min_gain"), wanted, rule.min_gain)
    for key, count in (("symbols", len(panel.symbols or ())), ("draw", panel.draw or 0)):
        if 0 < count < FEWEST_SYMBOLS:
            wanted = f"at least {FEWEST_SYMBOLS} symbols, because verdict.gain is 'wins'"
            yield Problem(("panel", key), wanted, count)
