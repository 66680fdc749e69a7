"""Exemplar indexes: which images of a data set each unit of a layer is most active on, built in one pass and kept on disk.

`<state>/indexes/<model>-<data set>-<layer>-<key>.safetensors` holds one layer: the tensors values, positions and ids of a
`TopK`, and a description as JSON in the file's header. A build that was stopped leaves `<key>.partial`, from which the next
build of the same index goes on. Files appear whole or not at all.
"""

import hashlib
import json
import math
import os
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from interp.exemplars import TopK
from service.datasets import Dataset
from service.scan import Prepare, Submit, scan

log = structlog.get_logger()

_HEADER = "striate"  # the key of the description in a file's metadata
_FORMAT = 1
_PARTS = ("values", "positions", "ids")


class IndexMissing(LookupError):
    """There is no such index; `stale` if there is one, but of other weights or of a data set of another size."""

    def __init__(self, message: str, stale: bool = False) -> None:
        super().__init__(message)
        self.stale = stale


@dataclass(frozen=True)
class Hit:
    """An image that a unit is active on: its id, the highest activation, and the row and column where it is."""

    id: int
    activation: float
    row: int
    column: int


@dataclass(frozen=True)
class Subject:
    """What an index is about: a model's name and the digest of its weights, a data set's name, URI and number of images."""

    model: str
    digest: str
    dataset: str
    uri: str
    size: int

    @staticmethod
    def of(model: str, digest: str, dataset: Dataset) -> "Subject":
        """The subject of an index of `model` with those weights over `dataset`."""
        return Subject(model, digest, dataset.name, dataset.uri, len(dataset))


@dataclass(frozen=True)
class Plan:
    """An index to be built: `shapes` gives the output shape of each layer for one image, (U, H, W) or (U,); `k` images a
    unit are kept, of the first `limit` images, or of all for 0."""

    subject: Subject
    shapes: Mapping[str, tuple[int, ...]]
    k: int
    limit: int = 0

    @property
    def images(self) -> int:
        """How many images are scanned."""
        return min(self.limit or self.subject.size, self.subject.size)

    @property
    def units(self) -> int:
        """How many units are indexed, over all layers."""
        return sum(shape[0] for shape in self.shapes.values())

    @property
    def key(self) -> str:
        """Names the build: the same for the same index, 32 hexadecimal digits."""
        return _digest({**asdict(self.subject), "shapes": sorted(self.shapes.items()), "k": self.k, "images": self.images})


class IndexStore:
    """The indexes in a folder. It may be used from several threads."""

    def __init__(self, state: Path) -> None:
        """Find the indexes below the server's state folder; a file that cannot be read is logged and left alone."""
        self._folder = state / "indexes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._files: dict[tuple[str, str, str, str, str], Path] = {}  # what a file is about, but for the data set's size
        self._about: dict[Path, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    self._remember(path, _description(file.metadata()))
            except (OSError, SafetensorError, ValueError, KeyError) as error:
                log.warning("an index cannot be read", path=str(path), error=str(error))

    def layers(self, subject: Subject) -> list[str]:
        """Names of the layers with an index of that subject, sorted."""
        with self._lock:
            return sorted(key[4] for key, path in self._files.items() if key[:4] == _key(subject) and self._fits(path, subject))

    def find(self, subject: Subject, layer: str, unit: int, k: int) -> list[Hit]:
        """The k images on which a unit is most active, or all that the index has if these are fewer; best first.

        Raises:
            IndexMissing: there is no index of that subject and layer.
            ValueError: the layer has no such unit.
        """
        path, about = self._path_of(subject, layer)
        units, width = about["shape"][0], _width(about["shape"])
        if not 0 <= unit < units:
            raise ValueError(f"layer {layer!r} has units 0 to {units - 1}, not {unit}")
        try:
            with safe_open(path, "pt") as file:  # mapped, so that one unit is read and not the file
                top = TopK.restore(*(file.get_slice(part)[unit : unit + 1] for part in _PARTS))
        except (OSError, SafetensorError) as error:
            raise IndexMissing(f"the index of layer {layer!r} cannot be read: build it again ({error})") from error
        return [Hit(image, value, *divmod(place, width)) for image, value, place in top.best(0)[:k]]

    def build(
        self,
        plan: Plan,
        dataset: Dataset,
        prepare: Prepare,
        submit: Submit,
        batch: int = 64,
        workers: int = 2,
        checkpoint_every: int = 4096,
        progress: Callable[[int, int], None] = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Scan the data set, replace the indexes of the plan's layers, and return the number of images scanned.

        It blocks, and goes on from where an earlier build of the same plan stopped. About every `checkpoint_every` images
        what has been found is saved. `progress` is told (images done, images in all) after each batch of `batch` images.

        Raises:
            CancelledError: `cancelled` said so, or the device gave up; what has been found is saved.
            DatasetError: an image cannot be read.
            ValueError: the data set is empty or an activation is not a number.
        """
        if plan.images == 0:
            raise ValueError(f"data set {plan.subject.dataset!r} is empty")
        done, tops = self._resume(plan)
        saved = done
        progress(done, plan.images)
        span, layers = range(done, plan.images), list(plan.shapes)
        with closing(scan(dataset, span, layers, batch, prepare, submit, workers)) as batches:  # type: ignore[type-var]
            try:
                for ids, found in batches:
                    _fold(tops, ids, found)
                    done += len(ids)
                    progress(done, plan.images)
                    if done < plan.images and cancelled():
                        raise CancelledError(f"stopped after {done} of {plan.images} images")
                    if done - saved >= checkpoint_every:
                        self._save_partial(plan, done, tops)
                        saved = done
            except CancelledError:
                self._save_partial(plan, done, tops)
                raise
        for layer, top in tops.items():
            self._save_layer(plan, layer, top)
        self._partial(plan).unlink(missing_ok=True)
        return plan.images

    def _resume(self, plan: Plan) -> tuple[int, dict[str, TopK]]:
        """Images done and what was found by an earlier build of the plan; none and nothing if there was none."""
        path = self._partial(plan)
        try:
            with safe_open(path, "pt") as file:
                done = int(_description(file.metadata())["done"])
                tops = {layer: TopK.restore(*(file.get_tensor(f"{part}:{layer}") for part in _PARTS)) for layer in plan.shapes}
            return done, tops
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            log.warning("a partial index cannot be read: starting again", path=str(path), error=str(error))
        return 0, {layer: TopK(shape[0], plan.k) for layer, shape in plan.shapes.items()}

    def _save_partial(self, plan: Plan, done: int, tops: Mapping[str, TopK]) -> None:
        tensors = {f"{part}:{layer}": getattr(top, part) for layer, top in tops.items() for part in _PARTS}
        _write(self._partial(plan), tensors, {"done": done})

    def _partial(self, plan: Plan) -> Path:
        return self._folder / f"{plan.key}.partial"

    def _save_layer(self, plan: Plan, layer: str, top: TopK) -> None:
        subject = plan.subject
        key = (*_key(subject), layer)
        name = "-".join(map(_slug, (subject.model, subject.dataset, layer))) + f"-{_digest(key)}.safetensors"
        about = {**asdict(subject), "layer": layer, "shape": list(plan.shapes[layer]), "k": plan.k, "images": plan.images}
        _write(self._folder / name, {part: getattr(top, part) for part in _PARTS}, about)
        with self._lock:
            self._remember(self._folder / name, about)

    def _remember(self, path: Path, about: dict[str, Any]) -> None:
        subject = Subject(*(about[name] for name in ("model", "digest", "dataset", "uri", "size")))
        self._files[(*_key(subject), about["layer"])] = path
        self._about[path] = about

    def _fits(self, path: Path, subject: Subject) -> bool:
        return bool(self._about[path]["size"] == subject.size)

    def _path_of(self, subject: Subject, layer: str) -> tuple[Path, dict[str, Any]]:
        what = f"of model {subject.model!r}, data set {subject.dataset!r} and layer {layer!r}"
        with self._lock:
            path = self._files.get((*_key(subject), layer))
            if path is not None and self._fits(path, subject):
                return path, self._about[path]
            if path is not None:
                raise IndexMissing(f"the index {what} is of another size of the data set: build it again", stale=True)
            if any(key[0] == subject.model and key[2:] == (subject.dataset, subject.uri, layer) for key in self._files):
                raise IndexMissing(f"the index {what} is of other weights: build it again", stale=True)
        raise IndexMissing(f"there is no index {what}: build it first")
