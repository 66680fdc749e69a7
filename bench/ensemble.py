"""AutoAttack beside the reference ensemble: robust accuracy and time, slice by slice, on the same
machine state.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.peers import published
from bench.setting import ROBUST, Setting
from bench.timing import timed
from interp.ascent import AscentResult
from interp.attack.autoattack import standard
from interp.attack.ball import Ball
from interp.attack.base import Method, attack
from interp.attack.goal import Goal
from interp.attack.search import Search, in_turn
from interp.network.network import Network
from interp.probe import Procedure, solve
from interp.seeds import Generators

EPSILON = 8 / 255
IMAGES, SLICE = 512, 64
STEPS, TARGETS, QUERIES = 10, 9, 5000  # of ours, as torchattacks ships its own
WITHIN = 1e-6  # of epsilon, what float32 makes of it


@dataclass
class Side:
    """What one ensemble has done so far: how long it took, which images withstood it, and how many
    each of its parts was given.
    """

    run: Callable[
        [Tensor, Tensor, int, Counter[str]], Tensor
    ]  # (images, labels, number of the first, parts) -> images
    seconds: float = 0.0
    processor: float = 0.0  # seconds, too, which other programs on the machine hardly change
    withstood: list[Tensor] = field(default_factory=list)  # (n,) bool, one a slice
    given: Counter[str] = field(default_factory=Counter)

    def take(self, judge: nn.Module, x: Tensor, y: Tensor, first: int) -> None:
        """Attack one more slice; `judge` says which images withstood, and an image outside ball or
        box counts as one.
        """
        before = time.process_time()
        spent, images = timed(lambda: self.run(x, y, first, self.given))
        self.processor += time.process_time() - before
        with torch.no_grad():
            right = judge(images).argmax(1) == y
        outside = ((images - x).abs() > EPSILON + WITHIN) | (images < 0) | (images > 1)
        self.seconds += spent
        self.withstood.append(right | outside.flatten(1).any(1))

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.processor:.0f} s of the processor"

    @property
    def robust(self) -> Tensor:
        """Of all images so far, which withstood, (B,) bool."""
        return torch.cat(self.withstood)

    @property
    def survivors(self) -> str:
        """How many images stood after each part."""
        names = list(self.given)
        left = [*(self.given[name] for name in names[1:]), int(self.robust.sum())]
        return ", ".join(f"{name} {count}" for name, count in zip(names, left, strict=True))


def ensemble(place: Setting) -> Figures:
    """The standard ensemble (APGD-CE, APGD-T, FAB-T, Square) at Linf 8/255 on `cifar10-robust`, in
    slices of 64 images by turns.

    torchattacks runs the network as it is published and with the settings that it is shipped with;
    ours runs it as we host it, with as many steps, target classes and queries. Square gives rows
    up, which the reference's does not.
    """
    rows = place.rows or IMAGES
    judge, network = published(place, ROBUST), place.hosted(ROBUST)
    sides = theirs, ours = Side(_reference(judge)), Side(_ours(network))
    clean = 0
    for low in range(0, rows, SLICE):
        x, y = (
            place.images[low : min(low + SLICE, rows)].contiguous(),
            place.labels[low : min(low + SLICE, rows)],
        )
        with torch.no_grad():
            clean += int((judge(x).argmax(1) == y).sum())
        for side in sides if low // SLICE % 2 else reversed(sides):
            side.take(judge, x, y, low)
        for name, side in (("ours", ours), ("the reference", theirs)):
            print(
                f"{low + len(x)} images, {name}: {int(side.robust.sum())} in {side} "
                f"({side.survivors})",
                flush=True,
            )
    return _figures(f"AutoAttack, Linf 8/255, {ROBUST}, {rows} images", clean, ours, theirs)


def _figures(about: str, clean: int, ours: Side, theirs: Side) -> Figures:
    their_robust, our_robust = int(theirs.robust.sum()), int(ours.robust.sum())
    settings = f"{STEPS} steps, {TARGETS} target classes, {QUERIES} queries with rows given up"
    return {
        f"{about}: right on clean images": Figure(clean),
        f"{about}: robust, by the reference ensemble": Figure(
            their_robust, note=f"standing after {theirs.survivors}"
        ),
        f"{about}: robust, by ours": Figure(
            our_robust,
            at_most=their_robust + 2,
            note=f"standing after {ours.survivors}; {settings}",
        ),
        f"{about}: fooled by ours alone": Figure(int((theirs.robust & ~ours.robust).sum())),
        f"{about}: fooled by the reference alone": Figure(
            int((ours.robust & ~theirs.robust).sum())
        ),
        f"{about}: our time over the reference's": Figure(
            ours.seconds / theirs.seconds, at_most=0.5, note=f"{ours}; {theirs}"
        ),
        f"{about}: our processor time over the reference's": Figure(
            ours.processor / theirs.processor, at_most=0.5
        ),
    }


def _reference(network: nn.Module) -> Callable[[Tensor, Tensor, int, Counter[str]], Tensor]:
    def run(x: Tensor, y: Tensor, first: int, given: Counter[str]) -> Tensor:
        library = import_module("torchattacks")
        reference = library.AutoAttack(
            network, norm="Linf", eps=EPSILON, version="standard", n_classes=10, seed=0
        )
        parts = reference._autoattack
        parts.attacks = [_counted(one, given) for one in parts.attacks]
        images: Tensor = reference(x, y)
        return images

    return run


def _counted(one: Any, given: Counter[str]) -> Callable[[Tensor, Tensor], Tensor]:
    def call(x: Tensor, y: Tensor) -> Tensor:
        given[type(one).__name__] += len(x)
        images: Tensor = one(x, y)
        return images

    return call


def _ours(network: Network) -> Callable[[Tensor, Tensor, int, Counter[str]], Tensor]:
    def run(x: Tensor, y: Tensor, first: int, given: Counter[str]) -> Tensor:
        parts = standard(math.inf, STEPS, TARGETS, QUERIES)
        search = in_turn([_noted(name, part, given) for name, part in parts.items()])
        return solve(attack(x, y, Method(search), epsilon=EPSILON, first_row=first), network).images

    return run


def _noted(name: str, part: Search, given: Counter[str]) -> Search:
    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        given[name] += len(ball.x)
        return (yield from part(ball, goal, rows))

    return search
