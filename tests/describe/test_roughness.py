"""Roughness: each method finds the H of simulated series, as far as its bias and spread allow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.describe import roughness
from harness.describe.statistics import describe_values

N = 4096


def fractional_noise(hurst, n, seed):
    """Exact fractional Gaussian noise by circulant embedding (Davies & Harte 1987)."""
    k = np.arange(n + 1.0)
    gamma = 0.5 * (np.abs(k - 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + (k + 1) ** (2 * hurst))
    row = np.concatenate([gamma, gamma[-2:0:-1]])
    spectrum = np.fft.fft(row).real
    assert spectrum.min() > -1e-9  # the embedding is exact for every H
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(row.size) + 1j * rng.standard_normal(row.size)
    return np.fft.fft(np.sqrt(np.maximum(spectrum, 0) / row.size) * z).real[:n]


def mean_of(method, hurst, *, level, read, seeds=6):
    found = []
    for seed in range(seeds):
        noise = fractional_noise(hurst, N, seed)
        found.append(read(method(np.cumsum(noise) if level else noise)))
    return np.mean(found)


def test_the_simulated_noise_has_its_own_autocovariance():
    for hurst, wanted in ((0.1, -0.4257), (0.5, 0.0), (0.8, 0.5157)):
        x = np.concatenate([fractional_noise(hurst, N, seed) for seed in range(8)])
        assert np.mean(x**2) == pytest.approx(1.0, abs=0.1)
        assert np.mean(x[1:] * x[:-1]) == pytest.approx(wanted, abs=0.06)  # 2^(2H-1) - 1


# Bias and spread measured over 25 to 60 series of 2,000 and of 5,000 steps. The mean of six has
# a spread of at most: variogram 0.011, DFA of levels 0.022, of increments 0.012, wavelets 0.015;
# tolerances are about three times that, about H plus the bias.
LEVELS = [
    (roughness.structure_function, 0.1, 0.0, 0.02),
    (roughness.structure_function, 0.3, 0.0, 0.03),
    (roughness.structure_function, 0.5, 0.0, 0.035),
    (roughness.structure_function, 0.7, 0.0, 0.035),
    (roughness.dfa, 0.1, -0.06, 0.06),
    (roughness.dfa, 0.3, -0.02, 0.06),
    (roughness.dfa, 0.5, -0.01, 0.06),
    (roughness.dfa, 0.7, -0.01, 0.06),
    (roughness.wavelets, 0.1, -0.1, 0.045),
    (roughness.wavelets, 0.3, -0.022, 0.045),
    (roughness.wavelets, 0.5, -0.009, 0.045),
    (roughness.wavelets, 0.8, -0.006, 0.05),
]


@pytest.mark.parametrize(("method", "hurst", "bias", "within"), LEVELS)
def test_the_hurst_exponent_of_a_level_is_found(method, hurst, bias, within):
    found = mean_of(method, hurst, level=True, read=lambda s: s.hurst)
    assert found == pytest.approx(hurst + bias, abs=within)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_increments_read_as_the_table_of_the_module_says(hurst):
    exponent = {
        "dfa": mean_of(roughness.dfa, hurst, level=False, read=lambda s: s.exponent),
        "wavelets": mean_of(
            roughness.wavelets, hurst, level=False, read=lambda s: (s.exponent + 1) / 2
        ),
        "variogram": mean_of(
            roughness.structure_function, hurst, level=False, read=lambda s: s.exponent
        ),
    }
    assert exponent["dfa"] == pytest.approx(hurst, abs=0.045)
    assert exponent["wavelets"] == pytest.approx(hurst, abs=0.09 if hurst < 0.5 else 0.045)
    lags = np.arange(0, 31.0)
    gamma = 0.5 * (np.abs(lags - 1) ** (2 * hurst) + (lags + 1) ** (2 * hurst))
    gamma -= lags ** (2 * hurst)
    exact = np.polyfit(np.log2(lags[1:]), np.log2(1 - gamma[1:]), 1)[0]
    assert exponent["variogram"] == pytest.approx(exact, abs=0.02)


# R/S is drawn towards 1/2 by its boxes: +0.06 at 0.2, -0.075 at 0.8, measured as above.
@pytest.mark.parametrize(("hurst", "bias"), [(0.2, 0.06), (0.5, 0.0), (0.8, -0.075)])
def test_the_rescaled_range_of_increments_has_the_bias_that_was_measured(hurst, bias):
    found = mean_of(roughness.rescaled_range, hurst, level=False, read=lambda s: s.exponent)
    assert found == pytest.approx(hurst + bias, abs=0.04)


@pytest.mark.parametrize("hurst", [0.1, 0.5, 0.8])
def test_the_rescaled_range_of_a_level_says_nothing_of_h(hurst):
    found = roughness.rescaled_range(np.cumsum(fractional_noise(hurst, N, 1)))
    assert 0.8 < found.exponent < 1.0
    assert math.isnan(found.hurst)


def test_moments_of_a_monofractal_lie_on_one_line():
    hurst, zeta = roughness.moment_scaling(np.cumsum(fractional_noise(0.3, N, 3)))
    assert hurst == pytest.approx(0.3, abs=0.045)
    assert [zeta[q] / q for q in roughness.MOMENTS] == pytest.approx([hurst] * 5, abs=0.02)


def test_the_standard_error_of_wavelets_is_their_spread():
    found = [roughness.wavelets(np.cumsum(fractional_noise(0.5, N, s))) for s in range(60)]
    spread = np.std([f.exponent for f in found], ddof=1)
    # The spread of 60 is itself known to 9 %; details are a little correlated: some 10 % more.
    assert found[0].standard_error == pytest.approx(spread, rel=0.35)


def walk(n=900, seed=5):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.standard_gamma(0.5, n) - 0.5) + rng.standard_normal(n)


def test_the_structure_function_is_the_plain_mean_over_pairs():
    x = walk()
    law = roughness.structure_function(x, 1.5)
    assert law.log_scale == pytest.approx(np.log2(np.arange(1, 31)))
    for k in (1, 7, 30):
        naive = np.mean([abs(x[t + k] - x[t]) ** 1.5 for t in range(x.size - k)])
        assert law.log_fluctuation[k - 1] == pytest.approx(math.log2(naive), abs=1e-12)
    assert law.exponent == pytest.approx(np.polyfit(law.log_scale, law.log_fluctuation, 1)[0])


def test_dfa_is_the_plain_mean_about_the_straight_line_of_each_box():
    x = walk()
    law = roughness.dfa(x)
    profile = np.cumsum(x - np.mean(x))
    for size, f in zip(np.rint(2**law.log_scale).astype(int), law.log_fluctuation, strict=True):
        squares = []
        for path in (profile, profile[::-1]):
            for start in range(0, x.size - size + 1, size):
                t, box = np.arange(size), path[start : start + size]
                squares.append((box - np.polyval(np.polyfit(t, box, 1), t)) ** 2)
        assert f == pytest.approx(0.5 * math.log2(np.mean(squares)), abs=1e-9)


def test_the_rescaled_range_is_the_plain_mean_over_boxes():
    x = walk()
    law = roughness.rescaled_range(x)
    size = 16
    rs = []
    for start in range(0, x.size - size + 1, size):
        box = x[start : start + size]
        sums = [sum(box[:k] - box.mean()) for k in range(size + 1)]
        rs.append((max(sums) - min(sums)) / box.std())
    gamma = math.gamma((size - 1) / 2) / (math.sqrt(math.pi) * math.gamma(size / 2))
    expected = gamma * sum(math.sqrt((size - i) / i) for i in range(1, size))
    corrected = math.log2(np.mean(rs)) - math.log2(expected) + math.log2(size) / 2
    assert law.log_fluctuation[0] == pytest.approx(corrected, abs=1e-12)


def test_anis_and_lloyd_are_right_about_normal_boxes():
    boxes = np.random.default_rng(2).standard_normal((40_000, 20))
    sums = np.cumsum(boxes - boxes.mean(axis=1, keepdims=True), axis=1)
    ranges = np.maximum(sums.max(axis=1), 0) - np.minimum(sums.min(axis=1), 0)
    found = np.mean(ranges / boxes.std(axis=1))
    assert found == pytest.approx(roughness._anis_lloyd(20), rel=0.005)  # spread 0.13 %


def test_details_are_the_filters_products_that_lie_inside_the_data():
    import pywt

    filters = pywt.Wavelet("db3")
    x = walk(1001)
    details = roughness._details(x)
    for detail in details:
        assert detail == pytest.approx(np.convolve(x, filters.dec_hi, "valid")[::2], abs=1e-9)
        x = np.convolve(x, filters.dec_lo, "valid")[::2]
    assert [d.size for d in details] == [498, 247, 121, 58, 27, 11]


def test_wavelets_do_not_see_a_trend():
    x = np.cumsum(fractional_noise(0.3, N, 4))
    t = np.linspace(-1, 1, N)
    bent = roughness.wavelets(x + 50 * t - 80 * t**2)
    assert bent.exponent == pytest.approx(roughness.wavelets(x).exponent, abs=1e-6)


@pytest.mark.parametrize("name", roughness.METHODS)
def test_the_exponent_does_not_depend_on_unit_or_origin(name):
    x = walk()
    method = roughness.METHODS[name]
    assert method(40.0 - 0.01 * x).exponent == pytest.approx(method(x).exponent, abs=1e-9)


@pytest.mark.parametrize("method", roughness.METHODS.values(), ids=roughness.METHODS)
def test_what_cannot_be_measured_is_refused_by_name(method):
    name = method.__name__
    for x, why in (
        (walk(499), r"got shape \(499,\), wanted 500 or more"),
        (np.append(walk(), np.nan), "got 1 values not finite"),
        (np.full(900, 0.3), "got a constant"),
        (walk().reshape(2, 450), r"got shape \(2, 450\)"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {why}"):
            method(x)


@pytest.mark.parametrize("method", roughness.METHODS.values(), ids=roughness.METHODS)
def test_the_shortest_series_and_one_with_still_stretches_are_measured(method):
    assert np.isfinite(method(walk(500)).exponent)
    still = walk()
    still[200:500] = still[200]
    assert np.isfinite(method(still).exponent)


def test_descriptive_statistics_are_those_of_other_software():
    from scipy import stats
    from statsmodels.tsa.stattools import acf

    x = walk(700, seed=8)
    found = describe_values(x)
    assert found.skewness == pytest.approx(stats.skew(x))
    assert found.kurtosis == pytest.approx(stats.kurtosis(x))
    assert (found.mean, found.sd) == pytest.approx((np.mean(x), np.std(x, ddof=1)))
    assert (found.least, found.most, found.n) == (x.min(), x.max(), 700)
    assert found.acf == pytest.approx(acf(x, nlags=22)[[1, 5, 22]])
    jarque_bera = stats.jarque_bera(x)
    assert found.jarque_bera == pytest.approx(jarque_bera.statistic)
    assert found.jarque_bera_p == pytest.approx(jarque_bera.pvalue)


def test_a_unit_root_is_told_from_a_series_that_returns():
    noise = np.random.default_rng(3).standard_normal(2000)
    assert describe_values(np.cumsum(noise)).adf_p > 0.1
    assert describe_values(noise).adf_p < 1e-6


@pytest.mark.parametrize("x", [np.ones(200), np.arange(99.0), np.append(np.arange(200.0), np.nan)])
def test_values_that_have_no_statistics_are_refused(x):
    with pytest.raises(ValueError, match="describe_values: wanted 100 or more finite values"):
        describe_values(x)
