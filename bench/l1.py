"""L1 attacks against exact values, on linear networks, and against foolbox's sparse L1 descent."""

import math
from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.peers import hosted
from bench.setting import MODEL, ROBUST, Setting
from interp.attack.apgd import apgd
from interp.attack.base import Method, attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.fab import fab
from interp.attack.pgd import pgd
from interp.network.network import Network
from interp.probe import solve

STEPS, ROWS = 40, 120
MARGIN = 8.0  # of a logit: the most that an image of a linear case is away from another class
LINEAR = (  # shape, classes, how the weights lie, where pixels lie
    ((1, 8, 8), 2, "dense", "anywhere"),
    ((3, 8, 8), 10, "dense", "anywhere"),
    ((3, 32, 32), 2, "dense", "anywhere"),
    ((3, 32, 32), 2, "sparse", "anywhere"),
    ((3, 16, 16), 2, "dense", "edges"),
    ((3, 32, 32), 10, "dense", "edges"),
)
LINEAR_ROWS = 20
METHODS: dict[str, Callable[[], Method]] = {
    "PGD-40 from the image": lambda: pgd(steps=STEPS, random_start=False),
    "PGD-40 from a random point": lambda: pgd(steps=STEPS),
    "APGD-40": lambda: apgd(steps=STEPS),
    "FAB-40": lambda: fab(steps=STEPS),
}
REAL = ((MODEL, (2.0, 4.0)), (ROBUST, (6.0, 12.0)))  # with epsilons that fool half and most


def l1(place: Setting) -> Figures:
    """The curve's minimal epsilons over the exact ones of linear networks, who is fooled at 1.1 of
    those, and how many images each attack fools on trained networks, beside foolbox.
    """
    figures = Figures()
    for shape, classes, weights, pixels in LINEAR:
        figures |= _linear(shape, classes, weights, pixels)
    for name, epsilons in REAL:
        for epsilon in epsilons:
            figures |= _trained(place, name, epsilon)
    return figures


def _linear(shape: tuple[int, int, int], classes: int, weights: str, pixels: str) -> Figures:
    network, x, labels, exact = linear_case(shape, classes, weights, pixels)
    about = f"{classes} classes, {'x'.join(map(str, shape))}, {weights} weights, pixels {pixels}"
    most = float(exact.max())
    curve = solve(
        epsilon_curve(x, labels, [most * k / 7 for k in range(1, 11)], 1.0, steps=10, bisections=8),
        network,
    )
    ratio = curve.minimal / exact
    figures = {
        f"L1, {about}: curve's epsilon over the exact, median": Figure(
            float(ratio.median()), at_most=1.02, note=f"at most {float(ratio.max()):.4f}"
        )
    }
    for name, method in METHODS.items():
        found = solve(attack(x, labels, method(), epsilon=1.1 * exact, p=1.0), network)
        figures[f"L1, {about}: fooled by {name} at 1.1 of exact, of {LINEAR_ROWS}"] = Figure(
            int(found.succeeded.sum()),
            # of more classes, the way to the likeliest is not always the shortest
            at_least=LINEAR_ROWS if "PGD-40 from" in name and classes == 2 else None,
        )
    return figures


def linear_case(
    shape: tuple[int, int, int], classes: int, weights: str, pixels: str
) -> tuple[Network, Tensor, Tensor, Tensor]:
    """A linear network, images of its first class, their labels, and their exact L1 distances from
    the others within the box, float64.
    """
    rng, n = torch.Generator().manual_seed(classes + math.prod(shape)), math.prod(shape)
    w = torch.randn(classes, n, generator=rng, dtype=torch.float64)
    if weights == "sparse":
        w = w * (torch.rand(classes, n, generator=rng) < 0.05)
    x = torch.rand(LINEAR_ROWS, n, generator=rng, dtype=torch.float64)
    if pixels == "edges":
        x = torch.where(torch.rand(x.shape, generator=rng) < 0.5, 0.05 * x, 1 - 0.05 * x)
    lead = (x @ (w[1:] - w[0]).T).amax(1)
    w = w * MARGIN / (lead.max() - lead.min())
    logits = x @ w.T
    bias = torch.zeros(classes, dtype=torch.float64)
    bias[0] = (logits[:, 1:] - logits[:, :1]).max() + MARGIN / 20
    exact = [
        min(least_l1(row, w[c] - w[0], float(own[0] + bias[0] - own[c])) for c in range(1, classes))
        for row, own in zip(x, logits, strict=True)
    ]
    layer = nn.Linear(n, classes, dtype=torch.float64)
    layer.load_state_dict({"weight": w, "bias": bias})
    network = Network(
        nn.Sequential(nn.Flatten(), layer),
        shape,
        (0.0,) * shape[0],
        (1.0,) * shape[0],
        dtype=torch.float64,
    )
    labels = torch.zeros(len(x), dtype=torch.int64)
    return network, x.view(-1, *shape), labels, x.new_tensor(exact)


def least_l1(x: Tensor, w: Tensor, rise: float) -> float:
    """The least L1 norm that raises w . x by so much in the box: a fractional knapsack, infinite
    where it has no such filling.
    """
    size, room = w.abs(), torch.where(w > 0, 1 - x, x)
    order = size.argsort(descending=True)
    spent = 0.0
    for price, space in zip(size[order].tolist(), room[order].tolist(), strict=True):
        if price * space >= rise:
            return spent + rise / price if price else math.inf
        spent, rise = spent + space, rise - price * space
    return math.inf


def _trained(place: Setting, name: str, epsilon: float) -> Figures:
    network = place.hosted(name)
    right = network.logits(place.images).argmax(1) == place.labels
    x, labels = place.images[right][:ROWS], place.labels[right][:ROWS]
    theirs = int(sparse_l1_descent(hosted(place, network, name), x, labels, epsilon).sum())
    figures = {
        f"L1, {name} at {epsilon:g}, of {len(x)}: fooled by foolbox's sparse descent": Figure(
            theirs
        )
    }
    for method, make in METHODS.items():
        found = solve(attack(x, labels, make(), epsilon=epsilon, p=1.0), network)
        figures[f"L1, {name} at {epsilon:g}, of {len(x)}: fooled by {method}"] = Figure(
            int(found.succeeded.sum()), at_least=theirs if "PGD-40 from" in method else None
        )
    return figures


def sparse_l1_descent(network: nn.Module, x: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """foolbox.attacks.SparseL1DescentAttack (Tramer & Boneh 2019) of as many steps as long as
    ours.

    Returns:
        (B,) bool, which images it fools.
    """
    library = import_module("foolbox")
    model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
    descent = library.attacks.SparseL1DescentAttack(rel_stepsize=2.5 / STEPS, steps=STEPS)
    _, _, fooled = descent(model, x, labels, epsilons=epsilon)
    return fooled  # type: ignore[no-any-return]
