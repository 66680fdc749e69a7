"""The rows of a batch on which an iterative search still works: a row that is done leaves."""

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar, overload

import torch
from torch import Tensor


class Rows(Protocol):
    """What has one entry a row and can be restricted to some of them: a ball, a goal, an
    objective.
    """

    def take(self, index: Tensor) -> Self:
        """Choose rows.

        Args:
            index: (A,), numbers of rows.

        Returns:
            The chosen rows.
        """


R = TypeVar("R", bound=Rows)


class ActiveRows:
    """Which rows of a batch are still searched, and what the search has cost so far.

    Settings, generators and results stay whole, in the order of the batch; probes are made of the
    active rows alone. So a batch gets cheaper as its rows are done, and what a row gets does not
    depend on who else is still active.

    Attributes:
        count: rows of the batch.
        index: (A,) int64, the numbers of the active rows, rising.
        moved: (count,) bool, rows for which some gradient of the score was not zero.
        gradients: image-gradients asked for so far.
        start_logits: (count, classes) of the starting points, where the search asked for them.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        """Begin with all rows active.

        Args:
            count: rows of the batch.
            device: where tensors of row numbers live.
        """
        self.count = count
        self.index = torch.arange(count, device=device)
        self.moved = torch.zeros(count, dtype=torch.bool, device=device)
        self.gradients = 0
        self.start_logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def all_active(self) -> bool:
        """Whether no row has left yet."""
        return len(self.index) == self.count

    @overload
    def select(self, whole: Tensor) -> Tensor: ...
    @overload
    def select(self, whole: R) -> R: ...
    def select(self, whole: Any) -> Any:
        """Restrict what has one entry a row of the batch to the active rows.

        Args:
            whole: a tensor (count, ...), or a ball, goal or objective of the whole batch.

        Returns:
            The same for the active rows in order; `whole` itself while no row has left.
        """
        if self.all_active:
            return whole
        return whole[self.index] if isinstance(whole, Tensor) else whole.take(self.index)

    def of(self, entries: Sequence[Any]) -> Sequence[Any]:
        """Choose the active rows' entries of a sequence with one a row, such as generators.

        Args:
            entries: one a row, of all rows.

        Returns:
            One an active row, in order.
        """
        return entries if self.all_active else [entries[row] for row in self.index.tolist()]

    def merge(self, whole: Tensor, part: Tensor) -> Tensor:
        """Replace the active rows' entries of a tensor.

        Args:
            whole: (count, ...).
            part: (A, ...), the new entries of the active rows.

        Returns:
            (count, ...): `part` itself while no row has left, else a copy of `whole` with `part`.
        """
        return part if self.all_active else whole.index_copy(0, self.index, part)

    def note_gradients(self, grad: Tensor) -> None:
        """Note for which of the active rows a gradient (A, ...) is not zero.

        Args:
            grad: (A, ...), of the active rows.
        """
        self.moved[self.index] |= grad.flatten(1).any(1)

    def leave(self, gone: Tensor) -> None:
        """Let some of the active rows go.

        Args:
            gone: (A,) bool, those of the active rows that are no longer active.
        """
        self.index = self.index[~gone]
