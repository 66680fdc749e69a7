"""PGD against the peers' and against a bare loop: rows per second, turn by turn."""

from collections.abc import Callable
from functools import partial

from bench.figure import Figure, Figures
from bench.peers import LINF, published
from bench.setting import MODEL, ROBUST, Setting
from bench.timing import interleaved, ratio
from interp.attack.base import attack
from interp.attack.losses import cross_entropy
from interp.attack.pgd import pgd
from interp.probe import Probe, solve

STEPS, EPSILON = 10, 1 / 255
WHOLE = {
    "hand loop": 1.3,
    "torchattacks": 1.3,
    "foolbox": 2.0,
    "ART": 2.0,
}  # bars without early exit
EARLY = 3.0  # with it


def speed(place: Setting, rows: int = 128, repeats: int = 5) -> Figures:
    """PGD-10 at 1/255 on 128 images, for each peer as many times as long as ours; peers run the
    network as it is published.

    So its parameters ask for gradients, as PyTorch makes them, and some peers have these computed,
    too. Ours makes one forward pass more than most: it returns verdicts with the images.
    """
    x, y = place.images[:rows], place.labels[:rows]
    network = published(place, MODEL)
    calls: dict[str, Callable[[], object]] = {
        name: partial(run, network, x, y, EPSILON, EPSILON / 4, STEPS) for name, run in LINF.items()
    }
    whole = pgd(
        step=EPSILON / 4,
        steps=STEPS,
        random_start=False,
        keep_best=False,
        stop_when_fooled=False,
    )
    early = pgd(step=EPSILON / 4, steps=STEPS, random_start=False)
    for name, method in (("whole", whole), ("early", early)):
        calls[name] = partial(
            lambda method: solve(attack(x, y, method, epsilon=EPSILON), place.local), method
        )
    times = interleaved(calls, repeats)
    figures = Figures()
    for peer in LINF:
        about = f"PGD-{STEPS} at 1/255, {rows} images, {peer} over ours in time"
        figures[f"{about}, early exit off"] = Figure(
            ratio(times, peer, "whole"), at_least=WHOLE[peer]
        )
        figures[f"{about}, early exit on"] = Figure(ratio(times, peer, "early"), at_least=EARLY)
    return figures


def folding(place: Setting, repeats: int = 7) -> Figures:
    """What folding batch norm brings: a pass on the copy over one on the module, both as hosted, at
    three batch sizes.
    """
    figures = Figures()
    for name in (MODEL, ROBUST):
        folded, plain = place.hosted(name), place.hosted(name, fold=False)
        for rows in (8, 64, 128):
            x, y = place.images[:rows], place.labels[:rows]
            for kind, probe in {
                "logits": Probe(x, logits=True),
                "gradient": Probe(x, cross_entropy(y)),
            }.items():
                times = interleaved(
                    {
                        "folded": partial(folded.answer, [probe]),
                        "plain": partial(plain.answer, [probe]),
                    },
                    repeats,
                )
                figures[f"{name}, {kind} of {rows} images: folded over plain in time"] = Figure(
                    ratio(times, "folded", "plain")
                )
    return figures
