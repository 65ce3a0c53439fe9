"""A checked hypothesis, frozen, and the hash of its claim.

Nothing in a hypothesis file is executed: features are parsed by `harness.samples.features`, models
are built by the table of kinds or by an installed plug-in package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.durations import Duration, length
from harness.models.params import Params, TrainingLoss
from harness.models.table import KINDS, Kind
from harness.scores.metrics import METRICS
from harness.scores.regimes import Regime
from harness.spec.regimes_and_sweeps import Sweep
from harness.spec.sections import (
    LATER,
    RULE_VERSION,
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

_RULE_ONLY = ("candidates", "min_gain", "alpha", "claim", "rule")


@dataclass(frozen=True)
class ModelSpec:
    """A model to run: its kind and checked parameters, features in canonical text.

    `scope`: one fit for all symbols or one each; `refit`: its own refit cadence, if it has one;
    `plugin`: the plug-in that provides the kind, if it is not built in.
    """

    kind: str
    params: Params
    scope: str = "pooled"
    refit: Duration | str | None = None
    plugin: Plugin | None = None

    @property
    def entry(self) -> Kind:
        """The entry of its kind: the table's or the plug-in's."""
        return KINDS[self.kind] if self.plugin is None else self.plugin.kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind, and the kinds of the models in its tables."""
        return self.kind, *(getattr(self.params, key).kind for key in self.params.tables)

    def words(self) -> dict[str, Any]:
        """As plain JSON values; scope and refit only if they are not the kind's default."""
        own = {"kind": self.kind, **self.params.words()}
        if self.scope != self.entry.scopes[0]:
            own["scope"] = self.scope
        if self.refit is not None:
            own["refit"] = plain_value(self.refit)
        return own


@dataclass(frozen=True)
class Hypothesis:
    """A checked hypothesis: its sections, models in file order, file path and verbatim text.

    `rule_version` is the version of the verdict rule: today's, or the one of the logged run.
    """

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
    rule_version: int = RULE_VERSION

    @property
    def libraries(self) -> set[str]:
        """The packages that only some hypotheses need: of built-in kinds of model, and of VaR."""
        kinds = [KINDS[k] for m in self.models.values() if m.plugin is None for k in m.kinds]
        return {k.library for k in kinds if k.library} | ({"scipy"} if self.risk else set())

    @property
    def training_loss(self) -> TrainingLoss:
        """The training loss that `auto` stands for: the one that fits the verdict's metric.

        Of a log target log-mse stands for mse: its way back to levels is to the mean.
        """
        fits = METRICS[self.verdict.metric].trains
        return "log-mse" if fits == "mse" and self.target.scale == "log" else fits

    @property
    def trained(self) -> dict[str, ModelSpec]:
        """The models, with what `auto` stands for here."""
        loss, holds_out = self.training_loss, self.walk_forward.holds_out
        return {
            name: replace(model, params=model.params.for_task(loss, holds_out=holds_out))
            for name, model in self.models.items()
        }

    @cached_property
    def spec_hash(self) -> str:
        """`sha256:` and the hash of the canonical JSON: a changed rule is another hypothesis."""
        return hash_of(canonical(self))

    @cached_property
    def comparison_hash(self) -> str:
        """The hash of everything that can change a candidate's p-value.

        Left out are name and claim, and in the rule the list of candidates, `min_gain`, `alpha`
        and the kind of claim.
        """
        plain = canonical(self)
        del plain["hypothesis"]
        plain["verdict"] = {k: v for k, v in plain["verdict"].items() if k not in _RULE_ONLY}
        return hash_of(plain)

    @cached_property
    def question_hash(self) -> str:
        """The hash of what is compared on which data: the question, however it is put.

        That is the panel's name, the target, the verdict's horizon, and the models that are
        compared, without their names.
        """
        v, words = self.verdict, {name: model.words() for name, model in self.models.items()}
        plain = {
            "panel": self.panel.name,
            "target": [self.target.measure, self.target.scale, str(v.horizon)],
            "baseline": words[v.baseline],
            "candidates": sorted((words[name] for name in v.candidates), key=hash_of),
        }
        return hash_of(plain)


def canonical(hypothesis: Hypothesis) -> dict[str, Any]:
    """Everything that can change a number or the verdict, and the claim, as plain JSON values.

    Title, approach, figures and document are only shown and are left out. Defaults are written
    out (except for keys added later), moments are UTC ns, durations are months or minutes, and
    lists whose order has no meaning are sorted.
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
    """`sha256:` and the hash of plain JSON values; the order of keys does not matter."""
    words = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return "sha256:" + hashlib.sha256(words.encode()).hexdigest()


def plain_value(value: object) -> object:
    """A section's value as JSON: durations in months or minutes, lists sorted."""
    if isinstance(value, Duration):
        return f"{length(value)}{'mo' if value.is_calendar else 'm'}"
    if isinstance(value, tuple) and not isinstance(value[0], float):
        return sorted(str(item) for item in value)
    return value
