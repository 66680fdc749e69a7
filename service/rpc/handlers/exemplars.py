"""FindExemplars and GetUnitStatistics: what the index of a data set says of units."""

from service.datasets import Datasets
from service.models.zoo import ModelZoo
from service.rpc.context import Context
from service.rpc.handlers.index_reader import IndexReader
from service.rpc.validation import InvalidField, required
from service.rpc.wire import exemplars as wire_exemplars
from service.rpc.wire import images as wire_images
from service.rpc.wire import provenance as wire_provenance
from service.threads import in_daemon_thread
from striate.v1 import exemplars_pb2 as pb


class ExemplarHandler:
    """Answers FindExemplars and GetUnitStatistics."""

    def __init__(self, zoo: ModelZoo, datasets: Datasets, reader: IndexReader) -> None:
        self._zoo, self._datasets, self._reader = zoo, datasets, reader

    async def find_exemplars(
        self, request: pb.FindExemplarsRequest, context: Context
    ) -> pb.FindExemplarsResponse:
        """Find the images on which a unit is most active, or least."""
        with self._zoo.use(required("model", request.model)) as model:
            spec = wire_exemplars.read(request, model)
            dataset = await in_daemon_thread(self._datasets.get, spec.dataset)
            label = wire_exemplars.read_label(request, spec, dataset)
            dataset = dataset.skipping_bad(request.skip_bad)
            read = await self._reader.exemplars(
                model, spec.path, dataset, spec.k, spec.order, label, spec.with_images
            )
            response = pb.FindExemplarsResponse(
                unit=str(spec.path),
                exemplars=read.messages,
                provenance=wire_provenance.provenance(model),
                images=read.found.images,
                images_left_out=read.found.left_out,
                left_out=map(wire_images.left_out_image, read.left_out),
            )
        if response.ByteSize() > wire_images.MOST_BYTES:
            raise InvalidField(
                "k",
                f"the pictures of {len(read.messages)} exemplars are more than one answer can "
                f"hold; ask for fewer",
            )
        return response

    async def get_unit_statistics(
        self, request: pb.GetUnitStatisticsRequest, context: Context
    ) -> pb.GetUnitStatisticsResponse:
        """Read how active the units of a layer are over a data set."""
        name = required("dataset", request.dataset)
        with self._zoo.use(required("model", request.model)) as model:
            path = wire_exemplars.read_units(request.unit, model)
            dataset = await in_daemon_thread(self._datasets.get, name)
            units = await self._reader.statistics(model, path, dataset)
            return pb.GetUnitStatisticsResponse(
                units=units,
                images=sum(units[0].histogram),
                provenance=wire_provenance.provenance(model),
            )
