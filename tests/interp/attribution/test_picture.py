"""Pictures of attributions: their signs, scale and mixing."""

import numpy as np

from interp.attribution.picture import heat_map, overlay


def test_signs_and_scale() -> None:
    values = np.zeros((2, 20, 20))
    values[:, 0, :10], values[0, 1, :10], values[1, 1, :10] = (
        0.5,
        -2,
        1,
    )  # sums 1 and -1: more than 1% of the pixels each
    values[0, 5, 5] = 1e6  # one extreme pixel of 400 must not pale the rest
    heat = heat_map(values, signed=True)
    assert np.array_equal(heat[:, 10, 10], [1, 1, 1])
    red, blue = heat[:, 0, 0], heat[:, 1, 0]
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    assert np.array_equal(heat[:, 5, 5], red)


def test_unsigned_is_dark_to_bright_by_the_largest_channel() -> None:
    values = np.zeros((3, 10, 10))
    values[1] = np.linspace(0, 1, 100).reshape(10, 10)
    lightness = heat_map(values, signed=False).sum(0).ravel()
    assert (np.diff(lightness[:95]) > 0).all()
    assert lightness[0] < 0.1
    assert lightness[-1] > 2
    assert heat_map(np.zeros((1, 4, 4)), signed=False).max() < 0.1
    assert heat_map(np.zeros((1, 4, 4)), signed=True).min() == 1


def test_a_few_shares_are_seen_too() -> None:
    values = np.zeros((1, 20, 20))
    values[0, 3, 3] = 5.0
    assert heat_map(values, signed=True)[0, 3, 3] > heat_map(values, signed=True)[2, 3, 3]


def test_overlay() -> None:
    image, heat = np.full((3, 2, 2), 0.2), np.random.default_rng(0).random((3, 2, 2))
    image[0] = 0.8
    assert np.array_equal(overlay(image, heat, 0), image)
    assert np.array_equal(overlay(image, heat, 1), heat)
    gray = 0.299 * 0.8 + 0.701 * 0.2
    assert np.allclose(overlay(image, heat, 0.25), 0.75 * gray + 0.25 * heat)
    assert overlay(image[:1], heat, 0.5).shape == (3, 2, 2)
