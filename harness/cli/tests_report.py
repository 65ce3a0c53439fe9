"""The tables that `harness tests` prints."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import click

from harness.cards.evidence_rows import TEST_NAMES
from harness.cli.terminal import show_table
from harness.inference.confidence_set import ConfidenceSet, SuperiorAbility
from harness.inference.findings import Finding
from harness.inference.table import of_few_targets
from harness.reanalysis.ability import Report
from harness.scores.metrics import METRICS
from harness.verdict.words import Show, p_value

_WIDTH = 80


def show_report(report: Report) -> None:
    """Print tables that fit 80 columns, each with its units above it."""
    r, show = report, Show(report.metric, report.gain_as)
    by = {test: [f for f in r.findings if f.test == test] for test in {f.test for f in r.findings}}
    n = max((f.n for f in r.findings), default=0)
    click.echo(f"{r.hypothesis} {r.run_id}: {r.metric} at {r.horizon}, baseline {r.baseline}")
    click.echo(f"{r.rows:,} forecasts at {n:,} forecast origins; see also `harness tests --list`")
    if r.regime is not None:
        click.echo(f"over all forecasts: the verdict and the card's tests are on {r.regime} only")
    _show_gains(by.get("bootstrap", []), show)
    _show_pairs([f for test in TEST_NAMES for f in by.get(test, [])], r.metric)
    _show_calibration(by.get("mincer-zarnowitz", []))
    if r.confidence_set is not None and r.superior is not None:
        _show_sets(r.confidence_set, r.superior, r)


def _show_gains(rows: Sequence[Finding], show: Show) -> None:
    if not rows:
        return
    level, draws = rows[0].level or 0.0, max(f.draws or 0 for f in rows)
    _title(f"Gain, {show.unit}: {level:.0%} interval, stationary bootstrap, {draws:,} draws")
    columns = ("model", "gain", "low", "high", "std. error", "p", "block")
    cells = [
        [f.model, *(_gain(show, x) for x in (f.effect, f.low, f.high)),
         _gain(show, f.standard_error).lstrip("+"), _drawn(f.p_value, draws), f"{f.block:.1f}"]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)
    if few := of_few_targets(rows[0].n, rows[0].overlap):
        _wrapped(few)


def _show_pairs(rows: Sequence[Finding], metric: str) -> None:
    if not rows:
        return
    given = next((f.instruments for f in rows if f.instruments), "")
    losses = _losses(metric)
    _title(f"Against the baseline. GW: losses are {losses}; conditional on {given}")
    columns = ("test", "model", "in", "effect", "statistic", "p", "n")
    short = {"giacomini-white-conditional": "GW conditional", "giacomini-white": "GW"}
    cells = [
        [short.get(f.test, TEST_NAMES[f.test]), f.model, f.quantity, _num(f.effect),
         f"{f.statistic:.2f}", p_value(f.p_value), f.n]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)


def _losses(metric: str) -> str:
    """The losses that are compared for a metric, as text."""
    loss = METRICS[metric].loss
    if loss is None:
        return f"influence values of {metric} with the sign changed, its loss to first order"
    return f"{loss.words}, {loss.unit}"


def _show_calibration(rows: Sequence[Finding]) -> None:
    if not rows:
        return
    _title("Mincer-Zarnowitz: outcome = a + b forecast; a in the unit shown, b and R² without unit")
    columns = ("model", "in", "a", "b", "R²", "statistic", "p")
    cells = [
        [f.model, f.quantity, _num(f.a), _num(f.effect), _num(f.r2), f"{f.statistic:.2f}",
         p_value(f.p_value)]
        for f in rows
    ]  # fmt: skip
    show_table(columns, cells)


def _show_sets(s: ConfidenceSet, a: SuperiorAbility, r: Report) -> None:
    _title(f"Model confidence set, {1 - s.size:.0%}: mean {r.metric} loss above the lowest, p")
    show_table(
        ("model", "excess loss", "p", f"in the {1 - s.size:.0%} set", f"beats {r.baseline}"),
        [
            [name, _num(s.excess[name]), _drawn(p, s.draws), name in s.included,
             "-" if name == r.baseline else "yes" if name in a.superior else "no"]
            for name, p in s.p_values.items()
        ],
    )  # fmt: skip
    best = f"best {a.best}, gain in loss {_num(a.gain)}, t {a.statistic:.2f}, " if a.best else ""
    p, lower, upper = (_drawn(x, a.draws) for x in (a.p_value, a.p_lower, a.p_upper))
    _wrapped(
        f"beats {r.baseline}: StepM at a family-wise error of {a.size:g}. SPA: {best}p {p}, bounds "
        f"{lower} and {upper}. Mean blocks of {s.block:.1f} forecast origins in the set, "
        f"{a.block:.1f} in SPA and StepM, {a.draws:,} draws."
    )


def _title(words: str) -> None:
    click.echo("")
    click.secho(textwrap.fill(words, _WIDTH), bold=True)


def _num(value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _wrapped(words: str) -> None:
    click.echo(textwrap.fill(words, _WIDTH))


def _drawn(p: float, draws: int) -> str:
    """A p-value that is a share of draws: no draw is not a probability of zero."""
    return p_value(p) if p > 0.0 else f"< {1.0 / max(draws, 1):.2g}"


def _gain(show: Show, value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else show(value)
