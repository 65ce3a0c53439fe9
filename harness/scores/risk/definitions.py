"""Figures of VaR and ES: heading on the card, unit and definition."""

from __future__ import annotations

from dataclasses import dataclass

SYMBOLS = (
    "y is the log return from the close at the forecast origin to the end of the horizon, q the "
    "VaR forecast and e the ES forecast, both returns and usually negative; a is the level; H = 1 "
    "where y < q, else 0; n is the number of rows."
)


# How the tables of VaR and ES are computed. Raise it with their figures, and say what changed:
# 2: p-values of coverage, independence and DQ of their own where few violations are expected.
METHOD = 2
# What p-values of Kupiec, independence, coverage and DQ are: there are none, they are of the
# statistic's own distribution (DQ: by simulation), or of the chi-squared distribution.
P_VALUES = ("none", "own distribution", "chi-squared")


@dataclass(frozen=True)
class Figure:
    """One column of a table."""

    name: str
    heading: str
    unit: str
    definition: str


SHORT_SYMBOLS = "y return, q VaR, e ES, a level, H = 1 where y < q, else 0"


def tail_words(metric: str, level: float | None, residuals: str | None) -> str:
    """What a metric of risk scores: `VaR and ES at 1 %, t residuals`; empty for other metrics."""
    if level is None:
        return ""
    what = "VaR" if metric == "quantile_loss" else "VaR and ES"
    return f"{what} at {100 * level:g} %, {residuals} residuals"


FIGURES: dict[str, Figure] = {
    f.name: f
    for f in (
        Figure(
            "rate",
            "violations",
            "share of rows, the level is best",
            "mean H: how often the return fell below VaR; the ratio to the level is best at 1",
        ),
        Figure(
            "quantile_loss",
            "quantile loss",
            "log return",
            "mean (a - H)(y - q), the tick loss of VaR, 0 or more, lower is better (Koenker & "
            "Bassett 1978, Econometrica 46; of VaR: Giacomini & Komunjer 2005, J. Business & "
            "Economic Statistics 23)",
        ),
        Figure(
            "joint_loss",
            "joint loss",
            "nats",
            "mean of -ln((a - 1)/e) - (y - q)(a - 1(y <= q))/(a e), lower is better: the "
            "asymmetric-Laplace loss of VaR and ES together (Taylor 2019, J. Business & Economic "
            "Statistics 37)",
        ),
        Figure(
            "fz_loss",
            "FZ0 loss",
            "nats",
            "mean of -1(y <= q)(q - y)/(a e) + q/e + ln(-e) - 1, of VaR and ES together, lower is "
            "better (Patton, Ziegel & Chen 2019, J. Econometrics 211, after Fissler & Ziegel 2016, "
            "Annals of Statistics 44)",
        ),
        Figure(
            "scale",
            "scale",
            "forecast sigmas of the horizon",
            "mean over the rows of the residuals' scale, fitted on each fit's training rows; for "
            "Student's t the standard deviation is scale sqrt(dof/(dof - 2))",
        ),
        Figure(
            "dof",
            "degrees of freedom",
            "no unit, 2.1 to 200",
            "mean over the rows of the degrees of freedom of Student's t, fitted on each fit's "
            "training rows",
        ),
        Figure(
            "kupiec",
            "Kupiec",
            "chi2(1), or its own distribution",
            "likelihood ratio of the violation rate against the level, unconditional coverage "
            "(Kupiec 1995, J. Derivatives 3)",
        ),
        Figure(
            "independence",
            "independence",
            "chi2(1), or its own distribution given the number of violations",
            "likelihood ratio of a first-order Markov chain of violations against independence "
            "(Christoffersen 1998, International Economic Review 39)",
        ),
        Figure(
            "coverage",
            "conditional coverage",
            "chi2(2), or its own distribution",
            "sum of the Kupiec and independence statistics (Christoffersen 1998)",
        ),
        Figure(
            "dq",
            "DQ",
            "chi2(6), fewer where regressors coincide, or 1,000 simulated series",
            "dynamic quantile: H - a regressed on 1, its last four values and q (Engle & "
            "Manganelli 2004, J. Business & Economic Statistics 22)",
        ),
        Figure(
            "z1",
            "Z1",
            "no unit, 0 is best",
            "1 - mean of y/e over the violations, below 0 where losses beyond VaR exceed ES "
            "(Acerbi & Szekely 2014, Risk, test 1); one-sided p from 1,000 seeded draws of the "
            "forecast distribution",
        ),
        Figure(
            "z2",
            "Z2",
            "no unit, 0 is best",
            "1 - sum of y/e over the violations, over n a: below 0 where violations are too many "
            "or too large (Acerbi & Szekely 2014, test 2); p as for z1",
        ),
    )
}
