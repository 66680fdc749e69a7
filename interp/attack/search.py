"""Searches: ways to look in a ball for points that reach a goal, and several of them in turn."""

from collections.abc import Callable, Sequence

import torch

from interp.ascent import Summit
from interp.attack.ball import Ball
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss
from interp.probe import Probe, Procedure
from interp.seeds import Generators

# One search. A row that reaches its goal leaves, where the search lets it; all images returned lie
# in the ball.
Search = Callable[[Ball, Goal, Generators], Procedure[Summit]]


def in_turn(searches: Sequence[Search], loss: Loss = CROSS_ENTROPY) -> Search:
    """Each search on the rows that none before it has brought to their goal.

    A row returns what the first search found that reached the goal, else the image with the highest
    `loss`, both judged anew on the images that the searches return. The searches draw on from one
    generator a row: equal ones are restarts.
    """
    if len(searches) == 1:
        return searches[0]

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        images, best = ball.x.clone(), torch.full_like(ball.x[:, 0, 0, 0], -torch.inf)
        moved = torch.zeros_like(best, dtype=torch.bool)
        todo, gradients, queries, start_logits = (
            torch.arange(len(images), device=images.device),
            0,
            0,
            None,
        )
        for number, one in enumerate(searches):
            wanted = goal.take(todo)
            summit = yield from one(ball.take(todo), wanted, [rows[i] for i in todo.tolist()])
            gradients, queries = gradients + summit.gradients, queries + summit.queries
            start_logits = start_logits if number else summit.start_logits
            moved[todo] |= summit.moved
            answer = yield Probe(
                summit.images, wanted.objective(loss), gradient=False, logits=goal.logits
            )
            assert answer.score is not None
            arrived = wanted.reached(answer)
            better = arrived | (answer.score > best[todo])
            images[todo[better]], best[todo[better]] = (
                summit.images[better].to(images),
                answer.score[better].to(best),
            )
            todo = todo[~arrived]
            if not len(todo):
                break
        return Summit(images, moved, start_logits, gradients, queries)

    return search
