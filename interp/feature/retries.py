"""Several optimizations of the same pictures: how they are told apart, which of them failed, and
which is the better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from interp.probe import Procedure, Progress, T

_SEEDS = 2**64
_APART = 2**32  # seeds of two tries lie so far apart


@dataclass(frozen=True)
class Attempt(Progress):
    """Progress of one optimization among several: its number, from 1, and the rows of the request
    that it is about.

    Scores and previews are those of `rows` alone, in this order.
    """

    number: int = 1
    rows: tuple[int, ...] = ()


def told(procedure: Procedure[T], number: int, rows: Sequence[int]) -> Procedure[T]:
    """The same procedure, the progress of whose probes is an `Attempt`."""
    try:
        probe = next(procedure)
        while True:
            if probe.progress is not None:
                step, steps, preview = (
                    probe.progress.step,
                    probe.progress.steps,
                    probe.progress.preview,
                )
                probe = replace(probe, progress=Attempt(step, steps, preview, number, tuple(rows)))
            probe = procedure.send((yield probe))
    except StopIteration as stop:
        result: T = stop.value
        return result


def another(seed: int, number: int) -> int:
    """The seed of a further try at what `seed` began; 0 gives `seed` itself. Below 2^64."""
    return (seed + number * _APART) % _SEEDS


@dataclass(frozen=True, eq=False)
class Tries:
    """The best try so far at each of B pictures, every tensor one entry a row."""

    images: Tensor  # (B, C, H, W) in [0, 1], what is returned; alpha may be the last channel
    pictures: Tensor  # (B, C, H, W) in [0, 1], what was measured
    activation: Tensor  # (B,)
    held_out: Tensor  # (B,)
    held_out_minimum: Tensor  # (B,)
    dead: Tensor  # (B,) bool
    shut: Tensor  # (B,) bool
    number: Tensor  # (B,) int64, see `another`
    rate: Tensor  # (B,) float64

    def failed(self, bar: Tensor | None) -> Tensor:
        """(B,) bool: which pictures are dead, shut, not to be measured or below the bar (B,), NaN
        where there is none.
        """
        failed = self.dead | self.shut | ~(self.activation + self.held_out).isfinite()
        return failed if bar is None else failed | (self.activation < bar.to(self.activation))

    def better(
        self, other: "Tries", rows: Tensor, bar: Tensor | None, groups: Tensor | None = None
    ) -> "Tries":
        """The better of these and of other tries at `rows` (A,): what did not fail goes first, then
        what holds out better.

        Of coupled pictures, those of the same number in `groups` (B,), all are taken from one try,
        that with fewer failures; of equals that which holds out better on the whole: taken from
        several, they would not have been made for each other.
        """
        names = rows if groups is None else groups[rows]
        ours, theirs = self.failed(bar)[rows], other.failed(None if bar is None else bar[rows])
        fewer = _of_groups(theirs.long() - ours.long(), names)
        gain = _of_groups(_known(other.held_out) - _known(self.held_out)[rows], names)
        win = torch.where(fewer == 0, gain > 0, fewer < 0)
        mine, its = (
            [getattr(tries, field.name) for field in fields(Tries)] for tries in (self, other)
        )
        return Tries(
            *(a.index_copy(0, rows[win], b[win].to(a)) for a, b in zip(mine, its, strict=True))
        )


def _known(values: Tensor) -> Tensor:
    """Values of which those that are no numbers are the worst."""
    return torch.where(values.isnan(), -torch.inf, values)


def _of_groups(values: Tensor, names: Tensor) -> Tensor:
    """(A,) for each of (A,) values the sum over all of the same name."""
    return torch.where(names[:, None] == names[None], values[None], 0).sum(1)
