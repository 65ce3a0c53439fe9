"""The tests of predictive ability: question, null, figures with units, source."""

from __future__ import annotations

from dataclasses import dataclass

# How the tests that runs store are computed. Raise it with their figures, and say what changed:
# 2: Giacomini-White, encompassing and Mincer-Zarnowitz by the scores under their null.
# 3: the bootstrap's draws on the scale of the verdict's standard error and Student's t.
METHOD = 3
# The same for the reality check of a family, which is not a table of its own.
# 2: the draws as in the bootstrap, SPA as among the tests.
REALITY_CHECK = 2

_FEW = 1_000  # non-overlapping targets from which tests of skewed losses have their size


def of_few_targets(n: int, overlap: int) -> str | None:
    """What n forecast origins are too few for, in words; None if they are enough."""
    apart = n // (overlap + 1)
    if apart >= _FEW:
        return None
    return (
        f"Rare large losses are missing in many short samples. {apart:,} targets do not overlap; "
        f"with fewer than {_FEW:,}, where losses have such a tail (log-normal, skewness 6), "
        "90 % intervals cover 86 to 89 % of the time, and SPA at 5 % rejects in 8 to 18 % where it "
        "should not. Where losses have no such tail, they cover 88 to 90 % and reject in 4 to 7 %."
    )


@dataclass(frozen=True)
class AbilityTest:
    """One test: its question, null, effect size and statistic in words.

    `heading` names it in the table of tests of a model against the baseline, on cards and in
    `harness tests`; None for a test that has a table of its own.
    """

    name: str
    what: str
    null: str
    effect: str
    statistic: str
    source: str
    heading: str | None = None


_B = "B cosines in the long-run variance, 0.41 m^(2/3) for m non-overlapping targets"

TESTS: dict[str, AbilityTest] = {
    t.name: t
    for t in (
        AbilityTest(
            "giacomini-white",
            "are the forecasts of a model and the baseline equally good on average, as they were "
            "made?",
            "the mean loss difference is zero",
            "mean loss of the baseline less the model's, in the loss' unit, positive for better",
            f"F with 1 and B degrees of freedom, two-sided; {_B}",
            "Giacomini & White (2006), Econometrica 74, eq. 9",
            heading="Giacomini-White",
        ),
        AbilityTest(
            "giacomini-white-conditional",
            "can the loss difference be predicted from what was known at the forecast origin: a "
            "constant and the last loss difference whose target had resolved, or declared "
            "instruments?",
            "the loss difference has mean zero given the instruments",
            "mean loss of the baseline less the model's, over origins with known instruments",
            f"F with q (instruments) and B - q + 1 degrees of freedom, two-sided; {_B}",
            "Giacomini & White (2006), Econometrica 74, eq. 7",
            heading="Giacomini-White, conditional",
        ),
        AbilityTest(
            "clark-west",
            "does a linear model that has all of the baseline's features forecast better, after "
            "an adjustment for the noise of its additional coefficients?",
            "the additional features add nothing",
            "mean of e_b^2 - (e_m^2 - (f_b - f_m)^2) on the target's scale, in its unit squared",
            f"Student's t with B degrees of freedom, one-sided; {_B}",
            "Clark & West (2007), J. Econometrics 138, eq. 3.1",
            heading="Clark-West",
        ),
        AbilityTest(
            "encompassing",
            "does a model have information that the baseline lacks?",
            "the baseline encompasses the model: its weight is 0",
            "weight w of the model in the best mixture (1 - w) baseline + w model, no unit; at 1 "
            "the baseline adds nothing to the model",
            f"Student's t with B degrees of freedom, one-sided; {_B}",
            "Harvey, Leybourne & Newbold (1998), JBES 16, eq. 1",
            heading="encompassing",
        ),
        AbilityTest(
            "mincer-zarnowitz",
            "is a forecast unbiased at every level? Outcome = a + b forecast, in ln sigma and in "
            "variance per bar for a log target, else in the target's own unit",
            "a = 0 and b = 1",
            "b, no unit, below 1 if forecasts vary too much; a in the outcome's unit; R², a share "
            "of the outcome's variance",
            f"F with 2 and B - 1 degrees of freedom; {_B}",
            "Mincer & Zarnowitz (1969), The evaluation of economic forecasts, NBER",
        ),
        AbilityTest(
            "bootstrap",
            "how precise is the gain in the metric?",
            "the metric gains nothing over the baseline",
            "gain in the metric's unit (or as a share of the baseline's figure, if the "
            "hypothesis says so), positive for better, with its basic bootstrap interval",
            "gain over the standard error of the verdict's test; p, one-sided, is the share of "
            "draws that exceed the gain by at least the gain, on the scale of Student's t",
            "Politis & Romano (1994), JASA 89; blocks: Politis & White (2004), Econometric Reviews "
            "23, corrected 2009; interval: Hall (1992), The Bootstrap and Edgeworth Expansion",
        ),
        AbilityTest(
            "model-confidence-set",
            "which models are not distinguishable from the best one?",
            "all models in the set are equally good; a model is in it if p is above the size",
            "mean loss above the lowest one, in the loss' unit",
            "the largest t of any pair of models (T_R); p-values by bootstrap",
            "Hansen, Lunde & Nason (2011), Econometrica 79, section 3.1.2",
        ),
        AbilityTest(
            "spa",
            "does any model beat the baseline, allowing for the number of models?",
            "no model is better than the baseline",
            "mean loss of the baseline less that of the model with the largest t",
            "the largest t of any model, at least 0; p-values by bootstrap: consistent, lower and "
            "upper, the consistent one as in the reality check",
            "Hansen (2005), JBES 23, section 2",
        ),
        AbilityTest(
            "stepm",
            "which models beat the baseline, at a family-wise error of the size?",
            "a model is not better than the baseline",
            "mean loss of the baseline less the model's, in the loss' unit",
            "as spa, stepwise; no p-value: a model is superior or not",
            "Romano & Wolf (2005), Econometrica 73, algorithm 3.1",
        ),
    )
}
