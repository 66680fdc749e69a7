"""The embedded networks are what their model cards say: the files by their digest, the figures
measured again (on a part, for CIFAR).
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from interp.attack.base import attack
from interp.network.architectures import CifarTwin, LeNet5
from interp.network.network import Network
from interp.probe import solve
from service.models.architectures import architecture
from tools.model_card import EPSILON, PGD40
from tools.train_embedded import CIFAR_MEAN, CIFAR_STD, WEIGHTS, cifar, digits

TWINS = ("cifar10-plain", "cifar10-robust")
MEASURED = 1000  # test images, of which the first 100 are attacked


def card(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((WEIGHTS / f"{name}.json").read_text())
    return loaded


def twin(name: str) -> Network:
    module = CifarTwin()
    module.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return Network(module, (3, 32, 32), CIFAR_MEAN, CIFAR_STD)


@pytest.mark.parametrize("name", ["digits-lenet5", *TWINS])
def test_weights_are_those_that_were_measured(name: str) -> None:
    assert (
        hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest()
        == card(name)["sha256"]
    )


def test_all_weights_fit_into_4_mb() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) <= 4_000_000


def test_cards_keep_what_was_promised() -> None:
    assert card("digits-lenet5")["figures"]["clean_accuracy"] >= 0.98
    plain, robust = (card(name)["figures"] for name in TWINS)
    assert plain["clean_accuracy"] >= 0.85
    assert plain["pgd40_accuracy"] < 0.01
    assert robust["clean_accuracy"] >= 0.60
    assert robust["pgd40_accuracy"] >= 0.30
    for variation in ("pgd40_margin_loss_accuracy", "pgd80_accuracy"):
        assert abs(robust[variation] - robust["pgd40_accuracy"]) < 0.02


def test_digits_are_recognized() -> None:
    module = LeNet5()
    module.load_state_dict(load_file(WEIGHTS / "digits-lenet5.safetensors"))
    _, _, images, labels = digits()
    right = (
        Network(module, (1, 32, 32), (0.5,), (0.5,)).logits(images.float() / 255).argmax(1)
        == labels
    )
    assert (
        round(right.double().mean().item(), 4) == card("digits-lenet5")["figures"]["clean_accuracy"]
    )


@pytest.fixture(scope="module")
def test_images(data_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    os.environ["STRIATE_DATA"] = str(data_dir)
    images, labels = cifar("test")
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:MEASURED]
    return images[chosen].float() / 255, labels[chosen]


@pytest.mark.parametrize("name", TWINS)
def test_twins_hold_their_figures_on_a_part(
    name: str, test_images: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = test_images
    figures, network = card(name)["figures"], twin(name)
    clean = (network.logits(images).argmax(1) == labels).double().mean().item()
    assert abs(clean - figures["clean_accuracy"]) < 0.045  # four standard errors of 1000 images
    found = solve(attack(images[:100], labels[:100], PGD40, epsilon=EPSILON), network)
    robust = 1 - found.succeeded.double().mean().item()
    assert abs(robust - figures["pgd40_accuracy"]) < 0.2  # four of 100


def test_hosted_preprocessing_is_that_of_the_training() -> None:
    for name in TWINS:
        known = architecture(name)
        assert known is not None
        seen = known.published.preprocessing
        assert (seen.mean, seen.std) == (CIFAR_MEAN, CIFAR_STD)
