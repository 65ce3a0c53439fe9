"""A warning on the card: a model trained by a loss that does not fit the verdict's metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.scores.metrics import METRICS

if TYPE_CHECKING:
    from harness.spec.hypothesis import Hypothesis


def of_the_training_loss(h: Hypothesis) -> list[str]:
    """Warns of compared models whose stated loss is at odds with the verdict's metric."""
    metric, fits = METRICS[h.verdict.metric], h.training_loss
    stated: dict[tuple[str, str], list[str]] = {}
    for name in (h.verdict.baseline, *h.verdict.candidates):
        for key, word in h.models[name].params.at_odds({metric.trains, fits}).items():
            stated.setdefault((key, word), []).append(name)
    return [
        f"{', '.join(names)}: trained by {key} = {word!r}, which does not fit the verdict's "
        f"metric. {metric.heading} asks for {_OF[fits]}."
        for (key, word), names in stated.items()
    ]


_OF = {
    "log-mse": "the squared error of ln σ (loss 'log-mse', objective 'l2' of a log target)",
    "qlike": "the QLIKE of the variance (loss 'qlike')",
    "mse": "the squared error in levels (loss 'mse', objective 'l2' of a target in levels)",
}
