"""A model that serves, and how a module becomes one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import structlog
import torch
from torch import nn

from interp.network.describe import LayerInfo, describe
from interp.network.load_checks.no_numbers import no_numbers
from interp.network.load_checks.one_class import ONE_CLASS, probe_images, sees_one_class
from interp.network.load_checks.one_logit import with_two_logits
from interp.network.load_checks.outputs import NoLogits
from interp.network.load_checks.unfit import FIXED_BATCH, unfit
from interp.network.load_checks.unwrapped import unwrapped
from interp.network.network import Network
from service.imaging import Preprocessing
from service.models.blueprint import RANDOM, Blueprint
from service.models.checkpoints import ModelError
from service.models.digest import digest_of
from service.models.initialization import randomize
from service.models.recipe import Recipe
from service.models.warm_up import warm_up

log = structlog.get_logger("striate")

_TRACE_LOCK = threading.Lock()  # torch traces one module of a process at a time


@dataclass(frozen=True, eq=False)
class HostedModel:
    """A model that serves.

    Attributes:
        architecture: its name, or the "module:function" of a settings table.
        weights: where they came from: "embedded", "random", torchvision's name, a file name, or
            "factory", or "memory".
        digest: SHA-256 of architecture, preprocessing and weights, 64 hexadecimal digits.
        classes: names in the order of the logits.
        parameters: their number.
        memory_bytes: of parameters and buffers.
        bytes_per_row: that a forward and backward pass takes for one image, measured.
        warnings: what loading found odd about the network.
        recipe: how another server builds it; None where it cannot.
        license, source: see `Blueprint`.
    """

    name: str
    network: Network
    architecture: str
    weights: str
    digest: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] = field(repr=False)
    layers: list[LayerInfo] = field(repr=False)
    parameters: int
    memory_bytes: int
    bytes_per_row: int
    warnings: tuple[str, ...] = ()
    recipe: Recipe | None = field(default=None, repr=False)
    license: str = ""
    source: str = ""


def host(
    name: str,
    plan: Blueprint,
    module: nn.Module,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> HostedModel:
    """Find what a module is by passes through it.

    Args:
        name: under which it is hosted.
        plan: by which it was built.
        module: that was built; it is moved to the device.
        device, dtype: of the passes.

    Returns:
        The model.

    Raises:
        ModelError: it does not run on images of its size, or has another number of classes than it
            has labels.
    """
    with _explained(name, plan):
        return _tried(name, plan, module, device, dtype)


def _tried(
    name: str, plan: Blueprint, module: nn.Module, device: torch.device, dtype: torch.dtype
) -> HostedModel:
    seen, mean, std = plan.preprocessing, plan.preprocessing.mean, plan.preprocessing.std
    module = unwrapped(module)
    if (why := unfit(module)) is not None:
        raise ModelError(f"{name} {why}")
    if plan.weights == RANDOM:
        randomize(module, seen.shape, mean, std)
    two_logits, sigmoid_doubts = module, tuple[str, ...]()
    if plan.labelled and len(plan.classes) == 2:
        images = (probe_images(seen.shape) - _column(mean)) / _column(std)
        two_logits, sigmoid_doubts = with_two_logits(module, images)
    one_output = two_logits is not module
    graph = plan.recipe.graph if plan.recipe else b""
    digest = digest_of(plan.architecture, seen, module.state_dict(), one_output, graph)
    network = Network(two_logits, seen.shape, mean, std, device, dtype, turn=_TRACE_LOCK)
    warm = warm_up(network)
    doubts = [*plan.doubts, *network.doubts, *sigmoid_doubts, *warm.doubts]
    if (why := no_numbers(network)) is not None:
        doubts.append(why)
    elif plan.weights != RANDOM and sees_one_class(network):
        doubts.append(ONE_CLASS)
    classes = _class_names(name, plan, network.classes)
    doubts += _class_doubts(plan, classes)
    return HostedModel(
        name=name,
        network=network,
        architecture=plan.architecture,
        weights=plan.weights,
        digest=digest,
        preprocessing=seen,
        classes=classes,
        layers=describe(network),
        parameters=sum(p.numel() for p in network.module.parameters()),
        memory_bytes=sum(t.nbytes for t in network.weights),
        bytes_per_row=warm.bytes_per_row,
        warnings=tuple(f"{name}: {doubt}" for doubt in doubts),
        recipe=_whole_recipe(plan.recipe, 1 if one_output else network.classes),
        license=plan.license,
        source=plan.source,
    )


@contextmanager
def _explained(name: str, plan: Blueprint) -> Iterator[None]:
    """Say of which model and images an error is."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # a user's own network may raise anything
        size = " x ".join(map(str, plan.preprocessing.shape))
        fact = f"{name} does not run on images of {size} (channels, height, width)"
        if plan.own_code and not isinstance(error, NoLogits):
            log.error("a network does not run", model=name, exc_info=error)
            raise ModelError(f"{fact}; the server's log says more") from error
        way_on = FIXED_BATCH if str(error).startswith("Guard failed") else ""
        raise ModelError(f"{fact}: {error}{way_on}") from error


def _column(values: Sequence[float]) -> torch.Tensor:
    """One value a channel, (C, 1, 1)."""
    return torch.tensor(values).view(-1, 1, 1)


def _whole_recipe(recipe: Recipe | None, outputs: int) -> Recipe | None:
    """The recipe with the number of outputs, unless its graph has it."""
    if recipe is None or recipe.graph:
        return recipe
    return replace(recipe, arguments={**recipe.arguments, "classes": outputs})


def _class_names(name: str, plan: Blueprint, logits: int) -> tuple[str, ...]:
    if plan.labelled and len(plan.classes) != logits:
        one = "; one logit takes two labels: that of a negative z, and that of a positive one"
        raise ModelError(
            f"{name} has {logits} {'class' if logits == 1 else 'classes'}, but "
            f"{len(plan.classes)} labels are given{one if logits == 1 else ''}"
        )
    if len(plan.classes) == logits:
        return plan.classes
    return unnamed(logits)


def unnamed(classes: int) -> tuple[str, ...]:
    """What classes are called whose names are not known.

    Args:
        classes: their number.

    Returns:
        A name each, in the order of the logits.
    """
    return tuple(f"class {i}" for i in range(classes))


def _class_doubts(plan: Blueprint, classes: tuple[str, ...]) -> list[str]:
    """What is odd about the number of classes."""
    if not plan.classes or len(plan.classes) == len(classes):
        return []
    return [
        f"{plan.weights} has {len(classes)} classes where {plan.architecture}'s own are "
        f"{len(plan.classes)}: they are called {classes[0]!r} to {classes[-1]!r}; give "
        f"`labels` in a settings table or LoadModel, or --labels to `striate load` or "
        f"`striate-server import`, to name them"
    ]
