"""What the eye sees of pictures before it sees what they show: whether they are neon, dithered or
colourless.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# A value this near to black or white counts as clipped: one 8-bit level, and half a one of
# rounding.
_CLIPPED = 1.5 / 255
# In cycles a pixel: what lies beyond looks like dithering.
_HIGH_FREQUENCY = 0.25


@dataclass(frozen=True, eq=False)
class Appearance:
    """The eye's measures of pictures, one row a picture.

    Attributes:
        clipped: (B,) the share of values, of all pixels and channels, that are black or white to
            one 8-bit level, 0 to 1.
        high_frequencies: (B,) the share of the energy about the channels' means that lies above a
            quarter cycle a pixel, 0 to 1; 0 of a picture of one colour.
        saturation: (B,) the mean saturation of the pixels' colours (Smith 1978, HSV), 0 to 1; 0 of
            gray pictures.
    """

    clipped: Tensor
    high_frequencies: Tensor
    saturation: Tensor

    def cpu(self) -> "Appearance":
        """Return the same on the host."""
        return Appearance(self.clipped.cpu(), self.high_frequencies.cpu(), self.saturation.cpu())

    @property
    def rows(self) -> list[tuple[float, float, float]]:
        """(clipped, high frequencies, saturation) of each picture."""
        columns = torch.stack([self.clipped, self.high_frequencies, self.saturation], 1)
        return [(clipped, high, saturation) for clipped, high, saturation in columns.tolist()]


def appearance(pictures: Tensor) -> Appearance:
    """Measure how pictures look.

    Args:
        pictures: (B, C, H, W) in [0, 1], C 1 or 3.

    Returns:
        The measures, in float32.
    """
    pictures = pictures.float()
    clipped = (pictures < _CLIPPED) | (pictures > 1 - _CLIPPED)
    return Appearance(
        clipped.float().flatten(1).mean(1), _high_frequencies(pictures), _saturation(pictures)
    )


def _high_frequencies(pictures: Tensor) -> Tensor:
    """(B,) the share of the energy above `_HIGH_FREQUENCY`."""
    height, width = pictures.shape[2:]
    spectrum = torch.fft.rfft2(pictures - pictures.mean((2, 3), keepdim=True))
    energy = spectrum.abs().square().sum(1)  # (B, H, W // 2 + 1)
    # All columns stand for two frequencies but the first, and the last of an even width.
    energy[:, :, 1 : (width + 1) // 2] *= 2
    frequency = torch.hypot(
        torch.fft.fftfreq(height, device=pictures.device)[:, None],
        torch.fft.rfftfreq(width, device=pictures.device)[None],
    )
    whole = energy.sum((1, 2))
    high = (energy * (frequency > _HIGH_FREQUENCY)).sum((1, 2))
    least = torch.finfo(whole.dtype).eps ** 2 * height * width * pictures[0].numel()
    return torch.where(whole > least, high / whole.clamp_min(least), 0.0)


def _saturation(pictures: Tensor) -> Tensor:
    """(B,) the mean over pixels of (largest - smallest channel) / largest."""
    brightest = pictures.amax(1)
    chroma = brightest - pictures.amin(1)
    colour = torch.where(
        brightest > 0, chroma / brightest.clamp_min(torch.finfo(brightest.dtype).tiny), 0.0
    )
    return colour.flatten(1).mean(1)
