"""The settings of pictures, for type checkers; Model.visualize describes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

from striate._requests.attack import PriorityName
from striate.regularize import Regularizer
from striate.results.visualization import Progress
from striate.space import Space
from striate.view import View

if TYPE_CHECKING:
    from striate.images import Images


class PictureOptions(TypedDict, total=False):
    """Those that visualize, visualize_layer, facets and dossier share."""

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


class VisualizeOptions(PictureOptions, total=False):
    """Those of visualize, besides `variants`."""

    diversity: str | tuple[str, float] | None
    start: Images | None
    dataset: str | None
    preview_every: int
    include_tensor: bool
    on_progress: Callable[[Progress], object] | None
    timeout: float | None
