"""The tables of a hypothesis file as frozen pydantic models that refuse unknown keys.

Error messages take what is wanted from a field's description, or from the text of a validator's
ValueError.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator

from harness.durations import EXAMPLES, FIXED_EXAMPLES, Duration
from harness.inference.evidence import Claim, GainAs
from harness.measures.table import JUMP_ALPHA, MEASURES
from harness.samples.splits import NO_EMBARGO
from harness.scores.metrics import METRICS
from harness.toml.fields import (
    MOMENT_WANTED,
    NAME_WANTED,
    REFIT_WANTED,
    AnyDuration,
    FixedDuration,
    Moment,
    Name,
    Refit,
    Section,
    fixed_duration,
    one_of,
)
from harness.walk.residuals.laws import LAWS
from harness.walk.residuals.tails import RESIDUALS

_MEASURE = re.compile(r"[a-z][a-z0-9_]{0,59}")
_EMBARGO_WANTED = "a fixed duration such as '1h' or '1d', or '0d' for no embargo"
_MEASURE_WANTED = f"a measure ({', '.join(MEASURES)}, or a panel's extra column)"
_SHARES_WANTED = (
    "three shares of the span that add up to 1, for training, validation and test, such as "
    "[0.5, 0.25, 0.25]"
)
_LAWS_WANTED = f"a list with one or more of {', '.join(RESIDUALS)}"
_LEVELS_WANTED = (
    "a list of one to ten different levels above 0 and below 0.5, such as [0.01, 0.025]"
)
_DISTRIBUTIONS_WANTED = f"a list with one or more of {', '.join(LAWS)}"
_QUANTILES_WANTED = (
    "a list of two to twenty different levels above 0 and below 1, such as [0.05, 0.5, 0.95]"
)


def _embargo(value: object) -> Duration:
    if value == str(NO_EMBARGO):
        return NO_EMBARGO
    try:
        return fixed_duration(value)
    except ValueError:
        raise ValueError(_EMBARGO_WANTED) from None


def _measure(value: object) -> str:
    if not isinstance(value, str) or not _MEASURE.fullmatch(value):
        raise ValueError(_MEASURE_WANTED)
    return value


def _line(value: object) -> str:
    """One line of text, as a heading needs it."""
    if not isinstance(value, str) or not value.strip() or _has_controls(value):
        raise ValueError("one line of text")
    return value.strip()


def _claim(value: object) -> str:
    """A claim is one paragraph; its line breaks have no meaning."""
    joined = " ".join(value.split()) if isinstance(value, str) else ""
    if not joined or _has_controls(joined):
        raise ValueError("a sentence or two of text")
    return joined


def _prose(value: object) -> str:
    if not isinstance(value, str) or _has_controls(re.sub(r"[\t\r\n]", " ", value)):
        raise ValueError("text")
    return value.strip()


def _has_controls(text: str) -> bool:
    """Control characters and line separators could drive a terminal or break a heading."""
    return any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in text)


def _shares(value: object) -> tuple[float, float, float]:
    if (
        not isinstance(value, list)
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        or not all(v >= 0.0 for v in value)
        or len(value) != 3
        or abs(sum(value) - 1.0) > 1e-9
        or not value[0] * value[2]
    ):
        raise ValueError(_SHARES_WANTED)
    train, held_out, test = map(float, value)
    return train, held_out, test


def _within(value: object, low: float, high: float) -> list[float]:
    """`value` if it is a list of distinct floats between the bounds, else an empty list."""
    if not isinstance(value, list) or not all(isinstance(v, float) for v in value):
        return []
    differ = len(set(value)) == len(value)
    return value if differ and all(low < v < high for v in value) else []


def _levels(value: object) -> tuple[float, ...]:
    """Sorted: their order has no meaning."""
    levels = _within(value, 0.0, 0.5)
    if not 1 <= len(levels) <= 10:
        raise ValueError(_LEVELS_WANTED)
    return tuple(sorted(levels))


def _quantiles(value: object) -> tuple[float, ...]:
    """Sorted: their order has no meaning."""
    levels = _within(value, 0.0, 1.0)
    if not 2 <= len(levels) <= 20:
        raise ValueError(_QUANTILES_WANTED)
    return tuple(sorted(levels))


def _some(laws: tuple[str, ...]) -> tuple[str, ...]:
    """Not min_length of the field: that would be reported in addition to a misspelt word."""
    if not laws:
        raise ValueError(_LAWS_WANTED)
    return laws


def _some_distributions(laws: tuple[str, ...]) -> tuple[str, ...]:
    if not laws:
        raise ValueError(_DISTRIBUTIONS_WANTED)
    return laws


Embargo = Annotated[Duration, PlainValidator(_embargo)]
MeasureName = Annotated[str, PlainValidator(_measure)]
MetricName = Annotated[str, one_of(METRICS)]
Laws = Annotated[tuple[Annotated[str, one_of(RESIDUALS)], ...], AfterValidator(_some)]
Levels = Annotated[tuple[float, ...], PlainValidator(_levels)]
Distributions = Annotated[
    tuple[Annotated[str, one_of(LAWS)], ...], AfterValidator(_some_distributions)
]
Quantiles = Annotated[tuple[float, ...], PlainValidator(_quantiles)]
Shares = Annotated[tuple[float, float, float], PlainValidator(_shares)]


def _many(wanted: str) -> Any:
    # TOML has only arrays; strict mode would refuse to convert them to tuples.
    return Field(strict=False, min_length=1, description=wanted)


class Identity(Section):
    """`[hypothesis]`: its name and its claim."""

    name: Name = Field(description=NAME_WANTED)
    title: Annotated[str, PlainValidator(_line)] = Field(description="one line of text")
    claim: Annotated[str, PlainValidator(_claim)] = Field(description="what is claimed, in words")
    approach: Annotated[str, PlainValidator(_prose)] = Field(default="", description="text")


class PanelSpan(Section):
    """`[panel]`: which panel, from `start` (inclusive) to `end` (exclusive), UTC ns or None.

    `symbols` names the symbols to use; `draw` draws a number of symbols with `draw_seed`.
    `min_history` excludes symbols that began less than this duration before
    walk_forward.first_test, `min_record` those with bars at less than this share of the panel's
    timestamps. `unseen` leaves out all symbols that [source] uses: a split over assets.
    """

    name: Name = Field(description="a panel's name")
    start: Moment | None = Field(default=None, description=MOMENT_WANTED)
    end: Moment | None = Field(default=None, description=MOMENT_WANTED)
    symbols: tuple[str, ...] | None = Field(
        default=None, strict=False, min_length=1, description="a list of symbols such as ['SPY']"
    )
    draw: int | None = Field(default=None, ge=1, description="a whole number of symbols from 1 on")
    draw_seed: int = Field(
        default=1, ge=0, lt=2**32, description="a whole number from 0 to 2^32 - 1"
    )
    min_history: AnyDuration | None = Field(default=None, description=EXAMPLES)
    min_record: float | None = Field(
        default=None, gt=0.0, le=1.0, description="a share above 0 and at most 1"
    )
    unseen: bool = Field(default=False, description="true or false")


class Sample(Section):
    """`[sample]`: the forecast origins and the cascade of measures known at each origin."""

    every: FixedDuration = Field(description=FIXED_EXAMPLES)
    scales: tuple[FixedDuration, ...] = _many("a list of fixed durations such as ['1h', '1d']")
    measures: tuple[MeasureName, ...] = _many("a list of measures such as ['rv', 'bv']")
    bipower_edge: Literal["inside", "straddle"] = "inside"
    floor: float = Field(default=1e-6, gt=0.0, description="a number above 0")
    interval: FixedDuration | None = Field(default=None, description=FIXED_EXAMPLES)
    jump_alpha: float = Field(
        default=JUMP_ALPHA, gt=0.0, lt=0.5, description="a number above 0 and below 0.5"
    )


class Target(Section):
    """`[target]`: what is forecast, on which scale, and the back-transformation from logs.

    `window`: the target is the measure over the last `window` at the end of the horizon, not over
    the horizon. If it is longer than the horizon, part of it is already known at the origin.
    """

    measure: MeasureName = Field(description=_MEASURE_WANTED)
    scale: Literal["log", "level"] = Field(description="log or level")
    horizons: tuple[FixedDuration, ...] = _many("a list of fixed durations such as ['1h', '1d']")
    window: FixedDuration | None = Field(default=None, description=FIXED_EXAMPLES)
    back: Literal["naive", "lognormal", "smearing"] | None = None


# The required and the optional keys of each scheme.
SCHEMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rolling": (("train", "first_test"), ("validation",)),
    "expanding": (("train", "first_test"), ("validation",)),
    "fixed": (("train_from", "first_test"), ("validate_from",)),
    "proportional": (("shares",), ()),
}


class WalkForward(Section):
    """`[walk_forward]`: the training, validation and test windows; moments in UTC ns.

    SCHEMES lists the keys of each scheme. Durations are calendar time: `1y` has about 252 sessions
    of an exchange. `refit` is how often parameters are fitted again, by default at every test
    window; state (look-backs, variance recursions) is updated at every origin.
    """

    scheme: Annotated[str, one_of(SCHEMES)] = Field(description=f"one of {', '.join(SCHEMES)}")
    train: AnyDuration | None = Field(default=None, description=EXAMPLES)
    test: AnyDuration = Field(description=EXAMPLES)
    step: AnyDuration = Field(default_factory=lambda data: data["test"], description=EXAMPLES)
    embargo: Embargo = Field(description=_EMBARGO_WANTED)
    first_test: Moment | None = Field(default=None, description=MOMENT_WANTED)
    validation: AnyDuration | None = Field(default=None, description=EXAMPLES)
    train_from: Moment | None = Field(default=None, description=MOMENT_WANTED)
    validate_from: Moment | None = Field(default=None, description=MOMENT_WANTED)
    shares: Shares | None = Field(default=None, description=_SHARES_WANTED)
    refit: Refit | None = Field(default=None, description=REFIT_WANTED)
    min_train: int = Field(default=100, ge=2, description="a whole number from 2 on")

    @property
    def holds_out(self) -> bool:
        """Whether it has rows for models to stop early on."""
        return bool(self.validation or self.validate_from or (self.shares and self.shares[1]))


# What the verdict rule asks. Raise it with a change of any verdict, and say what changed:
# 2: "at least X" is tested against X; intervals by inversion of the test, for all candidates
#    together. Before: the gain as estimated at least X, and "no gain" rejected.
RULE_VERSION = 2


class Acceptance(Section):
    """`[verdict]`: the acceptance rule, fixed before the run.

    `rule`: `test` holds the claim "at least min_gain" against a test of it; `point` asks that the
    gain as estimated is at least min_gain and that "no gain" is rejected, as publications do.
    `level` and `residuals` say which VaR and ES a metric of risk scores; `residuals` is filled in
    where [risk] has one distribution.
    """

    baseline: Name = Field(description="a model's name")
    candidates: tuple[Name, ...] = _many("a list of models' names")
    metric: MetricName = Field(description=f"one of {', '.join(METRICS)}")
    horizon: FixedDuration = Field(description="one of target.horizons")
    min_gain: float = Field(ge=0.0, description="a number from 0 on")
    gain_as: GainAs = Field(default="difference", alias="gain")
    alpha: float = Field(gt=0.0, lt=0.5, description="a number above 0 and below 0.5")
    claim: Claim = Field(default="better", description="better or equal")
    regime: Name | None = Field(default=None, description="a group of [regimes]")
    rule: Literal["test", "point"] = Field(default="test", description="test or point")
    level: float | None = Field(default=None, gt=0.0, lt=0.5, description="one of risk.levels")
    residuals: Annotated[str, one_of(RESIDUALS)] | None = Field(
        default=None, description="one of risk.residuals"
    )


class RiskSpec(Section):
    """`[risk]`: VaR and ES at these levels, for these distributions of standardised residuals."""

    levels: Levels = Field(description=_LEVELS_WANTED)
    residuals: Laws = Field(strict=False, description=_LAWS_WANTED)


class Document(Section):
    """`[document]`: a publication that makes the claim, and its numbers; shown, never judged.

    `gain` is the reported gain of the candidate over the baseline, in the verdict's unit;
    `figures` are reported values of models, by metric; `differs` says how the setting differs.
    The document is right if the verdict is `right_if`.
    """

    title: Annotated[str, PlainValidator(_line)] = Field(description="one line of text")
    place: Annotated[str, PlainValidator(_line)] = Field(description="one line of text")
    says: Annotated[str, PlainValidator(_claim)] = Field(description="what it claims, in words")
    differs: Annotated[str, PlainValidator(_claim)] | None = Field(
        default=None, description="a sentence or two of text"
    )
    right_if: Literal["confirmed", "refuted"] = Field(
        default="confirmed", description="confirmed or refuted"
    )
    gain: float | None = Field(default=None, description="a number")
    figures: dict[MetricName, dict[Name, float]] = Field(
        default_factory=dict,
        description="tables of numbers by model, each named by a metric: figures.rmse.har = 0.1",
    )


class DistributionSpec(Section):
    """`[distribution]`: quantiles of the target at these levels, by residual distribution."""

    levels: Quantiles = Field(description=_QUANTILES_WANTED)
    laws: Distributions = Field(strict=False, description=_DISTRIBUTIONS_WANTED)


class Run(Section):
    """`[run]`: random seeds, and whether figures are drawn with the card.

    `seeds`: models whose fits depend on the seed are fitted with this many seeds, from `seed` on.
    """

    seed: int = Field(default=1, ge=0, lt=2**32, description="a whole number from 0 to 2^32 - 1")
    seeds: int = Field(default=1, ge=1, le=100, description="a whole number from 1 to 100")
    figures: bool = Field(default=False, description="true or false")


# Keys that change no number and no verdict: not hashed.
SHOWN_ONLY = frozenset({("hypothesis", "title"), ("hypothesis", "approach"), ("run", "figures")})

# Keys added later: not hashed at their default, so that older hypotheses keep their hash.
LATER = frozenset(
    {
        ("panel", "symbols"),
        ("panel", "draw"),
        ("panel", "draw_seed"),
        ("panel", "min_history"),
        ("panel", "min_record"),
        ("panel", "unseen"),
        ("run", "seeds"),
        ("sample", "interval"),
        ("sample", "jump_alpha"),
        ("target", "window"),
        ("verdict", "claim"),
        ("verdict", "level"),
        ("verdict", "residuals"),
        ("verdict", "regime"),
        ("verdict", "rule"),
        ("walk_forward", "validation"),
        ("walk_forward", "train_from"),
        ("walk_forward", "validate_from"),
        ("walk_forward", "shares"),
        ("walk_forward", "refit"),
        ("walk_forward", "min_train"),
    }
)

SECTIONS: dict[str, tuple[str, type[Section]]] = {
    "hypothesis": ("identity", Identity),
    "panel": ("panel", PanelSpan),
    "sample": ("sample", Sample),
    "target": ("target", Target),
    "walk_forward": ("walk_forward", WalkForward),
    "verdict": ("verdict", Acceptance),
    "run": ("run", Run),
}
