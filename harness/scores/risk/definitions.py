"""Figures of VaR and ES: heading on the card, unit and definition."""

from __future__ import annotations

from dataclasses import dataclass

SYMBOLS = (
    "y is the log return from the close at the forecast origin to the end of the horizon, q the "
    "VaR forecast and e the ES forecast, both returns and usually negative; a is the level; H = 1 "
    "where y < q, else 0; n is the number of rows."
)


@dataclass(frozen=True)
class Figure:
    """One column of a table."""

    name: str
    heading: str
    unit: str
    definition: str


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
            "mean (a - H)(y - q), lower is better (Koenker & Bassett 1978, Econometrica 46)",
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
            "mean of -1(y <= q)(q - y)/(a e) + q/e + ln(-e) - 1, lower is better (Patton, Ziegel & "
            "Chen 2019, J. Econometrics 211)",
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
            "chi2(1)",
            "likelihood ratio of the violation rate against the level, unconditional coverage "
            "(Kupiec 1995, J. Derivatives 3)",
        ),
        Figure(
            "independence",
            "independence",
            "chi2(1)",
            "likelihood ratio of a first-order Markov chain of violations against independence "
            "(Christoffersen 1998, International Economic Review 39)",
        ),
        Figure(
            "coverage",
            "conditional coverage",
            "chi2(2)",
            "sum of the Kupiec and independence statistics (Christoffersen 1998)",
        ),
        Figure(
            "dq",
            "DQ",
            "chi2(6), fewer where regressors coincide",
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
