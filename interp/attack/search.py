"""Searches: ways to look in a ball for points that reach a goal, and several of them in turn."""

from collections.abc import Callable, Sequence

import torch

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss
from interp.probe import Probe, Procedure, on_rows
from interp.seeds import Generators

# One search. A row that reaches its goal leaves, where the search lets it; all images returned lie
# in the ball.
Search = Callable[[Ball, Goal, Generators], Procedure[AscentResult]]


def in_turn(searches: Sequence[Search], loss: Loss = CROSS_ENTROPY) -> Search:
    """Make one search of several, each on the rows that none before it has brought to their goal.

    A row returns what the first search found that reached the goal, else the image with the highest
    `loss`, both evaluated anew on the images that the searches return. The searches draw on from
    one generator a row: equal ones are restarts.

    Args:
        searches: at least one, in their order.
        loss: what decides between images that are not at the goal.

    Returns:
        The one search itself if there is but one, else a search that runs them in turn.
    """
    if len(searches) == 1:
        return searches[0]

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        images, best = ball.x.clone(), torch.full_like(ball.x[:, 0, 0, 0], -torch.inf)
        active, queries = ActiveRows(len(images), images.device), 0
        for number, one in enumerate(searches):
            index, wanted = active.index, goal.take(active.index)
            attempt = one(ball.take(index), wanted, active.of(rows))
            found = yield from on_rows(attempt, index)
            active.gradients, queries = active.gradients + found.gradients, queries + found.queries
            active.moved[index] |= found.moved
            if not number:
                active.start_logits = found.start_logits
            answer = yield Probe(
                found.images,
                wanted.objective(loss),
                gradient=False,
                logits=goal.logits,
                rows=index,
            )
            assert answer.score is not None
            arrived = wanted.reached(answer)
            better = arrived | (answer.score > best[index])
            images[index[better]] = found.images[better].to(images)
            best[index[better]] = answer.score[better].to(best)
            active.leave(arrived)
            if not len(active):
                break
        return AscentResult(images, active.moved, active.start_logits, active.gradients, queries)

    return search
