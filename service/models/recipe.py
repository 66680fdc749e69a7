"""How a network is built anew without its weights: an architecture by name, and its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Argument = bool | int | float | str | list[int] | list[str]


@dataclass(frozen=True)
class Recipe:
    """What `service.models.builders` builds a network from, on this server or on another.

    Attributes:
        architecture: its name, e.g. "resnet18".
        arguments: of the architecture, e.g. {"classes": 10}.
        graph: an ONNX graph without its weights, for the architecture that runs one; else empty.
    """

    architecture: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    graph: bytes = field(default=b"", repr=False)
