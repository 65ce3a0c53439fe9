"""A warning on the card: a model trained by a loss that does not fit the verdict's metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.scores.metrics import METRICS

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis


def of_the_training_loss(h: Hypothesis) -> list[str]:
    """Warns of compared models whose stated loss is at odds with the verdict's metric."""
    wanted, heading = h.training_loss, METRICS[h.verdict.metric].heading
    stated: dict[tuple[str, str], list[str]] = {}
    for name in (h.verdict.baseline, *h.verdict.candidates):
        for key, word in h.models[name].params.at_odds(wanted).items():
            stated.setdefault((key, word), []).append(name)
    return [
        f"{', '.join(names)}: the training loss {key} = {word!r} does not fit the verdict's "
        f"metric, {heading}. {key} = 'auto' trains by one that does, {_fitting(h, names[0], key)}."
        for (key, word), names in stated.items()
    ]


def _fitting(h: Hypothesis, name: str, key: str) -> str:
    """What `auto` would stand for at this key."""
    *tables, last = key.split(".")
    params = h.models[name].params
    for table in tables:
        params = getattr(params, table)
    auto = params.model_copy(update={last: "auto"})
    return str(getattr(auto.for_loss(h.training_loss), last))
