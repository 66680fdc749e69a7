"""Checks of what a network puts out, without an attack: is it deterministic, is it given what it
was trained on, has it logits?
"""

from collections.abc import Sequence

import torch
from scipy import stats
from torch import Tensor

from interp.attack.losses import cross_entropy
from interp.attack.unanswered import legal_logits
from interp.audit.checks.check import LEVEL, Check, check, count, probability, skipped
from interp.audit.statistics import mcnemar
from interp.probe import Probe, Procedure

ALONE = 4  # images that are also shown alone
PASSES = 3  # over the same images
COMPANY = 64  # images of a probe
RELATIVE, ROUNDING = (
    1e-3,
    1e-5,
)  # differences that rounding explains, of the spread of logits and of the largest
FLAGS = "AutoAttack's flags (Croce & Hein 2020)"
RANDOMNESS = "randomness"

Statistics = tuple[Sequence[float], Sequence[float]]  # mean, std
COLOUR: dict[str, Statistics] = {
    "none": ((0, 0, 0), (1, 1, 1)),
    "0.5/0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "pixels of 0 to 255": ((0, 0, 0), (1 / 255, 1 / 255, 1 / 255)),
    "pixels of 0 to 255 less 117": ((117 / 255,) * 3, (1 / 255,) * 3),
}
GRAY: dict[str, Statistics] = {
    "none": ((0,), (1,)),
    "0.5/0.5": ((0.5,), (0.5,)),
    "MNIST's": ((0.1307,), (0.3081,)),
    "pixels of 0 to 255": ((0,), (1 / 255,)),
}


def predict_logits(images: Tensor) -> Procedure[Tensor]:
    """Logits (B, classes) of images (B, C, H, W), B at least 1, asked for `COMPANY` at a time."""
    parts: list[Tensor] = []
    every = torch.arange(len(images), device=images.device)
    for rows in torch.split(every, COMPANY):
        answer = yield Probe(images[rows], gradient=False, logits=True, rows=rows)
        assert answer.logits is not None
        parts.append(answer.logits)
    return torch.cat(parts)


def unmasked(logits: Tensor) -> Tensor:
    """Logits (B, classes) without the infinite ones: in place of each -inf, a masked class, stands
    the smallest other of the row.
    """
    masked = logits == -torch.inf
    if not masked.any():
        return logits
    least = logits.masked_fill(masked, torch.inf).amin(1, keepdim=True)
    return torch.where(masked, least, logits)


def class_count(logits: Tensor) -> int:
    """How many classes logits (B, classes) know: those that are not masked by -inf everywhere."""
    return int((logits != -torch.inf).any(0).sum())


def tolerance(logits: Tensor) -> float:
    """How far logits (B, classes) of the same image may differ by rounding alone."""
    known = unmasked(logits[legal_logits(logits)])
    if not len(known):
        return 0.0
    spread = (known - known.mean(1, keepdim=True)).square().mean().sqrt()
    return float(RELATIVE * spread + ROUNDING * known.abs().max())


def differ(first: Tensor, second: Tensor, allowed: float) -> Tensor:
    """Which rows of logits (B, classes) differ by more, (B,) bool; those that are no numbers do if
    the others are, and classes that are masked by -inf in one alone.

    Args:
        first: logits (B, classes).
        second: logits (B, classes).
        allowed: by how much they may differ.
    """
    masked = (first == -torch.inf) & (second == -torch.inf)
    near = masked | ((first - second).abs() <= allowed)
    return ~(near.all(1) | (~legal_logits(first) & ~legal_logits(second)))


def clean_accuracy(logits: Tensor, labels: Tensor) -> Check:
    """Is the network better than chance, that is one in `classes`, on images as they are?

    Exact binomial test at `LEVEL`: the check passes a network that only guesses with at most that
    probability. It fails sound ones whose accuracy is near chance, or which were shown too few
    images to tell.

    Args:
        logits: (B, classes) of the images.
        labels: (B,) int64, their classes.
    """
    right, trials = count(logits.argmax(1) == labels), len(labels)
    classes = max(1, class_count(logits))
    p = float(stats.binom.sf(right - 1, trials, 1 / classes))
    evidence = (
        f"{right} of {trials} clean images are classified correctly; guessing among {classes} "
        f"classes does so with {probability(p)}."
    )
    return check(
        "clean-accuracy",
        p > LEVEL,
        evidence,
        "Carlini et al. 2019, section 4.2",
        right=right,
        trials=trials,
        p_value=p,
    )


def enough_classes(logits: Tensor, needed: int) -> Check:
    """Has the network as many classes as the losses of the attacks need? No false alarms.

    Args:
        logits: (B, classes) of the images.
        needed: classes.
    """
    classes = class_count(logits)
    evidence = f"The network has {classes} classes; the losses of the attacks need {needed}."
    return check(
        "classes",
        classes < needed,
        evidence,
        f"{FLAGS}; needs of the losses in sections 4 and 5",
        classes=classes,
        needed=needed,
    )


def logits_not_probabilities(logits: Tensor) -> Check:
    """Are the outputs logits? It fails where every output of every image lies in [0, 1], as after a
    softmax or a sigmoid.

    Logits have no reason to: with either sign equally likely, all K of one image are positive with
    probability 2^-K.
    """
    logits = logits[legal_logits(logits)]
    if not len(logits):
        return skipped("softmax-output", "No image has logits.", FLAGS)
    masked = bool((logits == -torch.inf).any())
    known = unmasked(logits)
    low, high, sums = float(known.min()), float(known.max()), known.sum(1)
    evidence = (
        f"The outputs lie between {low:.3g} and {high:.3g}, and the sums of an image's between "
        f"{float(sums.min()):.3g} and "
        f"{float(sums.max()):.3g}; those of a softmax lie between 0 and 1 and sum to 1."
    )
    return check(
        "softmax-output",
        not masked and low >= 0 and high <= 1 + ROUNDING,
        evidence,
        FLAGS,
        low=low,
        high=high,
    )


def deterministic(
    images: Tensor, labels: Tensor, logits: Tensor, name: str = RANDOMNESS, which: str = "images"
) -> Procedure[Check]:
    """Does the same image get the same logits again, also where a gradient is asked for? No false
    alarms as long as rounding differs by less than `tolerance`.

    Args:
        images: (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.
        logits: (B, classes) of an earlier pass over them.
        name: of the check.
        which: images these are, as the evidence says it.

    Returns:
        A procedure whose result is the check.
    """
    allowed, changed = (
        tolerance(logits),
        torch.zeros(len(images), dtype=torch.bool, device=images.device),
    )
    for _ in range(PASSES - 1):
        again = yield from predict_logits(images)
        changed |= differ(again, logits, allowed).to(changed)
    first = slice(0, COMPANY)
    answer = yield Probe(images[first], cross_entropy(labels[first]), logits=True)
    assert answer.logits is not None
    with_gradient = differ(answer.logits.to(logits), logits[first], allowed).to(changed)
    changed[first] |= with_gradient
    evidence = (
        f"{count(changed)} of {len(images)} {which} get other logits in {PASSES} passes over "
        f"the same batch and one with gradients, {count(with_gradient)} of them in the latter."
    )
    return check(
        name,
        bool(changed.any()),
        evidence,
        f"Carlini et al. 2019, section 4.6; {FLAGS}",
        changed=count(changed),
        with_gradient=count(with_gradient),
        trials=len(images),
    )


def independent(images: Tensor, logits: Tensor) -> Procedure[Check]:
    """Does an image get the same logits alone as among the others? Not where batch norm is left in
    train mode.

    No false alarms as long as rounding differs by less than `tolerance`.

    Args:
        images: (B, C, H, W) in [0, 1].
        logits: (B, classes) of a pass over all of them.

    Returns:
        A procedure whose result is the check.
    """
    changed, shown = 0, min(ALONE, len(images))
    for row in range(shown):
        alone = yield from predict_logits(images[row : row + 1])
        changed += count(differ(alone, logits[row : row + 1], tolerance(logits)))
    evidence = (
        f"{changed} of {shown} images get other logits alone than among "
        f"{min(COMPANY, len(images))}."
    )
    return check(
        "company",
        changed > 0,
        evidence,
        "Ioffe & Szegedy 2015, section 3.1: batch norm is to use fixed statistics",
        changed=changed,
        trials=shown,
    )


def normalization(
    images: Tensor, labels: Tensor, logits: Tensor, mean: Sequence[float], std: Sequence[float]
) -> Procedure[Check]:
    """Is the network more accurate when it is given the same images as another common normalization
    would give them?

    One that subtracts m' and divides by s' is imitated by the images m + s (x - m') / s', which may
    leave [0, 1]; for colour images the order of the channels is turned round too. It fails where
    McNemar's exact test has a p-value of at most `LEVEL` for one of them: each alternative that is
    no better makes a false alarm with a probability of at most half of `LEVEL`.

    Args:
        images: (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.
        logits: (B, classes) of the images.
        mean: one number a channel, that the network normalizes with.
        std: one number a channel.

    Returns:
        A procedure whose result is the check.
    """
    name, source = "normalization", "McNemar 1947, against other common normalizations"
    channels = images.shape[1]
    if channels not in (1, 3):
        return skipped(name, f"There are no common normalizations of {channels} channels.", source)
    right, best = logits.argmax(1) == labels, ("", 1.0, 0, 0)
    alternatives = [
        (label, _as_seen(images, other, (mean, std)))
        for label, other in (COLOUR if channels == 3 else GRAY).items()
    ]
    alternatives += [("channels in reverse", images.flip(1))] if channels == 3 else []
    for label, seen in alternatives:
        other = (yield from predict_logits(seen)).argmax(1) == labels
        test = mcnemar(right.cpu().numpy(), other.cpu().numpy())
        if test.only_second > test.only_first and test.p_value < best[1]:
            best = label, test.p_value, test.only_first, test.only_second
    label, p, only_own, only_other = best
    numbers = {
        "only_own": only_own,
        "only_other": only_other,
        "p_value": p,
        "alternatives": len(alternatives),
    }
    if not label:
        return check(
            name,
            False,
            f"None of {len(alternatives)} other ways to normalize is more accurate on "
            f"{len(labels)} images.",
            source,
            **numbers,
        )
    evidence = (
        f"Given the images by another normalization ({label}) the network gets {only_other} "
        f"images right that it gets wrong, "
        f"and the reverse for {only_own} ({probability(p)}, {len(alternatives)} alternatives)."
    )
    return check(name, p <= LEVEL, evidence, source, **numbers)


def _as_seen(images: Tensor, other: Statistics, own: Statistics) -> Tensor:
    """What pixels the network's own normalization turns into what the other makes of `images`."""
    m2, s2, m1, s1 = (
        torch.tensor(list(values), dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
        for values in (*other, *own)
    )
    return m1 + s1 * (images - m2) / s2
