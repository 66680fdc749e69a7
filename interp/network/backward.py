"""The gradient of scores with respect to images, also through a network that is odd there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_REENTRANT = "checkpoint", ".grad()"  # words of torch's refusal

_NO_MEMORY = "can't allocate memory"  # how a host says that it has none left


class BackwardFailed(RuntimeError):
    """A network cannot be differentiated: its own backward pass raises an error."""


class ReentrantCheckpoint(RuntimeError):
    """A network has reentrant checkpoints (torch.utils.checkpoint), which refuse a gradient unless
    it is accumulated.
    """


def gradient(scores: Tensor, x: Tensor, accumulate: bool = False) -> Tensor | None:
    """Differentiate the sum of scores.

    Args:
        scores: (B,).
        x: images (B, C, H, W), a leaf that requires gradients.
        accumulate: go the way of `Tensor.backward`, which reentrant checkpoints need; whatever else
            requires gradients has them added to, too.

    Returns:
        (B, C, H, W); None where the scores do not depend on the images.

    Raises:
        ReentrantCheckpoint: `accumulate` is needed. The pass has to be made again.
        BackwardFailed: the backward pass raises.
    """
    try:
        if accumulate:
            scores.sum().backward()  # type: ignore[no-untyped-call]
            grad, x.grad = x.grad, None
        else:
            (grad,) = torch.autograd.grad(scores.sum(), x, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        text = str(error)
        if not accumulate and all(word in text.lower() for word in _REENTRANT):
            raise ReentrantCheckpoint(text) from error
        if _NO_MEMORY in text:
            raise
        raise _failed("backward pass fails", text) from error
    return grad


@contextmanager
def forward_with_gradients() -> Iterator[None]:
    """Name what a forward pass raises only because gradients are asked for, such as a conversion to
    numpy or a tensor of inference mode: without them the same network has run when it was loaded.

    Raises:
        BackwardFailed: the pass raises a RuntimeError other than that memory is out.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if _NO_MEMORY in str(error):
            raise
        raise _failed("forward pass fails where gradients are asked for", str(error)) from error


def _failed(what: str, text: str) -> BackwardFailed:
    line = (text.splitlines() or ["no reason is given"])[0][:200]
    return BackwardFailed(
        f"the network's {what} ({line}): only what takes no gradients can be asked of it, such as "
        f"classify, activations and exemplars"
    )
