"""The models in memory: loaded once however often asked for, kept while they are used, and really
gone when unloaded.
"""

import copy
import ctypes
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog
import torch
from torch import nn

from interp.network.describe import LayerInfo, describe
from interp.network.load_checks.one_class import ONE_CLASS, probe_images, sees_one_class
from interp.network.load_checks.one_logit import with_two_logits
from interp.network.network import Network
from service.config import ModelTable
from service.imaging import Preprocessing
from service.models.blueprint import RANDOM, Blueprint, UnknownModel, UnknownWeights
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.digest import digest_of
from service.models.initialization import randomize
from service.models.recipe import Recipe
from service.models.sources import registry as sources
from service.models.warm_up import warm_up

__all__ = ["HostedModel", "ModelBusy", "ModelError", "ModelZoo", "UnknownModel", "UnknownWeights"]

log = structlog.get_logger("striate")

T = TypeVar("T")

_TRACE_LOCK = threading.Lock()  # torch traces one module of a process at a time


class ModelBusy(RuntimeError):
    """A model cannot be unloaded now: it is being loaded, or jobs use it."""


class OnDevice(Protocol):
    """Queues a call for the thread that owns the device."""

    def __call__(self, call: Callable[[], T], /) -> "Future[T]": ...


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


@dataclass(eq=False)
class _Slot:
    weights: str  # as asked for
    model: "Future[HostedModel]" = field(default_factory=Future)
    users: int = 0


class ModelZoo:
    """Loads, lends and unloads models by name; all methods may be called from any thread but the
    device's own.

    Args:
        weights_dir: see `Catalogue`.
        models: the settings' own models by name.
        run: queues calls for the device's thread. None of a load is made there, which would hold up
            whoever uses the other models: networks are tried on the caller's thread, one at a time.
        modules: see `Catalogue`.
    """

    def __init__(
        self,
        weights_dir: Path | None,
        models: Mapping[str, ModelTable],
        run: OnDevice,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        modules: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self._catalogue = Catalogue(weights_dir, models, modules)
        self._run, self._device, self._dtype = run, torch.device(device), dtype
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        # For the sake of memory, of torch's random generator, and of whoever else wants to compute.
        self._one_at_a_time = threading.Lock()
        self._parts: WeakValueDictionary[int, nn.Module] = WeakValueDictionary()  # of all, by id

    def available(self) -> tuple[str, ...]:
        """All names that can be loaded, in order."""
        return self._catalogue.names

    def loading(self) -> list[str]:
        """Names of the models that are being loaded."""
        with self._lock:
            return sorted(name for name, slot in self._slots.items() if not slot.model.done())

    def loaded(self) -> list[HostedModel]:
        """The models that serve, in name order."""
        with self._lock:
            return [
                slot.model.result() for _, slot in sorted(self._slots.items()) if slot.model.done()
            ]

    def load(self, name: str, weights: str = "") -> HostedModel:
        """Load and warm up a model, or wait for and return it if it is loaded already with the same
        weights.

        Args:
            name: of the model; one of a source, such as "hf:microsoft/resnet-18", is hosted under
                "hf.microsoft.resnet-18".
            weights: "" or "default", "random", or a name of torchvision's.

        Returns:
            The model, which has its name.

        Raises:
            UnknownModel, UnknownWeights: there is nothing of that name.
            ModelError: it cannot be loaded, or is loaded with other weights.
        """
        name = sources.hosted_name(name)
        weights = "" if weights == "default" else weights
        with self._lock:
            slot, is_new = self._slots.get(name), name not in self._slots
            if slot is None:
                slot = self._slots[name] = _Slot(weights)
        if not is_new:
            model = slot.model.result()
            if weights not in (slot.weights, model.weights):
                raise ModelError(
                    f"{name} is loaded with weights {model.weights!r}; unload it first"
                )
            return model
        try:
            model = self._host(name, weights)
        except BaseException as error:
            with self._lock:
                del self._slots[name]
            slot.model.set_exception(error)
            raise
        slot.model.set_result(model)
        for warning in model.warnings:
            log.warning("a loaded network is odd", model=name, what=warning)
        return model

    def get(self, name: str) -> HostedModel:
        """Find a model that serves.

        Args:
            name: of the model.

        Returns:
            The model.

        Raises:
            UnknownModel: it does not serve.
        """
        with self._lock:
            return self._serving(name).model.result()

    @contextmanager
    def use(self, name: str) -> Iterator[HostedModel]:
        """Lend a model, which cannot be unloaded meanwhile.

        Args:
            name: of the model.

        Yields:
            The model.

        Raises:
            UnknownModel: it does not serve.
        """
        with self._lock:
            slot = self._serving(name)
            slot.users += 1
        try:
            yield slot.model.result()
        finally:
            with self._lock:
                slot.users -= 1

    def unload(self, name: str) -> int:
        """Let go of a model.

        Args:
            name: of the model.

        Returns:
            The bytes of its weights.

        Raises:
            UnknownModel: it is not loaded.
            ModelBusy: it is being loaded, or somebody uses it.
        """
        with self._lock:
            if name in self._slots and not self._slots[name].model.done():
                raise ModelBusy(f"{name} is being loaded; try again when it serves")
            slot = self._serving(name)
            if slot.users:
                raise ModelBusy(
                    f"{name} is in use by {slot.users} calls; cancel them or try again later"
                )
            del self._slots[name]
        freed = slot.model.result().memory_bytes
        del slot
        self._run(_give_back_memory).result()
        return freed

    def _serving(self, name: str) -> _Slot:
        slot = self._slots.get(name)
        if slot is not None and slot.model.done():
            return slot
        if slot is not None:
            raise UnknownModel(name, (), f"the model {name!r} is still being loaded")
        if self._catalogue.knows(name):
            raise UnknownModel(name, (), f"the model {name!r} is not loaded")
        raise UnknownModel(name, {*self._slots, *self._catalogue.names})

    def _host(self, name: str, weights: str) -> HostedModel:
        plan = self._catalogue.blueprint(name, weights)
        module = plan.build()
        with self._one_at_a_time, _half_the_threads(), _explained(name, plan.preprocessing.shape):
            return self._tried(name, plan, self._of_its_own(module))

    def _of_its_own(self, module: nn.Module) -> nn.Module:
        """The module, or a copy where it has parts of another model, whose passes may be running: a
        factory may give the same one twice.
        """
        if any(id(part) in self._parts for part in module.modules()):
            module = copy.deepcopy(module)
        self._parts.update({id(part): part for part in module.modules()})
        return module

    def _tried(self, name: str, plan: Blueprint, module: nn.Module) -> HostedModel:
        """What a module is found to be by passes through it."""
        seen, mean, std = plan.preprocessing, plan.preprocessing.mean, plan.preprocessing.std
        if plan.weights == RANDOM:
            randomize(module, seen.shape, mean, std)
        two_logits, sigmoid_doubts = module, tuple[str, ...]()
        if plan.labelled and len(plan.classes) == 2:
            images = (probe_images(seen.shape) - _column(mean)) / _column(std)
            two_logits, sigmoid_doubts = with_two_logits(module, images)
        one_output = two_logits is not module
        digest = digest_of(plan.architecture, seen, module.state_dict(), one_output)
        network = Network(
            two_logits, seen.shape, mean, std, self._device, self._dtype, turn=_TRACE_LOCK
        )
        warm = warm_up(network)
        doubts = [*plan.doubts, *network.doubts, *sigmoid_doubts, *warm.doubts]
        if plan.weights != RANDOM and sees_one_class(network):
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
def _explained(name: str, shape: tuple[int, int, int]) -> Iterator[None]:
    """Say of which model and images an error is."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # a user's own network may raise anything
        size = " x ".join(map(str, shape))
        raise ModelError(
            f"{name} does not run on images of {size} (channels, height, width): {error}"
        ) from error


@contextmanager
def _half_the_threads() -> Iterator[None]:
    """Let the passes of this thread have half of torch's threads, since those of the device's
    thread go on meanwhile.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
        f"`labels` in a settings table to name them"
    ]


def _give_back_memory() -> None:
    """Return what nobody refers to any more to the device and to the operating system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps freed pages otherwise
    if trim is not None:
        trim(0)
