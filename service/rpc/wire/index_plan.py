"""From a request to build an exemplar index to its plan, and from its progress to metadata."""

from collections.abc import Sequence

from interp.layer import quoted
from service.auth.identity import current
from service.datasets import Dataset
from service.index.store import BuildProgress, IndexPlan, Subject
from service.index.types import QUANTILES
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import units as wire_units
from striate.v1 import exemplars_pb2 as pb

MOST_LAYERS = 64
MOST_EXEMPLARS = 100  # kept a unit
MOST_QUANTILES = 32


def read_plan(
    request: pb.BuildExemplarIndexRequest, model: HostedModel, dataset: Dataset
) -> IndexPlan:
    """Read what an index is to hold, with every default filled in.

    Args:
        model: the one that the request names.
        dataset: the one that the request names.

    Raises:
        InvalidField: a setting is out of range, or the index would not fit into memory.
        UnknownLayer: the model has no such layer.
    """
    k = within("k", request.k, 1, MOST_EXEMPLARS, default=9)
    class_k = None
    if request.HasField("class_k"):
        class_k = within("class_k", request.class_k, 0, MOST_EXEMPLARS)
    plan = IndexPlan(
        Subject.of(model.name, model.digest, dataset),
        _shapes(request.layers, model),
        k,
        request.limit,
        labels=dataset.label_count,
        class_k=class_k,
        shard_images=within("shard_images", request.shard_images, 64, 65536, default=4096),
        quantiles=read_quantiles(request.quantiles),
        skip_bad=dataset.skip_bad,
    )
    if plan.labels and (plan.class_k or 0) > plan.most_class_k:
        raise InvalidField(
            "class_k",
            f"is {plan.class_k}, must be at most {plan.most_class_k} for the {plan.labels} classes "
            f"of the data set and layers of so many units",
        )
    return plan


def _shapes(names: Sequence[str], model: HostedModel) -> dict[str, tuple[int, ...]]:
    """The layers to be indexed, and their outputs for one image."""
    if not 1 <= len(names) <= MOST_LAYERS:
        raise InvalidField("layers", f"there are {len(names)}, must be from 1 to {MOST_LAYERS}")
    layers = [wire_units.read_layer(name, f"layers[{i}]", model) for i, name in enumerate(names)]
    return {layer: model.network.output_shapes[layer] for layer in layers}


def read_quantiles(values: Sequence[float]) -> tuple[float, ...]:
    """Read the quantiles that an index is to keep images of.

    Args:
        values: shares from 0 to 1; none for the default ones.

    Returns:
        Each of them once, in rising order.

    Raises:
        InvalidField: there are too many, or one is out of range.
    """
    if len(values) > MOST_QUANTILES:
        raise InvalidField(
            "quantiles", f"there are {len(values)}, must be at most {MOST_QUANTILES}"
        )
    shares = {within(f"quantiles[{i}]", value, 0.0, 1.0) for i, value in enumerate(values)}
    return tuple(sorted(shares)) or QUANTILES


def build_metadata(
    request: pb.BuildExemplarIndexRequest, plan: IndexPlan, now: BuildProgress
) -> pb.BuildExemplarIndexMetadata:
    """Write how far the present caller's building of an index is.

    Args:
        request: that began the building.
        plan: what is built.
        now: the progress so far.

    Returns:
        The operation's metadata.
    """
    return pb.BuildExemplarIndexMetadata(
        model=request.model,
        dataset=request.dataset,
        layers=list(map(quoted, plan.shapes)),
        images_done=now.images_done,
        images_total=now.images,
        shards_done=now.shards_done,
        shards_total=now.shards,
        images_left_out=now.left_out,
        owner=current.get().name,
        share=request.share,
    )
