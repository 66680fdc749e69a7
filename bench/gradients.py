"""How many image-gradients a verdict takes: the curve of accuracy over epsilon, and PGD-40."""

from importlib import import_module

import torch
from torch import Tensor

from bench.figure import Figure, Figures
from bench.peers import published
from bench.setting import MODEL, Setting
from interp.attack.base import attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.pgd import pgd
from interp.probe import solve

ROWS = 96
STEPS = 10
GRIDS = {
    "0.25 to 8": (0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8),
    "1 to 8": (1, 2, 3, 4, 5, 6, 7, 8),
}  # in levels of 255


def gradients(place: Setting) -> Figures:
    """An 8-point curve over 96 images against a PGD-10 for every point, and PGD-40 at 8/255 against
    foolbox's.
    """
    x, y = place.images[:ROWS], place.labels[:ROWS]
    figures = _pgd40(place, x, y)
    for name, levels in GRIDS.items():
        figures |= _curve(
            place,
            x,
            y,
            f"curve of 8 epsilons, {name}/255, {ROWS} images",
            [level / 255 for level in levels],
        )
    return figures


def _curve(place: Setting, x: Tensor, y: Tensor, about: str, epsilons: list[float]) -> Figures:
    """The naive curve takes PGD-10 at every epsilon from the clean image, keeps the best iterate
    and stops for none.
    """
    found = solve(epsilon_curve(x, y, epsilons, steps=STEPS), place.local)
    naive = []
    for epsilon in epsilons:
        method = pgd(steps=STEPS, random_start=False, stop_when_fooled=False)
        naive.append(
            int((~solve(attack(x, y, method, epsilon=epsilon), place.local).succeeded).sum())
        )
    ours, taken = found.withstood.tolist(), found.attacked.gradients
    above = max(a - b for a, b in zip(ours, naive, strict=True))
    return {
        f"{about}: image-gradients": Figure(
            taken, at_most=2200, note=f"naive {ROWS * STEPS * len(epsilons)}"
        ),
        f"{about}: most images above the naive curve": Figure(
            above, at_most=0, note=f"{ours} withstand, {naive} the naive attack"
        ),
    }


def _pgd40(place: Setting, x: Tensor, y: Tensor) -> Figures:
    found = solve(attack(x, y, pgd(random_start=False), epsilon=8 / 255), place.local)
    network, rows = published(place, MODEL), list[int]()
    network.register_forward_pre_hook(
        lambda _, args: rows.append(
            len(args[0]) if torch.is_grad_enabled() and args[0].requires_grad else 0
        )
    )
    library = import_module("foolbox")
    run = library.attacks.LinfPGD(rel_stepsize=2.5 / 40, steps=40, random_start=False)
    _, _, fooled = run(
        library.PyTorchModel(network, bounds=(0, 1), device="cpu"), x, y, epsilons=8 / 255
    )
    about = f"PGD-40 at 8/255, {ROWS} images"
    return {
        f"{about}: image-gradients over foolbox's": Figure(
            found.gradients / sum(rows), at_most=0.1, note=f"{found.gradients} of {sum(rows)}"
        ),
        f"{about}: images that withstand ours, less those that withstand foolbox's": Figure(
            float((~found.succeeded).sum() - (~fooled).sum()), at_most=0
        ),
    }
