"""How pictures are made, as callers say it and as it travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate import regularize, space, view
from striate._requests.attack import PRIORITIES, SEEDS
from striate._requests.inputs import image_batch
from striate._rpc.checks import at_least, choice, positive, whole
from striate.errors import invalid
from striate.objective import Objective, Unit, as_objective
from striate.v1 import visualize_pb2 as pb

if TYPE_CHECKING:
    from striate.images import Images

_MOST_SEEDS, _MOST_RETRIES = 16, 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How pictures are made: the settings that all requests for pictures share.

    Attributes:
        steps: Gradient steps, 1 to 4096, None for 256.
        learning_rate: Adam's learning rate, above 0 to 1, None for 0.1, or 0.02 where a picture
            begins at an image.
        seed: Picks start and transforms.
        size: Height and width of the picture in pixels, 16 to 1024, None for the network's input
            size.
        transforms: True for random jitter, rotation and scale, False for none, or a sequence of
            views of striate.view.
        parameterization: Where the picture lives, of striate.space, None for Fourier.
        alpha: Also optimize transparency.
        regularizers: At most 8 of striate.regularize.
        seeds: Also optimize from so many other seeds, 0 to 16, to see the spread.
        retries: Try so often again where a picture is dead or below the data set's maximum, 0 to 8,
            None for 2.
        deterministic: The same pictures whatever else the server does.
        priority: "interactive" or "batch", None for interactive.
    """

    steps: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    size: int | None = None
    transforms: bool | Sequence[view.View] = True
    parameterization: space.Space | None = None
    alpha: bool = False
    regularizers: Sequence[regularize.Regularizer] = ()
    seeds: int = 0
    retries: int | None = None
    deterministic: bool = False
    priority: str | None = None

    def message(self, dataset: str | None) -> pb.PictureSettings:
        """The message. dataset: of the certificates. Raises InvalidArgument."""
        at_least(1, steps=self.steps, size=self.size)
        positive(learning_rate=self.learning_rate)
        views = () if isinstance(self.transforms, bool) else view.messages(self.transforms)
        return pb.PictureSettings(
            steps=self.steps or 0,
            learning_rate=self.learning_rate or 0,
            seed=whole("seed", self.seed, 0, SEEDS),
            size=self.size or 0,
            without_transforms=self.transforms is not True and not views,
            deterministic=self.deterministic,
            priority=choice("priority", self.priority, PRIORITIES),
            parameterization=space.message(self.parameterization, self.alpha),
            regularizers=regularize.messages(self.regularizers),
            transforms=views,
            certification=self._certification(dataset),
        )

    def _certification(self, dataset: str | None) -> pb.Certification | None:
        seeds = whole("seeds", self.seeds, 0, _MOST_SEEDS)
        retries = None if self.retries is None else whole("retries", self.retries, 0, _MOST_RETRIES)
        if not dataset and not seeds and retries is None:
            return None
        return pb.Certification(dataset=dataset or "", seeds=seeds, retries=retries)


def add_objectives(request: pb.VisualizeRequest, objectives: Sequence[Objective | str]) -> None:
    """Writes the objectives into the request, as plain strings where each is a single unit. Raises
    InvalidArgument.
    """
    at_least(1, objectives=len(objectives))
    read = [as_objective(one) for one in objectives]
    if all(isinstance(one, Unit) for one in read):
        request.objectives.extend(map(repr, read))
    else:
        request.composed.extend(one.message() for one in read)


def diversity_message(diversity: str | tuple[str, float], variants: int) -> pb.Diversity:
    """The message of "layer" or ("layer", weight). Raises InvalidArgument."""
    if variants < 2:
        raise invalid("diversity", "pushes the variants of an objective apart: ask for at least 2")
    layer, weight = (diversity, None) if isinstance(diversity, str) else diversity
    positive(diversity=weight)
    return pb.Diversity(layer=layer, weight=weight or 0)


def add_start(request: pb.VisualizeRequest, start: Images | None, objectives: int) -> None:
    """Writes the images that pictures begin at into the request. Raises InvalidArgument,
    OSError.
    """
    if start is not None:
        request.start.CopyFrom(image_batch("start", start, sorted({1, objectives})))
