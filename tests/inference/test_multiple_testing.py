"""Adjusted p-values against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from harness.inference.multiple_testing import benjamini_hochberg, holm

METHODS = {"holm": holm, "fdr_bh": benjamini_hochberg}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_adjusted_p_values_are_those_of_statsmodels(method, n):
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(n).beta(0.4, 2.0, n)
    p[n // 2] = p[0]  # a tie
    wanted = multipletests(p, method=method)[1]
    np.testing.assert_allclose(METHODS[method](p), wanted, rtol=1e-13)


@pytest.mark.parametrize("adjust", METHODS.values())
def test_no_p_value_is_adjusted_downwards_and_none_gives_none(adjust):
    p = np.array([0.04, 0.001, 0.3, 0.02, 1.0, 0.0])
    assert (adjust(p) >= p).all()
    assert (adjust(p) <= 1.0).all()
    assert adjust([]).shape == (0,)


@pytest.mark.parametrize("wrong", [[0.1, np.nan], [-0.1], [1.5], [[0.1]], 0.2])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueError, match="p-values"):
        holm(wrong)
