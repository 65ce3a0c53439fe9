"""The verdict as a table: gain, interval, p-value and claim in, status and reasons out."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from support.worlds import acceptance

from harness.inference.evidence import Evidence, Verdict
from harness.scores.metrics import METRICS
from harness.spec.sections import RULE_VERSION
from harness.verdict.rule import decide, pooled_gain
from harness.verdict.words import p_value


def evidence(
    gain: float, low: float, high: float, p: float, *, name: str = "har-j", metric: str = "r2_log"
) -> Evidence:
    return Evidence(
        candidate=name,
        baseline="har",
        metric=metric,
        horizon="4h",
        gain=gain,
        gain_low=low,
        gain_high=high,
        level=0.9,
        statistic=1.0,
        p_value=p,
        p_adjusted=p,
        n=500,
        cosines=30,
        overlap=3,
        standard_error=(high - low) / 3.4,
        critical=1.7,
        detectable=(high - low) / 1.35 if math.isfinite(high - low) else 0.05,
        windows=10,
        p_claim=0.004,
    )


def verdict(
    *found: Evidence,
    min_gain: float = 0.03,
    gain_as: str = "difference",
    claim: str = "better",
    rule: str = "test",
    version: int = RULE_VERSION,
) -> Verdict:
    return decide(found, acceptance(min_gain, gain_as, claim, rule), version=version)


@pytest.mark.parametrize(
    ("gain", "low", "high", "p", "min_gain", "status"),
    [
        (0.05, 0.04, 0.06, 0.001, 0.03, "confirmed"),
        (0.05, 0.03, 0.07, 0.001, 0.03, "inconclusive"),  # "at most 3 %" is not rejected
        (0.05, 0.0300001, 0.07, 0.001, 0.03, "confirmed"),
        (0.03, 0.01, 0.05, 0.001, 0.03, "inconclusive"),  # exactly the claimed gain shows no size
        (0.05, -math.inf, 0.07, 0.2, 0.03, "inconclusive"),  # no lower bound
        (0.05, -math.inf, 0.02, 0.2, 0.03, "refuted"),
        (0.05, -math.inf, math.inf, 0.2, 0.0, "inconclusive"),
        (0.05, 0.04, math.inf, 0.001, 0.03, "confirmed"),
        (0.05, -0.02, 0.12, 0.2, 0.03, "inconclusive"),  # large but unsure
        (0.02, 0.01, 0.03, 0.001, 0.03, "inconclusive"),  # the interval touches the claim
        (0.02, 0.01, 0.0299, 0.001, 0.03, "refuted"),  # a sure gain, but too small
        (0.002, -0.002, 0.006, 0.3, 0.03, "refuted"),
        (-0.02, -0.03, -0.01, 0.99, 0.03, "refuted"),
        (-0.02, -0.08, 0.04, 0.7, 0.03, "inconclusive"),
        (0.001, 0.0002, 0.0018, 0.01, 0.0, "confirmed"),  # any gain is enough
        (0.0, -0.01, 0.01, 0.5, 0.0, "inconclusive"),
        (-0.02, -0.03, -0.0001, 0.99, 0.0, "refuted"),
        (-0.02, -0.03, 0.0, 0.95, 0.0, "inconclusive"),
        (0.01, math.nan, math.nan, 0.5, 0.03, "inconclusive"),  # too few dates for an interval
        (0.05, math.nan, math.nan, 0.5, 0.03, "inconclusive"),
        (math.nan, math.nan, math.nan, 0.5, 0.03, "void"),
    ],
)
def test_gain_interval_and_p_value_decide_the_status(gain, low, high, p, min_gain, status):
    found = verdict(evidence(gain, low, high, p), min_gain=min_gain)
    assert found.status == status
    assert found.reasons
    assert all("nan" not in reason and "\n" not in reason for reason in found.reasons)


def test_the_largest_gain_is_judged_whatever_the_order_of_the_candidates():
    three = [
        evidence(0.01, 0.0, 0.02, 0.1, name="a"),
        evidence(0.05, 0.04, 0.06, 0.001, name="b"),
        evidence(math.nan, math.nan, math.nan, 0.5, name="c"),
    ]
    for order in itertools.permutations(three):
        found = verdict(*order)
        assert (found.status, found.best.candidate) == ("confirmed", "b")
        assert found.evidence == order


def test_equal_gains_are_settled_by_name_whatever_the_order():
    two = [evidence(0.05, 0.04, 0.06, 0.001, name=n) for n in ("b", "a")]
    assert {verdict(*order).best.candidate for order in itertools.permutations(two)} == {"a"}


def test_the_reasons_say_what_decided_in_the_unit_of_the_metric():
    found = verdict(evidence(0.05, 0.04, 0.06, 0.001), evidence(0.01, 0, 0.02, 0.1, name="b"))
    assert found.reasons == (
        "har-j gains +5.00 pp over har; the 90 % interval +4.00 pp to +6.00 pp (for 2 candidates "
        "together) lies above the +3.00 pp claimed.",
        '"At most +3.00 pp" is rejected at 0.05: Diebold-Mariano test, p = 0.004 '
        "(adjusted for 2 candidates).",
    )
    found = verdict(evidence(0.05, 0.04, 0.06, 0.001), min_gain=0.0)
    assert found.reasons == (
        "har-j gains +5.00 pp over har, as claimed (any gain).",
        '"No gain" is rejected at 0.05: Diebold-Mariano test, p = 0.001.',
    )
    found = verdict(evidence(0.002, -0.001, 0.006, 0.3))
    assert found.reasons == (
        "har-j gains +0.20 pp over har; the 90 % interval -0.10 pp to +0.60 pp excludes the "
        "+3.00 pp claimed.",
        '"No gain" is not rejected: Diebold-Mariano test, p = 0.3.',
    )
    found = verdict(evidence(0.02, 0.01, 0.05, 0.01, metric="qlike"), gain_as="relative")
    assert found.reasons[0].endswith("+1.00 % to +5.00 % reaches below.")


def test_an_inconclusive_verdict_says_which_of_three_it_is():
    size = verdict(evidence(0.05, 0.01, 0.09, 0.001))
    assert size.reasons == (
        "har-j gains +5.00 pp over har. A gain is shown (Diebold-Mariano test, p = 0.001), but not "
        "that it is the +3.00 pp claimed: the 90 % interval +1.00 pp to +9.00 pp reaches below.",
        "Minimum detectable gain at 80 % power: +5.93 pp. To confirm the claim with that power, "
        "the true gain must be +8.93 pp.",
    )
    assert (size.gain_shown, size.claim_shown) == (True, False)
    none = verdict(evidence(0.015, -0.003, 0.033, 0.1))
    assert none.reasons == (
        "har-j gains +1.50 pp over har. No gain is shown (Diebold-Mariano test, p = 0.1): the "
        "90 % interval -0.30 pp to +3.30 pp includes no gain and the +3.00 pp claimed.",
        "Minimum detectable gain at 80 % power: +2.67 pp. To confirm the claim with that power, "
        "the true gain must be +5.67 pp.",
    )
    assert (none.gain_shown, none.claim_shown) == (False, False)
    power = verdict(evidence(0.02, -0.01, 0.05, 0.1))
    assert power.reasons == (
        "har-j gains +2.00 pp over har. Nothing could be shown: the +3.00 pp claimed may be missed "
        "even if true. Minimum detectable gain at 80 % power: +4.44 pp. To confirm the claim with "
        "that power, the true gain must be +7.44 pp.",
        '"No gain" is not rejected (Diebold-Mariano test, p = 0.1); 90 % interval -1.00 pp to '
        "+5.00 pp.",
    )
    few = verdict(evidence(0.02, math.nan, math.nan, 0.5))
    assert few.reasons == (
        "har-j gains +2.00 pp over har. Nothing could be shown: 500 forecast origins with "
        "targets over 4 of them are too few for an interval.",
    )


def test_what_there_is_too_little_of_is_named():
    few = replace(evidence(0.02, math.nan, math.nan, 0.5), overlap=0)
    assert "500 forecast origins are too few for an interval" in verdict(few).reasons[0]
    for periods, words in ((1, "1 shift is too few"), (2, "2 shifts are too few")):
        assert words in verdict(replace(few, periods=periods)).reasons[0]


def test_a_tie_is_said_to_be_one():
    tie = replace(evidence(0.0, 0.0, 0.0, 0.5), standard_error=0.0)
    found = verdict(tie, min_gain=0.0)
    assert found.status == "inconclusive"
    assert found.reasons == (
        "har-j gains +0.00 pp over har. No gain is shown: on every row both have the same loss.",
    )


def test_an_interval_without_a_bound_says_so_in_words():
    open_below = verdict(evidence(0.2, -math.inf, 0.65, 0.09, metric="qlike"), gain_as="relative")
    assert "90 % interval without lower bound to +65.00 %" in " ".join(open_below.reasons)
    open_above = verdict(evidence(0.2, 0.1, math.inf, 0.01), min_gain=0.15)
    assert "90 % interval +10.00 pp without upper bound reaches below" in open_above.reasons[0]
    everywhere = verdict(evidence(0.2, -math.inf, math.inf, 0.4), min_gain=0.0)
    assert "90 % interval without bounds includes gains and losses" in everywhere.reasons[0]
    assert not any("inf" in r for v in (open_below, open_above, everywhere) for r in v.reasons)


def test_a_gain_that_is_shown_decides_before_a_larger_one_that_is_not():
    lucky = evidence(0.05, -0.05, 0.15, 0.2, name="lucky")
    sure = evidence(0.045, 0.02, 0.07, 1e-9, name="sure")
    for order in itertools.permutations((lucky, sure)):
        found = verdict(*order)
        assert (found.status, found.best.candidate) == ("inconclusive", "sure")
        assert found.gain_shown


def test_a_point_rule_asks_for_the_estimate_and_any_gain():
    enough = evidence(0.03, 0.01, 0.05, 0.001)
    for found in (verdict(enough, rule="point"), verdict(enough, version=1)):
        assert found.status == "confirmed"
        assert (found.gain_shown, found.claim_shown) == (True, False)
        assert found.reasons == (
            "har-j gains +3.00 pp over har as estimated, at least the +3.00 pp claimed.",
            '"No gain" is rejected at 0.05: Diebold-Mariano test, p = 0.001.',
        )
    assert verdict(evidence(0.03, 0.01, 0.05, 0.05), rule="point").status == "inconclusive"
    assert verdict(evidence(0.0299, 0.01, 0.05, 0.001), rule="point").status == "inconclusive"
    assert verdict(evidence(0.01, 0.005, 0.02, 0.001), rule="point").status == "refuted"


@pytest.mark.parametrize("metric", METRICS)
def test_a_gain_is_positive_for_the_better_forecast(metric):
    better, worse = (0.8, 0.5) if METRICS[metric].higher else (0.5, 0.8)
    assert pooled_gain(metric, worse, better, gain_as="difference") == pytest.approx(0.3)
    assert pooled_gain(metric, better, worse, gain_as="difference") == pytest.approx(-0.3)
    if not METRICS[metric].higher:
        assert pooled_gain(metric, worse, better, gain_as="relative") == pytest.approx(0.3 / 0.8)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (-0.02, 0.01, "confirmed"),
        (-0.03, 0.01, "inconclusive"),
        (0.01, 0.05, "inconclusive"),
        (0.04, 0.05, "refuted"),
        (-0.09, -0.04, "refuted"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_equal_models_are_those_whose_interval_lies_within_the_margin(low, high, status):
    found = verdict(evidence(0.0, low, high, 0.5), claim="equal")
    assert found.status == status
    assert len(found.reasons) == 1
    assert found.claim_shown == (status == "confirmed")


def test_all_candidates_must_be_near_for_models_to_be_equal():
    near = evidence(0.001, -0.002, 0.004, 0.4, name="near")
    far = evidence(-0.05, -0.06, -0.04, 0.9, name="far")
    found = verdict(near, far, claim="equal")
    assert found.status == "refuted"
    assert found.best.candidate == "far"
    assert found.reasons == (
        "far differs from har by -5.00 pp; the 90 % interval -6.00 pp to -4.00 pp lies outside the "
        "±3.00 pp allowed.",
    )


@pytest.mark.parametrize(
    ("sure", "other", "status", "shown"),
    [
        # The smaller gain's interval reaches further.
        ((0.01, 0.005, 0.015), (0.009, -0.05, 0.07), "inconclusive", "other"),
        # The larger gain may be none, the smaller one lies outside.
        ((0.05, 0.04, 0.06), (0.06, -0.01, 0.13), "refuted", "sure"),
        ((0.01, 0.0, 0.02), (0.011, -0.029, 0.029), "confirmed", "other"),
        ((0.0, -0.01, 0.01), (0.02, math.nan, math.nan), "inconclusive", "other"),
        ((0.0, -0.01, 0.01), (math.nan, math.nan, math.nan), "void", "other"),
    ],
)
def test_every_interval_counts_for_models_to_be_equal(sure, other, status, shown):
    two = [evidence(*sure, 0.1, name="sure"), evidence(*other, 0.5, name="other")]
    for order in itertools.permutations(two):
        found = verdict(*order, claim="equal")
        assert (found.status, found.best.candidate) == (status, shown)
        assert "nan" not in "".join(found.reasons)


def test_a_claim_is_refuted_only_where_no_candidate_can_keep_it():
    small = evidence(0.01, 0.005, 0.015, 0.001, name="small")
    unsure = evidence(0.009, -0.05, 0.07, 0.4, name="unsure")
    for order in itertools.permutations((small, unsure)):
        found = verdict(*order)
        assert (found.status, found.best.candidate) == ("inconclusive", "unsure")
        assert "-5.00 pp to +7.00 pp (for 2 candidates together)" in found.reasons[1]
    least = evidence(0.008, 0.0, 0.016, 0.05, name="least")
    found = verdict(small, least)
    assert (found.status, found.best.candidate) == ("refuted", "small")
    assert found.reasons[0].endswith("excludes the +3.00 pp claimed, and so do those of "
                                     "the other candidates.")  # fmt: skip


def test_a_candidate_that_keeps_the_claim_confirms_it_beside_a_luckier_one():
    lucky = evidence(0.05, -0.05, 0.15, 0.2, name="lucky")
    sure = evidence(0.045, 0.04, 0.05, 1e-9, name="sure")
    for order in itertools.permutations((lucky, sure)):
        found = verdict(*order)
        assert (found.status, found.best.candidate) == ("confirmed", "sure")


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0502135, "0.0502"),
        (0.04996, "0.04996"),
        (0.0499, "0.0499"),
        (0.0500004, "0.05"),  # no five digits show it
        (0.05, "0.05"),
        (0.3, "0.3"),
        (1e-17, "< 1e-16"),
        (0.0123456, "0.012"),
    ],
)
def test_a_p_value_near_alpha_has_the_digits_that_show_its_side(p, shown):
    assert p_value(p, 0.05) == shown


def test_an_infinite_loss_is_no_gain_that_could_be_judged():
    lost = evidence(-math.inf, math.nan, math.nan, 0.5)
    assert verdict(lost).status == "void"
    assert verdict(lost, evidence(0.05, 0.04, 0.06, 0.001, name="b")).best.candidate == "b"


def test_what_forbids_a_verdict_makes_it_void_whatever_was_gained():
    sure = evidence(0.05, 0.04, 0.06, 0.001)
    why = ("The panel has changed.", "A model saw the future.")
    for claim in ("better", "equal"):
        found = decide((sure,), acceptance(0.03, claim=claim), forbidden=why)
        assert (found.status, found.reasons, found.evidence) == ("void", why, (sure,))
