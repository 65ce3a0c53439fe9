"""A run's scores, tests, folds and wins as a record's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.durations import iso_moment as _iso
from harness.inference.evidence import Evidence, Verdict
from harness.inference.loss_differences import LossDifferences
from harness.scores.metrics import METRICS, columns_of
from harness.scores.scoring import Scores
from harness.tables import Table, table
from harness.types import Forecasts


def scores_table(forecasts: Mapping[str, Forecasts], scores: Sequence[Scores]) -> Table:
    """`scores`: every metric of every model, pooled and by test window."""
    rows: list[tuple[Any, ...]] = []
    for part in scores:
        windows = forecasts[part.horizon].windows
        first, last = _iso(windows[0].cut), _iso(windows[-1].end)
        ends = zip(windows, part.window_n, strict=True)
        spans = [(_iso(w.cut), _iso(w.end), n) for w, n in ends]
        for model, pooled in part.pooled.items():
            head, names = (part.horizon, model), columns_of(pooled)
            rows += [
                (*head, "pooled", first, last, metric, value, part.n)
                for metric, value in zip(names, pooled.tolist(), strict=True)
            ]
            rows += [
                (*head, "window", start, end, metric, value, n)
                for (start, end, n), values in zip(spans, part.windows[model].tolist(), strict=True)
                for metric, value in zip(names, values, strict=True)
            ]
    columns = ("horizon", "model", "scope", "window_start", "window_end", "metric", "value", "n")
    return table(columns, rows)


def evidence_table(verdict: Verdict) -> Table:
    """`tests`: the evidence for every candidate."""
    figures = (
        "candidate", "baseline", "metric", "horizon", "gain", "gain_low", "gain_high", "level",
        "statistic", "p_value", "p_adjusted", "n", "cosines", "overlap",
        "standard_error", "critical", "detectable", "windows", "df", "p_claim", "unbounded",
    )  # fmt: skip
    rows = [
        (*(getattr(e, c) for c in figures), len(e.seeds) or 1, *_spread(e))
        for e in verdict.evidence
    ]
    columns = (*figures, "seeds", "seed_least", "seed_greatest")
    if not verdict.best.symbols:
        return table(columns, rows) | {"name": ["diebold-mariano"] * len(rows)}
    drawn = ("symbols", "block", "draws")
    pairs = zip(rows, verdict.evidence, strict=True)
    found = [(*row, *(getattr(e, c) for c in drawn)) for row, e in pairs]
    return table((*columns, *drawn), found) | {"name": ["bootstrap of wins"] * len(rows)}


def differences_table(found: Sequence[LossDifferences]) -> Table:
    """`differences`: the loss differences of every candidate described; no rows for wins."""
    own = (
        "candidate", "baseline", "metric", "horizon", "n", "mean", "skewness", "top_share",
        "mean_without",
    )  # fmt: skip
    of_time = ("lag", "autocorrelation", "cosines", "half_power", "fewer")
    fewer = ("p_fewer", "p_claim_fewer", "low_fewer", "high_fewer")
    rows = [
        (
            *(getattr(d, c) for c in own),
            [_iso(date) for date in d.top_dates],
            *(getattr(d.persistence, c) for c in of_time),
            *(getattr(d.fewer, c) for c in ("p_adjusted", "p_claim", "gain_low", "gain_high")),
        )
        for d in found
    ]
    return table((*own, "top_dates", *of_time, *fewer), rows)


def _spread(e: Evidence) -> tuple[float, float]:
    """The smallest and the largest gain of any one seed."""
    each = e.seeds or (e.gain,)
    return min(each), max(each)


def folds_table(forecasts: Mapping[str, Forecasts]) -> Table:
    """`folds`: the spans and row counts of every fold, and the proof that nothing leaks."""
    columns = (
        "window", "horizon", "train_start", "cut", "test_end", "embargo_ns",
        "latest_resolution", "slack_ns", "n_train", "n_test", "refit",
    )  # fmt: skip
    rows = [
        (p.window, p.horizon, _iso(p.train_start), _iso(p.cut), _iso(p.end), p.embargo,
         _iso(p.latest_resolution), p.slack, p.n_train, p.n_test, p.refit)
        for part in forecasts.values()
        for p in part.proofs
    ]  # fmt: skip
    return table(columns, rows)


def wins_table(baseline: str, metric: str, scores: Sequence[Scores]) -> Table:
    """`wins`: in how many windows each model beats the baseline, by the declared metric."""
    rows = []
    sign = 1.0 if METRICS[metric].higher else -1.0
    for part in scores:
        base = part.by_window(baseline, metric)
        for model in part.windows:
            if model != baseline:
                better = sign * (part.by_window(model, metric) - base) > 0.0
                rows.append((part.horizon, model, baseline, metric, int(better.sum()), base.size))
    return table(("horizon", "model", "baseline", "metric", "wins", "windows"), rows)
