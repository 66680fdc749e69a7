"""Several optimizations of the same pictures: their seeds, which of them failed, and which is the
better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from interp.probe import Procedure, StepProgress, T

# Further seeds are numbered from here, so that no retry has the same.
FURTHER_SEEDS = 2**16

_SEEDS = 2**64
_STRIDE = 2**32  # between the seeds of two optimizations of a picture
# Of retries, as factors: most pictures that fall short have not gone far enough.
_LEARNING_RATES = (2.0, 4.0, 0.5, 0.25)


@dataclass(frozen=True)
class RestartProgress(StepProgress):
    """Progress of one optimization among several; scores and previews are those of `rows` alone.

    Attributes:
        number: of the optimization, from 1.
        rows: the rows of the request that are optimized, in order.
    """

    number: int = 1
    rows: tuple[int, ...] = ()


def with_restart_progress(
    procedure: Procedure[T], number: int, rows: Sequence[int]
) -> Procedure[T]:
    """Run a procedure whose progress is reported as `RestartProgress`.

    Args:
        procedure: one optimization.
        number: of it, from 1.
        rows: the rows of the request that it is about.

    Returns:
        What the procedure returns.
    """
    try:
        probe = next(procedure)
        while True:
            progress = probe.progress
            if progress is not None:
                restart = RestartProgress(
                    progress.step, progress.steps, progress.preview, number, tuple(rows)
                )
                probe = replace(probe, progress=restart)
            probe = procedure.send((yield probe))
    except StopIteration as stop:
        result: T = stop.value
        return result


def restart_seed(seed: int, restart: int) -> int:
    """Return the seed of a restart.

    Args:
        seed: of the first optimization, 0 to 2^64 - 1.
        restart: its number; 0 gives `seed` itself.

    Returns:
        A seed from 0 to 2^64 - 1.
    """
    return (seed + restart * _STRIDE) % _SEEDS


def retry_of(restart: int) -> int:
    """Return which retry a restart is.

    Args:
        restart: its number, see `restart_seed`.

    Returns:
        From 1; 0 for the first optimization and those from further seeds.
    """
    return restart if restart < FURTHER_SEEDS else 0


def retry_learning_rate(learning_rate: float, retry: int) -> float:
    """Return the learning rate of a retry: faster at first, then slower.

    Args:
        learning_rate: of the first optimization.
        retry: from 1.

    Returns:
        2, 4, 1/2 or 1/4 times the first one.
    """
    return learning_rate * _LEARNING_RATES[(retry - 1) % len(_LEARNING_RATES)]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best optimization so far of each of B pictures.

    Attributes:
        images: (B, C, H, W) in [0, 1], what is returned; alpha may be the last channel.
        opaque: (B, C, H', W') in [0, 1], what was measured: images laid over gray, at the size at
            which the network is shown them.
        activation: (B,) the objective on them.
        held_out: (B,) its mean under the held-out views.
        held_out_minimum: (B,) the lowest of those.
        dead: (B,) bool, no step had a gradient.
        inactive: (B,) bool, the objective is exactly 0, and did not rise to that.
        restart: (B,) int64, the number of the optimization, see `restart_seed`.
        learning_rate: (B,) float64.
    """

    images: Tensor
    opaque: Tensor
    activation: Tensor
    held_out: Tensor
    held_out_minimum: Tensor
    dead: Tensor
    inactive: Tensor
    restart: Tensor
    learning_rate: Tensor

    def failed(self, thresholds: Tensor | None) -> Tensor:
        """Find the pictures that are dead, inactive, not to be measured or below a threshold.

        Args:
            thresholds: (B,) what each activation has to reach, NaN where that is unknown; None:
                unknown everywhere.

        Returns:
            (B,) bool.
        """
        failed = self.dead | self.inactive | ~(self.activation + self.held_out).isfinite()
        if thresholds is None:
            return failed
        return failed | (self.activation < thresholds.to(self.activation))

    def best(
        self,
        other: "Candidates",
        rows: Tensor,
        thresholds: Tensor | None,
        groups: Tensor | None = None,
    ) -> "Candidates":
        """Choose the better of these and of other candidates for some rows: what did not fail goes
        first, then what has the higher mean under the held-out views.

        Of coupled pictures, all of a group are taken from one optimization, that with fewer
        failures; of equals that with the higher means on the whole. Taken from several, they would
        not have been made for each other.

        Args:
            other: A candidates.
            rows: (A,) int64, which of the B rows those are for.
            thresholds: (B,) see `failed`.
            groups: (B,) int64, equal for coupled pictures; None where none are coupled.

        Returns:
            B candidates.
        """
        group = rows if groups is None else groups[rows]
        ours = self.failed(thresholds)[rows]
        theirs = other.failed(None if thresholds is None else thresholds[rows])
        failures = _group_sum(theirs.long() - ours.long(), group)
        gain = _group_sum(_nan_last(other.held_out) - _nan_last(self.held_out)[rows], group)
        better = torch.where(failures == 0, gain > 0, failures < 0)

        def chosen(name: str) -> Tensor:
            kept, new = getattr(self, name), getattr(other, name)
            result: Tensor = kept.index_copy(0, rows[better], new[better].to(kept))
            return result

        return Candidates(*(chosen(field.name) for field in fields(Candidates)))


def _nan_last(values: Tensor) -> Tensor:
    """Values of which those that are no numbers are the worst."""
    return torch.where(values.isnan(), -torch.inf, values)


def _group_sum(values: Tensor, group: Tensor) -> Tensor:
    """(A,) for each of (A,) values the sum over all of the same group."""
    return torch.where(group[:, None] == group[None], values[None], 0).sum(1)
