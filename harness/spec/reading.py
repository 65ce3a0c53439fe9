"""Reads hypothesis files into checked Hypotheses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from harness.errors import UsageError, one_line
from harness.measures.table import MEASURES
from harness.models.params import ModelKeys, Params
from harness.models.table import KINDS, Kind
from harness.samples.features import FeatureError, parse_feature
from harness.scores.metrics import METRICS
from harness.spec.cross_checks import bar_problems, cross_checks
from harness.spec.hypothesis import Hypothesis, ModelSpec, hash_of
from harness.spec.regimes_and_sweeps import Sweep, as_written, expand_sweep, read_regimes
from harness.spec.sections import (
    Acceptance,
    DistributionSpec,
    Document,
    Identity,
    PanelSpan,
    RiskSpec,
    Run,
    Sample,
    Target,
    WalkForward,
)
from harness.toml.fields import NAME, NAME_WANTED, Section
from harness.toml.problems import (
    Loc,
    Problem,
    parse_toml,
    read_spec,
    refuse,
    unknown_key,
    unknown_word,
    validate,
)

if TYPE_CHECKING:
    from harness.models.plugins import Plugin

_KEYS = (
    "hypothesis", "panel", "sample", "target", "walk_forward", "models", "verdict", "regimes",
    "sweep", "risk", "distribution", "run", "source", "document",
)  # fmt: skip
_USABLE = "a kind that can be used"
_Model = TypeVar("_Model", bound=Section)


def load_hypothesis(path: str | Path) -> Hypothesis:
    """Read and check a hypothesis file.

    Raises UsageError if the file cannot be read, SpecError for any error in it.
    """
    if not isinstance(path, str | Path):
        raise UsageError(f"hypothesis: got {one_line(path)}, wanted the path of its file")
    path = Path(path)
    return parse_hypothesis(read_spec(path, "a hypothesis file"), path)


def parse_hypothesis(text: str, path: Path, *, stored: bool = False) -> Hypothesis:
    """Check a hypothesis given as text; `path` is named in errors. Raises SpecError.

    One that is `stored` in a record was accepted once: what is asked of new claims alone is not
    asked of it.
    """
    raw = parse_toml(text, path)
    problems = [unknown_key((key,), _KEYS) for key in raw if key not in _KEYS]
    meant = {problem.nearest for problem in problems}

    def optional(key: str, model: type[_Model]) -> _Model | None:
        if key not in raw:
            return None
        section, wrong = validate(model, raw[key], (key,))
        problems.extend(wrong)
        return section

    def needed(key: str, model: type[_Model]) -> _Model | None:
        if key not in raw and key not in meant:
            problems.append(_missing_section(key))
        return optional(key, model)

    identity = needed("hypothesis", Identity)
    panel = needed("panel", PanelSpan)
    sample = needed("sample", Sample)
    target = needed("target", Target)
    walk_forward = needed("walk_forward", WalkForward)
    verdict = needed("verdict", Acceptance)
    run = optional("run", Run) if "run" in raw else Run()
    models: dict[str, ModelSpec] = {}
    sweep: Sweep | None = None
    if "models" in raw:
        tables = raw["models"]
        if "sweep" in raw:
            tables, sweep, found = expand_sweep(raw["sweep"], tables)
            problems += found
        models, found = _models(tables)
        problems += found
    elif "models" not in meant:
        problems.append(_missing_section("models.NAME"))
    regimes, found = read_regimes(raw.get("regimes", {}))
    problems += found
    risk = optional("risk", RiskSpec)
    distribution = optional("distribution", DistributionSpec)
    source = optional("source", PanelSpan)
    document = optional("document", Document)
    if problems or not (
        identity and panel and sample and target and walk_forward and verdict and run
    ):
        _refuse(path, raw, problems, sweep)
    if METRICS[verdict.metric].of_risk and risk and len(risk.residuals) == 1:
        only = verdict.residuals or risk.residuals[0]
        verdict = verdict.model_copy(update={"residuals": only})
    hypothesis = Hypothesis(
        identity=identity,
        panel=panel,
        sample=sample,
        target=target,
        walk_forward=walk_forward,
        models=models,
        verdict=verdict,
        regimes=regimes,
        sweep=sweep,
        risk=risk,
        distribution=distribution,
        source=source,
        document=document,
        run=run,
        path=path,
        text=text,
    )
    problems = [*cross_checks(hypothesis), *([] if stored else bar_problems(hypothesis.verdict))]
    if problems:
        _refuse(path, raw, problems, sweep)
    return hypothesis


def _refuse(
    path: Path, raw: Mapping[str, Any], problems: list[Problem], sweep: Sweep | None
) -> NoReturn:
    """Raise SpecError; a problem shared by all models of a sweep counts once."""
    written = [as_written(problem, sweep) for problem in problems]
    refuse(path, raw, [p for i, p in enumerate(written) if p not in written[:i]])


def stored_hypothesis(record: Mapping[str, Any]) -> Hypothesis:
    """The hypothesis of a logged run, from the text in its record; SpecError names the run.

    Parameters that the text leaves to their default have the values that the record wrote out.
    """
    path = Path(f"the hypothesis stored in run {record['run_id']}")
    found = parse_hypothesis(record["spec"], path, stored=True)
    written = record.get("settings", {}).get("models", {})
    models = {name: _as_run(model, written.get(name)) for name, model in found.models.items()}
    version = record.get("verdict", {}).get("rule_version", 1)
    return replace(found, models=models, rule_version=version)


def _as_run(model: ModelSpec, written: Mapping[str, Any] | None) -> ModelSpec:
    """The model with the parameters that its record wrote out: defaults may have changed since."""
    if written is None or model.plugin is not None:
        return model
    common = {"kind", *ModelKeys.model_fields}
    own = {key: value for key, value in written.items() if key not in common}
    params, _ = validate(type(model.params), own, ())
    return model if params is None else replace(model, params=params)


def check_measures(hypothesis: Hypothesis, extra: Collection[str]) -> None:
    """Refuse measures that are neither in the table nor among the panel's `extra` columns.

    Raises SpecError with the first one and the nearest valid word.
    """
    known = [*MEASURES, *sorted(extra)]
    named: list[tuple[Loc, str]] = [
        (("sample", "measures", i), m) for i, m in enumerate(hypothesis.sample.measures)
    ]
    named.append((("target", "measure"), hypothesis.target.measure))
    problems = [unknown_word(loc, measure, known) for loc, measure in named if measure not in known]
    if problems:
        refuse(hypothesis.path, parse_toml(hypothesis.text, hypothesis.path), problems)


def _missing_section(key: str) -> Problem:
    return Problem(tuple(key.split(".")), f"a section [{key}], which is missing")


def _models(table: object) -> tuple[dict[str, ModelSpec], list[Problem]]:
    """Every `[models.NAME]`, its parameters checked by its kind."""
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
            wanted = f"this key, which is missing: one of {', '.join(_every_kind())}"
            problems.append(Problem((*loc, "kind"), wanted))
        else:
            model, found = _of_kind(settings, loc)
            problems += found
            if model is not None:
                models[name] = model
    return models, problems


def _every_kind() -> list[str]:
    from harness.models.plugins import offers

    return list(dict.fromkeys([*KINDS, *offers()]))


def _of_kind(settings: Mapping[str, Any], loc: Loc) -> tuple[ModelSpec | None, list[Problem]]:
    """A model of the kind its table names; installed packages are searched for other kinds only."""
    word = settings["kind"]
    if isinstance(word, str) and word in KINDS:
        return _model(settings, loc, KINDS[word], None)
    return _plugged(settings, loc, word)


def _plugged(
    settings: Mapping[str, Any], loc: Loc, word: object
) -> tuple[ModelSpec | None, list[Problem]]:
    """A model of a kind that an installed package provides."""
    from harness.models.foreign import told
    from harness.models.plugins import Unusable, load, offers

    offered, where = offers(), (*loc, "kind")
    if not isinstance(word, str) or word not in offered:
        return None, [unknown_word(where, word, _every_kind())]
    try:
        plugin = load(word, offered[word])
    except Unusable as error:
        return None, [Problem(where, f"{_USABLE}: {error}", word)]
    try:
        model, problems = _model(settings, loc, plugin.kind, plugin)
        if model is not None:
            hash_of(model.words())
            tuple(model.params.made)
    except Exception as error:  # the code of its parameters is not ours
        why = f"its parameters: {told(error, plugin.kind.params.__module__)}"
        return None, [Problem(where, f"{_USABLE}: {plugin.offer}: {why}", word)]
    return model, problems


def _model(
    settings: Mapping[str, Any], loc: Loc, kind: Kind, plugin: Plugin | None
) -> tuple[ModelSpec | None, list[Problem]]:
    common = {"kind", *ModelKeys.model_fields}
    given = {key: value for key, value in settings.items() if key not in common}
    inner, problems = _inner(given, loc, kind)
    if problems:
        return None, problems
    also = "kind", *ModelKeys.model_fields
    params, problems = validate(kind.params, given | inner, loc, also=also)
    shared = {key: settings[key] for key in ModelKeys.model_fields if key in settings}
    keys, found = validate(ModelKeys, shared, loc)
    problems += found
    if keys is not None and keys.scope not in (None, *kind.scopes):
        problems.append(unknown_word((*loc, "scope"), keys.scope, kind.scopes))
    if params is None or keys is None:
        return None, problems
    params, found = _canonical_params(params, loc)
    found += [
        Problem((*loc, *wrong.place), wrong.wanted, wrong.got, wrong.nearest)
        for wrong in kind.mistakes(params)
    ]
    scope = keys.scope or kind.scopes[0]
    return ModelSpec(kind.name, params, scope, keys.refit, plugin), [*problems, *found]


def _inner(
    given: Mapping[str, Any], loc: Loc, kind: Kind
) -> tuple[dict[str, Params], list[Problem]]:
    """The parameters of the models nested in tables of this one, checked by their kinds."""
    found: dict[str, Params] = {}
    problems: list[Problem] = []
    for key, kinds in kind.params.tables.items():
        table, where = given.get(key), (*loc, key)
        if not isinstance(table, Mapping) or "kind" not in table:
            wanted = f"a table with a kind, one of {', '.join(kinds)}, and its own keys"
            problems.append(Problem(where, wanted, table))
        elif table["kind"] not in kinds:
            problems.append(unknown_word((*where, "kind"), table["kind"], kinds))
        else:
            params, wrong = validate(kinds[table["kind"]], table, where)
            problems += wrong
            if params is not None:
                found[key] = params
    return found, problems


def _canonical_params(params: Params, loc: Loc) -> tuple[Params, list[Problem]]:
    """The parameters with all feature expressions in canonical text."""
    problems: list[Problem] = []
    update: dict[str, Any] = {}
    for key in params.lists:
        if texts := getattr(params, key, None):
            update[key] = [_expression(t, (*loc, key, i), problems) for i, t in enumerate(texts)]
    for key in params.expressions:
        update[key] = _expression(getattr(params, key), (*loc, key), problems)
    for key, inner in params.inner.items():
        update[key], found = _canonical_params(inner, (*loc, key))
        problems += found
    return params.model_copy(update=update), problems


def _expression(text: str, loc: Loc, problems: list[Problem]) -> str:
    try:
        return parse_feature(text).text
    except FeatureError as error:
        wanted = f"a feature expression ({error})"
        problems.append(Problem(loc, wanted, text, error.nearest))
        return text
