"""How pictures are made: the settings that all requests for pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from striate._requests.oneof import set_kind
from striate._requests.priority import PriorityName, priority_value
from striate._rpc.checks import at_least, positive, seed_value, whole
from striate.errors import invalid
from striate.regularize import Regularizer
from striate.space import Space
from striate.v1 import visualize_pb2 as pb
from striate.view import View

_MOST_SEEDS, _MOST_RETRIES, _MOST_VIEWS, _MOST_REGULARIZERS = 16, 8, 16, 8


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """The settings that visualize, visualize_layer, facets and dossier share.

    Attributes:
        steps: Gradient steps, 1 to 4096, None for 256.
        learning_rate: Adam's learning rate, above 0 to 1, None for 0.1, or 0.02 from start images.
        seed: Picks the start and the random views, 0 to 2^64 - 1.
        size: Height and width of the picture in pixels, 16 to 1024, None for the network's.
            What is smaller is shown to the network at its own size.
        transforms: True for random jitter, rotation and scale, False for none, or views of
            striate.view.
        parameterization: Where the picture lives, of striate.space, None for Fourier.
        alpha: Also optimize transparency.
        regularizers: Terms and operators of striate.regularize, at most 8.
        seeds: Also optimize from so many other seeds for the certificate, 0 to 16.
        retries: Try so often again where a picture is dead or weak, 0 to 8, None for 2.
        deterministic: The same pictures whatever else the server does.
        priority: "interactive" or "batch", None for interactive.
    """

    steps: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    size: int | None = None
    transforms: bool | Sequence[View] = True
    parameterization: Space | None = None
    alpha: bool = False
    regularizers: Sequence[Regularizer] = ()
    seeds: int = 0
    retries: int | None = None
    deterministic: bool = False
    priority: PriorityName | None = None

    def message(self, dataset: str | None) -> pb.PictureSettings:
        """Makes the message.

        Args:
            dataset: Data set whose maxima the certificates compare with, None for the server's
                choice.

        Returns:
            The message.

        Raises:
            InvalidArgument: A setting is out of its range.
        """
        at_least(1, steps=self.steps, size=self.size)
        positive(learning_rate=self.learning_rate)
        views = () if isinstance(self.transforms, bool) else _views(self.transforms)
        return pb.PictureSettings(
            steps=self.steps or 0,
            learning_rate=self.learning_rate or 0,
            seed=seed_value("seed", self.seed),
            size=self.size or 0,
            without_transforms=self.transforms is not True and not views,
            deterministic=self.deterministic,
            priority=priority_value(self.priority),
            parameterization=_parameterization(self.parameterization, self.alpha),
            regularizers=_regularizers(self.regularizers),
            transforms=views,
            certification=self._certification(dataset),
        )

    def _certification(self, dataset: str | None) -> pb.Certification | None:
        seeds = whole("seeds", self.seeds, 0, _MOST_SEEDS)
        retries = None if self.retries is None else whole("retries", self.retries, 0, _MOST_RETRIES)
        if not dataset and not seeds and retries is None:
            return None
        return pb.Certification(dataset=dataset or "", seeds=seeds, retries=retries)


class PictureOptions(TypedDict, total=False):
    """The fields of PictureSettings as keyword arguments, as type checkers want them."""

    steps: int | None
    learning_rate: float | None
    seed: int
    size: int | None
    transforms: bool | Sequence[View]
    parameterization: Space | None
    alpha: bool
    regularizers: Sequence[Regularizer]
    seeds: int
    retries: int | None
    deterministic: bool
    priority: PriorityName | None


def _parameterization(space: Space | None, alpha: bool) -> pb.Parameterization | None:
    found = pb.Parameterization(alpha=alpha)
    if space is not None:
        set_kind(found, space, Space, "parameterization")
    return found if alpha or space is not None else None


def _views(views: Iterable[View]) -> list[pb.Transform]:
    if not isinstance(views, Iterable) or isinstance(views, str):
        raise invalid(
            "transforms", f"must be True, False or a sequence of views, is {type(views).__name__}"
        )
    found = []
    for view in views:
        found.append(message := pb.Transform())
        set_kind(message, view, View, "transforms")
    if len(found) > _MOST_VIEWS:
        raise invalid("transforms", f"must be at most {_MOST_VIEWS}, are {len(found)}")
    return found


def _regularizers(regularizers: Iterable[Regularizer]) -> list[pb.Regularizer]:
    if not isinstance(regularizers, Iterable) or isinstance(regularizers, str):
        raise invalid(
            "regularizers", f"must be a sequence of them, is {type(regularizers).__name__}"
        )
    found = []
    for one in regularizers:
        found.append(message := pb.Regularizer())
        set_kind(message, one, Regularizer, "regularizers")
    if len(found) > _MOST_REGULARIZERS:
        raise invalid("regularizers", f"must be at most {_MOST_REGULARIZERS}, are {len(found)}")
    return found
