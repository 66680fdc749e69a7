"""From a recipe to a network whose weights are still to be loaded: one builder a kind of
architecture.
"""

from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from service.models.architectures import architecture
from service.models.checkpoints import ModelError
from service.models.initialization import Uninitialized
from service.models.recipe import Recipe
from service.models.sources import onnx_graph
from service.models.sources.huggingface_resnet import ARCHITECTURE as HF_RESNET
from service.models.sources.huggingface_resnet import build as _hf_resnet
from service.models.sources.timm_architecture import PREFIX as TIMM
from service.models.sources.timm_architecture import build as _timm

MAX_CLASSES = 1_000_000

Builder = Callable[[Recipe], nn.Module]


class _Classes(BaseModel):
    """The one argument of an architecture that is known by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: int | None = Field(None, ge=1, le=MAX_CLASSES)


def _known(recipe: Recipe) -> nn.Module:
    known = architecture(recipe.architecture)
    if known is None:
        raise ModelError(
            f"there is no architecture {recipe.architecture!r} on this server, which may be older "
            f"than the one that the network comes from"
        )
    return known.build(_Classes.model_validate(dict(recipe.arguments)).classes)


def _onnx(recipe: Recipe) -> nn.Module:
    return onnx_graph.build(recipe.graph)


_BUILDERS: Mapping[str, Builder] = {HF_RESNET: _hf_resnet, onnx_graph.ARCHITECTURE: _onnx}


def build(recipe: Recipe) -> nn.Module:
    """Build a network.

    Args:
        recipe: its architecture and arguments, which a stranger may have written.

    Returns:
        The network; its weights are zeros, or those of its graph.

    Raises:
        ModelError: an argument is wrong, or there is no such architecture.
    """
    of_timm = recipe.architecture.startswith(TIMM)
    builder = _timm if of_timm else _BUILDERS.get(recipe.architecture, _known)
    try:
        with Uninitialized():
            return builder(recipe)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["arguments", *map(str, first["loc"])])
        raise ModelError(f"{recipe.architecture}: {where}: {first['msg']}") from error
