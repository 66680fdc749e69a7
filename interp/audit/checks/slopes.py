"""Checks of gradients: are there any, and does the loss change as they say?"""

import torch
from torch import Tensor

from interp.attack.losses import cross_entropy, margin
from interp.audit.checks.check import LEVEL, TOLERATED, Check, check, count, excess, probability
from interp.audit.checks.one_level import LinearPrediction, jump_check, jumps
from interp.audit.checks.outputs import unmasked
from interp.objective import Objective
from interp.probe import Probe, Procedure
from interp.seeds import Generators

PREDICTED = 0.02  # how far a step is to move the margin, of the spread of an image's logits
LONGEST = (
    0.05 / 255
    # of a step: few of the levels of an 8-bit image come as near to a threshold that the network
    # may round at
)
AGREE = 2.0  # the largest factor between what the gradient says and what happens
ZERO, SLOPE = "zero-gradients", "gradients-predict-loss"
ZERO_SOURCE = "Carlini et al. 2019, section 4.3; AutoAttack's flags (Croce & Hein 2020)"
SLOPE_SOURCE = "Athalye et al. 2018, section 3.1"


def check_gradients(
    x: Tensor,
    labels: Tensor,
    rows: Generators,
    eight_bit: bool = False,
    where: str = "",
    zero: bool = True,
) -> Procedure[list[Check]]:
    """The checks of gradients on images x (B, C, H, W), B at least 1.

    `zero-gradients`: the gradient of the cross-entropy is exactly zero. `gradients-predict-loss`: a
    short step up the signs of the margin's gradient, and one down, change the margin by something
    else than the gradient says, by more than a factor of `AGREE` and more than rounding does.
    `one-level-steps`: a few random pixels that move by an 8-bit level each do, see
    `interp.audit.checks.one_level.jumps`. Each fails where that happens to more images than can be
    explained if a share `TOLERATED` of them may be so, by an exact binomial test at `LEVEL`, which
    is the rate of false alarms at most.

    A network that rounds its input to 8-bit levels and passes the gradient straight through is
    sound to attacks with 8-bit images: with `eight_bit`, short steps may mislead for images whose
    steps of a level do not.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.
        rows: one generator an image, which chooses its pixels.
        eight_bit: attacks use images of 8-bit levels alone.
        where: what to add to the names of the checks.
        zero: make the check of zero gradients, which is for images that are classified correctly.

    Returns:
        A procedure whose result is the three checks, or the last two.
    """
    checks = []
    objective = margin(labels)
    steepest = yield Probe(x, objective, logits=True)
    assert steepest.grad is not None
    assert steepest.score is not None
    assert steepest.logits is not None
    flat = ~steepest.grad.flatten(1).any(1)
    if zero:
        answer = yield Probe(x, cross_entropy(labels), logits=True)
        assert answer.grad is not None
        none = ~answer.grad.flatten(1).any(1)
        checks.append(_zero(none, none & ~flat))
    logits = unmasked(steepest.logits.to(x))
    start = LinearPrediction(
        x, objective, steepest.score.to(x), steepest.grad.to(x), _noise(logits)
    )
    amiss = (yield from _amiss(x, objective, start.grad, logits)) & ~flat
    jumping = (yield from jumps(start, rows)) & ~flat
    if eight_bit:
        amiss &= jumping
    return [*checks, _wrong(amiss, count(~flat), where), jump_check(jumping, count(~flat), where)]


def _noise(logits: Tensor) -> Tensor:
    """(B,) by how much rounding may change the margin."""
    return 100 * torch.finfo(logits.dtype).eps * logits.abs().amax(1)


def _amiss(x: Tensor, objective: Objective, grad: Tensor, logits: Tensor) -> Procedure[Tensor]:
    """Of which images (B,) the margin does not change as its gradient says."""
    logits = unmasked(logits)
    spread = (logits - logits.mean(1, keepdim=True)).square().mean(1).sqrt()
    rise = grad.abs().sum((1, 2, 3)).clamp_min(torch.finfo(x.dtype).tiny)
    step = (PREDICTED * spread / (2 * rise)).clamp_max(LONGEST).view(-1, 1, 1, 1) * grad.sign()
    up, down = (x + step).clamp(0, 1), (x - step).clamp(0, 1)
    high = yield Probe(up, objective, gradient=False, logits=True)
    low = yield Probe(down, objective, gradient=False, logits=True)
    assert high.score is not None
    assert low.score is not None
    seen, said = (high.score - low.score).to(x), (grad * (up - down)).sum((1, 2, 3))
    exact = (seen - said).abs() <= _noise(logits)
    return ~(((seen >= said / AGREE) & (seen <= said * AGREE)) | exact)


def _zero(zero: Tensor, saturated: Tensor) -> Check:
    found, trials = count(zero), len(zero)
    p = excess(found, trials)
    why = (
        f" (that of the margin is not for {count(saturated)}: the cross-entropy is saturated)"
        if saturated.any()
        else ""
    )
    evidence = (
        f"The gradient of the cross-entropy is exactly zero for {found} of {trials} images{why}; "
        f"{TOLERATED:.0%} are tolerated ({probability(p)})."
    )
    numbers = {"zero": found, "saturated": count(saturated), "trials": trials, "p_value": p}
    return check(ZERO, p <= LEVEL, evidence, ZERO_SOURCE, **numbers)


def _wrong(amiss: Tensor, trials: int, where: str) -> Check:
    found = count(amiss)
    p = excess(found, trials)
    evidence = (
        f"For {found} of {trials} images with a gradient a short step along it changes the "
        f"margin by over {AGREE:g} times, "
        f"or under 1/{AGREE:g} of, what it says; {TOLERATED:.0%} are tolerated ({probability(p)})."
    )
    return check(
        SLOPE + where, p <= LEVEL, evidence, SLOPE_SOURCE, amiss=found, trials=trials, p_value=p
    )
