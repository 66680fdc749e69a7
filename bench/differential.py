"""The same attack by the peers and by us, on the same bits: equal images, equal verdicts. And what
is known without any peer.
"""

import math

import torch
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.peers import LINF, hand_loop_l2, hosted
from bench.setting import MODEL, Setting
from interp.attack.apgd import apgd
from interp.attack.base import Method, attack
from interp.attack.pgd import fgsm, pgd
from interp.network.network import Network
from interp.probe import solve

ROWS, STEPS = 128, 10
RADII = {"8/255": 8 / 255, "1/255": 1 / 255}


def differential(place: Setting) -> Figures:
    """Linf PGD on 128 images beside every peer, L2 beside a loop in float64, a linear network's
    best attack, and the accuracy.
    """
    right = (
        torch.cat([place.local.logits(part).argmax(1) for part in torch.split(place.images, 256)])
        == place.labels
    )
    trained = len(right) == 846
    return {
        f"{MODEL} on {len(right)} lossless images: top-1 in %": Figure(
            100 * float(right.float().mean()),
            91.725 if trained else None,
            91.735 if trained else None,
        ),
        **_linf(place),
        **_l2(place),
        **_linear(),
    }


def _plain(epsilon: float) -> Method:
    return pgd(epsilon / 4, STEPS, random_start=False, keep_best=False, stop_when_fooled=False)


def _linf(place: Setting) -> Figures:
    x, y, figures = place.images[:ROWS], place.labels[:ROWS], Figures()
    same = hosted(place, place.local, MODEL).eval()
    what = (
        "on the copy that we answer with, batch norm folded"
        if same.module is not place.local.module
        else "on the module that we host"
    )
    for name, epsilon in RADII.items():
        ours = solve(attack(x, y, _plain(epsilon), epsilon=epsilon), place.local)
        for peer, run in LINF.items():
            theirs = run(same, x, y, epsilon, epsilon / 4, STEPS)
            fooled = place.local.logits(theirs).argmax(1) != y
            about = f"Linf {name} PGD-{STEPS} beside {peer}, {ROWS} images"
            figures[f"{about}: largest difference of a pixel"] = Figure(
                _apart(ours.images, theirs), at_most=1e-6, note=what
            )
            figures[f"{about}: other verdicts"] = Figure(
                float((fooled != ours.succeeded).sum()), at_most=0, note=what
            )
    return figures


def _l2(place: Setting) -> Figures:
    x, y = place.images[:ROWS].double(), place.labels[:ROWS]
    exact = place.hosted(MODEL, torch.float64)
    ours = solve(attack(x, y, _plain(0.5), epsilon=0.5, p=2), exact)
    theirs = hand_loop_l2(hosted(place, exact, MODEL), x, y, 0.5, 0.125, STEPS)
    fooled = exact.logits(theirs).argmax(1) != y
    return {
        f"L2 0.5 PGD-{STEPS} beside a loop in float64, {ROWS} images: largest difference": Figure(
            _apart(ours.images, theirs), at_most=1e-9
        ),
        f"L2 0.5 PGD-{STEPS} beside a loop in float64, {ROWS} images: other verdicts": Figure(
            float((fooled != ours.succeeded).sum()), at_most=0
        ),
    }


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _linear(rows: int = 16, size: int = 6, epsilon: float = 0.01) -> Figures:
    """A linear network of two classes gains epsilon times the dual norm of its weights, exactly,
    where no pixel is at its bound.
    """
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(3 * size * size, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
        layer.bias.copy_(
            torch.tensor([8.0, 0.0])
        )  # no row is fooled, and leaves, before it is at the end
    network = Network(
        nn.Sequential(nn.Flatten(), layer),
        (3, size, size),
        [0.0] * 3,
        [1.0] * 3,
        dtype=torch.float64,
    )
    x = 0.4 + 0.2 * torch.rand(rows, 3, size, size, generator=generator, dtype=torch.float64)
    y = torch.zeros(rows, dtype=torch.long)
    slope = (layer.weight[1] - layer.weight[0]).detach()
    figures = Figures()
    for name, p, dual in (("Linf", math.inf, 1), ("L2", 2, 2), ("L1", 1, math.inf)):
        best = epsilon * float(slope.norm(dual))
        methods = {"FGSM": fgsm(), "PGD-10": _plain(epsilon)}
        if p == 1:  # the best is one pixel alone, and the steps of L1 spread over several
            methods = {"APGD-200": apgd(200)}
        for method, run in methods.items():
            found = solve(attack(x, y, run, epsilon=epsilon, p=p), network)
            gain = (_gap(network, found.images) - _gap(network, x)).abs()
            error = float((gain / best - 1).abs().max())
            about = f"linear network, {method} in {name}: gain beside epsilon ||w||, relative error"
            figures[about] = Figure(error, at_most=1e-6)
    return figures


def _gap(network: Network, x: Tensor) -> Tensor:
    logits = network.logits(x)
    return logits[:, 1] - logits[:, 0]
