"""MACO: the phase alone is free, under the magnitude spectrum of a data set (Fel et al. 2023)."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from interp.ascent import Transform
from interp.feature.params.base import ParameterizationSpec
from interp.feature.params.colour import correlation, mixed
from interp.feature.spatial import Crop
from interp.feature.transform import Noise
from interp.seeds import Generators, uniform

# Crops, Gaussian and uniform noise (Fel et al. 2023); noise of 0.08 in pixels from -1 to 1. The
# authors crop a quarter of a picture that is several times as large as what the network takes; ours
# is no larger, and a quarter of it would be seen four times too large.
MACO_TRANSFORMS = (Crop(0.75, 0.1), Noise(0.04, 0.04))


@dataclass(frozen=True)
class Maco:
    """Pictures as phases z (B, C, H, W // 2 + 1) in radians (Fel et al. 2023, "Unlocking feature
    visualization", section 3).

    Before colour and sigmoid every picture has the given magnitudes times one constant, by which
    its standard deviation is 1 and, as the authors do it, its mean 0. They also standardize the
    phases of each picture, which keeps phases normal with a deviation of 1 and so lets all
    frequencies meet in a bright corner; here phases are uniform at the start and free.

    Args:
        shape: (C, H, W) of the pictures, C 1 or 3.
        like: a tensor of the dtype and the device that z takes.
        magnitude: (C, H, W // 2 + 1) of photographs, not all zero: `Spectrum.magnitude`.

    Raises:
        ValueError: The magnitudes have another shape.
    """

    shape: tuple[int, int, int]
    like: Tensor
    magnitude: Tensor

    def __post_init__(self) -> None:
        if tuple(self.magnitude.shape) != self.z_shape:
            raise ValueError(
                f"magnitudes {tuple(self.magnitude.shape)} for pictures {self.shape}, "
                f"which have {self.z_shape}"
            )

    @property
    def z_shape(self) -> tuple[int, ...]:
        """(C, H, W // 2 + 1)."""
        channels, height, width = self.shape
        return channels, height, width // 2 + 1

    @cached_property
    def amplitude(self) -> Tensor:
        """The magnitudes (C, H, W // 2 + 1) that every picture has before colour and sigmoid: of
        mean 0 and standard deviation 1.
        """
        channels, height, width = self.shape
        magnitude = self.magnitude.double().clone()
        magnitude[:, 0, 0] = 0
        # Most columns stand for their mirror images, too.
        multiplicity = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64)
        multiplicity[[0, -1] if width % 2 == 0 else [0]] = 1
        variance = (magnitude.square() * multiplicity.to(magnitude.device)).sum() / (
            channels * (height * width) ** 2
        )  # Parseval
        scaled: Tensor = (magnitude / variance.sqrt()).to(self.like)
        return scaled

    @cached_property
    def _colour(self) -> Tensor:
        """The matrix of `correlation`, (3, 3)."""
        return correlation(self.like)

    @cached_property
    def _mirrored(self) -> Tensor:
        """Row numbers of the opposite frequencies, (H,)."""
        height = self.shape[1]
        return (-torch.arange(height, device=self.like.device)) % height

    def _phases(self, z: Tensor) -> Tensor:
        """Phases of a real picture: in the columns that are their own mirror images, opposite
        frequencies have opposite phases.
        """
        first = z[..., :1] - z[..., self._mirrored, :1]
        middle = z[..., 1 : self.shape[2] - self.shape[2] // 2]
        if self.shape[2] % 2:
            return torch.cat([first, middle], -1)
        last = z[..., -1:] - z[..., self._mirrored, -1:]
        return torch.cat([first, middle, last], -1)

    def spectrum(self, z: Tensor) -> Tensor:
        """Return the spectra (B, C, H, W // 2 + 1) complex of the pictures of z, before colour and
        sigmoid.
        """
        phase = self._phases(z)
        return torch.complex(phase.cos() * self.amplitude, phase.sin() * self.amplitude)

    def start(self, rows: Generators) -> Tensor:
        """Draw phases uniform in [-pi, pi), (B, C, H, W // 2 + 1): clouds with the data set's
        frequencies.
        """
        return uniform(rows, self.z_shape, self.like) * math.pi

    def image(self, z: Tensor) -> Tensor:
        """Draw the pictures (B, C, H, W) in (0, 1) of z: inverse Fourier transform, decorrelated
        colour, sigmoid.
        """
        channels, height, width = self.shape
        picture: Tensor = torch.fft.irfft2(self.spectrum(z), s=(height, width))
        if channels == 3:
            picture = mixed(picture, self._colour)
        return picture.sigmoid()

    def project(self, z: Tensor) -> Tensor:
        """Return z itself: every phase is a picture."""
        return z

    def including(self, images: Tensor) -> "Maco":
        """Return the parameterization itself."""
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Raise ValueError: other images have other magnitudes.

        Raises:
            ValueError: Always.
        """
        raise ValueError("MACO cannot begin at an image")


@dataclass(frozen=True)
class MacoSpec(ParameterizationSpec):
    """Pictures as phases under the magnitude spectrum of a data set.

    Args:
        dataset: the name of that data set.
        images: its first so many images, at least 1.
        transparency: the percentile, 0 to 100, at which accumulated gradients are cut to be an
            alpha channel (Fel et al. 2023, section 3.3); 0 for opaque pictures.
        magnitude: (C, H, W // 2 + 1), the mean magnitudes of those images; None until they are
            known, by when there is nothing to build.
    """

    dataset: str = ""
    images: int = 1000
    transparency: float = 90.0
    magnitude: Tensor | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "maco"
    encodes: ClassVar[bool] = False
    alpha: ClassVar[bool] = False
    transforms: ClassVar[tuple[Transform, ...]] = MACO_TRANSFORMS

    def build(self, shape: tuple[int, int, int], like: Tensor) -> Maco:
        """Make the phases of pictures of this shape, see `ParameterizationSpec.build`.

        Raises:
            ValueError: The magnitudes are not known yet, or have another shape.
        """
        if self.magnitude is None:
            raise ValueError(f"the spectrum of data set {self.dataset!r} is not known yet")
        return Maco(shape, like, self.magnitude.to(like.device))

    @property
    def attention_percentile(self) -> float | None:
        """`transparency`, or None where that is 0."""
        return self.transparency or None
