"""Adversarial examples: FGSM and PGD in Linf, L2 and L1, and the noise that shows what of it is the attack's doing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from interp.ascent import Answer, Ascent, Probe, Procedure, Summit, ascend
from interp.ball import LEVELS, Ball, norm
from interp.goal import CROSS_ENTROPY, Choice, Goal, Loss, Targeted, Untargeted
from interp.objective import Objective
from interp.search import Search, in_turn
from interp.seeds import Generators, generators
from interp.step import Step, momentum, sign, sparse, unit

NOISE = 2**63  # added to the seed of the noise control
TARGETS = 2**62  # added to the seed of targets drawn at random
SUM_TO_ONE = 1e-3  # how near the outputs of a softmax come to that

Aim = tuple[Objective, Callable[[Objective, Tensor], Goal]]  # a unit's activation; it and its clean values (B,) -> what is wanted
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Method:
    """A search and the ball that it searches.

    Attributes:
        epsilon: radius of the ball in pixel units of [0, 1], at least 0; or (B,), the rows' own.
        p: `math.inf`, 2 or 1, the norm.
        spare: rows that are at their goal before the attack are left as they are.
        starts_at_x: the search's first gradient is that of the clean images, which spares a look at them.
        name, settings: what the search is called, and everything that it was given.
    """

    epsilon: float | Tensor
    p: float
    search: Search
    spare: bool = True
    starts_at_x: bool = False
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def fgsm(epsilon: float | Tensor, p: float = math.inf, keep_best: bool = False, loss: Loss = CROSS_ENTROPY) -> Method:
    """One step of size epsilon along the gradient's sign, or for L2 along the gradient (Goodfellow et al. 2015, section 4).

    For L1: along the largest fifth of its entries, see `interp.step.sparse`.
    """
    one_step = pgd(epsilon, p, epsilon, 1, random_start=False, keep_best=keep_best, stop_when_fooled=False, loss=loss)
    return replace(one_step, name="fgsm", settings={"keep_best": keep_best, "loss": loss.name})


def pgd(
    epsilon: float | Tensor,
    p: float = math.inf,
    step: float | Tensor | None = None,
    steps: int | Tensor = 40,
    random_start: bool = True,
    keep_best: bool = True,
    stop_when_fooled: bool = True,
    restarts: int = 1,
    decay: float | None = None,
    loss: Loss = CROSS_ENTROPY,
) -> Method:
    """Projected gradient descent (Madry et al. 2018, section 2.1); `step` defaults to 2.5 epsilon / steps, as there.

    Args:
        epsilon, step, steps: one for all rows, or (B,).
        keep_best: return the first iterate at the goal, else the one with the highest loss; otherwise the last iterate.
        restarts: attempts, at least 1, each on the rows that none before it has brought to their goal.
        decay: mu of a momentum of gradients, at least 0, which makes it MI-FGSM (Dong et al. 2018); None: none.
        loss: what is raised.
    """
    size = 2.5 * epsilon / steps if step is None else step

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        problem = Ascent(
            replace(ball, random_start=random_start),
            goal.objective(loss),
            _rule(p, ball.of_row(size), decay),
            int(steps.max()) if isinstance(steps, Tensor) else steps,
            limits=ball.own(steps) if isinstance(steps, Tensor) else None,
            done=lambda answer, chosen: goal.take(chosen).reached(answer),
            logits=goal.logits,
            leave=stop_when_fooled,
            keep_best=keep_best,
        )
        return (yield from ascend(problem, rows))

    settings = {
        "step": _told(size),
        "steps": _told(steps),
        "random_start": random_start,
        "keep_best": keep_best,
        "stop_when_fooled": stop_when_fooled,
        "restarts": restarts,
        "decay": decay,
        "loss": loss.name,
    }
    spare = keep_best or stop_when_fooled
    return Method(epsilon, p, in_turn([search] * restarts, loss), spare, not random_start, "pgd", settings)


def _told(value: float | Tensor) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _rule(p: float, step: Tensor | float, decay: float | None) -> Step:
    rule = sign(step) if p == math.inf else unit(step) if p == 2 else sparse(step)
    return rule if decay is None else momentum(rule, decay)


@dataclass(frozen=True, eq=False)
class Control:
    """Random noise of the attack's norm on the same images."""

    prediction: Tensor  # (B,) int64
    succeeded: Tensor  # (B,) bool
    norm: Tensor  # (B,) after the cut to [0, 1]


@dataclass(frozen=True, eq=False)
class Attacked:
    """Adversarial images and the verdict on each, judged anew on the very images returned."""

    images: Tensor  # (B, C, H, W) in [0, 1]
    label: Tensor  # (B,) int64
    clean_prediction: Tensor  # (B,) int64
    prediction: Tensor  # (B,) int64
    succeeded: Tensor  # (B,) bool: at the goal
    norm: Tensor  # (B,) of the perturbation
    fixed: Tensor  # (B,) bool: with 8-bit images, epsilon is under one level and leaves no freedom
    gradients: int  # image-gradients
    queries: int  # images asked about without a gradient by a search that uses none
    warnings: tuple[str, ...]  # why the verdicts might not be what they seem
    target: Tensor | None  # (B,) int64
    clean_activation: Tensor | None  # (B,) of the unit attacked, as is the next
    activation: Tensor | None
    control: Control | None

    def cpu(self) -> "Attacked":
        """The same in the host's memory, images as float32."""
        return replace(on_host(self), images=self.images.float().cpu(), control=self.control and on_host(self.control))


def on_host(value: T) -> T:
    """A dataclass with its tensors in the host's memory."""
    columns = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    return replace(value, **{name: v.cpu() for name, v in columns.items() if isinstance(v, Tensor)})  # type: ignore[type-var]


def attack(
    x: Tensor,
    labels: Tensor | None,
    method: Method,
    *,
    targets: Tensor | Choice | None = None,
    unit: Aim | None = None,
    seed: int = 0,
    first_row: int = 0,
    seeds: Sequence[tuple[int, int]] | None = None,
    eight_bit: bool = False,
    noise_control: bool = False,
) -> Procedure[Attacked]:
    """Attack images x (B, C, H, W) in [0, 1] with true `labels` (B,), or None for the network's own predictions.

    Args:
        targets: (B,) classes that the images should be taken for, or how to choose them; None: any class but the label.
        unit: attack this activation instead of the class, see `interp.goal.silence` and `drive`.
        seed, first_row: row i draws its randomness from (seed, first_row + i).
        seeds: one pair a row; row i draws it from seeds[i] instead.
        eight_bit: round x and the result to multiples of 1/255, the result inside the ball.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    everything = torch.arange(len(x), device=x.device)
    ball = Ball(x, radii(method.epsilon, x), method.p, eight_bit=eight_bit)
    clean = None
    if labels is None or unit is not None or callable(targets) or not method.starts_at_x:
        clean = yield Probe(x, unit[0] if unit else None, gradient=False, logits=True)
    randomness = Randomness(seed, first_row, seeds)
    goal, label, target = _goal(clean, labels, targets, unit, randomness.generators(len(x), TARGETS) if callable(targets) else [])
    todo = everything
    if clean is not None and method.spare:
        todo = todo[~goal.reached(clean)]  # the others need no perturbation
    summit = Summit(x, torch.ones_like(label, dtype=torch.bool), None, 0)
    logits = None if clean is None else clean.logits
    if len(todo):
        streams = randomness.generators(len(x))
        summit = yield from method.search(ball.take(todo), goal.take(todo), [streams[i] for i in todo.tolist()])
        logits = summit.start_logits if logits is None else logits
    images = x.index_copy(0, todo, summit.images.to(x)) if len(todo) else x
    assert logits is not None
    last = yield _look(images, goal)
    assert last.logits is not None
    return Attacked(
        images=images,
        label=label,
        clean_prediction=logits.argmax(1),
        prediction=last.logits.argmax(1),
        succeeded=goal.reached(last),
        norm=norm(images - x, method.p).flatten(),
        fixed=ball.fixed.flatten(),
        gradients=summit.gradients,
        queries=summit.queries,
        warnings=_warnings(logits, ball, goal, len(todo), summit),
        target=target,
        clean_activation=None if unit is None or clean is None else clean.score,
        activation=_activation(last, goal),
        control=(yield from control(ball, goal, randomness.generators(len(x), NOISE))) if noise_control else None,
    )


def radii(epsilon: float | Tensor, x: Tensor) -> Tensor:
    """Epsilon, one for all rows or (B,), as (B, 1, 1, 1)."""
    return torch.as_tensor(epsilon, dtype=x.dtype, device=x.device).expand(len(x)).reshape(-1, 1, 1, 1)


@dataclass(frozen=True)
class Randomness:
    """Where the rows of a batch draw from: row i from (seed, first_row + i), or from `pairs[i]`, a seed and a row, instead."""

    seed: int = 0
    first_row: int = 0
    pairs: Sequence[tuple[int, int]] | None = None

    def generators(self, count: int, apart: int = 0) -> Generators:
        """One generator a row; those `apart` (NOISE, TARGETS) have nothing to do with the others."""
        if self.pairs is None:
            return generators(self.seed + apart, self.first_row, count)
        return [generators(seed + apart, row, 1)[0] for seed, row in self.pairs]


def _goal(
    clean: Answer | None, labels: Tensor | None, targets: Tensor | Choice | None, unit: Aim | None, rows: Generators
) -> tuple[Goal, Tensor, Tensor | None]:
    """What is wanted, the labels, and the targets if there are any."""
    if labels is None:
        assert clean is not None
        assert clean.logits is not None
        labels = clean.logits.argmax(1)
    if unit is not None:
        assert clean is not None
        assert clean.score is not None
        return unit[1](unit[0], clean.score), labels, None
    if callable(targets):
        assert clean is not None
        assert clean.logits is not None
        targets = targets(clean.logits, labels, rows)
    return (Untargeted(labels) if targets is None else Targeted(labels, targets)), labels, targets


def _look(images: Tensor, goal: Goal) -> Probe:
    """What it takes to judge images."""
    return Probe(images, None if goal.logits else goal.objective(CROSS_ENTROPY), gradient=False, logits=True)


def _activation(answer: Answer, goal: Goal) -> Tensor | None:
    """The unit's activation itself, whatever its sign in the goal."""
    return None if answer.score is None else answer.score * getattr(goal, "push", 1.0)


def control(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Control]:
    """The verdict on noise as large as the attack may be; its generators are not to be those of the random starts."""
    noisy = ball.image(ball.noise(rows))
    answer = yield _look(noisy, goal)
    assert answer.logits is not None
    return Control(answer.logits.argmax(1), goal.reached(answer), norm(noisy - ball.x, ball.p).flatten())


def probabilities(logits: Tensor) -> bool:
    """Whether outputs (B, classes) are those of a softmax: none negative, each row's sum 1."""
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < SUM_TO_ONE).all())


def _warnings(logits: Tensor, ball: Ball, goal: Goal, attacked: int, summit: Summit) -> tuple[str, ...]:
    """What others accept silently."""
    found = []
    if probabilities(logits):
        found.append(
            "the network's outputs are probabilities: a softmax in the network flattens the gradients that attacks climb; host its logits"
        )
    still = int((~summit.moved).sum())
    if attacked and summit.gradients and still:
        found.append(
            f"the gradient is exactly zero for {still} of {attacked} images attacked: the network may hide it, and its verdicts mean little"
        )
    if stuck := int((ball.fixed & (ball.eps > 0)).sum()):
        found.append(f"epsilon is under one 8-bit level (1/255) for {stuck} images, which leaves them no freedom")
    return tuple(found)
