"""The folded copy of a network: made when it is first asked for, and given up when the network has
changed.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from interp.network.folding.fold import FoldedModule, fold_batch_norms
from interp.network.folding.module_state import ModuleState
from interp.network.hooks import has_hooks
from interp.network.symbolic_trace import ALONE, Turn


class FoldedCopy:
    """The folded copy of a module, made at the first use, and given up for good when the module has
    been changed since.

    While there are hooks on the module, which may watch it or be part of what it does, there is no
    copy.
    """

    def __init__(
        self, module: nn.Module, example: Callable[[], Tensor], turn: Turn = ALONE
    ) -> None:
        """Take a module, of which no copy is made yet.

        Args:
            module: see `fold_batch_norms`.
            example: returns the images on which the copy must agree with it.
            turn: held while the module is traced, see `interp.network.symbolic_trace`.
        """
        self._module, self._example, self._turn = module, example, turn
        self._modules = list(module.modules())
        self._made: tuple[FoldedModule, ModuleState] | None = None
        self._given_up = False

    def get(self) -> FoldedModule | None:
        """Return the copy, or None where there is none."""
        if self._given_up or has_hooks(self._modules):
            return None
        if self._made is None:
            # what is made in inference mode could not be differentiated later
            with torch.inference_mode(False):
                state = ModuleState(self._module)
                copy = fold_batch_norms(self._module, self._example(), self._turn)
            self._made = None if copy is None else (copy, state)
        if self._made is not None and self._made[1].is_unchanged():
            return self._made[0]
        self._given_up, self._made = True, None
        return None
