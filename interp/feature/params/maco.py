"""MACO: the phase alone is free, under the magnitude spectrum of a data set (Fel et al. 2023)."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interp.feature.params.colour import correlation, mixed
from interp.seeds import Generators, uniform


@dataclass(frozen=True)
class Maco:
    """Pictures as phases z (B, C, H, W // 2 + 1) in radians (Fel et al. 2023, "Unlocking feature
    visualization", section 3).

    Before colour and sigmoid every picture has the given magnitudes times one constant, by which
    its standard deviation is 1 and, as the authors do it, its mean 0. They also standardize the
    phases of each picture, which keeps phases normal with a deviation of 1 and so lets all
    frequencies meet in a bright corner; here phases are uniform at the start and free.

    Args:
        shape: (C, H, W) of the picture, C 1 or 3.
        like: tensor whose dtype and device z takes.
        magnitude: (C, H, W // 2 + 1) of real pictures, not all zero: `Spectrum.magnitude`.

    Raises:
        ValueError: the magnitude has another shape.
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
        """The magnitudes (C, H, W // 2 + 1) that every picture has before colour and sigmoid: mean
        0, standard deviation 1.
        """
        channels, height, width = self.shape
        wanted = self.magnitude.double().clone()
        wanted[:, 0, 0] = 0
        twice = torch.full(
            (width // 2 + 1,), 2.0, dtype=torch.float64
        )  # most columns stand for their mirror images, too
        twice[[0, -1] if width % 2 == 0 else [0]] = 1
        variance = (wanted.square() * twice.to(wanted.device)).sum() / (
            channels * (height * width) ** 2
        )  # Parseval
        scaled: Tensor = (wanted / variance.sqrt()).to(self.like)
        return scaled

    @cached_property
    def _mirrored(self) -> Tensor:
        """Row numbers of the opposite frequencies, (H,)."""
        height = self.shape[1]
        return (-torch.arange(height, device=self.like.device)) % height

    def _phases(self, z: Tensor) -> Tensor:
        """Phases of a real picture: in the columns that are their own mirror images, opposite
        frequencies have opposite phases.
        """
        own = [z[..., :1] - z[..., self._mirrored, :1]]
        if self.shape[2] % 2 == 0:
            own.append(z[..., -1:] - z[..., self._mirrored, -1:])
        return torch.cat([own[0], z[..., 1 : self.shape[2] - self.shape[2] // 2], *own[1:]], -1)

    def spectrum(self, z: Tensor) -> Tensor:
        """(B, C, H, W // 2 + 1) complex, of the pictures before colour and sigmoid."""
        phase = self._phases(z)
        return torch.complex(phase.cos() * self.amplitude, phase.sin() * self.amplitude)

    def start(self, rows: Generators) -> Tensor:
        """Phases uniform in [-pi, pi): a cloud with the data set's frequencies."""
        return uniform(rows, self.z_shape, self.like) * math.pi

    def image(self, z: Tensor) -> Tensor:
        """(B, C, H, W) in (0, 1): inverse Fourier transform, decorrelated colour, sigmoid."""
        channels, height, width = self.shape
        picture: Tensor = torch.fft.irfft2(self.spectrum(z), s=(height, width))
        if channels == 3:
            picture = mixed(picture, self._colour)
        return picture.sigmoid()

    @cached_property
    def _colour(self) -> Tensor:
        return correlation(self.like)

    def project(self, z: Tensor) -> Tensor:
        """z itself: every phase is a picture."""
        return z

    def encode(self, images: Tensor) -> Tensor:
        """Raises ValueError: other images have other magnitudes."""
        raise ValueError("MACO cannot begin at an image")
