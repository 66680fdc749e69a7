"""What units answer to in a data set: the part of a model's handle that asks an exemplar index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from striate._rpc.batching import check_count
from striate._rpc.checks import at_least, choice, whole
from striate.errors import DatasetNotFound, invalid
from striate.labels import as_indices
from striate.results.exemplars import Exemplars
from striate.results.unit_statistics import LayerStatistics, UnitStatistics
from striate.v1 import exemplars_pb2, interpret_pb2

if TYPE_CHECKING:
    from striate._rpc.caller import Caller
    from striate._rpc.deadline import Deadline
    from striate.labels import Label
    from striate.results.models import ModelInfo
    from striate.v1 import interpret_pb2_grpc

OrderName = Literal["max", "min", "mean", "magnitude", "quantile"]

_ORDERS: dict[OrderName, exemplars_pb2.ExemplarOrder.ValueType] = {
    "max": exemplars_pb2.EXEMPLAR_ORDER_MAX,
    "min": exemplars_pb2.EXEMPLAR_ORDER_MIN,
    "mean": exemplars_pb2.EXEMPLAR_ORDER_MEAN,
    "magnitude": exemplars_pb2.EXEMPLAR_ORDER_MAGNITUDE,
    "quantile": exemplars_pb2.EXEMPLAR_ORDER_QUANTILE,
}
_MOST_LABEL = 2**32 - 1


class Answering:
    """What the units of one model answer to in a data set with an index of it."""

    _caller: Caller
    _interpret: interpret_pb2_grpc.InterpretServiceStub
    info: ModelInfo

    def exemplars(
        self,
        unit: str,
        k: int | None = None,
        *,
        dataset: str,
        order: OrderName = "max",
        label: Label | None = None,
        images: bool = True,
        timeout: float | None = None,
    ) -> Exemplars:
        """The k images of a data set on which a unit ("layer:unit") is most active, highest first.

        k: 1 to 100, None for 9, and for all of quantiles; order: by the largest ("max"), smallest
        ("min", lowest first) or mean activation over positions, by the largest magnitude, or
        "quantile" for the images at the index's quantiles of the maximum, in rising order; label:
        only images of this class, index or name, of the data set, with "max" alone; images: False
        leaves out names, labels and pictures, which makes the answer quick. Raises IndexNotFound if
        `Service.build_index` has not run for that layer, LayerNotFound, DatasetNotFound,
        InvalidArgument.
        """
        at_least(1, k=k)
        deadline = self._caller.deadline(timeout)
        request = exemplars_pb2.FindExemplarsRequest(
            model=self.info.name,
            unit=unit,
            dataset=dataset,
            k=k or 0,
            order=choice("order", order, _ORDERS),
            without_images=not images,
        )
        if label is not None:
            request.label = self._label(label, dataset, deadline)
        return Exemplars.read(
            self._caller.unary(self._interpret.FindExemplars, request, deadline.remaining())
        )

    def statistics(
        self, unit: str, *, dataset: str, timeout: float | None = None
    ) -> UnitStatistics | LayerStatistics:
        """What a unit ("layer:unit") does over a data set, or for "layer" the list of what all its
        units do.

        Raises IndexNotFound if `Service.build_index` has not run for that layer, LayerNotFound,
        DatasetNotFound.
        """
        request = exemplars_pb2.GetUnitStatisticsRequest(
            model=self.info.name, unit=unit, dataset=dataset
        )
        found = LayerStatistics.read(
            self._caller.unary(self._interpret.GetUnitStatistics, request, timeout)
        )
        if ":" not in unit:
            return found
        check_count(len(found), 1)
        return found[0]

    def _label(self, label: Label, dataset: str, deadline: Deadline) -> int:
        """The number of a label, for a name by the data set's own list of classes."""
        if not isinstance(label, str):
            return whole("label", label, 0, _MOST_LABEL)
        listed = self._caller.unary(
            self._interpret.ListDatasets, interpret_pb2.ListDatasetsRequest(), deadline.remaining()
        )
        known = {found.name: found for found in listed.datasets}
        if dataset not in known:
            raise DatasetNotFound(
                f"no data set is called {dataset!r}; known: {', '.join(known) or 'none'}"
            )
        info = known[dataset]
        if info.error and not info.classes:
            raise invalid(
                "label",
                f"the class names of {dataset!r} are not known ({info.error}): use an index",
            )
        return as_indices(label, 1, info.classes, "label")[0]
