"""The plan by which a model is made, and what is said where there is none of a name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from interp.names import LONGEST, nearest_names
from service.imaging import Preprocessing
from service.models.checkpoints import ModelError
from service.models.recipe import Recipe

RANDOM = "random"


class UnknownModel(LookupError):
    """There is no model of that name, or it is not loaded; `nearest` holds up to three names that
    look like it.
    """

    def __init__(self, name: str, names: Iterable[str], message: str = "") -> None:
        self.name = name[:LONGEST]
        self.nearest = nearest_names(name, names)
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        super().__init__((message or f"there is no model {self.name!r}") + hint)


class UnknownWeights(ModelError):
    """A model has no weights of that name; `nearest` holds all names that it has."""

    field = "weights"

    def __init__(self, model: str, weights: str, choices: Iterable[str]) -> None:
        self.nearest = ["default", RANDOM, *choices]
        super().__init__(
            f"{model} has no weights {weights[:LONGEST]!r}; it has {', '.join(self.nearest)}"
        )


@dataclass(frozen=True)
class Blueprint:
    """How a model is made.

    Attributes:
        build: makes the module, weights included unless they are `RANDOM`; reads files and may
            download, takes no device.
        classes: names in the order of the logits; none if they are not known.
        labelled: the names are the user's own, so that their number must be that of the logits;
            else they are those of the published weights, which other weights may not have.
        weights: where they come from: "embedded", "random", torchvision's name, a file name, or
            "factory", or "memory".
        doubts: what is odd about the preprocessing, for the model's warnings.
        recipe: how the network is built without its weights, but for the number of classes; None
            where nobody else could: a factory, or a network in memory.
        license: under which the weights were published; "" where that is not stated.
        source: who published the weights, in words or as an address; "" where that is not stated.
        own_code: the module is made by code of the server's user, whose errors the log has and
            callers are not shown.
    """

    architecture: str
    build: Callable[[], nn.Module]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    weights: str
    labelled: bool = False
    doubts: tuple[str, ...] = ()
    recipe: Recipe | None = None
    license: str = ""
    source: str = ""
    own_code: bool = False
