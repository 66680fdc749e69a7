"""The models in memory: loaded once however often asked for, kept while they are used, and really
gone when unloaded.
"""

import contextvars
import copy
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog
import torch
from torch import nn

from interp.names import LONGEST
from service.auth.identity import current, visible_models
from service.config import ModelTable
from service.models.blueprint import UnknownModel, UnknownWeights
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.hosted import HostedModel, host
from service.models.memory import NoRoom, bytes_of_module, default_budget, planned_bytes
from service.models.sources import registry as sources
from service.models.trial.factory import FactoryTrials
from service.process import memory
from service.threads import Turn

__all__ = [
    "HostedModel",
    "ModelBusy",
    "ModelError",
    "ModelZoo",
    "NoRoom",
    "UnknownModel",
    "UnknownWeights",
]

log = structlog.get_logger("striate")

T = TypeVar("T")


class ModelBusy(RuntimeError):
    """A model cannot be unloaded now: it is being loaded, or jobs use it."""


class OnDevice(Protocol):
    """Queues a call for the thread that owns the device."""

    def __call__(self, call: Callable[[], T], /) -> "Future[T]": ...


@dataclass(eq=False)
class _Slot:
    weights: str  # as asked for
    labels: tuple[str, ...]  # likewise
    model: "Future[HostedModel]" = field(default_factory=Future)
    users: int = 0
    bytes: int = 0  # of its weights, as far as they are known


class ModelZoo:
    """Loads, lends and unloads models by name; all methods may be called from any thread but the
    device's own. To a caller who may not name a model, see `service.auth.identity`, there is none
    of that name.

    Args:
        weights_dir: see `Catalogue`.
        models: the settings' own models by name.
        run: queues calls for the device's thread. None of a load is made there, which would hold up
            whoever uses the other models: networks are tried on the caller's thread, one at a time.
        modules: see `Catalogue`.
        most_bytes: of the weights of all models together; 0: half of the device's memory.
        trials: see `Catalogue`.
        seconds: that loading one model may take, a download included; 0: any time.
    """

    def __init__(
        self,
        weights_dir: Path | None,
        models: Mapping[str, ModelTable],
        run: OnDevice,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        modules: Mapping[str, nn.Module] | None = None,
        most_bytes: int = 0,
        trials: FactoryTrials | None = None,
        seconds: float = 0.0,
    ) -> None:
        self._catalogue = Catalogue(weights_dir, models, modules, trials)
        self._seconds = seconds
        self._run, self._device, self._dtype = run, torch.device(device), dtype
        self._most_bytes = most_bytes or default_budget(self._device)
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        # For the sake of memory, of torch's random generator, and of whoever else wants to compute.
        self._one_at_a_time = Turn()
        self._parts: WeakValueDictionary[int, nn.Module] = WeakValueDictionary()  # of all, by id

    def available(self) -> tuple[str, ...]:
        """All names that can be loaded, in order."""
        return tuple(visible_models(self._catalogue.names))

    def loading(self) -> list[str]:
        """Names of the models that are being loaded."""
        with self._lock:
            names = [name for name, slot in self._slots.items() if not slot.model.done()]
        return sorted(visible_models(names))

    def loaded(self) -> list[HostedModel]:
        """The models that serve, in name order."""
        with self._lock:
            names = sorted(visible_models(self._slots))
            slots = [self._slots[name] for name in names]
            return [slot.model.result() for slot in slots if slot.model.done()]

    def load(self, name: str, weights: str = "", labels: Sequence[str] = ()) -> HostedModel:
        """Load and warm up a model, or wait for and return it if it is loaded already with the same
        weights.

        Args:
            name: of the model; one of a source, such as "hf:microsoft/resnet-18", is hosted under
                "hf.microsoft.resnet-18".
            weights: "" or "default", "random", or a name of torchvision's.
            labels: see `Catalogue.blueprint`.

        Returns:
            The model, which has its name.

        Raises:
            UnknownModel, UnknownWeights: there is nothing of that name.
            ModelError: it cannot be loaded, or is loaded with other weights or labels.
            NoRoom: the budget for loaded models does not hold it.
        """
        name = sources.hosted_name(name)
        if not current.get().may_use_model(name):
            raise sources.unknown(name, self.available())
        weights = "" if weights == "default" else weights
        with self._lock:
            slot, is_new = self._slots.get(name), name not in self._slots
            if slot is None:
                slot = self._slots[name] = _Slot(weights, tuple(labels))
        if not is_new:
            model = slot.model.result()
            if weights not in (slot.weights, model.weights):
                raise ModelError(
                    f"{name} is loaded with weights {model.weights!r}; unload it first"
                )
            if labels and tuple(labels) != model.classes:
                raise ModelError(
                    f"{name} is loaded with other labels, {_some(model.classes)}; unload it first"
                )
            return model
        model = self._loaded(name, slot)
        for warning in model.warnings:
            log.warning("a loaded network is odd", model=name, what=warning)
        return model

    def _loaded(self, name: str, slot: _Slot) -> HostedModel:
        """Load, where it may not take any time in a thread that can be given up: a user's own code,
        or a download, may hang.
        """
        if not self._seconds:
            self._load_into(name, slot)
            return slot.model.result()
        context = contextvars.copy_context()
        work = partial(context.run, self._load_into, name, slot)
        threading.Thread(target=work, name="load", daemon=True).start()
        if not futures.wait([slot.model], self._seconds).done:
            message = f"{name} was not loaded within {self._seconds:g} seconds, and is given up"
            self._settle(name, slot, ModelError(message))
            self._one_at_a_time.take_away(slot)
        return slot.model.result()

    def _load_into(self, name: str, slot: _Slot) -> None:
        try:
            self._settle(name, slot, self._host(name, slot))
        except BaseException as error:  # noqa: BLE001 - it is raised where the model is waited for
            self._settle(name, slot, error)

    def _settle(self, name: str, slot: _Slot, outcome: HostedModel | BaseException) -> None:
        """Say how a load ended, unless it was given up before."""
        with self._lock:
            if slot.model.done():
                log.warning("a load ended that had been given up", model=name)
            elif isinstance(outcome, BaseException):
                del self._slots[name]
                slot.model.set_exception(outcome)
            else:
                slot.model.set_result(outcome)

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
            self._require_visible(name)
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

    def _require_visible(self, name: str) -> None:
        """Refuse a name that is kept from the present caller, as one that there is no model of."""
        if not current.get().may_use_model(name):
            raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownModel:
        return sources.unknown(name, visible_models({*self._slots, *self._catalogue.names}))

    def _serving(self, name: str) -> _Slot:
        self._require_visible(name)
        slot = self._slots.get(name)
        if slot is not None and slot.model.done():
            return slot
        if slot is not None:
            raise UnknownModel(name, (), f"the model {name!r} is still being loaded")
        if self._catalogue.knows(name):
            raise UnknownModel(name, (), f"the model {name!r} is not loaded")
        raise self._unknown(name)

    def _host(self, name: str, slot: _Slot) -> HostedModel:
        plan = self._catalogue.blueprint(name, slot.weights, slot.labels)
        planned = planned_bytes(plan)
        if planned is not None:  # before anything is downloaded or built
            self._reserve(name, slot, planned)
        module = plan.build()
        self._reserve(name, slot, bytes_of_module(module))
        with self._one_at_a_time.of(slot), _half_the_threads():
            if slot.model.done():
                raise ModelError(f"{name} was given up before its turn came")
            return host(name, plan, self._of_its_own(module), self._device, self._dtype)

    def _reserve(self, name: str, slot: _Slot, size: int) -> None:
        """Take up room for a model's weights, which is given back with its slot."""
        with self._lock:
            held = {other: kept.bytes for other, kept in self._slots.items() if kept is not slot}
            if sum(held.values()) + size > self._most_bytes:
                raise NoRoom(name, size, held, self._most_bytes)
            slot.bytes = size

    def _of_its_own(self, module: nn.Module) -> nn.Module:
        """The module, or a copy where it has parts of another model, whose passes may be running: a
        factory may give the same one twice.
        """
        if any(id(part) in self._parts for part in module.modules()):
            module = copy.deepcopy(module)
        self._parts.update({id(part): part for part in module.modules()})
        return module


def _some(classes: Sequence[str]) -> str:
    """The first of the names, and how many there are."""
    return f"{', '.join(name[:LONGEST] for name in classes[:3])}, ... ({len(classes)})"


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


def _give_back_memory() -> None:
    """Return what nobody refers to any more to the device and to the operating system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    memory.give_back()
