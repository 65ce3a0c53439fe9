"""What a hypothesis can name, read from the tables of the code: for the CLI and the docs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from harness.inference.table import TESTS
from harness.measures.table import MEASURES
from harness.models.params import Params
from harness.models.plugins import loaded
from harness.models.table import KINDS, Kind
from harness.samples.feature_functions import FUNCTIONS
from harness.scores.distribution import definitions as distributions
from harness.scores.metrics import METRICS, Metric
from harness.scores.risk.definitions import FIGURES, SYMBOLS

Entries = list[dict[str, Any]]


def models() -> Entries:
    """Kinds of model."""
    return [_kind(kind) for kind in KINDS.values()]


def installed_models() -> Entries:
    """Kinds of model of installed packages, each with its package, or why it cannot be used."""
    return [
        {"kind": name, "cannot be used": found}
        if isinstance(found, str)
        else {**_kind(found.kind), "package": str(found.offer)}
        for name, found in loaded()
    ]


def _kind(kind: Kind) -> dict[str, Any]:
    parameters = []
    for name, field in kind.params.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else f"default {default}"
        parameters.append(f"{field.alias or name} ({_type_name(field.annotation)}, {shown})")
    return {
        "kind": kind.name,
        "what": kind.summary,
        "parameters": ", ".join(parameters) or "none",
        "source": kind.source,
    }


def _type_name(annotation: Any) -> str:
    """The type of a parameter as text: `int`, `list[str]`, `int | None`, `l2 or l1`, `table`."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    parts = get_args(annotation)
    if any(isinstance(part, type) and issubclass(part, Params) for part in parts):
        return "table"
    if any(get_origin(part) is Literal for part in parts):
        return " or ".join(_type_name(part) for part in parts if part is not type(None))
    return getattr(annotation, "__name__", str(annotation))


_ZEROS = {"jumps": "are read as jumps", "none": "change nothing on average"}


def measures() -> Entries:
    """Measures; a hypothesis can also name extra columns of its panel."""
    return [
        {
            "measure": m.name,
            "formula": m.formula,
            "unit": f"{m.unit} per bar",
            "reads": ", ".join(m.inputs),
            "minimum bars": m.minimum_bars,
            **({"returns of 0": _ZEROS[m.zeros]} if m.zeros else {}),
            "source": m.source,
        }
        for m in MEASURES.values()
    ]


def features() -> Entries:
    """Functions of feature expressions."""
    columns = {
        "feature": "MEASURE_SCALE",
        "what": "a measure over one of sample.scales, such as rv_1h; rv_h is over the "
        "horizon's own length; numbers, + - * / and parentheses are allowed",
    }
    return [columns, *({"feature": f.signature, "what": f.summary} for f in FUNCTIONS.values())]


_PROXY = {
    True: "the order of models survives an unbiased noisy proxy of the variance (Patton 2011)",
    False: "noise in the outcome may change the order of models",
}


_NO_PROXY = (
    "none is needed: VaR and ES are scored on returns, which are observed, so the order of models "
    "is not changed by noise in a proxy"
)


def metrics() -> Entries:
    """Metrics."""
    return [
        {
            "metric": m.name,
            "definition": m.definition,
            "unit": m.unit,
            "better": "higher" if m.higher else "lower",
            "noisy proxy": _NO_PROXY if m.of_risk else _PROXY[m.robust],
            "training loss": _trains(m),
        }
        for m in METRICS.values()
    ]


def _trains(metric: Metric) -> str:
    """What `loss = "auto"` stands for where the verdict is on this metric."""
    if metric.trains != "mse":
        return metric.trains
    return "log-mse of a log target, whose way back is to the mean; mse of a target in levels"


def tests() -> Entries:
    """Tests of predictive ability."""
    return [
        {
            "test": t.name,
            "question": t.what,
            "null": t.null,
            "effect": t.effect,
            "statistic": t.statistic,
            "source": t.source,
        }
        for t in TESTS.values()
    ]


def risk() -> Entries:
    """The statistics of VaR and ES: columns of the table `risk` of the log."""
    symbols = {"figure": "y, q, e, a, H, n", "definition": SYMBOLS, "unit": "log returns; counts"}
    return [
        symbols,
        *({"figure": f.name, "definition": f.definition, "unit": f.unit} for f in FIGURES.values()),
    ]


def distribution() -> Entries:
    """The statistics of forecast distributions: columns of `distribution`, `quantiles`, …."""
    symbols = {"figure": "y, q, p, l, u, F", "definition": distributions.SYMBOLS, "unit": "target"}
    figures = distributions.FIGURES.values()
    return [
        symbols,
        *({"figure": f.name, "definition": f.definition, "unit": f.unit} for f in figures),
    ]


CATALOGUES: dict[str, Callable[[], Entries]] = {
    "models": models,
    "measures": measures,
    "features": features,
    "metrics": metrics,
    "tests": tests,
    "risk": risk,
    "distribution": distribution,
}
# Of installed packages: listed by the command, not part of the reference.
INSTALLED: dict[str, Callable[[], Entries]] = {"models": installed_models}
