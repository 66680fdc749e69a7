"""Exemplar indexes: which images of a data set each unit of a layer is most active on, built in one pass and kept on disk.

`<state>/indexes/<model>-<data set>-<layer>-<key>.safetensors` holds one layer. A build that was stopped leaves
`<key>.partial`, from which the next build of the same index goes on.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from torch import Tensor

from interp.exemplars import TopK
from service import index_files as files
from service.datasets import Dataset, DatasetError
from service.jobs import NotFinite
from service.scan import Peaks, Prepare, Submit, scan

log = structlog.get_logger()


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
class Found:
    """The images on which a unit is most active, best first, of so many images that the index was built from."""

    hits: list[Hit]
    images: int


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
    """An index to be built.

    Args:
        shapes: output shape of each layer for one image, (U, H, W) or (U,).
        k: images kept a unit.
        limit: only the first so many images are scanned; 0: all.
    """

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
        """Names the build: equal for equal plans."""
        return files.digest([asdict(self.subject), sorted(self.shapes.items()), self.k, self.images])


def _fold(tops: Mapping[str, TopK], ids: Tensor, found: Peaks) -> None:
    for layer, (values, _) in found.items():
        if values.isnan().any():
            first = int(ids[values.isnan().any(1)][0])
            raise NotFinite(f"an activation of layer {layer!r} on image {first} is not a number")
    for layer, top in tops.items():
        top.update(*found[layer], ids)


def _extent(path: Path) -> tuple[int, int]:
    """(images, k) of the index in a file; zeros if there is none that can be read."""
    try:
        about = files.describe(path)
        return int(about["images"]), int(about["k"])
    except files.UNREADABLE:
        return 0, 0


def _quiet(done: int, total: int) -> None:
    """Tells nobody."""


class IndexStore:
    """The indexes in a folder. It may be used from several threads."""

    def __init__(self, state: Path) -> None:
        """Find the indexes below the server's state folder; a file that cannot be read is logged and left alone."""
        self._folder = state / "indexes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._known: dict[tuple[Subject, str], tuple[Path, dict[str, Any]]] = {}  # (subject, layer) -> file, description
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                self._remember(path, files.describe(path))
            except files.UNREADABLE as error:
                log.warning("an index cannot be read", path=str(path), error=str(error))

    def layers(self, subject: Subject) -> list[str]:
        """Names of the layers with an index of that subject, sorted."""
        with self._lock:
            return sorted(layer for known, layer in self._known if known == subject)

    def find(self, subject: Subject, layer: str, unit: int, k: int) -> Found:
        """The k images on which a unit is most active, or all that the index has if these are fewer; best first.

        Raises:
            IndexMissing: there is no index of that subject and layer.
            ValueError: the layer has no such unit.
        """
        with self._lock:
            path, about = self._known.get((subject, layer)) or self._missing(subject, layer)
        shape = about["shape"]
        if not 0 <= unit < shape[0]:
            raise ValueError(f"layer {layer!r} has units 0 to {shape[0] - 1}, not {unit}")
        try:
            top = files.read(path, layer, slice(unit, unit + 1))
        except files.UNREADABLE as error:
            raise IndexMissing(f"the index of layer {layer!r} cannot be read, build it again: {error}") from error
        width = shape[-1] if len(shape) > 1 else 1
        return Found([Hit(image, value, *divmod(place, width)) for image, value, place in top.best(0)[:k]], about["images"])

    def build(
        self,
        plan: Plan,
        dataset: Dataset,
        prepare: Prepare,
        submit: Submit,
        batch: int = 64,
        workers: int = 2,
        checkpoint_every: int = 4096,
        progress: Callable[[int, int], None] = _quiet,
        cancelled: Callable[[], bool] = bool,
    ) -> int:
        """Scan the data set, keep what was found as indexes of the plan's layers, and return the number of images scanned.

        A layer has one index: what an index of more images, or of as many with a larger k, already says is not replaced.

        It blocks, and goes on from where an earlier build of the same plan stopped. About every `checkpoint_every` images
        what was found is saved. `progress` is told (images done, images in all) after every `batch` images.

        Raises:
            CancelledError: `cancelled` said so, or the device's futures were cancelled; what was found is saved.
            DatasetError: the data set is empty, or an image cannot be read.
            NotFinite: an activation is not a number.
        """
        if not plan.images:
            raise DatasetError(f"data set {plan.subject.dataset!r} is empty: there is nothing to index")
        done, tops = self._resume(plan)
        saved = done
        progress(done, plan.images)
        with closing(scan(dataset, range(done, plan.images), list(tops), batch, prepare, submit, workers)) as batches:
            try:
                for ids, found in batches:
                    _fold(tops, ids, found)
                    done += len(ids)
                    progress(done, plan.images)
                    if done < plan.images and cancelled():
                        raise CancelledError(f"stopped after {done} of {plan.images} images")
                    if done - saved >= checkpoint_every:
                        files.write(self._partial(plan), {"done": done}, tops)
                        saved = done
            except CancelledError:
                files.write(self._partial(plan), {"done": done}, tops)
                raise
        self._finish(plan, tops)
        return plan.images

    def _resume(self, plan: Plan) -> tuple[int, dict[str, TopK]]:
        """Images done and what was found by an earlier build of the plan; none and nothing if there was none."""
        path = self._partial(plan)
        if path.exists():
            try:
                return int(files.describe(path)["done"]), {layer: files.read(path, layer) for layer in plan.shapes}
            except files.UNREADABLE as error:
                log.warning("a partial index cannot be read and is built again", path=str(path), error=str(error))
        return 0, {layer: TopK(shape[0], plan.k) for layer, shape in plan.shapes.items()}

    def _finish(self, plan: Plan, tops: Mapping[str, TopK]) -> None:
        subject = plan.subject
        for layer, top in tops.items():
            about = {**asdict(subject), "layer": layer, "shape": plan.shapes[layer], "k": plan.k, "images": plan.images}
            name = "-".join(map(files.slug, (subject.model, subject.dataset, layer)))
            path = self._folder / f"{name}-{files.digest([asdict(subject), layer])}.safetensors"
            with self._lock:  # of two builds of one layer the larger stays, whichever ends first
                if _extent(path) <= (plan.images, plan.k):
                    files.write(path, about, {layer: top})
                    self._remember(path, about)
        self._partial(plan).unlink(missing_ok=True)

    def _partial(self, plan: Plan) -> Path:
        return self._folder / f"{plan.key}.partial"

    def _remember(self, path: Path, about: dict[str, Any]) -> None:
        subject = Subject(*(about[name] for name in ("model", "digest", "dataset", "uri", "size")))
        self._known[subject, about["layer"]] = path, about

    def _missing(self, subject: Subject, layer: str) -> tuple[Path, dict[str, Any]]:
        what = f"of model {subject.model!r}, data set {subject.dataset!r} and layer {layer!r}"
        stale = any((known.model, known.dataset, name) == (subject.model, subject.dataset, layer) for known, name in self._known)
        if stale:
            raise IndexMissing(f"the index {what} is of other weights or another state of the data set: build it again", stale)
        raise IndexMissing(f"there is no index {what}: build it first")
