"""Hypothesis files: TOML -> a frozen, checked Hypothesis and the hash of what it claims.

Nothing in a file is ever executed: features are read by `harness.samples.features`, models by the
table of kinds or the installed package that offers theirs, and what is wrong between tables is
found here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import Duration, length
from harness.models.params import Params
from harness.models.table import KINDS, Kind
from harness.scores.regimes import Regime
from harness.spec.regimes_and_sweeps import Sweep
from harness.spec.sections import (
    LATER,
    SECTIONS,
    SHOWN_ONLY,
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
from harness.toml.fields import Section

if TYPE_CHECKING:
    from harness.models.plugins import Plugin

_HELD_TO = ("candidates", "min_gain", "alpha", "claim")


@dataclass(frozen=True)
class ModelSpec:
    """A model to run: its kind and checked parameters, features in their canonical text.

    `scope` is for whom it is fitted, `refit` how often where that is its own; `plugin` what the
    kind is where an installed package offers it.
    """

    kind: str
    params: Params
    scope: str = "pooled"
    refit: Duration | str | None = None
    plugin: Plugin | None = None

    @property
    def entry(self) -> Kind:
        """What the kind is: the table's entry or the plug-in's."""
        return KINDS[self.kind] if self.plugin is None else self.plugin.kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind, and those of the models in its tables."""
        return self.kind, *(getattr(self.params, key).kind for key in self.params.tables)

    def words(self) -> dict[str, Any]:
        """As plain JSON values, scope and refit where they are not what the kind has anyway."""
        own = {"kind": self.kind, **self.params.words()}
        if self.scope != self.entry.scopes[0]:
            own["scope"] = self.scope
        if self.refit is not None:
            own["refit"] = plain_value(self.refit)
        return own


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
    regimes: Mapping[str, Regime]
    sweep: Sweep | None
    risk: RiskSpec | None
    distribution: DistributionSpec | None
    source: PanelSpan | None
    document: Document | None
    run: Run
    path: Path
    text: str

    @cached_property
    def spec_hash(self) -> str:
        """`sha256:` and the hash of the canonical JSON: a changed bar is another hypothesis."""
        return hash_of(canonical(self))

    @cached_property
    def comparison_hash(self) -> str:
        """The hash of what can change a candidate's p-value: not what it is called or held to.

        Left out are name and claim, and of the rule the candidates' list, `min_gain`, `alpha` and
        the kind of claim.
        """
        plain = canonical(self)
        del plain["hypothesis"]
        plain["verdict"] = {k: v for k, v in plain["verdict"].items() if k not in _HELD_TO}
        return hash_of(plain)


def canonical(hypothesis: Hypothesis) -> dict[str, Any]:
    """Everything that can change a number or the verdict, the claim included, as plain JSON values.

    What is only for show (title, approach, figures, document) is left out. Defaults are spelled out
    (but for keys that came later), moments are UTC ns, lengths are months or minutes, and lists
    whose order means nothing are sorted.
    """
    plain: dict[str, Any] = {
        key: _plain_section(key, getattr(hypothesis, attribute))
        for key, (attribute, _) in SECTIONS.items()
    }
    if hypothesis.source:
        plain["source"] = _plain_section("panel", hypothesis.source)
    if hypothesis.regimes:
        plain["regimes"] = {name: r.text for name, r in hypothesis.regimes.items()}
    for key in ("risk", "distribution"):
        if (section := getattr(hypothesis, key)) is not None:
            plain[key] = {field: plain_value(value) for field, value in section}
    plain["models"] = {name: model.words() for name, model in hypothesis.models.items()}
    return plain


def _plain_section(key: str, section: Section) -> dict[str, Any]:
    fields = type(section).model_fields
    return {
        fields[field].alias or field: plain_value(value)
        for field, value in section
        if (key, field) not in SHOWN_ONLY
        and not ((key, field) in LATER and value == fields[field].default)
    }


def hash_of(plain: Mapping[str, Any]) -> str:
    """`sha256:` and the hash of plain JSON values, whatever the order of their keys."""
    words = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return "sha256:" + hashlib.sha256(words.encode()).hexdigest()


def plain_value(value: object) -> object:
    """A section's value as JSON: lengths in months or minutes, lists sorted."""
    if isinstance(value, Duration):
        return f"{length(value)}{'mo' if value.is_calendar else 'm'}"
    if isinstance(value, tuple) and not isinstance(value[0], float):
        return sorted(str(item) for item in value)
    return value
