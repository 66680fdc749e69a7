"""Gabor fits against functions that are known, drawn by formulas of the test's own."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.optimize import least_squares

from interp.filters import gabor_fit
from interp.filters.analysis import strongest_component
from interp.filters.gabor import Gabor
from interp.filters.gabor_fit import fit_gabors
from interp.filters.spectra import spectral_peak

Pair = tuple[float, float]
Truth = tuple[float, float, float, Pair, Pair]


def drawn(
    side: int, orientation: float, wavelength: float, phase: float, sigmas: Pair, centre: Pair
) -> NDArray[np.float64]:
    """A Gabor function of amplitude 1, pixel by pixel."""
    theta, picture = math.radians(orientation), np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            right, up = column - centre[1], centre[0] - row
            along = right * math.cos(theta) + up * math.sin(
                theta
            )  # the bars' own direction, counter-clockwise from the right
            across = right * math.sin(theta) - up * math.cos(theta)
            envelope = math.exp(-0.5 * ((across / sigmas[0]) ** 2 + (along / sigmas[1]) ** 2))
            picture[row, column] = envelope * math.cos(
                2 * math.pi * across / wavelength + math.radians(phase)
            )
    return picture


def apart(one: float, other: float, period: float) -> float:
    return abs((one - other + period / 2) % period - period / 2)


def truths(side: int, count: int) -> list[Truth]:
    found: list[Truth] = []
    rng = np.random.default_rng(side)
    for _ in range(count):
        wavelength = rng.uniform(3, side)
        sigmas = wavelength * rng.uniform(0.2, 0.5), rng.uniform(1.1, side / 3)
        centre = rng.uniform(0.35 * side, 0.6 * side), rng.uniform(0.35 * side, 0.6 * side)
        found.append((rng.uniform(0, 180), wavelength, rng.uniform(-180, 180), sigmas, centre))
    return found


@pytest.mark.parametrize("side", [7, 11])
def test_exact_functions_are_recovered(side: int) -> None:
    known = truths(side, 12)
    for (orientation, wavelength, phase, sigmas, centre), fit in zip(
        known, fit_gabors([3 * drawn(side, *one) for one in known]), strict=True
    ):
        assert fit.r_squared > 1 - 1e-6
        assert apart(fit.orientation, orientation, 180) < 0.1
        assert (fit.wavelength, fit.across, fit.along) == pytest.approx(
            (wavelength, *sigmas), rel=1e-2
        )
        assert (fit.row, fit.column, fit.amplitude) == pytest.approx((*centre, 3), rel=1e-2)
        assert apart(fit.phase, phase, 360) < 1
        assert 0 <= fit.orientation < 180
        assert -180 <= fit.phase < 180


def test_noise_moves_a_fit_little_and_r_squared_tells_of_it() -> None:
    known, rng = truths(9, 12), np.random.default_rng(0)
    patterns = [drawn(9, *one) for one in known]
    noisy = [pattern + rng.normal(0, 0.04, pattern.shape) for pattern in patterns]
    for one, pattern, seen, fit in zip(known, patterns, noisy, fit_gabors(noisy), strict=True):
        assert apart(fit.orientation, one[0], 180) < 6
        residual, total = ((seen - fit.draw(9, 9)) ** 2).sum(), ((seen - seen.mean()) ** 2).sum()
        assert fit.r_squared == pytest.approx(1 - residual / total, abs=1e-9)
        assert residual <= ((seen - pattern) ** 2).sum() * (1 + 1e-3), (
            "the fit is at least as near as the truth"
        )


def test_words_of_the_contract() -> None:
    rows, columns = np.mgrid[:9, :9] - 4.0
    window = np.exp(-(rows**2 + columns**2) / 8)
    horizontal_bar, vertical_edge = (
        window * np.cos(2 * np.pi * rows / 5),
        window * np.sin(2 * np.pi * columns / 5),
    )
    rising = window * np.cos(
        2 * np.pi * (rows + columns) / 7
    )  # constant where one goes as far up as right
    bar, edge, diagonal, dark = fit_gabors([horizontal_bar, vertical_edge, rising, -horizontal_bar])
    assert (
        apart(bar.orientation, 0, 180),
        edge.orientation,
        diagonal.orientation,
    ) == pytest.approx((0, 90, 45), abs=0.1)
    assert (bar.phase, edge.phase) == pytest.approx((0, -90), abs=0.5)
    assert apart(dark.phase, 180, 360) < 0.5
    assert (bar.row, bar.column, bar.wavelength) == pytest.approx((4, 4, 5), abs=0.01)


def test_the_phase_fits_the_orientation_that_is_told_in_float32() -> None:
    """An edge that is light below is -90 degrees at an orientation of 0, and 90 at one just below
    180: no rounding may mix the two.
    """
    rows, columns = np.mgrid[:7, :7] - 3.0
    edge, rng = (
        np.exp(-(rows**2 + columns**2) / 4) * np.sin(2 * np.pi * rows / 5),
        np.random.default_rng(0),
    )
    seen = set()
    for fit in fit_gabors(
        [
            edge + rng.normal(0, 10.0**-digits, edge.shape)
            for digits in range(5, 10)
            for _ in range(4)
        ]
    ):
        told = float(np.float32(fit.orientation))
        assert told < 180
        assert fit.phase == pytest.approx(-90 if told < 90 else 90, abs=0.5)
        seen.add(told < 90)
    assert seen == {True, False}


def test_noise_alone_is_no_worse_fitted_than_by_many_descents() -> None:
    """The two starts against 10 random ones of another parameterization, on patterns without any
    Gabor function in them.
    """
    rows, columns = np.mgrid[:7, :7].astype(float)

    def residual(z: NDArray[np.float64], pattern: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, fy, fx, y, x, s, t = z
        length = np.hypot(fy, fx)
        u, v = (
            ((rows - y) * fy + (columns - x) * fx) / length,
            ((columns - x) * fy - (rows - y) * fx) / length,
        )
        envelope = np.exp(-0.5 * (u * s) ** 2 - 0.5 * (v * t) ** 2)
        angle = 2 * np.pi * u * length
        return np.asarray(envelope * (a * np.cos(angle) + b * np.sin(angle)) - pattern).ravel()

    rng = np.random.default_rng(0)
    low, high = [-9, -9, -0.5, -0.5, -0.5, -0.5, 0.05, 0.05], [9, 9, 0.5, 0.5, 6.5, 6.5, 2.5, 2.5]
    shares = []
    for _ in range(3):
        pattern = rng.normal(size=(7, 7))
        starts = rng.uniform(low, high, (10, 8)) * ([0.2] * 2 + [1] * 6)
        best = (
            min(
                least_squares(
                    residual, start, bounds=(low, high), args=(pattern,), max_nfev=40
                ).cost
                for start in starts
            )
            * 2
        )
        total = ((pattern - pattern.mean()) ** 2).sum()
        shares.append(fit_gabors([pattern])[0].r_squared - (1 - best / total))
    assert np.mean(shares) > -0.08


def test_a_fit_is_repeatable_and_scales() -> None:
    pattern = np.random.default_rng(7).normal(size=(5, 7))
    (one,), (again,), (large,) = (
        fit_gabors([pattern]),
        fit_gabors([pattern]),
        fit_gabors([1e4 * pattern]),
    )
    assert one == again
    assert (large.amplitude, large.r_squared) == pytest.approx(
        (1e4 * one.amplitude, one.r_squared), rel=1e-6
    )


@pytest.mark.parametrize("pattern", [np.zeros((5, 5)), np.full((5, 5), -2.0), np.eye(2)])
def test_what_cannot_be_fitted(pattern: NDArray[np.float64]) -> None:
    assert fit_gabors([pattern]) == [Gabor()]
    assert fit_gabors([]) == []


def test_strongest_component() -> None:
    colour, pattern = np.array([0.6, 0.0, -0.8]), np.random.default_rng(7).normal(size=(4, 5))
    weak = 0.2 * np.array([0.8, 0.0, 0.6])[:, None, None] * pattern[::-1, ::-1]
    found, _ = strongest_component(colour[:, None, None] * pattern + weak)
    assert abs(found @ colour) == pytest.approx(1, abs=0.05)
    pure, exact = strongest_component(np.array([-0.36, -0.48, -0.8])[:, None, None] * pattern)
    assert pure == pytest.approx([0.36, 0.48, 0.8])
    assert exact == pytest.approx(-pattern)
    assert strongest_component(pattern[None])[1] == pytest.approx(pattern)


@pytest.mark.parametrize(
    ("orientation", "wavelength"),
    [(0.0, 4.0), (90.0, 8.0), (45.0, math.sqrt(32)), (135.0, math.sqrt(8))],
)
def test_spectral_peak_of_a_wide_grating(orientation: float, wavelength: float) -> None:
    wave = drawn(32, orientation, wavelength, 20, (50.0, 50.0), (16.0, 16.0))
    found = spectral_peak(wave)
    assert apart(found[0], orientation, 180) < 2
    assert found[1] == pytest.approx(wavelength, rel=0.04)
    assert spectral_peak(np.ones((5, 5))) == (0, 0)


def test_real_filters_are_fitted_no_worse_than_from_forty_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = load_file("service/models/weights/cifar10-plain.safetensors")["conv1.weight"]
    patterns = [strongest_component(each)[1] for each in weights.double().numpy()]
    found = fit_gabors(patterns)
    monkeypatch.setattr(gabor_fit, "_STARTS", 40)
    for few, many in zip(found, fit_gabors(patterns), strict=True):
        assert few.r_squared > many.r_squared - 1e-3
        if few.is_oriented:
            assert apart(few.orientation, many.orientation, 180) < 10


def test_orientations_that_are_not_determined() -> None:
    rows, columns = np.mgrid[:9, :9] - 4.0
    blob = np.exp(-(rows**2 + columns**2) / 6)
    plaid = blob * (np.cos(2 * np.pi * rows / 4) + np.cos(2 * np.pi * columns / 4))
    bars = drawn(9, 30, 4, 20, (1.6, 2.4), (4, 4))
    found = fit_gabors([blob, -blob, plaid, bars, np.zeros((9, 9))])
    assert [fit.is_oriented for fit in found] == [False, False, False, True, False]
    assert found[0].r_squared > 0.9
