"""Square beside the peers' own: images fooled with the same queries, in every norm."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.peers import Wired, published
from bench.setting import MODEL, ROBUST, Setting
from interp.attack.base import attack
from interp.attack.square import square
from interp.network.network import Network
from interp.probe import solve
from service.datasets.embedded import digits, held_out_digits

DIGITS = "digits-lenet5"
IMAGES, QUERIES, SEEDS = 120, 1000, 2
NORMS = {"Linf": math.inf, "L2": 2.0, "L1": 1.0}
RADII = {  # at which some images are left by every side, and some by none
    DIGITS: {"Linf": 0.12, "L2": 2.0, "L1": 20.0},
    ROBUST: {"Linf": 8 / 255, "L2": 1.0, "L1": 25.0},
    MODEL: {"Linf": 3 / 255, "L2": 0.4, "L1": 6.0},
}
WITHIN = 1e-5  # of epsilon, what float32 makes of it
BEHIND = 2  # images


@dataclass(frozen=True)
class Task:
    """What every side is given: images that the network gets right, and a ball."""

    judge: Wired
    x: Tensor
    y: Tensor
    norm: str
    epsilon: float

    def fooled(self, side: "Side") -> float:
        """How many images a side fools, the mean over seeds; one outside ball or box does not."""
        counts = []
        for seed in range(SEEDS):
            images = side(self, seed)
            size = torch.linalg.vector_norm((images - self.x).flatten(1), NORMS[self.norm], dim=1)
            outside = (images.clamp(0, 1) - images).abs().flatten(1).amax(1)
            inside = (size <= self.epsilon * (1 + WITHIN)) & (outside <= WITHIN)
            with torch.no_grad():
                wrong = self.judge(images).argmax(1) != self.y
            counts.append(int((wrong & inside).sum()))
        return sum(counts) / SEEDS


Side = Callable[[Task, int], Tensor]  # (task, seed) -> images


def square_queries(place: Setting) -> Figures:
    """Of 120 images that the network gets right, those that 1,000 queries fool, the mean over
    seeds, beside torchattacks and ART, which have Linf and L2.

    The authors' own program, which has L1 too, takes part where its package `autoattack` can be
    imported; PyPI does not have it.
    """
    figures: Figures = {}
    for name, radii in RADII.items():
        judge, ours = published(place, name), partial(_ours, place.hosted(name))
        x, y = _right(judge, *_pictures(place, name), place.rows or IMAGES)
        for norm, epsilon in radii.items():
            task = Task(judge, x, y, norm, epsilon)
            theirs = {peer: task.fooled(side) for peer, side in _peers(norm).items()}
            about = f"Square, {name}, {norm} {epsilon:.3g}, {QUERIES} queries, of {len(x)}"
            figures[f"{about}: fooled"] = Figure(
                task.fooled(ours), at_least=max(theirs.values()) - BEHIND if theirs else None
            )
            figures |= {
                f"{about}: fooled by {peer}": Figure(count) for peer, count in theirs.items()
            }
    return figures


def _pictures(place: Setting, name: str) -> tuple[Tensor, Tensor]:
    if name != DIGITS:
        return place.images, place.labels
    images, labels = digits()
    held_out = torch.from_numpy(held_out_digits(len(images)))
    return images[held_out].float() / 255, labels[held_out]


def _right(judge: nn.Module, x: Tensor, y: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        (right,) = (judge(x).argmax(1) == y).nonzero(as_tuple=True)
    return x[right[:rows]].contiguous(), y[right[:rows]]


def _ours(network: Network, task: Task, seed: int) -> Tensor:
    p = NORMS[task.norm]
    found = attack(task.x, task.y, square(QUERIES), epsilon=task.epsilon, p=p, seed=seed)
    return solve(found, network).images


def _peers(norm: str) -> dict[str, Side]:
    """Those that have the norm and can be imported."""
    known: dict[str, Side] = {}
    if norm != "L1":
        known |= {"torchattacks": _torchattacks, "ART": _art}
    if find_spec("autoattack"):
        known["the authors' program"] = _authors
    return known


def _torchattacks(task: Task, seed: int) -> Tensor:
    """torchattacks.Square."""
    peer = import_module("torchattacks").Square(
        task.judge, norm=task.norm, eps=task.epsilon, n_queries=QUERIES, seed=seed
    )
    images: Tensor = peer(task.x, task.y)
    return images


def _art(task: Task, seed: int) -> Tensor:
    """ART's SquareAttack, which draws from the global generators."""
    random.seed(seed)
    np.random.seed(seed)
    classifier = import_module("art.estimators.classification").PyTorchClassifier(
        task.judge,
        nn.CrossEntropyLoss(),
        tuple(task.x.shape[1:]),
        task.judge(task.x[:1]).shape[1],
        clip_values=(0, 1),
        device_type="cpu",
    )
    peer = import_module("art.attacks.evasion").SquareAttack(
        classifier,
        norm=NORMS[task.norm],
        max_iter=QUERIES,
        eps=task.epsilon,
        batch_size=len(task.x),
        verbose=False,
    )
    return torch.from_numpy(peer.generate(task.x.numpy(), task.y.numpy()))


def _authors(task: Task, seed: int) -> Tensor:
    """The authors' SquareAttack, as their AutoAttack has it."""
    peer = import_module("autoattack.square").SquareAttack(
        task.judge, norm=task.norm, n_queries=QUERIES, eps=task.epsilon, seed=seed, device="cpu"
    )
    images: Tensor = peer.perturb(task.x, task.y)
    return images
