"""From what a procedure found to finished pictures: PNG files, and what was measured on them."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult
from service.imaging import png
from service.visualization.cache import Picture

_GRAY = 0.5


def encode_pictures(result: VisualizationResult) -> list[Picture]:
    """Encode pictures as PNG files. Takes milliseconds each: not for the event loop.

    Args:
        result: on the host.

    Returns:
        One finished picture a row.
    """
    certificate, images = result.certificate, result.images.float().numpy()
    (height, width), look = certificate.size, certificate.appearance
    return [
        Picture(
            png=encode_png(image),
            activation=float(certificate.activation[i]),
            held_out=float(certificate.held_out[i]),
            held_out_minimum=float(certificate.held_out_minimum[i]),
            dead=bool(result.dead[i]),
            rank=int(certificate.rank[i]),
            units=int(certificate.units[i]),
            layer_activations=_to_array(certificate.layer_activations[i]),
            seed_activations=tuple(certificate.seed_activations[i].tolist()),
            attempts=int(certificate.attempts[i]),
            seed=certificate.seeds[i],
            learning_rate=float(certificate.learning_rates[i]),
            contrast=certificate.contrasts[i],
            height=height,
            width=width,
            clipped=float(look.clipped[i]),
            high_frequencies=float(look.high_frequencies[i]),
            saturation=float(look.saturation[i]),
        )
        for i, image in enumerate(images)
    ]


def not_finite_picture(settings: PictureSettings) -> Picture:
    """Make what stands for the picture of a unit whose values are not finite: gray, and dead.

    Args:
        settings: by which the picture would have been made.

    Returns:
        A picture of that shape, with NaN for everything that is measured.
    """
    channels = 3 if settings.transparent else settings.shape[0]
    return Picture(
        png=encode_png(np.full((channels, *settings.shape[1:]), _GRAY, np.float32)),
        activation=math.nan,
        held_out=math.nan,
        held_out_minimum=math.nan,
        dead=True,
        rank=0,
        units=0,
        layer_activations=_to_array(None),
        seed_activations=(),
        attempts=1,
        seed=settings.seed,
        learning_rate=settings.learning_rate,
        contrast=settings.parameterization.allowed_contrast(0),
        height=settings.shown_shape[1],
        width=settings.shown_shape[2],
        clipped=math.nan,
        high_frequencies=math.nan,
        saturation=math.nan,
    )


def encode_png(image: NDArray[np.generic]) -> bytes:
    """Encode one picture.

    Args:
        image: (C, H, W), float in [0, 1] or uint8; gray with transparency, (2, H, W), becomes RGBA.

    Returns:
        A PNG file.
    """
    return png(image if len(image) != 2 else image[[0, 0, 0, 1]])


def _to_array(values: Tensor | None) -> NDArray[np.float32]:
    """(K,) float32, empty for None."""
    return np.zeros(0, np.float32) if values is None else values.float().numpy()
