"""The page of `harness calibrate`: Markdown and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.calibration.group_tables import markdown, show_of, tables
from harness.calibration.rates import COVERAGE, MOST_FALSE, MULTIPLES, Rates, claim_name, percent
from harness.calibration.search_rates import SearchRates, search_section
from harness.calibration.settings import EQUAL, GROUPS, NESTED
from harness.calibration.simulated_forecasts import SlowSpan, Span
from harness.calibration.walked_forecasts import WINDOWS, Walked
from harness.calibration.worlds import SAMPLINGS, Sampling
from harness.figures.calibration import confirmed_by_claim, power_by_gain

_DRAWN = "hourly-gain-0.2", "daily-gain-0.2", "together-gain-0.2", "seeds-5-gain"


def write_page(
    found: Sequence[Rates],
    searches: Sequence[SearchRates],
    page: Path,
    *,
    command: str,
    alpha: float,
) -> list[Path]:
    """Write the page and, if a setting has an edge, its figures NAME-….svg; returns all paths.

    OSError if a file cannot be written.
    """
    parts = [_title(command, alpha, [*found, *searches])]
    if found:
        parts += [_settings(found, alpha), _outside(found)]
    files = [page]
    figures = _figures(found, alpha)
    for name, (drawn, words) in figures.items():
        file = page.with_name(f"{page.stem}-{name}.svg")
        file.write_bytes(drawn)
        files.append(file)
        parts.append(f"![{words}]({file.name})")
    for group in GROUPS.values():
        own = [r for r in found if r.setting.group == group.name]
        if own:
            parts += [f"## {group.heading}\n\n{group.shows}", *tables(group, own)]
    if searches:
        parts.append(search_section(searches))
    if found:
        parts.append(_worlds(found))
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return files


def _title(command: str, alpha: float, every: Sequence[Rates | SearchRates]) -> str:
    one = every[0]
    errors = ", ".join(
        f"{100 * one.error(rate):.1f} points at {rate:.0%}".replace("%", " %")
        for rate in (0.05, 0.1, 0.5)
    )
    return (
        "# How often the verdicts are right\n\n"
        f"Made by `{command}`: {one.worlds:,} simulated worlds of each setting, each judged by the "
        f"scores, the evidence and the rule of a run, at α = {alpha:g}. The standard error of a "
        f"rate is {errors}."
    )


def _settings(found: Sequence[Rates], alpha: float) -> str:
    expected = [r for r in found if not r.setting.beyond]
    met = sum(r.met for r in expected)
    level = f"{1 - 2 * alpha:.0%}".replace("%", " %")
    low, high = map(percent, COVERAGE)
    return (
        f"{met} of {len(expected)} settings are in the wanted range. {len(found) - len(expected)} "
        "more settings show worlds in which the method is known to fall short. *What is not "
        "covered* names both.\n\n"
        "* **true gain**: 0 (or half of the symbols) where the models are equal by symmetry, else "
        "the mean gain over all worlds, ± its standard error. A relative gain, or one of R², is a "
        "share: its mean is what all worlds gain over what it is a share of in all worlds.\n"
        f"* **covers**: how often the {level} interval covers the true gain; **all below**, **all "
        f"above**: where it lies if it does not. Wanted: {low} to {high}. **half-width** is that "
        "of the median interval.\n"
        "* **confirmed**: how often the candidate is `confirmed` with a claim of any gain, or of a "
        "multiple of the true gain. Wanted where models are equal, any gain claimed: "
        f"{percent(EQUAL[0])} to {percent(EQUAL[1])}, at most {percent(NESTED[1])} where the "
        f"candidate is the baseline with noise; a claim above the true gain: at most "
        f"{percent(MOST_FALSE)}.\n"
        '* **plain test**: how often a t-test that treats rows as independent rejects "no gain", '
        "for contrast."
    )


def _outside(found: Sequence[Rates]) -> str:
    lines = ["## What is not covered", ""]
    shown = [r for r in found if r.setting.beyond or not r.met]
    if not shown:
        return "\n".join([*lines, "Every setting is in the wanted range."])
    for why in dict.fromkeys(map(_reason, shown)):
        own = [r for r in shown if _reason(r) == why]
        lines.append(f"* {why}")
        lines += [f"  * `{r.setting.name}`: {'; '.join(r.outside)}." for r in own if not r.met]
        inside = ", ".join(f"`{r.setting.name}`" for r in own if r.met)
        if inside:
            lines.append(f"  * In the wanted range all the same: {inside}.")
    return "\n".join(lines)


def _reason(r: Rates) -> str:
    if r.setting.beyond:
        return r.setting.beyond
    if r.close:
        return "Outside the wanted range by at most two standard errors, which may be chance:"
    return "Outside the wanted range for a reason that is not known:"


def _figures(found: Sequence[Rates], alpha: float) -> dict[str, tuple[bytes, str]]:
    """The figures by name, with their words."""
    figures = {}
    walked = [r for r in found if r.setting.group == "walked" and not r.setting.null]
    if walked:
        drawn = power_by_gain(_power_lines(walked))
        figures["power"] = drawn, "Confirmations of any gain by the true gain"
    lines = {
        r.setting.name: (
            [0.0, *MULTIPLES],
            [r.confirmed, *(r.confirmed_at.get(claim_name(k), math.nan) for k in MULTIPLES)],
        )
        for r in found
        if r.setting.name in _DRAWN
    }
    if lines:
        figures["claims"] = confirmed_by_claim(lines, alpha), "Confirmations by the gain claimed"
    return figures


def _power_lines(found: Sequence[Rates]) -> dict[str, tuple[str, list[float], list[float]]]:
    """By sampling: the unit of the gain, the true gains and the rates of confirmation."""
    lines = {}
    named = [(r, r.setting.world.sampling) for r in found if isinstance(r.setting.world, Walked)]
    for name in dict.fromkeys(sampling for _, sampling in named):
        own = sorted((r for r, sampling in named if sampling == name), key=lambda r: r.truth)
        unit = show_of(own[0]).unit
        lines[name] = unit, [100.0 * r.truth for r in own], [r.confirmed for r in own]
    return lines


def _worlds(found: Sequence[Rates]) -> str:
    worlds = [r.setting.world for r in found]
    lines = ["## The worlds"]
    walked = {w.sampling for w in worlds if isinstance(w, Walked)}
    if walked:
        rows = [_world(s) for s in SAMPLINGS.values() if s.name in walked]
        lines += [_WALKED, markdown(_SAMPLED, rows, words=1)]
    if any(isinstance(w, Span) for w in worlds):
        lines.append(_SPANS)
    if any(isinstance(w, SlowSpan) for w in worlds):
        lines.append(_SLOW)
    return "\n\n".join(lines)


_WALKED = (
    "**Walked forward.** ln σ is a constant plus stationary AR(1) components of unit variance "
    "times their size: components of size 0.35, and `a` and `b`, independent, with one "
    "distribution and the setting's size (0.15 if it names none). Features: `har_k`, ln of the "
    "root of the mean realised variance over the last k steps; `a` and `b`, a target's length "
    "before they move σ; `noise`, with the same distribution, which does not move σ. All models "
    "are least squares on HAR and, by setting: `equal`: baseline sees `a`, candidate `b` (equally "
    "good by symmetry); `nested`: candidate also sees `noise`; `gain-x`: candidate also sees `a`, "
    "of size x; `seeds`: a model sees two features x `a` + y `b` + z `noise`, whose weights are "
    "drawn anew, normal, for every seed, like units of a net that is not trained (`equal`: both "
    "models, `gain`: the candidate alone, `skewed`: the candidate, one feature). The target is ln "
    "σ over the span."
)
_SAMPLED = (
    "sampling", "assets", "steps", "target", "HAR", "half-lives, steps", "of `a`, `b`",
    "common to assets", "train", "tests",
)  # fmt: skip
_SPANS = (
    "**Simulated forecasts** (`wins`, `short`). No model is fitted: outcomes and forecasts are "
    "drawn and go straight to scores, evidence and rule. ln σ of a day is a constant, plus a part "
    "that both forecasts know (AR(1), coefficient 0.97, or 0.5 with a `short memory`, size 0.35), "
    "plus a shock of standard deviation 0.25 that none knows. A forecast is the known part plus an "
    "error of its own, normal and independent from day to day, of size 0.1 (`equal`), or 0.15 for "
    "the baseline and 0.05 for the candidate (`edge` of `short`), 0.11 and 0.1 (`edge` of `wins`), "
    "0.13 and 0.09 (`mixed`; exchanged on half of the symbols, or on 3 of 10). Shocks: normal; "
    "Laplace; Student's t with 3 degrees of freedom; `jumps`: normal, and on 2 % of days another "
    "normal shock of size 0.7. Shocks and errors share half of their variance between symbols "
    "(`together`: nine tenths)."
)
_SLOW = (
    "**Slow loss differences.** Simulated as well. Errors of ln σ are c + x and c − x, c = 0.25 "
    "and x a normal AR(1) of size 0.05: the difference of their squares is 4 c x."
)


def _world(s: Sampling) -> list[str]:
    *slow, own = s.half_lives
    return [
        f"{s.name}: {s.title}",
        str(s.assets),
        f"{s.steps:,}",
        f"{s.span} step{'s' if s.span != 1 else ''}",
        ", ".join(map(str, s.scales)),
        ", ".join(f"{h:g}" for h in slow),
        f"{own:g}",
        percent(s.common),
        s.train,
        f"{WINDOWS} of {s.test}",
    ]
