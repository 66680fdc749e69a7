"""Checks of attacks against one another: what is stronger has to succeed where what is
weaker does.
"""

from itertools import pairwise

import torch
from torch import Tensor

from interp.attack.goal import MARGIN
from interp.attack.pgd import fgsm
from interp.attack.square import square
from interp.audit.checks.check import (
    CHANGE,
    LEVEL,
    SOUND,
    Check,
    check,
    count,
    dominates,
    excess,
    gap,
    probability,
    skipped,
)
from interp.audit.checks.one_level import ONE_LEVEL
from interp.audit.checks.outputs import (
    RANDOMNESS,
    class_count,
    deterministic,
    predict_logits,
)
from interp.audit.checks.slopes import SLOPE, check_gradients
from interp.audit.checks.trials import NOISES, AttackTrials
from interp.audit.checks.white_box import (
    HALF,
    MOST_RADII,
    RadiusResult,
    gray_radius,
    radius_sweep,
    white_box,
)
from interp.audit.conditions import NORMS, condition, radius
from interp.probe import Procedure

QUERIES = 100  # of the black-box search
CHECKS = (
    "iterative",
    "monotone",
    "huge-epsilon",
    "doubled-steps",
    "doubled-restarts",
    "other-loss",
    "black-box",
    "noise",
    RANDOMNESS,
    SLOPE,
    ONE_LEVEL,
)
MASKED = "Athalye et al. 2018, section 3.1"
OTHER_LOSS = "Croce & Hein 2020, section 4"
CONVERGED = "Carlini et al. 2019, section 3.2"


def check_attacks(
    attacked: AttackTrials, largest: float, first_run: int, steps: int
) -> Procedure[list[Check]]:
    """Make all checks of attacks in one norm.

    Most are made at that of some radii about `largest` at which the white-box attack fools about
    half the images: where it fools all or none, nothing could be told.

    Args:
        attacked: the images.
        largest: the threat model's radius, above 0.
        first_run: number of the first run.
        steps: of the white-box attack.

    Returns:
        A procedure whose result is the checks, named as in `CHECKS`.
    """
    name, run = NORMS[attacked.p], first_run + MOST_RADII
    results = yield from radius_sweep(attacked, first_run, largest, steps)
    epsilon, fooled = min(
        results, key=lambda result: abs(count(result[1]) / len(attacked.x) - HALF)
    )
    where = condition(attacked.p, epsilon)
    single = yield from attacked.fooled(run, fgsm(), epsilon)
    checks = [_iterative(name, where, single, fooled), _monotone(name, results)]
    checks.append((yield from _huge(attacked, name, run + 1, steps)))
    trials = len(attacked.x)
    again = [
        ("doubled-steps", "Twice the steps", white_box(attacked.p, 2 * steps), CONVERGED),
        ("doubled-restarts", "A second start", white_box(attacked.p, steps), CONVERGED),
        ("other-loss", "The margin loss", white_box(attacked.p, steps, MARGIN), OTHER_LOSS),
    ]
    for number, (title, finder, method, source) in enumerate(again):
        new = yield from attacked.fooled(run + 3 + number, method, epsilon, ~fooled)
        checks.append(
            gap(f"{title}-{name}", f"{finder} at {where}", count(new), trials, source, CHANGE)
        )
    noisy = yield from attacked.fooled_by_noise(run + 6, epsilon)
    blind = yield from attacked.fooled(run + 7, square(QUERIES), epsilon, ~fooled | noisy)
    finder = f"Square with {QUERIES} queries at {where}"
    checks.append(
        gap(f"black-box-{name}", finder, count(blind & ~fooled), trials, f"{SOUND}; {MASKED}")
    )
    checks.append(_noise(name, where, noisy, fooled, blind))
    return checks + (yield from _off_the_data(attacked, name, run + 8, epsilon))


def _off_the_data(
    attacked: AttackTrials, name: str, run: int, epsilon: float
) -> Procedure[list[Check]]:
    """The checks of randomness and of gradients once more, where attacks go: at the images of one
    step. A network may be sound on the data alone.
    """
    index = torch.arange(len(attacked.x), device=attacked.x.device)
    images = yield from attacked.attack(run, fgsm(), epsilon, index)
    logits = yield from predict_logits(images)
    random = yield from deterministic(
        images, attacked.labels, logits, f"{RANDOMNESS}-{name}", "attacked images"
    )
    rows = attacked.generators(run + 1, index)
    gradients = check_gradients(
        images, attacked.labels, rows, attacked.eight_bit, f"-{name}", zero=False
    )
    return [random, *(yield from gradients)]


def _iterative(name: str, where: str, single: Tensor, fooled: Tensor) -> Check:
    """One step must not fool significantly more images than many (exact test of those on which they
    differ, at `LEVEL`).
    """
    only_single, only_many = count(single & ~fooled), count(fooled & ~single)
    p = dominates(only_single, only_many)
    evidence = (
        f"At {where} a single step alone fools {only_single} of {len(fooled)} images, "
        f"the iterative attack alone {only_many} ({probability(p)})."
    )
    numbers = {
        "only_single": only_single,
        "only_iterative": only_many,
        "trials": len(fooled),
        "p_value": p,
    }
    return check(f"iterative-{name}", p <= LEVEL, evidence, f"{SOUND}; {MASKED}", **numbers)


def _monotone(name: str, results: list[RadiusResult]) -> Check:
    """No radius may fool significantly more images than twice the radius: exact tests, at `LEVEL`
    over their number.
    """
    pairs = []
    for (smaller, by_smaller), (larger, by_larger) in pairwise(results):
        lost, won = count(by_smaller & ~by_larger), count(by_larger & ~by_smaller)
        pairs.append((dominates(lost, won), lost, smaller, larger))
    p, lost, smaller, larger = min(pairs)
    rates = ", ".join(f"{count(rows)} at {radius(epsilon)}" for epsilon, rows in results)
    evidence = (
        f"Independent runs fool, of {len(results[0][1])} images, {rates}; "
        f"{lost} are fooled at {radius(smaller)} and not at {radius(larger)} ({probability(p)})."
    )
    return check(
        f"monotone-{name}",
        p <= LEVEL / len(pairs),
        evidence,
        f"{SOUND}; {MASKED}",
        lost=lost,
        pairs=len(pairs),
        p_value=p,
    )


def _huge(attacked: AttackTrials, name: str, run: int, steps: int) -> Procedure[Check]:
    """Where the ball reaches uniform gray, accuracy must not exceed chance.

    Images that withstand a radius of 0.5 in Linf, or as much in the other norms, are tried with 1,
    the whole box. It starts at the images themselves, lest the random start do the work. Exact test
    against one in `classes` at `LEVEL`.
    """
    left = torch.ones_like(attacked.labels, dtype=torch.bool)
    method = white_box(attacked.p, steps, random_start=False)
    gray, box = gray_radius(attacked), 2 * gray_radius(attacked)
    for number, epsilon in enumerate((gray, box)):
        left &= ~(yield from attacked.fooled(run + number, method, epsilon, left))
    classes = class_count((yield from predict_logits(attacked.x[:1])))
    withstood, trials = count(left), len(left)
    p = excess(withstood, trials, 1 / classes)
    evidence = (
        f"At epsilon {gray:.4g} and {box:.4g} {withstood} of {trials} images withstand; "
        f"chance is one in {classes} ({probability(p)})."
    )
    return check(
        f"huge-epsilon-{name}",
        p <= LEVEL,
        evidence,
        f"{SOUND}; {MASKED}",
        withstood=withstood,
        trials=trials,
        p_value=p,
    )


def _noise(name: str, where: str, noisy: Tensor, fooled: Tensor, blind: Tensor) -> Check:
    """Images that noise fools and an attack does not, white-box or black-box: the worse of two
    tests, each at half of `LEVEL`.
    """
    trials = len(noisy)
    white, black = count(noisy & ~fooled), count(noisy & ~blind)
    p = min(1.0, 2 * excess(max(white, black), trials))
    evidence = (
        f"{NOISES} draws of noise at {where} fool {count(noisy)} of {trials} images, of them "
        f"{white} that the white-box "
        f"attack does not and {black} that Square does not ({probability(p)})."
    )
    numbers = {
        "noise": count(noisy),
        "not_white_box": white,
        "not_black_box": black,
        "trials": trials,
        "p_value": p,
    }
    return check(
        f"noise-{name}",
        p <= LEVEL,
        evidence,
        f"Carlini et al. 2019, section 3.3; {MASKED}",
        **numbers,
    )


def not_attacked(p: float) -> list[Check]:
    """The checks of one norm where no image is there to be attacked."""
    return [
        skipped(f"{title}-{NORMS[p]}", "No image is classified correctly.", SOUND)
        for title in CHECKS
    ]
