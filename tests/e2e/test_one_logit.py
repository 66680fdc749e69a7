"""A network of one output and two labels through a real server: whatever is asked of networks of
classes is asked of it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import striate
from tests.toys_server import start, stop

pytestmark = pytest.mark.slow  # a server of its own

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(24, 1), nn.Sigmoid())
"""
METHODS: tuple[Any, ...] = (
    *("saliency", "input-x-gradient", "integrated-gradients", "smooth-grad", "grad-cam"),
    *("guided-backprop", "guided-grad-cam", "deep-lift", "lrp", "occlusion"),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[striate.Service]:
    folder = tmp_path_factory.mktemp("one")
    (folder / "one_output.py").write_text(NETWORK)
    (folder / "striate.toml").write_text(
        '[models.one]\nfactory = "one_output:build"\nsize = 12\nmean = [0, 0, 0]\n'
        'std = [1, 1, 1]\nlabels = ["no", "yes"]\n'
    )
    flags = "--settings", str(folder / "striate.toml"), "--model", "one"
    process = start(folder, *flags, environment={"PYTHONPATH": str(folder)})
    try:
        with striate.connect(process.wait_until_it_serves(), timeout=120) as service:
            yield service
    finally:
        stop(process)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype=np.uint8)


def oracle() -> nn.Module:
    names: dict[str, nn.Module] = {}
    exec(NETWORK + "\nnet = build().eval()", names)  # noqa: S102 - the very network of the server
    return names["net"]


def test_classify_gives_the_sigmoid(service: striate.Service, images: NDArray[np.uint8]) -> None:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = oracle()(x).flatten()
    for predictions, p in zip(service.model("one").classify(images, k=2), expected, strict=True):
        found = {one.label: one.probability for one in predictions}
        assert found["yes"] == pytest.approx(p.item(), abs=1e-5)
        assert found["no"] == pytest.approx(1 - p.item(), abs=1e-5)


def test_everything_about_classes_works(
    service: striate.Service, images: NDArray[np.uint8]
) -> None:
    net = service.model("one")
    assert tuple(net.classes) == ("no", "yes")
    labels = [one[0].label for one in net.classify(images, k=1)]
    for attack in (striate.PGD(epsilon=0.9, steps=3), striate.AutoAttack(epsilon=0.9)):
        assert net.attack(images[:2], labels[:2], attack, seed=1).robust_accuracy is not None
    other = ["yes" if label == "no" else "no" for label in labels]
    found = net.attack(images, labels, striate.PGD(epsilon=0.5, steps=3), targets=other)
    assert found.targets is not None
    curve = net.epsilon_curve(images, labels, epsilons=[0.01, 0.9], steps=3)
    assert curve.attack.clean_accuracy == 1
    for method in METHODS:
        layer = "0" if "cam" in method else None
        yes = net.attribute(images[:1], method, target="yes", layer=layer)
        unit = net.attribute(images[:1], method, unit="logits:yes", layer=layer)
        np.testing.assert_allclose(yes.values, unit.values, atol=1e-6)
    assert net.visualize("logits:yes", steps=2).image.size


def test_an_audit_judges_it(service: striate.Service, images: NDArray[np.uint8]) -> None:
    labels = [one[0].index for one in service.model("one").classify(images, k=1)]
    report = service.audit(
        ["one"],
        service.upload(images, labels, classes=["no", "yes"]),
        threats={"linf": [1 / 255]},
        attacks=[striate.PGD(steps=2)],
    ).wait()
    (network,) = report.report["networks"]
    assert network["clean"]["successes"] == 8
