"""ListDatasets, DeleteDataset and ReadSamples: which data sets there are, and their images."""

from interp.layer import quoted
from service.datasets import Dataset, DatasetError, Datasets, Sample, class_indices
from service.datasets.samples import LeftOut, read_or_leave_out
from service.datasets.uploads import DatasetBusy
from service.imaging import decode
from service.index.store import IndexStore, Subject
from service.models.zoo import HostedModel, ModelZoo
from service.operations import Operations
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.paging import MOST_BYTES, page
from service.rpc.validation import required, within
from service.rpc.wire import images as wire_images
from service.threads import in_daemon_thread
from striate.v1 import audit_pb2, exemplars_pb2
from striate.v1 import interpret_pb2 as pb

MOST_ERROR = 1000  # characters of a data set's error
MOST_SAMPLES = 1024  # of one request
UNOPENED = (
    "not opened yet, which may take a download: it is opened when its images are first asked for"
)


def in_use(operations: Operations) -> set[str]:
    """Find the data sets that operations use.

    Args:
        operations: of the server.

    Returns:
        Their names.
    """
    names = set[str]()
    for _, packed in operations.live:
        for kind in (audit_pb2.AuditRequest, exemplars_pb2.BuildExemplarIndexRequest):
            request = kind()
            if packed.Unpack(request):
                names.add(request.dataset)
    return names


class DatasetHandler:
    """Answers ListDatasets, DeleteDataset and ReadSamples."""

    def __init__(
        self,
        zoo: ModelZoo,
        compute: Compute,
        datasets: Datasets,
        index: IndexStore,
        operations: Operations,
    ) -> None:
        self._zoo, self._compute, self._datasets, self._index = zoo, compute, datasets, index
        self._operations = operations

    async def list_datasets(
        self, request: pb.ListDatasetsRequest, context: Context
    ) -> pb.ListDatasetsResponse:
        """Open every data set of the page that needs no download, which reads its table of
        contents; one that cannot be read says so.
        """
        if not request.model:
            return await in_daemon_thread(self._list, request, None)
        with self._zoo.use(required("model", request.model)) as model:
            return await in_daemon_thread(self._list, request, model)

    def _list(
        self, request: pb.ListDatasetsRequest, model: HostedModel | None
    ) -> pb.ListDatasetsResponse:
        found, token = page(
            self._datasets.names,
            request.page_size,
            request.page_token,
            lambda name: self._describe(name, model),
            self._datasets.listed_first,
        )
        return pb.ListDatasetsResponse(datasets=found, next_page_token=token)

    async def delete_dataset(
        self, request: pb.DeleteDatasetRequest, context: Context
    ) -> pb.DeleteDatasetResponse:
        """Remove an upload that no operation uses."""
        name = required("dataset", request.dataset)
        await self._compute.run_in_pool(self._datasets.require_own, name)
        if name in in_use(self._operations):
            raise DatasetBusy(
                f"operations use data set {name!r}: cancel them, or wait until they have ended"
            )
        freed = await self._compute.run_in_pool(self._datasets.delete, name)
        return pb.DeleteDatasetResponse(freed_bytes=freed)

    def _describe(self, name: str, model: HostedModel | None) -> pb.Dataset:
        """What is known of a data set without a download; with a model also its indexes."""
        whose = self._datasets.ownership(name)
        message = pb.Dataset(
            name=name,
            uri=self._datasets.uri(name),
            stored_bytes=self._datasets.uploads.size(name),
            owner=whose.owner,
            share=whose.shared,
        )
        try:
            dataset = self._datasets.get_without_download(name)
        except DatasetError as error:
            message.error = str(error)[:MOST_ERROR]
            return message
        if dataset is None:
            message.error = UNOPENED
            return message
        message.size, message.labelled = len(dataset), dataset.labelled
        message.classes.extend(dataset.classes)
        if model is not None:
            if dataset.labelled:
                message.class_indices.extend(
                    class_indices(dataset.classes, model.classes, dataset.label_count)
                )
            for one in self._index.indexes(Subject.of(model.name, model.digest, dataset)):
                message.indexed_layers.append(quoted(one.layer))
                message.indexes.add(
                    layer=quoted(one.layer), images=one.images, built_by=one.built_by
                )
        if message.ByteSize() > MOST_BYTES:  # kept before there was a limit to what is taken
            message.ClearField("classes")
            message.ClearField("class_indices")
            message.error = "its class names are too long to be listed: upload it anew with others"
        return message

    async def read_samples(
        self, request: pb.ReadSamplesRequest, context: Context
    ) -> pb.ReadSamplesResponse:
        """Read as many images as there are from `first` on and as fit into one message, but for
        those that are left out.
        """
        count = within("count", request.count, 1, MOST_SAMPLES, default=16)
        dataset = await in_daemon_thread(self._datasets.get, required("dataset", request.dataset))
        dataset = dataset.skipping_bad(request.skip_bad)
        response, left = pb.ReadSamplesResponse(), wire_images.MOST_BYTES
        for number in range(request.first, min(request.first + count, len(dataset))):
            # One by one: each may be a large picture to decode, and others have their turn between.
            one = await self._compute.run_long_in_pool(
                _read_one, dataset, number, left, not response.samples
            )
            if one is None:
                break
            if isinstance(one, LeftOut):
                response.left_out.append(wire_images.left_out_image(one))
                left -= response.left_out[-1].ByteSize()
            else:
                response.samples.add(id=one.id, name=one.name, image=one.image, label=one.label)
                left -= len(one.image)
        return response


def _read_one(dataset: Dataset, number: int, most: int, alone: bool) -> Sample | LeftOut | None:
    """One image of a data set, or what is left out; None if it takes more bytes than `most`, and
    is not the first.
    """

    def usable(sample: Sample) -> Sample:
        if dataset.skip_bad:
            decode(sample.image)
        return sample

    one = read_or_leave_out(dataset, number, usable, most if alone else None)
    return None if isinstance(one, Sample) and len(one.image) > most else one
