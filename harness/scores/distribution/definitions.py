"""Figures of forecast distributions: heading, unit and definition."""

from __future__ import annotations

from harness.scores.risk.definitions import Figure

SYMBOLS = (
    "y is the target and q its forecast quantile at the level p, both on the target's scale; l and "
    "u are the quantiles at p and 1 - p, between which 1 - 2 p of outcomes should lie; F is the "
    "forecast distribution function."
)

FIGURES: dict[str, Figure] = {
    f.name: f
    for f in (
        Figure(
            "crps",
            "CRPS",
            "target's scale",
            "mean continuous ranked probability score, lower is better: twice the mean pinball "
            "loss over 100 quantiles at the midpoints of equal shares, whatever the levels in the "
            "hypothesis (Gneiting & Raftery 2007, JASA 102; by quantiles: Berrisch & Ziel 2023, "
            "J. Econometrics 237)",
        ),
        Figure(
            "pinball",
            "pinball",
            "target's scale",
            "mean (p - 1(y < q))(y - q), at one level or over all levels, lower is "
            "better (Koenker & Bassett 1978, Econometrica 46)",
        ),
        Figure(
            "below",
            "below",
            "share of rows, p is best",
            "how often y was at or below q",
        ),
        Figure(
            "covered",
            "covered",
            "share of rows, 1 - 2 p is best",
            "how often y was in [l, u]",
        ),
        Figure(
            "width",
            "width",
            "target's scale",
            "mean u - l; if two intervals have the stated coverage, the narrower is sharper",
        ),
        Figure(
            "interval_score",
            "interval score",
            "target's scale",
            "mean of u - l + (l - y)/p where y < l + (y - u)/p where y > u, lower is better "
            "(Gneiting & Raftery 2007, eq. 43)",
        ),
        Figure(
            "share",
            "PIT",
            "share of rows, 0.1 is best",
            "how often the probability integral transform F(y) fell into this tenth; F is linear "
            "between the 100 quantiles; y beyond the outermost falls into the first or last tenth. "
            "A hump shape: the distribution is too wide; a U shape: it is too narrow (Diebold, "
            "Gunther & Tay 1998, International Economic Review 39)",
        ),
    )
}
