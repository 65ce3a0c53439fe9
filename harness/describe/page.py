"""The page of `harness describe`: Markdown with figures beside it, the same bytes every time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.cards.render import code, escape, number
from harness.describe.panel import Description, SymbolFacts
from harness.describe.roughness import LEAST, Scaling
from harness.describe.statistics import Statistics
from harness.durations import show_moment
from harness.figures.roughness import ScalingLine, log_series, scaling_plot
from harness.measures.table import MEASURES, zeros_as_jumps

_MOST_FIGURES = 3


@dataclass(frozen=True)
class Words:
    """What the page calls a method of roughness, its axes and its exponent.

    `read` says what the exponent of a level is; `hurst` heads the H that it gives, None if none.
    """

    title: str
    axes: tuple[str, str]
    read: str
    exponent: str
    hurst: str | None


WORDS = {
    "variogram": Words(
        "Variogram",
        ("log2 lag", "log2 mean squared increment"),
        "ζ₂ = 2H",
        "ζ₂, variogram",
        "H, variogram",
    ),
    "dfa": Words("DFA", ("log2 box", "log2 fluctuation F"), "α = H + 1", "α, DFA", "H, DFA"),
    "rs": Words(
        "R/S", ("log2 box", "log2 R/S, corrected"), "near 1 for a level, for any H", "R/S", None
    ),
    "wavelets": Words(
        "Wavelets",
        ("octave j", "log2 mean squared detail"),
        "β = 2H + 1",
        "β, wavelets",
        "H, wavelets",
    ),
}
_STATISTICS = ("n", "mean", "sd", "skewness", "kurtosis", "min", "max", "acf 1", "acf 5", "acf 22")
_TESTS = ("Jarque-Bera", "p", "ADF t", "p")


def write_page(found: Description, page: Path) -> list[Path]:
    """Write the page and its figures, NAME-1-series.svg and so on beside NAME.md; their paths.

    Existing files of these names are replaced. OSError if that is not possible.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, bytes] = {}
    parts = [_head(found), _table_1(found), _table_2(found)]
    for index, symbol in enumerate(found.symbols[:_MOST_FIGURES], start=1):
        names = [f"{page.stem}-{index}-{what}.svg" for what in ("series", "scaling")]
        drawn = (_series_figure(found, symbol), _scaling_figure(symbol))
        figures |= dict(zip(names, drawn, strict=True))
        parts.append(_symbol(symbol, index, names))
    parts.append(_footnotes(found))
    files = {page: "\n\n".join(parts).encode() + b"\n"}
    files |= {page.parent / name: svg for name, svg in figures.items()}
    for path, content in files.items():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return list(files)


def _head(found: Description) -> str:
    q, spec = found.question, found.spec
    known = MEASURES.get(q.measure)
    what = known.formula if known else "a column of the panel, averaged over the window"
    column = f"{q.measure}_{q.scale}"
    first = min(int(s.times[0]) for s in found.symbols)
    last = max(int(s.times[-1]) for s in found.symbols)
    lines = [
        f"# Volatility of {escape(spec.title)}",
        "",
        f"Panel {code(spec.name)}, bars of {spec.bar}, {show_moment(first)} to "
        f"{show_moment(last)} (UTC); {len(found.symbols):,} of "
        f"{len(found.symbols) + len(found.left_out):,} symbols described. "
        f"Fingerprint {code(found.facts.fingerprint)}.",
        "",
        f"- σ is {code(column)}: {escape(what)}. One value every {q.every}, {_unit(found)}, not "
        "annualised: annual ln σ is this plus half the log of the number of bars in a year.",
        f"- {_zeros(found)}",
    ]
    if zeros_as_jumps((q.measure,), found.facts.zero_share):
        lines.append(
            f"- {found.facts.zero_share:.1%} of the returns are 0 (filled bars included), which "
            f"{q.measure} reads as jumps: it is too "
            f"{'high' if q.measure in ('j', 'jj') else 'low'} by about that share of the variance."
        )
    if q.scale.ns > q.every.ns:
        lines.append(
            f"- Windows of {q.scale} every {q.every} overlap: below {q.scale} the series is smooth "
            "by construction. Exponents from such scales show this, not how rough volatility is."
        )
    return "\n".join(lines)


def _unit(found: Description) -> str:
    known = found.question.measure in MEASURES
    return f"per bar of {found.spec.bar}" if known else "in the column's own unit"


def _zeros(found: Description) -> str:
    zeros = sum(symbol.zeros for symbol in found.symbols)
    if not zeros:
        return "No value is 0."
    return (
        f"{zeros:,} values of 0 have no logarithm and are left out, also of σ; the values before "
        "and after count as consecutive."
    )


def _table_1(found: Description) -> str:
    head = ["symbol", *(w.exponent for w in WORDS.values()), "H, moments"]
    head += [w.hurst for w in WORDS.values() if w.hurst]
    rows = [
        [
            escape(s.symbol),
            *(number(s.laws[name].exponent, 3) for name in WORDS),
            number(s.moments, 3),
            *(number(s.laws[name].hurst, 3) for name, w in WORDS.items() if w.hurst),
        ]
        for s in found.symbols
    ]
    return (
        "## Table 1. Roughness of ln σ\n\nThe exponents as measured, then the Hurst exponent H "
        "that each implies for a level.\n\n" + _table(head, rows)
    )


def _table_2(found: Description) -> str:
    rows = [
        [escape(s.symbol), name, *_numbers(statistics)]
        for s in found.symbols
        for name, statistics in (("ln σ", s.log), ("σ", s.level))
    ]
    return "## Table 2. Descriptive statistics\n\n" + _table(
        ["symbol", "of", *_STATISTICS, *_TESTS], rows
    )


def _numbers(s: Statistics) -> list[str]:
    tests = [number(s.jarque_bera, 1), _p(s.jarque_bera_p), number(s.adf, 2), _p(s.adf_p)]
    values = (s.mean, s.sd, s.skewness, s.kurtosis, s.least, s.most, *s.acf)
    return [f"{s.n:,}", *(f"{v:.4g}" for v in values), *tests]


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _symbol(symbol: SymbolFacts, index: int, names: list[str]) -> str:
    rows = [
        [
            WORDS[name].title,
            number(law.exponent, 3),
            WORDS[name].read,
            number(law.hurst, 3) if np.isfinite(law.hurst) else "-",
            number(law.standard_error, 3),
            number(law.r2, 3),
            _scales(name, law),
        ]
        for name, law in symbol.laws.items()
    ]
    zeta = ", ".join(f"ζ({q:g}) {number(value, 3)}" for q, value in symbol.zeta.items())
    title = escape(symbol.symbol)
    head = ["method", "exponent", "for a level", "H", "standard error of the exponent", "R²"]
    return (
        f"## Figure {index}. {title}\n\n![ln σ of {title} through time]({names[0]})\n\n"
        f"![Scaling laws of {title}]({names[1]})\n\n{_table([*head, 'scales fitted'], rows)}\n\n"
        f"H from the moments {number(symbol.moments, 3)}: {zeta}."
    )


def _scales(name: str, law: Scaling) -> str:
    x = law.log_scale[law.used]
    if not x.size:
        return "none"
    if name == "wavelets":
        return f"octaves {x[0]:.0f} to {x[-1]:.0f}"
    return f"{2 ** x[0]:.0f} to {2 ** x[-1]:.0f} steps"


def _series_figure(found: Description, symbol: SymbolFacts) -> bytes:
    return log_series(symbol.times, {symbol.symbol: symbol.log_sigma}, _unit(found))


def _scaling_figure(symbol: SymbolFacts) -> bytes:
    return scaling_plot(
        {
            WORDS[name].title: ScalingLine(
                law.log_scale,
                law.log_fluctuation,
                law.used,
                law.exponent,
                law.intercept,
                WORDS[name].axes,
            )
            for name, law in symbol.laws.items()
        }
    )


def _footnotes(found: Description) -> str:
    every = found.question.every
    lines = [
        "## Definitions",
        "",
        f"- A step is {every}. Logarithms are to base 2 in scaling laws, natural in ln σ.",
        "- Variogram: regression of the mean squared increment of ln σ on the lag (Gatheral, "
        "Jaisson & Rosenbaum 2018). Moments: regression of ζ(q) on q through the origin. DFA: "
        "order 1 (Peng et al. 1994). R/S: corrected after Anis & Lloyd (1976), 1/2 for "
        "independent values. Wavelets: Daubechies with 3 vanishing moments, weighted (Veitch & "
        "Abry 1999); on frequency instead of scale the slope has the opposite sign.",
        "- H below 1/2 is rough, 1/2 a random walk. At H near 0.1, DFA and wavelets are biased "
        "down by up to 0.1. Measurement noise in σ lowers every H of a level. α and β near 1, or "
        "H near 0 or below, also fit a stationary long memory: if the methods differ, no single "
        "H describes the series.",
        "- Standard error: for wavelets that of Gaussian details; otherwise the regression's, "
        "which treats the points as independent and is too small. R² is that of the line through "
        "the points.",
        "- sd has the divisor n - 1; kurtosis is excess kurtosis; acf k is the autocorrelation "
        "at k steps. The p of Jarque-Bera is for independent values. ADF has a constant and 22 "
        "lagged differences; a small p is evidence against a unit root.",
    ]
    if found.left_out:
        lines += ["", f"Left out (fewer than {LEAST} values, or other reasons given):", ""]
        lines += [f"- {escape(name)}: {escape(why)}" for name, why in found.left_out.items()]
    if len(found.symbols) > _MOST_FIGURES:
        lines += [
            "",
            f"Figures of the first {_MOST_FIGURES} symbols; `--symbol` draws those of another.",
        ]
    return "\n".join(lines)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
