"""The tests of predictive ability: what each asks, its figures with their units, its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AbilityTest:
    """One test: the question, what is not rejected, its effect size and its statistic in words."""

    name: str
    what: str
    null: str
    effect: str
    statistic: str
    source: str


_B = "B cosines in the long-run variance, 0.41 m^(2/3) for m targets that do not overlap"

TESTS: dict[str, AbilityTest] = {
    t.name: t
    for t in (
        AbilityTest(
            "giacomini-white",
            "are the forecasts of a model and the baseline, as they were made, equally good on "
            "average?",
            "the mean loss difference is zero",
            "mean loss of the baseline less the model's, in the loss' unit, positive for better",
            f"F with 1 and B degrees of freedom, two-sided; {_B}",
            "Giacomini & White (2006), Econometrica 74, eq. 9",
        ),
        AbilityTest(
            "giacomini-white-conditional",
            "can the loss difference be foretold from what was known at the decision: a constant "
            "and the last loss difference whose target had resolved, or declared instruments?",
            "the loss difference is zero on average whatever the instruments say",
            "mean loss of the baseline less the model's, over decisions with known instruments",
            f"F with q, the instruments, and B - q + 1 degrees of freedom, two-sided; {_B}",
            "Giacomini & White (2006), Econometrica 74, eq. 7",
        ),
        AbilityTest(
            "clark-west",
            "does a linear model that holds all of the baseline's features forecast better, once "
            "the noise of its additional coefficients is allowed for?",
            "the additional features add nothing",
            "mean of e_b^2 - (e_m^2 - (f_b - f_m)^2) on the target's scale, in its unit squared",
            f"Student's t with B degrees of freedom, one-sided; {_B}",
            "Clark & West (2007), J. Econometrics 138, eq. 3.1",
        ),
        AbilityTest(
            "encompassing",
            "does a model hold anything that the baseline does not?",
            "the baseline encompasses the model: its weight is 0",
            "weight w of the model in the best mixture (1 - w) baseline + w model, no unit; 1 says "
            "that the model needs nothing of the baseline",
            f"Student's t with B degrees of freedom, one-sided; {_B}",
            "Harvey, Leybourne & Newbold (1998), JBES 16, eq. 1",
        ),
        AbilityTest(
            "mincer-zarnowitz",
            "is a forecast right on average, whatever its level? Outcome = a + b forecast, in ln "
            "sigma and in variance per bar for a log target, else in the target's own unit",
            "a = 0 and b = 1 together",
            "b, no unit, under 1 where forecasts move too much; a in the outcome's unit; R², a "
            "share of the outcome's variance",
            f"F with 2 and B - 1 degrees of freedom; {_B}",
            "Mincer & Zarnowitz (1969), The evaluation of economic forecasts, NBER",
        ),
        AbilityTest(
            "bootstrap",
            "how far from its true value may the gain in the metric be?",
            "the metric gains nothing over the baseline",
            "gain in the metric's unit (or as a share of the baseline's figure, where the "
            "hypothesis says so), positive for better, with its basic interval",
            "gain over its standard error; p is the share of draws at least the gain away from it, "
            "one-sided",
            "Politis & Romano (1994), JASA 89; blocks: Politis & White (2004), Econometric Reviews "
            "23, corrected 2009; interval: Hall (1992), The Bootstrap and Edgeworth Expansion",
        ),
        AbilityTest(
            "model-confidence-set",
            "which models cannot be told from the best one?",
            "all models in the set are equally good; a model is in it where p is above the size",
            "mean loss above the least one, in the loss' unit",
            "the largest t of any two models (T_R); p-values by bootstrap",
            "Hansen, Lunde & Nason (2011), Econometrica 79, section 3.1.2; arch",
        ),
        AbilityTest(
            "spa",
            "does any model beat the baseline, however many were tried?",
            "no model is better than the baseline",
            "mean loss of the baseline less that of the model with the largest t",
            "the largest t of any model; p-values by bootstrap: consistent, lower and upper",
            "Hansen (2005), JBES 23, section 2; arch",
        ),
        AbilityTest(
            "stepm",
            "which models beat the baseline, at a family-wise error of the size?",
            "a model is not better than the baseline",
            "mean loss of the baseline less the model's, in the loss' unit",
            "as spa, stepwise; no p-value, a model is superior or not",
            "Romano & Wolf (2005), Econometrica 73, algorithm 3.1; arch",
        ),
    )
}
