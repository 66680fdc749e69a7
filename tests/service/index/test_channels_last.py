"""An index of layers whose channels are last, built end to end, against brute force over what the
layers give.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.exemplars import ORDERS
from interp.network.network import Network
from service.datasets import Dataset, Source
from service.imaging import decode, png
from service.index.store import IndexPlan, IndexStore, Subject
from tests.interp.network.toys_layouts import ChannelsLast
from tests.service.index.toys_index import Device

LAYERS, COUNT, K = ("norm", "up", "act", "last"), 90, 4
SHAPE = (3, 36, 48)  # maps of 9 x 12 positions


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(ChannelsLast(), SHAPE, (0.5,) * 3, (0.25,) * 3)


def raw_maps(network: Network, images: np.ndarray, layer: str) -> np.ndarray:
    """(N, units, 9, 12) float64, what the module gives, turned by hand where channels are last."""
    outputs: list[Tensor] = []
    handle = network.module.get_submodule(layer).register_forward_hook(
        lambda _, __, output: outputs.append(output)
    )
    with torch.no_grad():
        network.module((torch.from_numpy(images).float() / 255 - 0.5) / 0.25)
    handle.remove()
    found = outputs[-1].double().numpy()
    return found if layer == "last" else found.transpose(0, 3, 1, 2)


def test_exemplars_and_statistics_are_brute_force(
    tmp_path: Path, network: Network, images: np.ndarray
) -> None:
    data = Dataset("mine", "memory", Source(COUNT, lambda i: (str(i), png(images[i]), None)))
    subject = Subject.of("net", "d", data)
    shapes = {layer: network.output_shapes[layer] for layer in LAYERS}
    store = IndexStore(tmp_path)
    plan = IndexPlan(subject, shapes, K, shard_images=64)
    store.build(plan, data, _pixels, Device(network).submit, batch=16)
    for layer in LAYERS:
        x = raw_maps(network, images, layer)
        assert shapes[layer] == x.shape[1:]
        flat = x.reshape(*x.shape[:2], -1)
        means = flat.mean(2)
        ranked = {
            "max": flat.max(2),
            "min": -flat.min(2),
            "mean": means,
            "lowest_mean": -means,
            "magnitude": np.abs(flat).max(2),
            "mean_magnitude": np.abs(means),
        }
        for unit, told in enumerate(store.statistics(subject, layer)):
            assert (told.minimum, told.maximum, told.minimum_mean, told.maximum_mean) == (
                pytest.approx(
                    (flat[:, unit].min(), flat[:, unit].max(), *_ends(means[:, unit])), abs=1e-5
                )
            )
            assert (told.mean, told.variance) == pytest.approx(
                (flat[:, unit].mean(), flat[:, unit].var()), abs=1e-5
            )
            for order in ORDERS:
                hits = store.find(subject, layer, unit, K, order).hits
                values = ranked[order][:, unit]
                wanted = np.sort(values)[::-1][:K]
                assert values[[hit.id for hit in hits]] == pytest.approx(wanted, abs=1e-5)
                for hit in hits:
                    there = (
                        means[hit.id, unit]
                        if "mean" in order
                        else x[hit.id, unit, hit.row, hit.column]
                    )
                    assert hit.activation == pytest.approx(there, abs=1e-5)


def _pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(decode(encoded).convert("RGB")).transpose(2, 0, 1)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())
