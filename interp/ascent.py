"""The one procedure behind visualization and attack: max over z of E_t[score(net(t(image(z))))], z
kept feasible.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, autograd

from interp.active_rows import ActiveRows
from interp.objective import Objective
from interp.probe import Answer, Oracle, Probe, Procedure, StepProgress, solve
from interp.seeds import Generators
from interp.step import Step

__all__ = [  # with what users of `ascend` need of `interp.probe`
    "Answer",
    "Ascent",
    "AscentResult",
    "Done",
    "Encoder",
    "Oracle",
    "Probe",
    "Procedure",
    "Space",
    "StepProgress",
    "Transform",
    "ascend",
    "identity",
    "solve",
]


class Space(Protocol):
    """Where z lives: `Fourier` for pictures, `Ball` for adversarial images."""

    def start(self, rows: Generators) -> Tensor:
        """Make the first z.

        Args:
            rows: one generator a row.

        Returns:
            z, one entry a row.
        """

    def image(self, z: Tensor) -> Tensor:
        """Make the images of z.

        Args:
            z: one entry a row.

        Returns:
            (B, C, H, W) in [0, 1], differentiable.
        """

    def project(self, z: Tensor) -> Tensor:
        """Find the feasible point nearest to z.

        Args:
            z: one entry a row.

        Returns:
            The point.
        """


@runtime_checkable
class Encoder(Protocol):
    """A space that can begin and go on at images; see `interp.feature.params.fourier`."""

    def encode(self, images: Tensor) -> Tensor:
        """Find the z of images.

        Args:
            images: (B, C, H, W) in [0, 1].

        Returns:
            z, one entry a row.

        Raises:
            ValueError: the space holds pictures of its own kind alone.
        """


# (images (B, C, H, W), one generator a row) -> views of the same shape, differentiable
Transform = Callable[[Tensor, Generators], Tensor]


def identity(images: Tensor, rows: Generators) -> Tensor:
    """Return the images as they are: the transform of an attack, which has one view of each row.

    Args:
        images: (B, C, H, W).
        rows: one generator a row, of which nothing is drawn.

    Returns:
        `images` itself.
    """
    return images


Done = Callable[
    [Answer, Tensor], Tensor
]  # (answer to the rows' probe, row numbers (A,)) -> (A,) bool


@dataclass(frozen=True, eq=False)
class Ascent:
    """What to climb, and how.

    Args:
        limits: (B,) the rows' own numbers of steps, where they are fewer than `steps`.
        done: tells which rows have arrived, from the answer for them; None: none ever has.
        logits: whether `done` reads logits.
        stop_when_done: rows that are done are not probed any more.
        give_up: tells which rows are not probed any more though they are not done; None: all
            others climb on.
        keep_best: return each row's first iterate that is done, else the one with the highest
            score; otherwise the last.
        redirect: rows without any gradient ask once more, through redirected rectifiers.
        penalty: g(x), a term (B,) of images (B, C, H, W) and the present sizes (B,) of their
            scores, which is climbed with the score, but is no part of it: what is kept and who is
            done, the network alone decides (Yosinski et al. 2015, section 3).
        operator: (images, step from 1) -> the images from which the climb goes on after that step,
            for a space that is an `Encoder`; the very same images where there is nothing to do
            (Yosinski et al. 2015, section 3).
        trace: add up over all steps how strongly each pixel was pulled.
    """

    space: Space
    objective: Objective
    step: Step
    steps: int
    transform: Transform = identity
    limits: Tensor | None = None
    done: Done | None = None
    logits: bool = True
    stop_when_done: bool = False
    give_up: Done | None = None
    keep_best: bool = False
    redirect: bool = False
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None
    operator: Callable[[Tensor, int], Tensor] | None = None
    trace: bool = False


@dataclass(frozen=True, eq=False)
class AscentResult:
    """Where an ascent ended, row by row."""

    images: Tensor  # (B, C, H, W)
    moved: Tensor  # (B,) bool: some gradient of the score was not zero
    start_logits: (
        Tensor | None
    )  # (B, classes) of the starting point, where `done` reads logits and steps > 0
    gradients: int  # image-gradients asked for
    queries: int = 0  # images asked about without a gradient by a search that uses none
    attention: Tensor | None = (
        None  # (B, 1, H, W) of a trace: the sum over steps and channels of |gradient of the score|
    )
    start_score: Tensor | None = None  # (B,) of the first views, where steps > 0


class _AscentState:
    """An ascent under way. z, the step rule's memory and the seeds stay whole; only the active rows
    are probed.
    """

    def __init__(self, problem: Ascent, rows: Generators) -> None:
        self.problem, self.generators = problem, rows
        self.z = problem.space.start(rows)
        self.move = problem.step(self.z)
        self.active = ActiveRows(len(self.z), self.z.device)
        self.best_z = self.z.clone()
        self.best_score = torch.full_like(self.active.moved, -torch.inf, dtype=self.z.dtype)
        self.arrived = torch.zeros_like(self.active.moved)
        self.start_score: Tensor | None = None
        self.attention: Tensor | None = None

    @property
    def wants_logits(self) -> bool:
        return self.problem.done is not None and self.problem.logits

    def preview(self) -> Tensor:
        return self.problem.space.image(self.z).detach()

    def objective(self) -> Objective:
        return self.active.select(self.problem.objective)

    def probe(self, step: int) -> Probe:
        """Ask for score and gradient of a view of every active row."""
        problem = self.problem
        self.point = self.z.detach().requires_grad_()
        self.images = self.active.select(problem.space.image(self.point))
        self.view = problem.transform(self.images, self.active.of(self.generators))
        self.active.gradients += len(self.active)
        return Probe(
            self.view.detach(),
            self.objective(),
            logits=self.wants_logits,
            splittable=not problem.objective.coupled,
            progress=StepProgress(step, problem.steps, self.preview),
            rows=self.active.index,
        )

    def ask(self, step: int) -> Procedure[Answer]:
        """Send `probe`; a probe of its own asks for the rows that no gradient comes back for, if
        they may be redirected.
        """
        probe = self.probe(step)
        answer = yield probe
        assert answer.grad is not None
        (shut,) = (~answer.grad.flatten(1).any(1)).nonzero(as_tuple=True)
        if not self.problem.redirect or not len(shut):
            return answer
        redirected = yield Probe(
            probe.images[shut],
            self.objective().take(shut),
            redirect=True,
            splittable=probe.splittable,
            rows=self.active.index[shut],
        )
        assert redirected.grad is not None
        return replace(answer, grad=answer.grad.index_copy(0, shut, redirected.grad))

    def gradient(self, grad: Tensor, score: Tensor) -> Tensor:
        """From the gradient of the views to that of z, zero for rows that left; on the way the
        penalty joins in.
        """
        (pull,) = autograd.grad(self.view, self.images, grad.to(self.view))
        self.active.note_gradients(pull)
        if self.problem.trace:
            self.add_attention(pull.abs().sum(1, keepdim=True))
        if self.problem.penalty is not None:
            none = self.best_score.new_zeros(len(self.z))
            size = self.active.merge(none, score.abs().to(self.z))
            (push,) = autograd.grad(self.problem.penalty(self.images, size).sum(), self.images)
            pull = pull + push
        (slope,) = autograd.grad(self.images, self.point, pull)
        return slope

    def add_attention(self, pull: Tensor) -> None:
        """Note where the pictures of the active rows, (A, 1, H, W), were pulled."""
        if self.attention is None:
            self.attention = pull.new_zeros(len(self.z), *pull.shape[1:])
        self.attention.index_add_(0, self.active.index, pull)

    def step(self, answer: Answer, step: int) -> None:
        """Move the active rows on; let those that are done leave, if they may."""
        assert answer.grad is not None
        assert answer.score is not None
        slope = self.gradient(answer.grad, answer.score)
        if self.start_score is None:
            self.active.start_logits, self.start_score = answer.logits, answer.score
        rows = self.active.index
        gone = self.keep_best(answer, rows) & self.problem.stop_when_done
        if self.problem.give_up is not None:
            gone |= self.problem.give_up(answer, rows)
        if gone.any():
            self.active.leave(gone)
        stepped = self.problem.space.project(self.z + self.move(self.z, slope))
        self.z = self.active.merge(self.z, self.active.select(stepped))
        self.operate(step)

    def operate(self, step: int) -> None:
        """Apply the operator to the pictures of the active rows."""
        if self.problem.operator is None or not len(self.active):
            return
        images = self.preview()[self.active.index]
        changed = self.problem.operator(images, step)
        if changed is not images:
            assert isinstance(self.problem.space, Encoder)
            encoded = self.problem.space.encode(changed)
            self.z = self.z.index_copy(0, self.active.index, encoded)

    def score_last(self, rows: Tensor) -> Procedure[None]:
        """Find out how good the last iterates of some rows (A,) are, if that matters."""
        if self.problem.keep_best and len(rows):
            answer = yield Probe(
                self.preview()[rows],
                self.problem.objective.take(rows),
                gradient=False,
                logits=self.wants_logits,
                rows=rows,
            )
            self.keep_best(answer, rows)

    def keep_best(self, answer: Answer, rows: Tensor) -> Tensor:
        """Keep the best of what is known of some rows; returns which of them are done, (A,)
        bool.
        """
        assert answer.score is not None
        done = torch.zeros_like(self.arrived[: len(rows)])
        if self.problem.done is not None:
            done = self.problem.done(answer, rows)
        if self.problem.keep_best:
            better = ~self.arrived[rows] & (
                done | (answer.score >= self.best_score[rows])
            )  # of equals the last: a loss may be 0 for long
            self.best_z[rows[better]] = self.z[rows[better]]
            self.best_score[rows[better]] = answer.score[better].to(self.best_score)
            self.arrived[rows] |= done
        return done

    def drop_exhausted(self, step: int) -> Procedure[None]:
        """Let the rows go that have no steps left."""
        if self.problem.limits is not None:
            spent = self.problem.limits[self.active.index] < step
            yield from self.score_last(self.active.index[spent])
            self.active.leave(spent)

    def result(self) -> AscentResult:
        z = self.best_z if self.problem.keep_best else self.z
        return AscentResult(
            self.problem.space.image(z).detach(),
            self.active.moved,
            self.active.start_logits,
            self.active.gradients,
            attention=self.attention,
            start_score=self.start_score,
        )


def ascend(problem: Ascent, rows: Generators) -> Procedure[AscentResult]:
    """Climb for at most `problem.steps` gradient steps.

    Args:
        problem: what to climb, and how.
        rows: one generator a row, which supplies all its randomness.

    Returns:
        A procedure whose result says where each row ended.
    """
    state = _AscentState(problem, rows)
    for step in range(1, problem.steps + 1):
        yield from state.drop_exhausted(step)
        if not len(state.active):
            break
        state.step((yield from state.ask(step)), step)
    yield from state.score_last(state.active.index)
    return state.result()
