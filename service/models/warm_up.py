"""The first pass of a network forwards and backwards: what it costs, and whether it works."""

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.attack.losses import cross_entropy
from interp.network.backward import BackwardFailed
from interp.network.network import Network
from interp.probe import Probe

NO_GRADIENT = (
    "no gradient leads from the logits to the images (no_grad, detach, or steps without one): "
    "attacks, pictures and attributions by gradients find nothing, which is no robustness; Square "
    "and occlusion do without"
)


@dataclass(frozen=True)
class WarmUp:
    """What the first pass of one image tells.

    Attributes:
        bytes_per_row: that it took beside the weights.
        doubts: sentences about a backward pass that fails, or that no gradient comes back.
    """

    bytes_per_row: int
    doubts: tuple[str, ...]


def warm_up(network: Network) -> WarmUp:
    """Run one image forward and backward.

    Args:
        network: that is loaded.

    Returns:
        The bytes that an image takes, and doubts about the network's answers.

    Raises:
        Exception: whatever the network's forward pass raises.
    """
    weights = {t.untyped_storage().data_ptr() for t in network.weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.full((1, *network.shape), 0.5, device=network.device, dtype=network.dtype)
    label = torch.zeros(1, dtype=torch.int64, device=network.device)
    probe = Probe(image, cross_entropy(label))
    _ = network.without_gradient  # found while loading, for requests to look up
    doubts = _doubts(network, probe)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, suppress(BackwardFailed):
        network.answer([probe])
    # The backward pass holds the gradients of a layer's output and input beside what the forward
    # pass kept.
    largest = max(kept.values(), default=0)
    return WarmUp(sum(kept.values()) + 2 * largest + image.nbytes, tuple(doubts))


def _doubts(network: Network, probe: Probe) -> list[str]:
    """What is odd about the backward pass. It is made without hooks on the tensors that it keeps,
    with which torch does not notice that one was overwritten.
    """
    try:
        (answer,) = network.answer([probe])
    except BackwardFailed as error:
        return [str(error)]
    found = answer.grad is not None and bool(answer.grad.any())
    return [] if found or network.carries_gradients(probe.images) else [NO_GRADIENT]
