"""From a Parameterization message to its spec: one reader a kind, in a registry."""

from collections.abc import Callable, Mapping
from typing import Any

from interp.feature.params.base import ParameterizationSpec
from interp.feature.params.cppn import CppnSpec
from interp.feature.params.fourier import FourierSpec
from interp.feature.params.maco import MacoSpec
from interp.feature.params.pixels import PixelsSpec
from service.rpc.validation import InvalidField, above, required, within
from striate.v1 import visualize_pb2 as pb

# (the message of the kind, the field's path) -> spec
Reader = Callable[[Any, str], ParameterizationSpec]

DEFAULT = "fourier"
_MOST_CONTRAST = 64.0  # beyond, every value is black or white


def _fourier(message: pb.Fourier, field: str) -> FourierSpec:
    """Fourier spectra: decay from 0 to 4, contrast above 0 to 64."""
    decay = FourierSpec.decay
    if message.HasField("decay"):
        decay = within(f"{field}.decay", message.decay, 0.0, 4.0)
    contrast = above(
        f"{field}.contrast", message.contrast, _MOST_CONTRAST, default=FourierSpec.contrast
    )
    return FourierSpec(decay, contrast)


def _pixels(message: pb.Pixels, field: str) -> PixelsSpec:
    """Pixels, with nothing to set."""
    return PixelsSpec()


def _cppn(message: pb.Cppn, field: str) -> CppnSpec:
    """A CPPN: depth from 1 to 16, width from 1 to 64."""
    return CppnSpec(
        within(f"{field}.depth", message.depth, 1, 16, default=CppnSpec.depth),
        within(f"{field}.width", message.width, 1, 64, default=CppnSpec.width),
    )


def _maco(message: pb.Maco, field: str) -> MacoSpec:
    """MACO: a data set, its first images, and the percentile of its transparency."""
    images = within(f"{field}.images", message.images, 1, 100_000, default=MacoSpec.images)
    transparency = MacoSpec.transparency
    if message.HasField("transparency"):
        transparency = within(f"{field}.transparency", message.transparency, 0.0, 100.0)
    return MacoSpec(required(f"{field}.dataset", message.dataset), images, transparency)


# By the names of the contract's oneof.
READERS: Mapping[str, Reader] = {
    "fourier": _fourier,
    "pixels": _pixels,
    "cppn": _cppn,
    "maco": _maco,
}


def read(message: pb.Parameterization, field: str) -> ParameterizationSpec:
    """Read which variables of a picture are optimized.

    Args:
        message: of the request.
        field: its path, for errors.

    Returns:
        The spec; of MACO without the spectrum, which takes reading a data set.

    Raises:
        InvalidField: A number is out of range, a name is missing, or alpha does not go with the
            kind.
    """
    kind = message.WhichOneof("kind") or DEFAULT
    spec = READERS[kind](getattr(message, kind), f"{field}.{kind}")
    if message.alpha and not spec.alpha:
        raise InvalidField(
            f"{field}.alpha", f"does not go with {kind}, which has a transparency of its own"
        )
    return spec
