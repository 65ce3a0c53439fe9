"""Hypothesis files: TOML -> a frozen, checked Hypothesis and the hash of what it claims.

Nothing in a file is ever executed: features are read by `harness.features`, models by the table
of kinds, and what is wrong between tables is found here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.durations import NS_PER_MINUTE, Duration, parse_moment, show_moment
from harness.errors import nearest
from harness.features import OWN_SCALE, Expression, FeatureError, parse_feature, split_column
from harness.measures.table import MEASURES
from harness.metrics import METRICS
from harness.models.table import KINDS, Params
from harness.sections import (
    LATER,
    NAME,
    NAME_WANTED,
    SECTIONS,
    Acceptance,
    Identity,
    PanelSpan,
    Run,
    Sample,
    Target,
    WalkForward,
)
from harness.spec_errors import (
    Loc,
    Problem,
    parse_toml,
    read_spec,
    refuse,
    unknown_key,
    unknown_word,
    validate,
)

_KEYS = ("hypothesis", "panel", "sample", "target", "walk_forward", "models", "verdict", "run")


@dataclass(frozen=True)
class ModelSpec:
    """A model to run: its kind and checked parameters, features in their canonical text."""

    kind: str
    params: Params


@dataclass(frozen=True)
class Hypothesis:
    """A checked hypothesis: its sections, its models in file order, its file and verbatim text."""

    identity: Identity
    panel: PanelSpan
    sample: Sample
    target: Target
    walk_forward: WalkForward
    models: Mapping[str, ModelSpec]
    verdict: Acceptance
    run: Run
    path: Path
    text: str

    @cached_property
    def spec_hash(self) -> str:
        """`sha256:` and the hash of the canonical JSON: a changed bar is another hypothesis."""
        words = json.dumps(
            canonical(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return "sha256:" + hashlib.sha256(words.encode()).hexdigest()


def load_hypothesis(path: str | Path) -> Hypothesis:
    """Read and check a hypothesis file.

    Raises UsageError when the file cannot be read and SpecError for anything wrong in it.
    """
    path = Path(path)
    return parse_hypothesis(read_spec(path, "a hypothesis file"), path)


def parse_hypothesis(text: str, path: Path) -> Hypothesis:
    """Check a hypothesis given as text; `path` is named in errors. Raises SpecError."""
    raw = parse_toml(text, path)
    problems = [unknown_key((key,), _KEYS) for key in raw if key not in _KEYS]
    meant = {problem.nearest for problem in problems}
    sections: dict[str, Any] = {}
    for key, (attribute, model) in SECTIONS.items():
        if key not in raw and key != "run":
            if key not in meant:
                problems.append(_missing_section(key))
            continue
        sections[attribute], found = validate(model, raw.get(key, {}), (key,))
        problems += found
    models: dict[str, ModelSpec] = {}
    if "models" in raw:
        models, found = _models(raw["models"])
        problems += found
    elif "models" not in meant:
        problems.append(_missing_section("models.NAME"))
    if not problems:
        hypothesis = Hypothesis(**sections, models=models, path=path, text=text)
        problems = list(_conflicts(hypothesis))
    if problems:
        refuse(path, raw, problems)
    return hypothesis


def check_measures(hypothesis: Hypothesis, extra: Collection[str]) -> None:
    """Refuse measures that are neither in the table nor among the panel's `extra` columns.

    Raises SpecError naming the first one and the nearest right word.
    """
    known = [*MEASURES, *sorted(extra)]
    named = [(("sample", "measures", i), m) for i, m in enumerate(hypothesis.sample.measures)]
    named.append((("target", "measure"), hypothesis.target.measure))
    problems = [unknown_word(loc, measure, known) for loc, measure in named if measure not in known]
    if problems:
        refuse(hypothesis.path, parse_toml(hypothesis.text, hypothesis.path), problems)


def canonical(hypothesis: Hypothesis) -> dict[str, Any]:
    """Everything that can change a number or the verdict, the claim included, as plain JSON values.

    Title and approach are left out. Defaults are spelled out (but for keys that came later),
    moments are UTC ns, lengths are months or minutes, and lists whose order means nothing are
    sorted.
    """
    plain: dict[str, Any] = {
        key: {
            field: _plain(value)
            for field, value in getattr(hypothesis, attribute)
            if field not in ("title", "approach")
            and not ((key, field) in LATER and value == section.model_fields[field].default)
        }
        for key, (attribute, section) in SECTIONS.items()
    }
    plain["models"] = {
        name: {"kind": model.kind, **model.params.model_dump(mode="json")}
        for name, model in hypothesis.models.items()
    }
    return plain


def _plain(value: object) -> object:
    if isinstance(value, Duration):
        return f"{_length(value)}{'mo' if value.is_calendar else 'm'}"
    if isinstance(value, tuple):
        return sorted(str(item) for item in value)
    return value


def _missing_section(key: str) -> Problem:
    return Problem(tuple(key.split(".")), f"a section [{key}], which is missing")


def _models(table: object) -> tuple[dict[str, ModelSpec], list[Problem]]:
    """Every `[models.NAME]`, its parameters checked by its kind's own model."""
    if not isinstance(table, Mapping) or not table:
        return {}, [Problem(("models",), "at least one table [models.NAME]", table)]
    models: dict[str, ModelSpec] = {}
    problems: list[Problem] = []
    for name, settings in table.items():
        loc: Loc = ("models", name)
        if not NAME.fullmatch(name):
            problems.append(Problem(loc, NAME_WANTED, name))
        if not isinstance(settings, Mapping):
            problems.append(Problem(loc, "a table with a kind", settings))
        elif "kind" not in settings:
            wanted = f"this key, which is missing: one of {', '.join(KINDS)}"
            problems.append(Problem((*loc, "kind"), wanted))
        elif not isinstance(settings["kind"], str) or settings["kind"] not in KINDS:
            problems.append(unknown_word((*loc, "kind"), settings["kind"], KINDS))
        else:
            given = {key: value for key, value in settings.items() if key != "kind"}
            params, found = validate(KINDS[settings["kind"]].params, given, loc, also=("kind",))
            problems += found
            if params is not None:
                params, found = _with_features(params, (*loc, "features"))
                problems += found
                models[name] = ModelSpec(settings["kind"], params)
    return models, problems


def _with_features(params: Params, loc: Loc) -> tuple[Params, list[Problem]]:
    """The parameters with every feature in its canonical text, where this kind has features."""
    texts: list[str] = []
    problems: list[Problem] = []
    for i, text in enumerate(getattr(params, "features", ())):
        try:
            texts.append(parse_feature(text).text)
        except FeatureError as error:
            wanted = f"a feature expression ({error})"
            problems.append(Problem((*loc, i), wanted, text, error.nearest))
    if not texts:
        return params, problems
    return params.model_copy(update={"features": texts}), problems


def _conflicts(h: Hypothesis) -> Iterator[Problem]:
    """What is wrong between keys that are each right alone."""
    yield from _span_conflicts(h)
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
        loc: Loc = ("models", name, "features")
        features = [parse_feature(text) for text in getattr(model.params, "features", ())]
        for i, feature in enumerate(features):
            yield from _column_conflicts(h, feature, (*loc, i))
        yield from _feature_repeats(h, features, loc)
    yield from _verdict_conflicts(h)


def _span_conflicts(h: Hypothesis) -> Iterator[Problem]:
    start, end, walk = h.panel.start, h.panel.end, h.walk_forward
    first, loc = walk.first_test, ("walk_forward", "first_test")
    if start is not None and end is not None and end <= start:
        wanted = f"a moment after panel.start, {show_moment(start)}"
        yield Problem(("panel", "end"), wanted, show_moment(end))
    if start is not None and first <= start:
        yield Problem(loc, f"a moment after panel.start, {show_moment(start)}", show_moment(first))
    if end is not None and first >= end:
        yield Problem(loc, f"a moment before panel.end, {show_moment(end)}", show_moment(first))
    if _shorter(walk.step, walk.test):
        wanted = f"at least walk_forward.test, {walk.test}, or test windows would overlap"
        yield Problem(("walk_forward", "step"), wanted, str(walk.step))


def _shorter(step: Duration, test: Duration) -> bool:
    """Whether `step` can be shorter than `test`; between days and months, in any month."""
    if step.is_calendar == test.is_calendar:
        return _length(step) < _length(test)
    january = parse_moment("2000-01-01")
    starts = [Duration(1, "mo").after(january, times) for times in range(48)]
    return any(step.after(start) < test.after(start) for start in starts)


def _length(duration: Duration) -> int:
    """Months or minutes: `12mo` and `1y` are one length, and so are `24h` and `1d`."""
    if duration.is_calendar:
        return duration.count * (12 if duration.unit == "y" else 1)
    return duration.ns // NS_PER_MINUTE


def _repeats(loc: Loc, values: Sequence[str | Duration]) -> Iterator[Problem]:
    same = [_length(value) if isinstance(value, Duration) else value for value in values]
    for i, value in enumerate(values):
        if same[i] in same[:i]:
            yield Problem((*loc, i), f"{loc[-1]} that differ", str(value))


def _feature_repeats(h: Hypothesis, features: list[Expression], loc: Loc) -> Iterator[Problem]:
    """Two equal features cannot be told apart by a fit; `rv_h` is `rv_4h` at the horizon 4h."""
    for i, feature in enumerate(features):
        for horizon in map(str, h.target.horizons):
            before = [
                earlier for earlier in features[:i] if earlier.at(horizon) == feature.at(horizon)
            ]
            if before:
                wanted = f"features that differ; at the horizon {horizon} it is {before[0].text}"
                yield Problem((*loc, i), wanted, feature.text)
                break


def _column_conflicts(h: Hypothesis, feature: Expression, loc: Loc) -> Iterator[Problem]:
    """A feature may name what the cascade has: its measures, the target's, its scales and `h`."""
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
                        f"every horizon in sample.scales, since {column} is {measure} over the "
                        f"horizon's own scale; {horizon} is not"
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
    if rule.gain == "relative" and METRICS[rule.metric].higher:
        wanted = f"'difference': {rule.metric} is no loss of which a share could be saved"
        yield Problem(("verdict", "gain"), wanted, rule.gain)
