"""Measure an embedded network and write its model card: `python -m tools.model_card NETWORK` ->
service/models/weights/NETWORK.json.

The CIFAR networks are measured on the whole of `$STRIATE_DATA/cifar10/test.parquet`: without
attack, under PGD-40 (Linf, epsilon 8/255, step 2/255, random start), and under the two variations
that would betray masked gradients: the margin loss in place of cross-entropy, and twice the steps.
Half an hour for `cifar10-robust` on one core.
"""

import argparse
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from interp.attack.base import attack
from interp.attack.goal import MARGIN
from interp.attack.pgd import pgd
from interp.network.architectures import CifarTwin, LeNet5
from interp.network.network import Network
from interp.probe import solve
from tools.train_embedded import CIFAR_MEAN, CIFAR_STD, WEIGHTS, cifar, digits

BATCH = 500
EPSILON = 8 / 255
PGD40 = pgd(step=2 / 255, steps=40)
PGD40_MARGIN = pgd(step=2 / 255, steps=40, loss=MARGIN)
PGD80 = pgd(step=2 / 255, steps=80)

ABOUT: dict[str, dict[str, str]] = {
    "digits-lenet5": {
        "architecture": "LeNet-5 (LeCun et al. 1998), 1 x 32 x 32 input",
        "training_data": (
            "four fifths of scikit-learn's digits (every fifth is held out), upscaled to 32 "
            "px, shifted and turned"
        ),
        "training": "60 epochs of SGD, one cycle",
        "test_data": "the fifth that was held out",
    },
    "cifar10-plain": {
        "architecture": (
            "interp.network.architectures.CifarTwin, 7 x 7 first layer of 32 filters, "
            "3 x 32 x 32 input"
        ),
        "training_data": "CIFAR-10's 50,000 training images in a JPEG copy, cropped and flipped",
        "training": "30 epochs of SGD, one cycle to 0.2",
        "test_data": "CIFAR-10's 10,000 test images in a JPEG copy",
    },
    "cifar10-robust": {
        "architecture": (
            "interp.network.architectures.CifarTwin, 7 x 7 first layer of 32 filters, "
            "3 x 32 x 32 input"
        ),
        "training_data": "CIFAR-10's 50,000 training images in a JPEG copy, cropped and flipped",
        "training": "16 epochs of SGD, one cycle to 0.2, on N-FGSM examples (de Jorge et al. "
        "2022), noise 2 epsilon, step epsilon = 8/255; "
        "then 2 epochs, one cycle to 0.05, on examples that climb the margin in place of "
        "cross-entropy",
        "test_data": "CIFAR-10's 10,000 test images in a JPEG copy",
    },
}


def robust_accuracy(
    network: Network, images: Tensor, labels: Tensor, workers: int, **settings: Any
) -> float:
    """Share of images (N, 3, 32, 32) uint8 that an attack leaves right; `workers` batches are
    attacked at a time.
    """
    method = settings.pop("method")

    def left_right(first: int) -> int:
        x, y = images[first : first + BATCH].float() / 255, labels[first : first + BATCH]
        found = solve(attack(x, y, method, epsilon=EPSILON, first_row=first, **settings), network)
        return int((~found.succeeded).sum())

    right = 0
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done, count in enumerate(pool.map(left_right, range(0, len(images), BATCH)), start=1):
            right += count
            print(f"  {done * BATCH} images: {right / (done * BATCH):.2%}", flush=True)
    return right / len(images)


def measure(name: str, weights: Path, workers: int) -> dict[str, float]:
    """The figures of a network."""
    if name == "digits-lenet5":
        network = Network(LeNet5(), (1, 32, 32), (0.5,), (0.5,))
        _, _, images, labels = digits()
    else:
        network = Network(CifarTwin(), (3, 32, 32), CIFAR_MEAN, CIFAR_STD)
        images, labels = cifar("test")
    network.module.load_state_dict(load_file(weights))
    batches = zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True)
    right = sum(int((network.logits(x.float() / 255).argmax(1) == y).sum()) for x, y in batches)
    figures = {"images": len(images), "clean_accuracy": right / len(images)}
    if name != "digits-lenet5":
        figures["pgd40_accuracy"] = robust_accuracy(network, images, labels, workers, method=PGD40)
        figures["pgd40_margin_loss_accuracy"] = robust_accuracy(
            network, images, labels, workers, method=PGD40_MARGIN
        )
        figures["pgd80_accuracy"] = robust_accuracy(network, images, labels, workers, method=PGD80)
    return figures


def main() -> None:
    """Measure one network, print the figures, write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=list(ABOUT))
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="folder of the weights and the card"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="batches attacked at a time, one thread each",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.weights / f"{args.network}.safetensors"
    figures = measure(args.network, path, args.workers)
    card = {
        "name": args.network,
        **ABOUT[args.network],
        "trained_by": f"python -m tools.train_embedded {args.network}",
        "measured_by": f"python -m tools.model_card {args.network}",
        "attack": "PGD, Linf, epsilon 8/255, step 2/255, random start"
        if "pgd40_accuracy" in figures
        else "none",
        "figures": {key: round(value, 4) for key, value in figures.items()},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "licence": "Apache-2.0",
    }
    (args.weights / f"{args.network}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["figures"], indent=2))


if __name__ == "__main__":
    main()
