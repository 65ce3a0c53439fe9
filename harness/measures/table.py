"""The measures that can be named in a hypothesis: units, inputs, formulas, sources.

A measure `m` over a scale `s` of w bars is a column `m_s` (`rv_1h`, `bv_1d`). All are on the
σ scale per bar: the square root of a mean per bar over the window, never annualised. A panel's
own extra column (`[columns.extra]`) is a measure too: its mean over the window, in its own unit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """What a measure is: the bars it reads, its unit, its formula and where that is from."""

    name: str
    inputs: tuple[str, ...]
    unit: str
    minimum_bars: int
    formula: str
    source: str


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure(
            "rv",
            ("close",),
            "sigma",
            1,
            "sqrt((1/w) sum r_i^2), r_i = ln(c_i / c_{i-1}), over the w bars of the window",
            "Andersen, Bollerslev, Diebold & Labys (2003), Econometrica 71, eq. 6, per bar",
        ),
        Measure(
            "bv",
            ("close",),
            "sigma",
            2,
            "sqrt((pi/2)/w sum |r_i||r_{i-1}|); sample.bipower_edge says whether the product "
            "that straddles the window's left edge is counted",
            "Barndorff-Nielsen & Shephard (2004), J. Financial Econometrics 2, eq. 5, per bar",
        ),
        Measure(
            "j",
            ("close",),
            "sigma",
            2,
            "sqrt(max(rv^2 - bv^2, 0)), with rv and bv of the same window",
            "Andersen, Bollerslev & Diebold (2007), Rev. Economics & Statistics 89, eq. 9",
        ),
        Measure(
            "pk",
            ("high", "low"),
            "sigma",
            1,
            "sqrt((1/w) sum (ln(h_i / l_i))^2 / (4 ln 2))",
            "Parkinson (1980), J. Business 53, eq. 4, per bar",
        ),
    )
}
