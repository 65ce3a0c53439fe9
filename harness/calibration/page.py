"""The page of `harness calibrate`: Markdown and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.calibration.rates import COVERAGE, Rates
from harness.calibration.trials import WINDOWS
from harness.calibration.worlds import SAMPLINGS, Sampling
from harness.figures.calibration import power_by_gain
from harness.verdict.words import Show

_LOW, _HIGH = COVERAGE


def write_page(found: Sequence[Rates], page: Path, *, command: str, alpha: float) -> list[Path]:
    """Write the page and, if any setting has an edge, its figure NAME-power.svg; returns paths.

    OSError if a file cannot be written.
    """
    null, gains = [r for r in found if r.setting.null], [r for r in found if not r.setting.null]
    parts = [_head(found, command, alpha)]
    files = [page]
    if null:
        parts.append(_false_confirmations(null))
    parts.append(_coverage(found, alpha))
    if gains:
        figure = page.with_name(f"{page.stem}-power.svg")
        figure.write_bytes(power_by_gain(_power_lines(gains)))
        files.append(figure)
        parts.append(_power(gains, figure.name))
    parts.append(_worlds({r.setting.sampling for r in found}))
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return files


def _head(found: Sequence[Rates], command: str, alpha: float) -> str:
    met = sum(r.met for r in found)
    return (
        "# How often the verdicts are right\n\n"
        f"Made by `{command}`: {found[0].worlds:,} simulated worlds of each setting, each judged "
        f"by the walk, the scores, the evidence and the rule of a run, at α = {alpha:g}. "
        f"{met} of {len(found)} settings are in the wanted range. A rate is followed by its "
        "standard error; settings and worlds are defined below."
    )


def _false_confirmations(found: Sequence[Rates]) -> str:
    lines = [
        "## False confirmations",
        "",
        "Worlds in which the candidate has no edge, and the share in which it is `confirmed`: "
        "with any gain claimed, with 3 % claimed (of the baseline's QLIKE, or 3 points of R² of "
        "logs), and for contrast by a plain t-test, which treats rows as independent.",
        "",
        "| setting | confirmed, any gain | wanted | confirmed, 3 % claimed | refuted, 3 % claimed "
        "| plain test |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for r in found:
        assert r.setting.wanted is not None, "a setting without an edge says what is wanted"
        low, high = r.setting.wanted
        wanted = f"{_percent(low)} to {_percent(high)}" if low else f"at most {_percent(high)}"
        cells = [
            f"`{r.setting.name}`",
            _rate(r, r.confirmed),
            wanted,
            _rate(r, r.confirmed_at["three"]),
            _rate(r, r.refuted_at["three"]),
            _rate(r, r.plain),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _coverage(found: Sequence[Rates], alpha: float) -> str:
    level = f"{1 - 2 * alpha:.0%}".replace("%", " %")
    lines = [
        "## Coverage of the interval",
        "",
        f"How often the {level} interval covers the true gain, and on which side it lies if it "
        "does not. The true gain is the mean over all worlds. "
        f"Wanted: {_percent(_LOW)} to {_percent(_HIGH)}.",
        "",
        "| setting | true gain | half-width | covers | all below | all above |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for r in found:
        show = Show(r.setting.metric, r.setting.gain_as)
        truth = f"{show(r.truth)} ± {show(r.truth_error).lstrip('+')}"
        cells = [
            f"`{r.setting.name}`",
            truth,
            show(r.half_width).lstrip("+"),
            _rate(r, r.coverage),
            _percent(r.below),
            _percent(r.above),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _power(found: Sequence[Rates], figure: str) -> str:
    lines = [
        "## Power",
        "",
        "Worlds in which the candidate has an edge: how often it is `confirmed` if any gain or "
        "half the true gain is claimed, and `refuted` if twice the true gain is claimed.",
        "",
        "| setting | true gain | confirmed, any gain | confirmed, half claimed "
        "| refuted, twice claimed |",
        "|---|---:|---:|---:|---:|",
    ]
    for r in found:
        cells = [
            f"`{r.setting.name}`",
            Show(r.setting.metric, r.setting.gain_as)(r.truth),
            _rate(r, r.confirmed),
            _claimed(r, r.confirmed_at, "half"),
            _claimed(r, r.refuted_at, "twice"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"![Confirmations by true gain]({figure})"])


def _claimed(r: Rates, shares: dict[str, float], claim: str) -> str:
    """The rate for a claim; a negative gain is never claimed."""
    return _rate(r, shares[claim]) if claim in shares else "n/a"


def _power_lines(found: Sequence[Rates]) -> dict[str, tuple[str, list[float], list[float]]]:
    """By sampling: the unit of the gain, the true gains and the rates of confirmation."""
    lines = {}
    for name in dict.fromkeys(r.setting.sampling for r in found):
        own = sorted((r for r in found if r.setting.sampling == name), key=lambda r: r.truth)
        unit = Show(own[0].setting.metric, own[0].setting.gain_as).unit
        lines[name] = unit, [100.0 * r.truth for r in own], [r.confirmed for r in own]
    return lines


def _worlds(names: set[str]) -> str:
    lines = [
        "## The worlds",
        "",
        "ln σ is a constant plus stationary AR(1) components of unit variance times their size: "
        "components of size 0.35, and `a` and `b`, independent, with one distribution and the "
        "setting's size. Features: `har_k`, ln of the root of the mean realised variance over the "
        "last k steps; `a` and `b`, a target's length before they move σ; `noise`, with the same "
        "distribution, which does not move σ. All models are least squares on HAR and, by setting: "
        "`equal`: baseline sees `a`, candidate `b` (equally good by symmetry); `nested`: candidate "
        "also sees `noise`; `gain-x`: candidate also sees `a`, of size x. The target is ln σ over "
        "the span.",
        "",
        "| sampling | assets | steps | target | HAR | half-lives, steps | of `a`, `b` "
        "| common to assets | train | tests |",
        "|---|---:|---:|---:|---|---|---:|---:|---|---|",
    ]
    lines += [_world(s) for s in SAMPLINGS.values() if s.name in names]
    return "\n".join(lines)


def _world(s: Sampling) -> str:
    *slow, own = s.half_lives
    cells = [
        f"{s.name}: {s.title}",
        str(s.assets),
        f"{s.steps:,}",
        f"{s.span} step{'s' if s.span != 1 else ''}",
        ", ".join(map(str, s.scales)),
        ", ".join(f"{h:g}" for h in slow),
        f"{own:g}",
        _percent(s.common),
        s.train,
        f"{WINDOWS} of {s.test}",
    ]
    return f"| {' | '.join(cells)} |"


def _rate(r: Rates, rate: float) -> str:
    return f"{_percent(rate)} ± {100 * r.error(rate):.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
