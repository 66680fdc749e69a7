"""The strongest units of a layer, and their heat maps, against brute force and colours computed in
another way.
"""

import numpy as np
import pytest

from interp.filters.activations import UnitOrder, draw_activations, rank_units, strongest_units
from interp.filters.heat_map import diverging_colours, heat_maps
from interp.probe import solve
from tests.interp.toys_networks import images, plain, raw, tricky

RNG = np.random.default_rng(5)


def by_hand(maps: np.ndarray, order: str) -> list[tuple[int, float, int, int]]:
    found = []
    for unit, plane in enumerate(maps):
        sought = abs(plane) if order == "magnitude" else plane
        places = [
            (-sought[r, c], r, c) for r in range(plane.shape[0]) for c in range(plane.shape[1])
        ]
        _, row, column = min(places)
        found.append((unit, float(plane.mean() if order == "mean" else sought.max()), row, column))
    return sorted(found, key=lambda one: (-one[1], one[0]))


@pytest.mark.parametrize("order", ["peak", "mean", "magnitude"])
def test_ranking_equals_brute_force(order: UnitOrder) -> None:
    maps = RNG.integers(-3, 4, (12, 3, 4)).astype(np.float32)  # many ties
    expected = by_hand(maps.astype(np.float64), order)
    found = rank_units(maps, 12, order)
    assert [(one.unit, one.row, one.column) for one in found] == [
        (unit, row, column) for unit, _, row, column in expected
    ]
    assert [one.value for one in found] == pytest.approx([value for _, value, _, _ in expected])
    assert rank_units(maps, 5, order) == found[:5]


def test_maps_are_those_of_the_network() -> None:
    network, x = tricky(), images(1)
    for layer in ("twice", "head", "logits"):
        expected = plain(raw(network), x)[layer][0].numpy()
        found = solve(strongest_units(x, layer, 3), network)
        assert found.maps == pytest.approx(expected, abs=1e-6)
        best = sorted(range(len(expected)), key=lambda unit: -expected[unit].max())[:3]
        assert [one.unit for one in found.units] == best
        assert np.array_equal(found.of_units, found.maps[best])
    assert (found.units[0].row, found.units[0].column) == (0, 0)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L* of sRGB levels, another measure of evenness than the one the colours are
    made by.
    """
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(
        np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    )


def test_colours_are_even_and_tell_the_sign() -> None:
    shares = np.linspace(-1, 1, 101)
    shown = diverging_colours(shares).astype(float)
    light = lightness(shown)
    positive, negative = light[50:], light[50::-1]
    for side in (positive, negative):
        steps = np.diff(side[4:])
        assert (steps > 0).all()
        assert steps.max() < 2.5 * steps.min()
    assert np.abs(positive - negative).max() < 8, "a gray print shows magnitudes"
    assert light[50] < 8 < 85 < light[0]
    assert (shown[60:90, 0] > shown[60:90, 2] + 25).all()  # warm: more red than blue
    assert (shown[10:40, 2] > shown[10:40, 0] + 25).all()  # cool
    assert np.array_equal(
        diverging_colours(np.array([-7.0, 7.0])), diverging_colours(np.array([-1.0, 1.0]))
    )


def test_each_map_has_its_own_range_and_zero_its_colour() -> None:
    maps = np.array([[[0.0, 2.0]], [[-100.0, 50.0]], [[0.0, 0.0]]], np.float32)
    picture = heat_maps(maps, 2, 2)
    zero, top, bottom, half = diverging_colours(np.array([0.0, 1.0, -1.0, 0.5]))
    assert picture.shape == (2 * 3 + 1, 2 * 5 + 1, 3)
    assert (picture[1:3, 1:3] == zero).all()
    assert (picture[1:3, 3:5] == top).all()
    assert (picture[1:3, 6:8] == bottom).all()
    assert (picture[1:3, 8:10] == half).all()
    assert (picture[4:6, 1:5] == zero).all()
    assert (picture[[0, 3, 6]] == 255).all()
    together = heat_maps(maps, 1, 3, together=True)
    assert (together[1, 2] == diverging_colours(np.array([0.02]))[0]).all()


def test_pictures_of_layers_of_every_size() -> None:
    assert draw_activations(np.ones((16, 7, 7), np.float32)).shape == (
        4 * 64 + 1,
        4 * 64 + 1,
        3,
    )  # 9 pixels a value
    assert draw_activations(np.ones((3, 200, 100), np.float32)).shape == (201 + 1, 3 * 101 + 1, 3)
    assert draw_activations(np.ones((100, 112, 112), np.float32)).shape[1] == 10 * 113 + 1
    row = draw_activations(np.array([1.0, -0.5], np.float32))
    assert row.shape == (18, 35, 3)
    assert (row[5, 5] == diverging_colours(np.array([1.0]))[0]).all()
    assert (row[5, 25] == diverging_colours(np.array([-0.5]))[0]).all()
