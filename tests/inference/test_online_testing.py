"""Online procedures against published values and against their papers' sums, term by term."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.inference.online_testing import lord, saffron

# The example of onlineFDR's manual, with the levels that its version 2.19.1 gives at 5 %.
EXAMPLE = [
    2.90e-08, 0.06743, 0.01514, 0.08174, 0.00171, 3.60e-05, 0.79149, 0.27201, 0.28295, 7.59e-08,
    0.69274, 0.30443, 0.00136, 0.72342, 0.54757,
]  # fmt: skip
LEVELS = {
    lord: [2.675838546e-4, 2.466445720e-3, 3.447286386e-4, 2.974501282e-3, 7.059610406e-4],
    saffron: [0.005468627, 0.010937254, 0.021874508, 0.032811762, 0.009064367],
}
REJECTED = {lord: [1, 6, 10], saffron: [1, 5, 6, 10, 13]}
PROCEDURES = [lord, saffron]


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_the_published_example(procedure):
    found = procedure(EXAMPLE, 0.05)
    shown = found.level[[0, 1, 5, 6, 14]]
    np.testing.assert_allclose(shown, LEVELS[procedure], rtol=0.0, atol=6e-10)
    assert (np.flatnonzero(found.rejected) + 1).tolist() == REJECTED[procedure]


@pytest.mark.parametrize("known_after", [[1, 2, 3, 4], [4, 4, 4, 4]])
def test_saffron_with_overlapping_tests_rejects_what_the_reference_rejects(known_after):
    started = np.arange(1, 5)
    found = saffron([1e-7, 3e-4, 0.1, 5e-4], 0.05, started, np.array(known_after) + 1)
    assert found.rejected.tolist() == [True, True, False, True]


def by_the_paper(procedure, p, alpha, started, ended):
    """The sums of the papers, one term at a time; tests are numbered from 1."""

    def weight(j):
        if procedure is saffron:
            return 0.4374901658 * j**-1.6
        return 0.07720838 * math.log(max(j, 2)) / (j * math.exp(math.sqrt(math.log(j))))

    levels, rejections = [], []
    for t in range(1, len(p) + 1):
        known = [i for i in range(1, t) if ended[i - 1] <= started[t - 1]]
        pay = 0.5 if procedure is saffron else 1.0
        first = alpha * (0.5 if procedure is saffron else 0.1)

        def candidates(after, known=known):
            if procedure is lord:
                return 0
            return sum(1 for i in known if i > after and p[i - 1] <= 0.5)

        level = first * weight(t - candidates(0))
        for k, r in enumerate(r for r in rejections if r in known):
            level += (alpha - first if k == 0 else alpha) * weight(t - r - candidates(r))
        level = min(pay * level, 0.5 if procedure is saffron else 1.0)
        levels.append(level)
        if p[t - 1] <= level:
            rejections.append(t)
    return levels, rejections


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("longest", [0, 3, 40])
def test_levels_are_the_sums_of_the_papers_whatever_overlaps(procedure, longest):
    rng = np.random.default_rng(longest)
    p = np.where(rng.random(60) < 0.3, rng.random(60) * 1e-4, rng.random(60))
    started = np.sort(rng.integers(0, 60, 60))
    ended = started + rng.integers(0, longest + 1, 60)
    found = procedure(p, 0.1, started, ended)
    levels, rejections = by_the_paper(procedure, p, 0.1, started, ended)
    np.testing.assert_allclose(found.level, levels, rtol=1e-12)
    assert (np.flatnonzero(found.rejected) + 1).tolist() == rejections
    assert rejections


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_later_tests_change_no_earlier_decision(procedure):
    p = np.random.default_rng(1).random(50) ** 4
    whole = procedure(p, 0.05)
    for n in (0, 1, 7, 49):
        part = procedure(p[:n], 0.05)
        assert part.level.tobytes() == whole.level[:n].tobytes()
        assert part.rejected.tolist() == whole.rejected[:n].tolist()


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_a_rejection_pays_only_once_its_test_has_ended(procedure):
    p, started = [1e-9, 0.2, 0.2], np.array([0, 1, 2])
    at_once = procedure(p, 0.05, started, np.array([1, 2, 3]))
    late = procedure(p, 0.05, started, np.array([2, 2, 3]))
    assert late.level[1] < at_once.level[1]
    assert late.level[2] == at_once.level[2]


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_false_discoveries_are_at_most_alpha_and_true_ones_are_found(procedure):
    rng, shares, found = np.random.default_rng(5), [], 0
    for _ in range(200):
        true = rng.random(100) < 0.2
        p = np.where(true, rng.random(100) * 1e-4, rng.random(100))
        rejected = procedure(p, 0.1).rejected
        shares.append((rejected & ~true).sum() / max(rejected.sum(), 1))
        found += (rejected & true).sum() / max(true.sum(), 1)
    assert np.mean(shares) < 0.1
    assert found / 200 > 0.5


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_what_cannot_be_ordered_or_is_no_p_value_is_refused(procedure):
    with pytest.raises(ValueError, match="order of their start"):
        procedure([0.1, 0.2], 0.05, np.array([2, 1]), np.array([3, 3]))
    with pytest.raises(ValueError, match="shapes"):
        procedure([0.1, 0.2], 0.05, np.array([1]), np.array([3]))
    with pytest.raises(ValueError, match="p-values"):
        procedure([1.2], 0.05)
