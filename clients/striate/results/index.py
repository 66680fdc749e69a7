"""What the building of an exemplar index returns: its progress, and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from striate._formats import notebook
from striate._rpc.caller import Caller
from striate.provenance import Provenance
from striate.results.datasets import LeftOutImage
from striate.v1 import exemplars_pb2


@dataclass(frozen=True)
class IndexProgress:
    """How far the building of an exemplar index is.

    Attributes:
        model: Name of the model.
        dataset: Name of the data set that is scanned.
        layers: The layers that are indexed.
        images_done: Images scanned or left out so far.
        images_total: Images to be scanned in all.
        shards_done: Parts of the index that are on disk: a build that was stopped goes on behind
            the last of them.
        shards_total: Parts of the index in all.
        images_left_out: Of `images_done` those that could not be used. Until the end those are
            counted that were found since the build last began.
        owner: Name of who started it; "" where the server asks for no keys.
        share: Callers and roles who may see it, too.
    """

    model: str
    dataset: str
    layers: tuple[str, ...]
    images_done: int
    images_total: int
    shards_done: int = 0
    shards_total: int = 0
    images_left_out: int = 0
    owner: str = ""
    share: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return notebook.facts(list(asdict(self).items()))

    @staticmethod
    def read(data: bytes, caller: Caller, operation: str) -> IndexProgress:
        """Reads the operation's packed metadata."""
        message = exemplars_pb2.BuildExemplarIndexMetadata.FromString(data)
        return IndexProgress(
            model=message.model,
            dataset=message.dataset,
            layers=tuple(message.layers),
            images_done=message.images_done,
            images_total=message.images_total,
            shards_done=message.shards_done,
            shards_total=message.shards_total,
            images_left_out=message.images_left_out,
            owner=message.owner,
            share=tuple(message.share),
        )


@dataclass(frozen=True)
class IndexReport:
    """A finished exemplar index.

    Attributes:
        images: Images that were scanned.
        units: Units that are indexed, over all layers.
        provenance: Where it came from.
        images_left_out: How many other images could not be used.
        left_out: The first hundred of them, by number.
    """

    images: int
    units: int
    provenance: Provenance
    images_left_out: int = 0
    left_out: tuple[LeftOutImage, ...] = ()

    def _repr_html_(self) -> str:
        rows = [("index of", self.provenance.model), ("images", self.images), ("units", self.units)]
        return notebook.facts(rows)

    @staticmethod
    def read(data: bytes, caller: Caller, operation: str) -> IndexReport:
        """Reads the operation's packed response."""
        message = exemplars_pb2.BuildExemplarIndexResponse.FromString(data)
        return IndexReport(
            message.images,
            message.units,
            Provenance.read(message.provenance),
            message.left_out.count,
            tuple(map(LeftOutImage.read, message.left_out.images)),
        )
