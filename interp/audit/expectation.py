"""PGD on an expectation over the neighbours of an image, for networks whose logits jump from one to
the next.

Where noise is seeded by the image itself, each image has its own, and one gradient says little.
What the noise does not change is seen in the mean over images that differ by less than matters: the
expectation over transformation of Athalye et al. 2018 ("Obfuscated gradients", section 4.2;
"Synthesizing robust adversarial examples"), over steps of one 8-bit level.
"""

import torch
from torch import Tensor

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult
from interp.attack.ball import LEVELS, Ball
from interp.attack.base import Method
from interp.attack.goal import MARGIN, Goal, Loss
from interp.attack.pgd import OVERSHOOT, steepest_step
from interp.audit.findings import EXPECTATION
from interp.audit.plan import PlannedAttack
from interp.probe import Probe, Procedure
from interp.seeds import Generators, uniform

STEPS, NEIGHBOURS = 40, 8


def expectation_over_neighbours(
    steps: int = STEPS, neighbours: int = NEIGHBOURS, loss: Loss = MARGIN
) -> Method:
    """Make PGD from a random start whose gradient is the mean over random neighbours of the
    iterate: images of the ball that differ from it by at most one 8-bit level in every pixel.

    A row leaves with the first neighbour at its goal; the others return where they ended.

    Args:
        steps: of PGD, at least 1, each 2.5 epsilon / steps long.
        neighbours: of every iterate, at least 1; a step costs so many gradients.
        loss: what is raised.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        objective = goal.objective(loss)
        z = ball.start(rows) if ball.random_start else ball.project(_beside(ball.x, rows))
        found, active = ball.image(z).detach().clone(), ActiveRows(len(z), z.device)
        move = steepest_step(ball, OVERSHOOT * ball.eps / steps, steps)(z)
        for _ in range(steps):
            index = active.index
            inside = ball.take(index)
            views = torch.stack(
                [
                    inside.image(inside.project(_beside(z[index], active.of(rows)))).detach()
                    for _ in range(neighbours)
                ]
            )
            every = index.repeat(neighbours)
            answer = yield Probe(
                views.flatten(0, 1), objective.take(every), logits=goal.logits, rows=every
            )
            assert answer.grad is not None
            active.gradients += len(every)
            there = goal.take(every).reached(answer).view(neighbours, -1)
            mean = answer.grad.to(z).view_as(views).mean(0)
            active.note_gradients(mean)
            slope = active.merge(torch.zeros_like(z), mean)
            z = active.merge(z, active.select(ball.project(z + move(z, slope))))
            first = views[there.int().argmax(0), torch.arange(len(index), device=z.device)]
            best = torch.where(there.any(0).view(-1, 1, 1, 1), first, inside.image(z[index]))
            found = found.index_copy(0, index, best.detach())
            active.leave(there.any(0))
            if not len(active):
                break
        return AscentResult(found, active.moved, None, active.gradients)

    return Method(search, "eot", {"steps": steps, "neighbours": neighbours, "loss": loss.name})


def _beside(z: Tensor, rows: Generators) -> Tensor:
    """Points that differ from z by up to one level in every pixel."""
    return z + uniform(rows, z.shape[1:], z) / LEVELS


FURTHER = (PlannedAttack(EXPECTATION, expectation_over_neighbours()),)
