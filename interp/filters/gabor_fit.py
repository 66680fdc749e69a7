"""Gabor functions fitted to filters by least squares."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from interp.filters.gabor import Gabor

Array = NDArray[np.float64]

# rows and columns of a filter that is fitted: below, there are fewer weights than parameters
SMALLEST = 3
_EVALUATIONS = 40  # of a descent; where it has not ended by then, R^2 changes in the fourth digit
_STARTS = 3  # of a descent: the best ones, whatever their orientation,
_SECTORS = 4  # and the best in each of so many equal ranges of orientations
_TURNED = math.pi / 8  # of two orientations that are not the same
_AS_GOOD = 0.02  # of the variance: what another orientation may explain less, and be as good
# of an orientation: so that float32, too, has it below 180, where the phase's sign turns
_DIGITS = 5


def fit_gabors(patterns: Sequence[Array]) -> list[Gabor]:
    """Fit the nearest Gabor function to each of several patterns, in the sense of least squares.

    Descents (Levenberg-Marquardt) begin at the three best of a few thousand Gabor functions whose
    amplitude and phase are known in closed form, and at the best of each quarter of all
    orientations, and stay within: wavelengths from 2 pixels to 4
    times the longer side, deviations across the bars from 0.15 to 4 wavelengths (below, noise would
    set the wavelength), along them from 0.4 pixels to twice that side, centres up to half a pixel
    outside. It draws nothing at random. Constant patterns, and those with fewer than 3 rows or
    columns, are not fitted. A filter of 3 x 3 has 9 weights and the function 8 parameters: there
    R^2 says little.

    Args:
        patterns: each (h, w), all of one shape.

    Returns:
        one function a pattern; `Gabor()` for those that are not fitted.
    """
    if not patterns:
        return []
    rows, columns = patterns[0].shape
    if min(rows, columns) < SMALLEST:
        return [Gabor()] * len(patterns)
    fitter = _GaborFitter(rows, columns)
    return [fitter.fit(pattern) for pattern in patterns]


class _GaborFitter:
    """Fits to patterns of one shape. A point is (theta, log wavelength, log of across / wavelength,
    log along, row, column).
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._y, self._x = (axis.ravel().astype(float) for axis in np.mgrid[:rows, :columns])
        side = max(rows, columns)
        self._low = np.array([-np.inf, math.log(2), math.log(0.15), math.log(0.4), -0.5, -0.5])
        self._high = np.array(
            [np.inf, math.log(4 * side), math.log(4), math.log(2 * side), rows - 0.5, columns - 0.5]
        )
        self._points = _start_points(rows, columns)
        waves = np.stack([self._waves(point)[:2] for point in self._points])  # (n, 2, pixels)
        first = _normalized(waves[:, 0])
        second = _normalized(waves[:, 1] - (waves[:, 1] * first).sum(1, keepdims=True) * first)
        self._basis = np.stack([first, second])  # (2, n, pixels), orthonormal for each point

    def fit(self, pattern: Array) -> Gabor:
        target = pattern.ravel()
        variance = float(((target - target.mean()) ** 2).sum())
        energy = float((target**2).sum())
        if variance <= 1e-12 * energy:
            return Gabor()
        target = target / math.sqrt(energy)
        minima = [self._descend(start, target) for start in self._starts(target)]
        error, point, (even, odd) = min(minima, key=lambda one: one[0])
        limit = error + _AS_GOOD * variance / energy
        is_oriented = not any(
            other < limit and _turn(place[0], point[0]) > _TURNED for other, place, _ in minima
        )
        scale = math.sqrt(energy)
        found = _gabor(point, even * scale, odd * scale, 1 - error * energy / variance)
        return replace(found, is_oriented=is_oriented)

    def _starts(self, target: Array) -> list[Array]:
        """The best of the start points, and the best of every sector of orientations; no two of
        them neighbours in orientation or size.
        """
        explained = ((self._basis @ target) ** 2).sum(0)
        sectors = self._points[:, 0] // (math.pi / _SECTORS) % _SECTORS
        chosen: list[Array] = []
        for index in np.argsort(-explained, kind="stable"):
            point = self._points[index]
            if all(_differ(point, other) for other in chosen):
                chosen.append(point)
            if len(chosen) == _STARTS:
                break
        for sector in range(_SECTORS):
            inside = np.flatnonzero(sectors == sector)
            point = self._points[inside[explained[inside].argmax()]]
            if all(_differ(point, other) for other in chosen):
                chosen.append(point)
        return chosen

    def _waves(self, point: Array) -> tuple[Array, Array, Array, Array, float, float]:
        """Even and odd wave under the envelope, with what the derivatives need: the envelope's u
        and v, and sine and cosine of theta.
        """
        theta, wavelength, cycles, along, row, column = point
        sine, cosine = math.sin(theta), math.cos(theta)
        x, y = self._x - column, self._y - row
        u, v = x * sine + y * cosine, x * cosine - y * sine
        envelope = np.exp(
            -0.5 * ((u * math.exp(-cycles - wavelength)) ** 2 + (v * math.exp(-along)) ** 2)
        )
        angle = u * (2 * math.pi * math.exp(-wavelength))
        return envelope * np.cos(angle), envelope * np.sin(angle), u, v, sine, cosine

    def _descend(self, start: Array, target: Array) -> tuple[float, Array, Array]:
        """From a point to the nearest minimum: (squared error, point, weights of the even and the
        odd wave).
        """
        even, odd, *_ = self._waves(start)
        weights = np.linalg.lstsq(np.stack([even, odd], 1), target, rcond=None)[0]

        def residual(z: Array) -> Array:
            even, odd, *_ = self._waves(self._bounded(z[2:]))
            return np.asarray(z[0] * even + z[1] * odd - target)

        first = np.concatenate([weights, self._free(start)])
        fit = least_squares(
            residual,
            first,
            self._jacobian,
            method="lm",
            max_nfev=_EVALUATIONS,
            ftol=1e-7,
            xtol=1e-7,
            gtol=1e-7,
        )
        return 2 * float(fit.cost), self._bounded(fit.x[2:]), fit.x[:2]

    def _bounded(self, free: Array) -> Array:
        """Any numbers -> a point within its bounds, as a sine between them; theta stays
        what it is.
        """
        point = free.copy()
        low, high = self._low[1:], self._high[1:]
        point[1:] = low + (high - low) * (0.5 + 0.5 * np.sin(free[1:]))
        return point

    def _free(self, point: Array) -> Array:
        free = point.copy()
        low, high = self._low[1:], self._high[1:]
        free[1:] = np.arcsin(np.clip(2 * (point[1:] - low) / (high - low) - 1, -0.999, 0.999))
        return free

    def _jacobian(self, z: Array) -> Array:
        """Derivatives (pixels, 8) of the residual."""
        point = self._bounded(z[2:])
        even, odd, u, v, sine, cosine = self._waves(point)
        # `turned` is the derivative by the angle
        wave, turned = z[0] * even + z[1] * odd, z[1] * even - z[0] * odd
        frequency = 2 * math.pi * math.exp(-point[1])
        tight, long = math.exp(-2 * (point[1] + point[2])), math.exp(-2 * point[3])
        by_u, by_v = turned * frequency - wave * u * tight, -wave * v * long
        columns = np.stack(
            [
                even,
                odd,
                by_u * v - by_v * u,
                wave * u**2 * tight - turned * frequency * u,
                wave * u**2 * tight,
                wave * v**2 * long,
                -by_u * cosine + by_v * sine,
                -by_u * sine - by_v * cosine,
            ],
            1,
        )
        columns[:, 3:] *= 0.5 * (self._high[1:] - self._low[1:]) * np.cos(z[3:])
        return columns


def _start_points(rows: int, columns: int) -> Array:
    """The points (n, 6) among which a start is looked for."""
    side = max(rows, columns)
    wavelengths = np.geomspace(2.2, max(2 * side, 5), 7)
    cycles = np.array([0.18, 0.3, 0.5, 1.0])
    centres = [np.linspace(0, extent - 1, 5)[1:4] for extent in (rows, columns)]
    axes = [
        np.arange(12) * math.pi / 12,
        np.log(wavelengths),
        np.log(cycles),
        np.log([1.0, 2.0]),
        *centres,
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 6)
    points[:, 3] += points[:, 1] + points[:, 2]  # along is one or two times across
    return np.asarray(points[points[:, 3] <= math.log(1.5 * side)])


def _differ(one: Array, other: Array) -> bool:
    """Whether two points are no neighbours in orientation or size."""
    turn = _turn(one[0], other[0])
    return bool(turn > _TURNED or abs(one[1] - other[1]) > 0.5 or abs(one[2] - other[2]) > 0.8)


def _turn(one: float, other: float) -> float:
    """The angle between two orientations."""
    return abs((one - other + math.pi / 2) % math.pi - math.pi / 2)


def _normalized(vectors: Array) -> Array:
    """Each row at length 1; a row of almost nothing becomes zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-6))


def _gabor(point: Array, even: float, odd: float, r_squared: float) -> Gabor:
    theta, wavelength, cycles, along, row, column = point
    orientation = round(math.degrees(theta) % 360, _DIGITS) % 360
    if orientation >= 180:  # half a turn points u the other way
        orientation, odd = orientation - 180, -odd
    return Gabor(
        orientation=orientation,
        wavelength=math.exp(wavelength),
        phase=(math.degrees(math.atan2(-odd, even)) + 180) % 360 - 180,
        across=math.exp(wavelength + cycles),
        along=math.exp(along),
        row=float(row),
        column=float(column),
        amplitude=math.hypot(even, odd),
        r_squared=r_squared,
    )
