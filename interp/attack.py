"""Adversarial examples: FGSM and PGD in Linf and L2, and the noise that shows what of it is the attack's doing."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import Ascent, Probe, Procedure, ascend
from interp.ball import LEVELS, Ball, norm
from interp.objective import Objective, cross_entropy, target_likelihood
from interp.seeds import generators
from interp.step import sign, unit

NOISE = 2**63  # added to the seed of the noise control


@dataclass(frozen=True)
class Method:
    """What is the same for every row of an attack.

    Attributes:
        epsilon: radius of the ball in pixel units of [0, 1], at least 0.
        p: `math.inf` or 2, the norm.
        step: step size in pixel units.
        steps: gradient steps, at least 1.
        keep_best: return the first iterate that fools, else the one with the highest loss; otherwise the last iterate.
    """

    epsilon: float
    p: float
    step: float
    steps: int
    random_start: bool
    keep_best: bool
    stop_when_fooled: bool


def fgsm(epsilon: float, p: float = math.inf, keep_best: bool = False) -> Method:
    """One step of size epsilon along the gradient's sign, or for L2 along the gradient (Goodfellow et al. 2015, section 4)."""
    return Method(epsilon, p, epsilon, 1, random_start=False, keep_best=keep_best, stop_when_fooled=False)


def pgd(
    epsilon: float,
    p: float = math.inf,
    step: float | None = None,
    steps: int = 40,
    random_start: bool = True,
    keep_best: bool = True,
    stop_when_fooled: bool = True,
) -> Method:
    """Projected gradient descent (Madry et al. 2018, section 2.1); `step` defaults to 2.5 epsilon / steps, as there."""
    return Method(epsilon, p, 2.5 * epsilon / steps if step is None else step, steps, random_start, keep_best, stop_when_fooled)


@dataclass(frozen=True, eq=False)
class Control:
    """Random noise of the attack's norm on the same images."""

    prediction: Tensor  # (B,) int64
    succeeded: Tensor  # (B,) bool
    norm: Tensor  # (B,) after the cut to [0, 1]


@dataclass(frozen=True, eq=False)
class Attacked:
    """Adversarial images and the verdict on each, predicted anew on the very images returned."""

    images: Tensor  # (B, C, H, W) in [0, 1]
    label: Tensor  # (B,) int64
    clean_prediction: Tensor  # (B,) int64
    prediction: Tensor  # (B,) int64
    succeeded: Tensor  # (B,) bool: not the label or, targeted, the target
    norm: Tensor  # (B,) of the perturbation
    gradients: int  # image-gradients
    control: Control | None

    def cpu(self) -> "Attacked":
        """The same in the host's memory, images as float32."""
        control = self.control and Control(*(t.cpu() for t in (self.control.prediction, self.control.succeeded, self.control.norm)))
        return Attacked(
            self.images.float().cpu(),
            self.label.cpu(),
            self.clean_prediction.cpu(),
            self.prediction.cpu(),
            self.succeeded.cpu(),
            self.norm.cpu(),
            self.gradients,
            control,
        )


def attack(
    x: Tensor,
    labels: Tensor | None,
    method: Method,
    *,
    targets: Tensor | None = None,
    seed: int = 0,
    first_row: int = 0,
    eight_bit: bool = False,
    noise_control: bool = False,
    loss: Callable[[Tensor], Objective] = cross_entropy,
) -> Procedure[Attacked]:
    """Attack images x (B, C, H, W) in [0, 1] with true `labels` (B,), or None for the network's own predictions.

    Args:
        targets: (B,) classes that the images should be taken for; None: any class but the label.
        seed, first_row: row i draws its randomness from (seed, first_row + i).
        loss: what an untargeted attack raises, given the labels; `interp.objective.margin` is another.
        eight_bit: round x and the result to multiples of 1/255, the result inside the ball.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    ball = Ball(x, x.new_full((len(x), 1, 1, 1), method.epsilon), method.p, method.random_start, eight_bit)
    label, clean = labels, None
    if label is None or method.random_start:
        clean = yield from _predict(x)
        label = clean if label is None else label
    fooled = _missed(label) if targets is None else _hit(targets)
    images, todo = x, torch.arange(len(x), device=x.device)
    if clean is not None and (method.keep_best or method.stop_when_fooled):
        todo = todo[~fooled(clean, todo)]  # the others need no perturbation
    gradients = 0
    if len(todo):
        objective = loss(label[todo]) if targets is None else target_likelihood(targets[todo])
        climb = Ascent(
            ball.take(todo),
            objective,
            sign(method.step) if method.p == math.inf else unit(method.step),
            method.steps,
            done=lambda logits, rows: fooled(logits.argmax(1), todo[rows]),
            leave=method.stop_when_fooled,
            keep_best=method.keep_best,
        )
        rows = generators(seed, first_row, len(x))
        summit = yield from ascend(climb, [rows[i] for i in todo.tolist()])
        images, gradients = x.index_copy(0, todo, summit.images), summit.gradients
        if clean is None:
            assert summit.start_logits is not None
            clean = summit.start_logits.argmax(1)
    assert clean is not None
    prediction = yield from _predict(images)
    verdict = fooled(prediction, torch.arange(len(x), device=x.device))
    control = (yield from _control(ball, fooled, seed, first_row)) if noise_control else None
    return Attacked(images, label, clean, prediction, verdict, norm(images - x, method.p).flatten(), gradients, control)


Fooled = Callable[[Tensor, Tensor], Tensor]  # (predictions (A,), row numbers (A,)) -> (A,) bool


def _missed(labels: Tensor) -> Fooled:
    return lambda prediction, rows: prediction != labels[rows]


def _hit(targets: Tensor) -> Fooled:
    return lambda prediction, rows: prediction == targets[rows]


def _predict(images: Tensor) -> Procedure[Tensor]:
    answer = yield Probe(images, logits=True)
    assert answer.logits is not None
    return answer.logits.argmax(1)


def _control(ball: Ball, fooled: Fooled, seed: int, first_row: int) -> Procedure[Control]:
    """The verdict on noise; its generators are not those of the random starts."""
    noisy = ball.image(ball.noise(generators(seed + NOISE, first_row, len(ball.x))))
    prediction = yield from _predict(noisy)
    everything = torch.arange(len(noisy), device=noisy.device)
    return Control(prediction, fooled(prediction, everything), norm(noisy - ball.x, ball.p).flatten())
