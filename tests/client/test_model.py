"""The handle's calls: what stays unset, and what is refused."""

from typing import Any

import numpy as np
import pytest

import striate
from striate.v1 import attack_pb2
from tests.client.fakes.fakes_server import (
    Fake,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


def test_unset_settings_stay_unset(fake: Fake, net: striate.Model) -> None:
    net.visualize("stem:1")
    net.filters()
    net.attack(IMAGES, None, striate.PGD())
    (visualize,), (filters,), (attack,) = (
        fake.requests(name) for name in ("Visualize", "RenderFilters", "Attack")
    )
    assert {field.name for field, _ in visualize.ListFields()} == {
        *("model", "objectives", "settings")
    }
    assert not visualize.settings.ListFields()
    assert {field.name for field, _ in filters.ListFields()} <= {"model", "scale"}
    assert not attack.method.pgd.HasField("step")
    assert attack.method.pgd.keep == attack_pb2.KEEP_UNSPECIFIED
    assert (list(attack.labels), list(attack.targets)) == ([], [])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda net: striate.FGSM(epsilon=-1), "epsilon"),
        (lambda net: striate.FGSM(epsilon=float("nan")), "epsilon"),
        (lambda net: striate.PGD(steps=0), "steps"),
        (lambda net: striate.PGD(step=-0.1), "step"),
        (lambda net: striate.PGD(norm="l7"), "norm"),  # type: ignore[arg-type]
        (lambda net: striate.PGD(keep="all"), "keep"),  # type: ignore[arg-type]
        (lambda net: net.attack(IMAGES, None, "pgdd"), "attack"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), format="gif"), "format"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), seed=-1), "seed"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), priority="now"), "priority"),
        (lambda net: net.visualize("stem:1", steps=0), "steps"),
        (lambda net: net.visualize("stem:1", learning_rate=0.0), "learning_rate"),
        (lambda net: net.visualize("stem:1", size=0), "size"),
        (lambda net: net.visualize([]), "objectives"),
        (lambda net: net.filters(scale="unit"), "scale"),
        (lambda net: net.filters(zoom=-1), "zoom"),
        (lambda net: net.classify(IMAGES, k=0), "k"),
        (lambda net: net.exemplars("stem:1", k=0, dataset="digits"), "k"),
    ],
)
def test_settings_out_of_range_are_refused(net: striate.Model, make: Any, field: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make(net)
    assert list(caught.value.fields) == [field]
