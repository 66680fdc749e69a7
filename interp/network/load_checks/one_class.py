"""Whether a network tells images apart at all."""

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.network.network import Network

_COARSE = 4  # rows and columns of coarse noise

ONE_CLASS = (
    "noise of every kind and flat images all get one class: perhaps the network normalizes its "
    "input itself, or mean and std are not those that it was trained with; let either the network "
    "or the settings normalize, with mean and std for pixels in [0, 1]"
)


def sees_one_class(network: Network) -> bool:
    """Whether flat images and noise of several contrasts and colours all get one class.

    They are looked at four at a time: most networks tell the first four apart.

    Returns:
        False, too, where there is but one class, or a logit is not a number.
    """
    if network.classes < 2:
        return False
    classes: set[int] = set()
    for images in torch.split(probe_images(network.shape), 4):
        logits = network.logits(images)
        if logits.isnan().any():
            return False
        classes.update(logits.argmax(1).tolist())
        if len(classes) > 1:
            return False
    return True


def probe_images(shape: tuple[int, int, int]) -> Tensor:
    """Make images that a network of some training tells apart.

    Args:
        shape: (C, H, W).

    Returns:
        (16, C, H, W) in [0, 1]: flat ones of every brightness and colour, fine and coarse noise, in
        turns.
    """
    channels, height, width = shape
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([0.0, 1.0, 0.5, 0.25])[:, None].expand(4, channels)
    colours = torch.cat([levels, torch.rand(4, channels, generator=generator)])
    flat = colours[:, :, None, None].expand(8, *shape)
    fine = torch.rand(4, *shape, generator=generator)
    coarse = F.interpolate(
        torch.rand(4, channels, _COARSE, _COARSE, generator=generator), (height, width)
    )
    noise = torch.stack([fine, coarse], 1).flatten(0, 1)
    return torch.stack([flat, noise], 1).flatten(0, 1)
