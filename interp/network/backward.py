"""The gradient of scores with respect to images, also through a network that is odd there."""

import torch
from torch import Tensor

_REENTRANT = "checkpoint", ".grad()"  # words of torch's refusal


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
        if "can't allocate memory" in text:  # how a host says that it has none left
            raise
        raise BackwardFailed(
            f"the network's backward pass fails ({text.splitlines()[0][:200]}): only what takes "
            f"no gradients can be asked of it, such as classify, activations and exemplars"
        ) from error
    return grad
