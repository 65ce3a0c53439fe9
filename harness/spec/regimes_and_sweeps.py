"""Reads the tables `[regimes]` and `[sweep]` of a hypothesis file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from harness.samples.features import OWN_SCALE, FeatureError, parse_feature, split_column
from harness.scores.regimes import THIRDS, Regime, Shifts, Terciles, parse_condition
from harness.toml.fields import NAME, NAME_WANTED, Section
from harness.toml.problems import Loc, Problem, unknown_word, validate

_REGIME_WANTED = (
    "a condition such as 'vix_1d < 20', or a table { terciles = 'log(rv_22d)' } or "
    "{ shifts = 'log(rv_1d)', largest = 5 }"
)


class _Terciles(Section):
    terciles: str = Field(description="a feature expression")


class _Shifts(Section):
    shifts: str = Field(description="a feature expression")
    largest: int = Field(default=5, ge=1, le=1_000, description="a whole number from 1 on")
    days: int = Field(
        default=20, ge=1, le=1_000, description="a whole number of forecast origins from 1 on"
    )
    window: int = Field(
        default=60, ge=10, le=5_000, description="a whole number of forecast origins from 10 on"
    )


def read_regimes(table: object) -> tuple[dict[str, Regime], list[Problem]]:
    """Every regime by its name, and the problems."""
    if not isinstance(table, Mapping):
        return {}, [Problem(("regimes",), "a table [regimes]", table)]
    found: dict[str, Regime] = {}
    problems: list[Problem] = []
    for name, words in table.items():
        loc: Loc = ("regimes", name)
        if not NAME.fullmatch(name):
            problems.append(Problem(loc, NAME_WANTED, name))
            continue
        try:
            regime, wrong = _regime(words, loc)
        except FeatureError as error:
            problems.append(Problem(loc, str(error), words, error.nearest))
            continue
        problems += wrong
        if regime is not None:
            if any(split_column(c)[1] == OWN_SCALE for e in regime.expressions for c in e.columns):
                problems.append(
                    Problem(loc, "scales by name, not h: a regime has no horizon", words)
                )
            found[name] = regime
    return found, problems


def _regime(words: object, loc: Loc) -> tuple[Regime | None, list[Problem]]:
    if isinstance(words, str):
        return parse_condition(words), []
    if isinstance(words, Mapping) and "terciles" in words:
        terciles, problems = validate(_Terciles, words, loc)
        return (Terciles(parse_feature(terciles.terciles)) if terciles else None), problems
    if isinstance(words, Mapping) and "shifts" in words:
        shifts, problems = validate(_Shifts, words, loc)
        if shifts is None:
            return None, problems
        expression = parse_feature(shifts.shifts)
        return Shifts(expression, shifts.largest, shifts.days, shifts.window), problems
    return None, [Problem(loc, _REGIME_WANTED, words)]


def group_names(regimes: Mapping[str, Regime]) -> tuple[str, ...]:
    """The names of the groups of these regimes: the regime's name, or three for terciles."""
    return tuple(
        group
        for name, regime in regimes.items()
        for group in ([f"{name}-{w}" for w in THIRDS] if isinstance(regime, Terciles) else [name])
    )


@dataclass(frozen=True)
class Sweep:
    """One model with several values of one parameter: `models[i]` has `key` = `values[i]`."""

    model: str
    key: str
    values: tuple[float | str, ...]
    models: tuple[str, ...]


def as_written(problem: Problem, sweep: Sweep | None) -> Problem:
    """A problem of a model of the sweep, with its place in the file."""
    loc = problem.loc
    if sweep is None or loc[:1] != ("models",) or not {*loc[1:2]} & {*sweep.models}:
        return problem
    if loc[2:3] == (sweep.key,):
        value = sweep.models.index(loc[1])
        return replace(problem, loc=("sweep", sweep.key, value, *loc[3:]))
    return replace(problem, loc=("models", sweep.model, *loc[2:]))


def expand_sweep(
    table: object, models: object
) -> tuple[Mapping[str, Any], Sweep | None, list[Problem]]:
    """The tables of models, with the swept model replaced by one model per value."""
    if not isinstance(models, Mapping):
        return {}, None, []
    wanted = "a model's name and one of its parameters with a list of two values or more"
    if not isinstance(table, Mapping) or len(table) != 2 or "model" not in table:
        return models, None, [Problem(("sweep",), wanted, table)]
    name, (key,) = table["model"], [k for k in table if k != "model"]
    values = table[key]
    if name not in models:
        return models, None, [unknown_word(("sweep", "model"), name, list(models))]
    if not isinstance(values, list) or len(values) < 2:
        return models, None, [Problem(("sweep", key), "a list of two values or more", values)]
    names = tuple(f"{name}-{str(v).lower().replace('.', '-')}" for v in values)
    taken = next((n for n in names if n in models or names.count(n) > 1), None)
    if taken or not isinstance(models[name], Mapping):
        return models, None, [Problem(("sweep", key), "values that make new names", taken)]
    expanded: dict[str, Any] = {}
    for other, settings in models.items():
        if other == name:
            expanded |= {n: {**settings, key: v} for n, v in zip(names, values, strict=True)}
        else:
            expanded[other] = settings
    return expanded, Sweep(name, key, tuple(values), names), []
