"""What an attack sets out to do, and the verdict on what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from torch import Tensor

from interp.ascent import Summit
from interp.attack.ball import Ball
from interp.attack.goal import CROSS_ENTROPY, Choice, Goal, Targeted, UnitGoal, Untargeted
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure
from interp.seeds import Generators, generators

NOISE = 2**63  # added to the seed of the noise control
TARGETS = 2**62  # added to the seed of targets drawn at random
SUM_TO_ONE = 1e-3  # how near the outputs of a softmax come to that

Aim = tuple[
    Objective, Callable[[Objective, Tensor], UnitGoal]
]  # a unit's activation; it and its clean values (B,) -> what is wanted
T = TypeVar("T")


@dataclass(frozen=True)
class Randomness:
    """Where the rows of a batch draw from: row i from (seed, first_row + i), or from `pairs[i]`, a
    seed and a row, instead.
    """

    seed: int = 0
    first_row: int = 0
    pairs: Sequence[tuple[int, int]] | None = None

    def generators(self, count: int, apart: int = 0) -> Generators:
        """One generator a row; those `apart` (NOISE, TARGETS) have nothing to do with the
        others.
        """
        if self.pairs is None:
            return generators(self.seed + apart, self.first_row, count)
        return [generators(seed + apart, row, 1)[0] for seed, row in self.pairs]


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
        return replace(
            on_host(self),
            images=self.images.float().cpu(),
            control=self.control and on_host(self.control),
        )


def on_host(value: T) -> T:
    """A dataclass with its tensors in the host's memory."""
    columns = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    return replace(value, **{name: v.cpu() for name, v in columns.items() if isinstance(v, Tensor)})  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class Task:
    """What an attack sets out to do."""

    goal: Goal
    label: Tensor  # (B,) int64
    target: Tensor | None  # (B,) int64
    clean: Answer | None  # what `look` asks of the images as they are; None if there was no need to


def set_out(
    x: Tensor,
    labels: Tensor | None,
    targets: Tensor | Choice | None,
    unit: Aim | None,
    randomness: Randomness,
    ask: bool = True,
) -> Procedure[Task]:
    """What is wanted of images x, see `interp.attack.base.attack`; `ask`: find out what they are
    taken for, even if that is not needed here.
    """
    clean = None
    if ask or labels is None or unit is not None or callable(targets):
        clean = yield Probe(x, unit[0] if unit else None, gradient=False, logits=True)
    if labels is None:
        assert clean is not None
        assert clean.logits is not None
        labels = clean.logits.argmax(1)
    if unit is not None:
        assert clean is not None
        assert clean.score is not None
        goal = unit[1](unit[0], clean.score)
        return Task(goal, labels, None, replace(clean, score=clean.score * goal.push))
    if callable(targets):
        assert clean is not None
        assert clean.logits is not None
        targets = targets(clean.logits, labels, randomness.generators(len(x), TARGETS))
    return Task(
        Untargeted(labels) if targets is None else Targeted(labels, targets), labels, targets, clean
    )


def verdict(
    task: Task,
    ball: Ball,
    images: Tensor,
    summit: Summit,
    noise: Generators | None = None,
    equal: Ball | None = None,
) -> Procedure[Attacked]:
    """Judge images (B, C, H, W), of which `summit` tells how some were found.

    Args:
        noise: what the control draws from, if there is to be one.
        equal: the ball of the control, if that is not the attack's.
    """
    logits = summit.start_logits if task.clean is None else task.clean.logits
    assert logits is not None
    last = yield look(images, task.goal)
    assert last.logits is not None
    return Attacked(
        images=images,
        label=task.label,
        clean_prediction=logits.argmax(1),
        prediction=last.logits.argmax(1),
        succeeded=task.goal.reached(last),
        norm=ball.distance(images),
        fixed=ball.fixed.flatten(),
        gradients=summit.gradients,
        queries=summit.queries,
        warnings=_warnings(logits, ball, summit),
        target=task.target,
        clean_activation=None if task.clean is None else _activation(task.clean, task.goal),
        activation=_activation(last, task.goal),
        control=None if noise is None else (yield from control(equal or ball, task.goal, noise)),
    )


def look(images: Tensor, goal: Goal) -> Probe:
    """What it takes to judge images."""
    return Probe(
        images, None if goal.logits else goal.objective(CROSS_ENTROPY), gradient=False, logits=True
    )


def _activation(answer: Answer, goal: Goal) -> Tensor | None:
    """The unit's activation itself, whatever its sign in the goal."""
    return (
        answer.score * goal.push
        if isinstance(goal, UnitGoal) and answer.score is not None
        else None
    )


def control(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Control]:
    """The verdict on noise as large as the attack may be; its generators are not to be those of the
    random starts.
    """
    noisy = ball.image(ball.noise(rows))
    answer = yield look(noisy, goal)
    assert answer.logits is not None
    return Control(answer.logits.argmax(1), goal.reached(answer), ball.distance(noisy))


def probabilities(logits: Tensor) -> bool:
    """Whether outputs (B, classes) are those of a softmax: none negative, each row's sum 1."""
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < SUM_TO_ONE).all())


def _warnings(logits: Tensor, ball: Ball, summit: Summit) -> tuple[str, ...]:
    """What others accept silently."""
    found = []
    if probabilities(logits):
        found.append(
            "the network's outputs are probabilities: a softmax in the network flattens "
            "the gradients that attacks climb; host its logits"
        )
    still = int((~summit.moved).sum())
    if summit.gradients and still:
        share = f"{still} of {len(summit.moved)}"
        found.append(
            f"the gradient is exactly zero for {share} images attacked: the network may "
            f"hide it, and its verdicts mean little"
        )
    if stuck := int((ball.fixed & (ball.eps > 0)).sum()):
        found.append(
            f"epsilon is under one 8-bit level (1/255) for {stuck} images, which leaves "
            f"them no freedom"
        )
    return tuple(found)
