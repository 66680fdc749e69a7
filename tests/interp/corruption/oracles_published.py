"""The corruptions as Hendrycks & Dietterich 2019 define them, image by image, in NumPy, SciPy and
Pillow.

Each takes an image (C, H, W) in [0, 1], the generator of its row and the parameters, and draws from
it in the stated order: uniform and normal numbers in float32.
"""

import colorsys
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float64]
Rng = np.random.Generator


def uniform(g: Rng, shape: tuple[int, ...] = ()) -> Array:
    return np.asarray(g.random(shape, dtype=np.float32), dtype=np.float64) * 2 - 1


def normal(g: Rng, shape: tuple[int, ...]) -> Array:
    return g.standard_normal(shape, dtype=np.float32).astype(np.float64)


def gaussian_noise(x: Array, g: Rng, c: float) -> Array:
    return x + c * normal(g, x.shape)


def shot_noise(x: Array, g: Rng, c: float) -> Array:
    return g.poisson(x * c) / c


def impulse_noise(x: Array, g: Rng, c: float) -> Array:
    hit, salt = (uniform(g, x.shape) + 1) / 2 < c, uniform(g, x.shape) >= 0
    out = x.copy()
    out[hit & salt] = 1
    out[hit & ~salt] = 0
    return out


def brightness(x: Array, g: Rng, c: float) -> Array:
    out = np.empty_like(x)
    for r, column in np.ndindex(x.shape[1:]):
        red, green, blue = x[:, r, column] if len(x) == 3 else x[[0, 0, 0], r, column]
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        out[:, r, column] = colorsys.hsv_to_rgb(hue, saturation, min(value + c, 1))[: len(x)]
    return out


def contrast(x: Array, g: Rng, c: float) -> Array:
    means = x.mean(axis=(1, 2), keepdims=True)
    return (x - means) * c + means  # type: ignore[no-any-return]


def pixelate(x: Array, g: Rng, c: float) -> Array:
    height, width = x.shape[1:]
    planes = []
    for plane in x:
        image = Image.fromarray(plane.astype(np.float32))  # mode F: Pillow rounds nothing
        small = image.resize((int(width * c), int(height * c)), Image.Resampling.BOX)
        planes.append(
            np.asarray(small.resize((width, height), Image.Resampling.BOX), dtype=np.float64)
        )
    return np.stack(planes)


def jpeg_compression(x: Array, g: Rng, c: float) -> Array:
    levels = np.rint(x * 255).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(levels) if len(x) == 3 else Image.fromarray(levels[:, :, 0], mode="L")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(c))
    decoded = np.asarray(Image.open(io.BytesIO(file.getvalue()))).astype(np.float64) / 255
    return decoded.reshape(*x.shape[1:], len(x)).transpose(2, 0, 1)


def disk(radius: float, alias: float) -> Array:
    reach, taps = (8, 3) if radius <= 8 else (math.ceil(radius), 5)
    side = range(-reach, reach + 1)
    aliased = np.array([[float(a * a + b * b <= radius * radius) for a in side] for b in side])
    aliased /= aliased.sum()
    weights = np.array([math.exp(-((i - taps // 2) ** 2) / (2 * alias**2)) for i in range(taps)])
    weights /= weights.sum()
    return ndimage.correlate1d(
        ndimage.correlate1d(aliased, weights, 0, mode="mirror"), weights, 1, mode="mirror"
    )


def defocus_blur(x: Array, g: Rng, radius: float, alias: float) -> Array:
    return np.stack([ndimage.correlate(plane, disk(radius, alias), mode="mirror") for plane in x])


def _blurred(x: Array, sigma: float) -> Array:
    return np.stack(
        [ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=4) for plane in x]
    )


def glass_blur(x: Array, g: Rng, sigma: float, reach: float, iterations: float) -> Array:
    reach, iterations = round(reach), round(iterations)
    out = _blurred(x, sigma)
    height, width = x.shape[1:]
    moves = g.integers(-reach, reach, (iterations, (height - 2 * reach) * (width - 2 * reach), 2))
    for iteration in range(iterations):
        move = iter(moves[iteration])
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                right, down = next(move)
                out[:, h, w] = out[:, h + down, w + right]
    return _blurred(out, sigma)


def smear(x: Array, degrees: float, radius: float, sigma: float) -> Array:
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * math.ceil(radius) + 1)]
    height, width = x.shape[1:]
    out = np.zeros_like(x)
    for i, weight in enumerate(weights):
        down, right = (
            math.ceil(i * turn(math.radians(degrees)) - 0.5) for turn in (math.sin, math.cos)
        )
        lines = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        out += weight / sum(weights) * x[:, lines][:, :, columns]
    return out


def motion_blur(x: Array, g: Rng, radius: float, sigma: float) -> Array:
    return smear(x, 45 * float(uniform(g)), radius, sigma)


def clipped_zoom(plane: Array, factor: float) -> Array:
    taken = [math.ceil(n / factor) for n in plane.shape]
    top, left = ((n - m) // 2 for n, m in zip(plane.shape, taken, strict=True))
    large = ndimage.zoom(plane[top : top + taken[0], left : left + taken[1]], factor, order=1)
    top, left = ((m - n) // 2 for n, m in zip(plane.shape, large.shape, strict=True))
    return large[top : top + plane.shape[0], left : left + plane.shape[1]]


def zoom_blur(x: Array, g: Rng, end: float, step: float) -> Array:
    factors = np.arange(1, end, step)
    return np.stack(
        [(plane + sum(clipped_zoom(plane, f) for f in factors)) / (len(factors) + 1) for plane in x]
    )


def snow(
    x: Array,
    g: Rng,
    mean: float,
    deviation: float,
    size: float,
    threshold: float,
    radius: float,
    sigma: float,
    keep: float,
) -> Array:
    layer = clipped_zoom(mean + deviation * normal(g, x.shape[1:]), size)
    layer[layer < threshold] = 0
    layer = smear(np.clip(layer, 0, 1)[None], -90 + 45 * float(uniform(g)), radius, sigma)[0]
    gray = np.tensordot([0.299, 0.587, 0.114], x, 1) if len(x) == 3 else x[0]
    x = keep * x + (1 - keep) * np.maximum(x, gray * 1.5 + 0.5)
    return x + layer + np.rot90(layer, k=2)  # type: ignore[no-any-return]


def plasma(g: Rng, side: int, decay: float) -> Array:
    """Point by point; at each level first the middles of the squares, then those of their upper,
    then of their left edges.
    """
    height = np.zeros((side, side))
    step, rough = side, 100.0
    while step >= 2:
        half, count = step // 2, side // step
        for down, right in ((half, half), (0, half), (half, 0)):
            wobble = rough * rough * uniform(g, (count, count))
            reach = [(-half, -half), (-half, half), (half, -half), (half, half)]
            if (down, right) != (half, half):
                reach = [(-half, 0), (half, 0), (0, -half), (0, half)]
            for r, c in np.ndindex(count, count):
                row, column = r * step + down, c * step + right
                around = [height[(row + a) % side, (column + b) % side] for a, b in reach]
                height[row, column] = sum(around) / 4 + wobble[r, c]
        step, rough = half, rough / decay
    height -= height.min()
    return height / height.max()  # type: ignore[no-any-return]


def fog(x: Array, g: Rng, amount: float, decay: float) -> Array:
    brightest = x.max()
    cloud = plasma(g, 256, decay)[: x.shape[1], : x.shape[2]]
    return (x + amount * cloud) * brightest / (brightest + amount)  # type: ignore[no-any-return]


def elastic_transform(x: Array, g: Rng, strength: float, smoothness: float, skew: float) -> Array:
    height, width = x.shape[1:]
    side, third = min(height, width), min(height, width) // 3
    middle = np.array([width // 2, height // 2])
    points = np.array(
        [middle + third, [middle[0] + third, middle[1] - third], middle - third], dtype=np.float64
    )
    moved = points + skew * side * uniform(g, (3, 2))
    forth = np.linalg.solve(np.c_[points, np.ones(3)], moved).T  # (2, 3)
    back = np.linalg.inv(np.vstack([forth, [0, 0, 1]]))
    lines, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    left, top, _ = np.tensordot(back, np.stack([columns, lines, np.ones_like(lines)]), 1)
    skewed = [ndimage.map_coordinates(plane, [top, left], order=1, mode="mirror") for plane in x]
    right, down = (
        strength
        * side
        * ndimage.gaussian_filter(
            uniform(g, (height, width)), smoothness * side, mode="reflect", truncate=3
        )
        for _ in range(2)
    )
    return np.stack(
        [
            ndimage.map_coordinates(plane, [lines + down, columns + right], order=1, mode="reflect")
            for plane in skewed
        ]
    )
