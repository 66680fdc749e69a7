"""What a source of networks is: a place, and the plan for each network that it keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.models.blueprint import Blueprint


@dataclass(frozen=True)
class Wanted:
    """What is asked of a source beside the network.

    Attributes:
        weights: "" for the source's own, or `RANDOM`.
        file: of weights that go before the source's own; None for none.
        folder: the weights folder, which is read before anything is downloaded; None for none.
        size: (height, width) of the images in pixels, for networks that are built for one size;
            None for the source's own.
        channels: of the images; None for the source's own.
        classes: the number of classes of random weights; None for the source's own.
    """

    weights: str = ""
    file: Path | None = None
    folder: Path | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    classes: int | None = None


@dataclass(frozen=True)
class NetworkSource:
    """A place that keeps networks.

    Attributes:
        meant: how its networks are named, for errors, such as "hf:ORGANIZATION/REPOSITORY".
        hosted: from what stands behind the prefix to the name under which it is hosted, without
            the prefix; None where that is no name that a caller may ask for.
        rest: back from the name under which it is hosted to what stands behind the prefix; None
            where there is no such network.
        plan: how a network is made; raises ModelError. A settings table may name more here than
            `hosted` lets a caller name, such as folders of the server.
    """

    meant: str
    hosted: Callable[[str], str | None]
    rest: Callable[[str], str | None]
    plan: Callable[[str, Wanted], Blueprint]
