"""The methods of InterpretService about data sets alone: which there are, and their images."""

from service.datasets import Dataset, DatasetError, class_indices
from service.index.store import Subject
from service.models.zoo import HostedModel
from service.rpc.context import Interpreter
from service.rpc.interceptor import Context
from service.rpc.validation import required, within
from service.rpc.wire import images as wire_images
from service.threads import in_daemon_thread
from striate.v1 import interpret_pb2 as pb

MOST_ERROR = 1000  # characters of a data set's error


class DatasetHandlers(Interpreter):
    """ListDatasets, ReadSamples."""

    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, context: Context
    ) -> pb.ListDatasetsResponse:
        """Opens every data set that needs no download, which reads its table of contents; one that
        cannot be read says so.
        """
        if not request.model:
            datasets = await in_daemon_thread(self._datasets, None)
        else:
            with self._house.model(request.model) as model:
                datasets = await in_daemon_thread(self._datasets, model)
        return pb.ListDatasetsResponse(datasets=datasets)

    def _datasets(self, model: HostedModel | None) -> list[pb.Dataset]:
        return [self._listed(name, model) for name in self._house.datasets.names]

    def _listed(self, name: str, model: HostedModel | None) -> pb.Dataset:
        message = pb.Dataset(name=name, uri=self._house.datasets.uri(name))
        try:
            dataset = self._house.datasets.glance(name)
        except DatasetError as error:
            message.error = str(error)[:MOST_ERROR]
            return message
        if dataset is None:
            message.error = (
                "not opened yet, which may take a download: it is opened when its images are "
                "first asked for"
            )
            return message
        message.size, message.labelled = len(dataset), dataset.labelled
        message.classes.extend(dataset.classes)
        if model is not None:
            if dataset.labelled:
                message.class_indices.extend(
                    class_indices(dataset.classes, model.classes, dataset.label_count)
                )
            message.indexed_layers.extend(
                self._index.layers(Subject.of(model.name, model.digest, dataset))
            )
        return message

    async def ReadSamples(
        self, request: pb.ReadSamplesRequest, context: Context
    ) -> pb.ReadSamplesResponse:
        """As many as there are from `first` on and as fit into one message; the others are not
        read.
        """
        count = within("count", request.count, 1, 1024, default=16)
        dataset = await self._opened(required("dataset", request.dataset))
        samples = await self._house.aside(
            dataset.read, request.first, count, wire_images.MOST_BYTES
        )
        return pb.ReadSamplesResponse(
            samples=[pb.Sample(id=s.id, name=s.name, image=s.image, label=s.label) for s in samples]
        )

    async def _opened(self, name: str) -> Dataset:
        """The data set of that name; opening it may download it, and hang."""
        return await in_daemon_thread(self._house.datasets.get, name)
