"""What an attack has to do, and the evaluation of what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.goal import CROSS_ENTROPY, Choice, Goal, Targeted, UnitGoal, Untargeted
from interp.attack.unanswered import Failure, Unanswered, failures, legal_logits
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure
from interp.seeds import Generators, generators

NOISE = 2**63  # added to the seed of the noise control
TARGETS = 2**62  # added to the seed of targets drawn at random
SUM_TO_ONE = 1e-3  # how near the outputs of a softmax come to that

# a unit's activation; it and its clean values (B,) -> what is wanted
UnitTarget = tuple[Objective, Callable[[Objective, Tensor], UnitGoal]]
T = TypeVar("T")


@dataclass(frozen=True)
class RowSeeds:
    """Where the rows of a batch draw their randomness from.

    Attributes:
        seed, first_row: row i draws from (seed, first_row + i).
        pairs: one (seed, row) a row, from which it draws instead; None: there are none.
    """

    seed: int = 0
    first_row: int = 0
    pairs: Sequence[tuple[int, int]] | None = None

    def generators(self, count: int, apart: int = 0) -> Generators:
        """Make one generator a row.

        Args:
            count: rows of the batch.
            apart: added to the seeds (NOISE, TARGETS), so that the generators have nothing to do
                with the others.
        """
        if self.pairs is None:
            return generators(self.seed + apart, self.first_row, count)
        return [generators(seed + apart, row, 1)[0] for seed, row in self.pairs]


@dataclass(frozen=True, eq=False)
class NoiseControl:
    """Random noise of the attack's norm on the same images."""

    prediction: Tensor  # (B,) int64
    succeeded: Tensor  # (B,) bool
    norm: Tensor  # (B,) after the cut to [0, 1]
    answered: Tensor  # (B,) bool: the network answers the noisy image, else the rest means nothing


@dataclass(frozen=True, eq=False)
class AdversarialExamples:
    """Adversarial images, each evaluated anew on the very image returned.

    Attributes:
        images: (B, C, H, W) in [0, 1].
        label: (B,) int64, the class that was attacked.
        clean_prediction: (B,) int64.
        prediction: (B,) int64, on `images`.
        succeeded: (B,) bool, at the goal.
        norm: (B,) of the perturbation, pixel units.
        fixed: (B,) bool, with 8-bit images: epsilon is under one level and leaves no freedom.
        gradients: image-gradients computed.
        queries: images asked about without a gradient by a search that uses none.
        warnings: why the evaluation might not be what it seems.
        target: (B,) int64; None: the attack was untargeted.
        clean_activation, activation: (B,) of the unit attacked; None: a class was.
        control: the same for random noise, if it was asked for.
        failure: (B,) int64, `interp.attack.unanswered.Failure`: what of a row is no number. Such a
            row is neither fooled nor robust: `succeeded` is false, the image is the clean
            one, and so is what is said of it; where it is the clean image that has no logits the
            predictions mean nothing.
        failed_at: (B,) int64, the step (or query) of the search at which that was found, from 1;
            0: on the clean image.
    """

    images: Tensor
    label: Tensor
    clean_prediction: Tensor
    prediction: Tensor
    succeeded: Tensor
    norm: Tensor
    fixed: Tensor
    gradients: int
    queries: int
    warnings: tuple[str, ...]
    target: Tensor | None
    clean_activation: Tensor | None
    activation: Tensor | None
    control: NoiseControl | None
    failure: Tensor
    failed_at: Tensor

    def cpu(self) -> "AdversarialExamples":
        """The same in the host's memory, images as float32."""
        return replace(
            on_host(self),
            images=self.images.float().cpu(),
            control=self.control and on_host(self.control),
        )


def on_host(value: T) -> T:
    """Copy a dataclass with its tensors to the host's memory."""
    columns = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    return replace(value, **{name: v.cpu() for name, v in columns.items() if isinstance(v, Tensor)})  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class AttackProblem:
    """What an attack has to do.

    Attributes:
        goal: what is wanted of each row.
        label: (B,) int64, the class to leave.
        target: (B,) int64, the class to reach; None: any other, or a unit is attacked.
        clean: the answer about the images as they are; None: there was no need to ask.
        unanswered: the rows on which the network's answers are no numbers, as far as is known.
    """

    goal: Goal
    label: Tensor
    target: Tensor | None
    clean: Answer | None
    unanswered: Unanswered


def attack_problem(
    x: Tensor,
    labels: Tensor | None,
    targets: Tensor | Choice | None,
    unit: UnitTarget | None,
    randomness: RowSeeds,
    ask: bool = True,
) -> Procedure[AttackProblem]:
    """Find out what is wanted of a batch of images.

    Args:
        x, labels, targets, unit: as for `interp.attack.base.attack`.
        randomness: what targets are drawn from.
        ask: find out what the images are taken for, even if that is not needed here.

    Returns:
        A procedure whose result is the problem.

    Raises:
        ValueError: the network has one class alone, and no unit is attacked.
    """
    clean, unanswered = None, Unanswered(len(x), x.device)
    if ask or labels is None or unit is not None or callable(targets):
        probe = Probe(x, unit[0] if unit else None, gradient=False, logits=True, finite=False)
        clean = yield probe
        unanswered.note(_failures_of(clean, probe), torch.arange(len(x), device=x.device))
    if unit is None and clean is not None and clean.logits is not None:
        require_wrong_class(clean.logits)
    if labels is None:
        assert clean is not None
        assert clean.logits is not None
        labels = clean.logits.argmax(1)
    if unit is not None:
        assert clean is not None
        assert clean.score is not None
        goal = unit[1](unit[0], clean.score)
        clean = replace(clean, score=clean.score * goal.push)
        return AttackProblem(goal, labels, None, clean, unanswered)
    if callable(targets):
        assert clean is not None
        assert clean.logits is not None
        targets = targets(clean.logits, labels, randomness.generators(len(x), TARGETS))
        _require_target(clean.logits, targets, unanswered)
    goal_of_classes = Untargeted(labels) if targets is None else Targeted(labels, targets)
    return AttackProblem(goal_of_classes, labels, targets, clean, unanswered)


def _failures_of(answer: Answer, probe: Probe) -> Tensor:
    """(B,) what of an answer about images is no number; of a unit an infinite activation, too."""
    found = failures(answer, probe)
    if answer.score is not None:
        found[(found == Failure.NONE) & ~answer.score.isfinite()] = Failure.ACTIVATION
    return found


def _require_target(logits: Tensor, targets: Tensor, unanswered: Unanswered) -> None:
    """Note the rows on which all other classes are masked: there is none to take them for."""
    masked = logits.gather(1, targets[:, None]).squeeze(1) == -torch.inf
    rows = torch.arange(len(targets), device=targets.device)
    unanswered.note(torch.where(masked, int(Failure.LOGITS), int(Failure.NONE)), rows)


def require_wrong_class(logits: Tensor) -> None:
    """Refuse the logits of a network that knows one class alone: no image can be taken for another.

    Args:
        logits: (B, classes).

    Raises:
        ValueError: there is one class.
    """
    if logits.shape[1] < 2:
        raise ValueError(
            "the network has one class: there is nothing to take an image for; attack a unit, or "
            "make it a network of the two logits (0, z)"
        )


def evaluate(
    problem: AttackProblem,
    ball: Ball,
    images: Tensor,
    found: AscentResult,
    noise: Generators | None = None,
    equal: Ball | None = None,
) -> Procedure[AdversarialExamples]:
    """Evaluate images anew.

    Args:
        problem: what was wanted.
        ball: where the images had to be.
        images: (B, C, H, W) in [0, 1].
        found: how some of the images were found.
        noise: what the control draws from; None: there is to be none.
        equal: the ball of the control, if that is not the attack's.

    Returns:
        A procedure whose result is the images with their evaluation.

    Raises:
        ValueError: the network has one class alone, and no unit is attacked.
    """
    logits = found.start_logits if problem.clean is None else problem.clean.logits
    assert logits is not None
    if problem.goal.logits:
        require_wrong_class(logits)
    images = torch.where(images.isfinite().flatten(1).all(1).view(-1, 1, 1, 1), images, ball.x)
    probe = evaluation_probe(images, problem.goal)
    last = yield probe
    assert last.logits is not None
    examples = AdversarialExamples(
        images=images,
        label=problem.label,
        clean_prediction=logits.argmax(1),
        prediction=last.logits.argmax(1),
        succeeded=problem.goal.reached(last),
        norm=ball.distance(images),
        fixed=ball.fixed.flatten(),
        gradients=found.gradients,
        queries=found.queries,
        warnings=_warnings(logits, ball, found),
        target=problem.target,
        clean_activation=None
        if problem.clean is None
        else _activation(problem.clean, problem.goal),
        activation=_activation(last, problem.goal),
        control=None if noise is None else (yield from control(equal or ball, problem.goal, noise)),
        failure=_failures(problem, logits, last, probe),
        failed_at=problem.unanswered.step,
    )
    return _without_failures(examples, ball.x)


def _failures(problem: AttackProblem, logits: Tensor, last: Answer, probe: Probe) -> Tensor:
    """(B,) why rows are neither fooled nor robust. An image that fools does, whatever else was met
    on the way to it.
    """
    rows, unanswered = torch.arange(len(logits), device=logits.device), problem.unanswered
    clean = torch.where(legal_logits(logits), int(Failure.NONE), int(Failure.LOGITS))
    if problem.clean is None:
        unanswered.failure[clean != Failure.NONE] = Failure.NONE  # and anew, at the clean image
        unanswered.note(clean, rows)
    unanswered.note(_failures_of(last, probe), rows, unanswered.last_step)
    fooled = problem.goal.reached(last) & (clean == Failure.NONE)
    return unanswered.failure.masked_fill(fooled, Failure.NONE)


def _without_failures(examples: AdversarialExamples, x: Tensor) -> AdversarialExamples:
    """The clean image, and what is known of it, in place of what a search left of rows that are not
    answered.
    """
    failed = examples.failure != Failure.NONE
    if not failed.any():
        return examples

    def chosen(clean: Tensor, attacked: Tensor) -> Tensor:
        return torch.where(
            failed.view(-1, *[1] * (attacked.ndim - 1)), clean.to(attacked), attacked
        )

    return replace(
        examples,
        images=chosen(x, examples.images),
        prediction=chosen(examples.clean_prediction, examples.prediction),
        succeeded=examples.succeeded & ~failed,
        norm=examples.norm.masked_fill(failed, 0.0),
        activation=examples.activation
        if examples.activation is None or examples.clean_activation is None
        else chosen(examples.clean_activation, examples.activation),
    )


def evaluation_probe(images: Tensor, goal: Goal) -> Probe:
    """Make the probe that tells whether images are at a goal, and what they are taken for.

    Args:
        images: (B, C, H, W) in [0, 1].
        goal: of these rows.
    """
    objective = None if goal.logits else goal.objective(CROSS_ENTROPY)
    return Probe(images, objective, gradient=False, logits=True, finite=False)


def _activation(answer: Answer, goal: Goal) -> Tensor | None:
    """The unit's activation itself, whatever its sign in the goal."""
    return (
        answer.score * goal.push
        if isinstance(goal, UnitGoal) and answer.score is not None
        else None
    )


def control(ball: Ball, goal: Goal, rows: Generators) -> Procedure[NoiseControl]:
    """Evaluate noise as large as the attack may be.

    Args:
        ball: its radius is that of the noise.
        goal: what counts as success.
        rows: one generator a row, not those of the random starts.

    Returns:
        A procedure whose result is what the noise does.
    """
    noisy = ball.image(ball.noise(rows))
    answer = yield evaluation_probe(noisy, goal)
    assert answer.logits is not None
    return NoiseControl(
        answer.logits.argmax(1),
        goal.reached(answer),
        ball.distance(noisy),
        legal_logits(answer.logits),
    )


def probabilities(logits: Tensor) -> bool:
    """Tell whether outputs (B, classes) are those of a softmax: none negative, each row's sum 1.
    Without rows they are not.
    """
    return bool(
        len(logits) and (logits >= 0).all() and ((logits.sum(1) - 1).abs() < SUM_TO_ONE).all()
    )


def _warnings(logits: Tensor, ball: Ball, found: AscentResult) -> tuple[str, ...]:
    """What others accept silently."""
    warnings = []
    if probabilities(logits[legal_logits(logits)]):
        warnings.append(
            "the network's outputs are probabilities: a softmax in the network flattens "
            "the gradients that attacks climb; host its logits"
        )
    still = int((~found.moved).sum())
    if found.gradients and still:
        share = f"{still} of {len(found.moved)}"
        warnings.append(
            f"the gradient is exactly zero for {share} images attacked: the network may "
            f"hide it, and its verdicts mean little"
        )
    if stuck := int((ball.fixed & (ball.eps > 0)).sum()):
        warnings.append(
            f"epsilon is under one 8-bit level (1/255) for {stuck} images, which leaves "
            f"them no freedom"
        )
    return tuple(warnings)
