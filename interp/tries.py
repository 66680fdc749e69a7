"""Several optimizations of the same pictures: how they are told apart, which of them failed, and which is the better."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from interp.ascent import Procedure, Progress, T

_SEEDS = 2**64
_APART = 2**32  # seeds of two tries lie so far apart


@dataclass(frozen=True)
class Attempt(Progress):
    """Progress of one optimization among several: its number, from 1, and the rows of the request that it is about.

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
                step, steps, preview = probe.progress.step, probe.progress.steps, probe.progress.preview
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
    number: Tensor  # (B,) int64, see `another`
    rate: Tensor  # (B,) float64

    def failed(self, bar: Tensor | None) -> Tensor:
        """(B,) bool: which pictures are dead, shut (exactly 0) or below the bar (B,), NaN where there is none."""
        failed = self.dead | (self.activation == 0)
        return failed if bar is None else failed | (self.activation < bar.to(self.activation))

    def better(self, other: "Tries", rows: Tensor, bar: Tensor | None) -> "Tries":
        """The better of these and of other tries at `rows` (A,): what did not fail goes first, then what holds out better."""
        ours, theirs = self.failed(bar)[rows], other.failed(None if bar is None else bar[rows])
        win = torch.where(ours == theirs, other.held_out > self.held_out[rows], ours)
        mine, its = ([getattr(tries, field.name) for field in fields(Tries)] for tries in (self, other))
        return Tries(*(a.index_copy(0, rows[win], b[win].to(a)) for a, b in zip(mine, its, strict=True)))
