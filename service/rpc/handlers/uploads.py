"""UploadDataset: data sets that callers send."""

from collections.abc import AsyncIterator

from service.datasets import Datasets
from service.datasets.uploads import Upload
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField
from service.rpc.wire.robustness import uploads as wire_uploads
from service.rpc.wire.share import read_share
from striate.v1 import audit_pb2 as pb


class UploadHandler:
    """Answers UploadDataset."""

    def __init__(self, compute: Compute, datasets: Datasets) -> None:
        self._compute, self._datasets = compute, datasets

    async def upload_dataset(
        self, requests: AsyncIterator[pb.UploadDatasetRequest], context: Context
    ) -> pb.UploadDatasetResponse:
        """Append every message to a file, which gets its name when all of them have come."""
        upload: Upload | None = None
        classes: tuple[str, ...] = ()
        try:
            async for message in requests:
                if upload is None:
                    classes, shared = wire_uploads.classes(message), read_share(message.share)
                    begin = self._datasets.uploads.begin
                    upload = await self._compute.run_in_pool(begin, classes, shared)
                elif message.classes or message.share:
                    field = "classes" if message.classes else "share"
                    raise InvalidField(field, "belong into the first message")
                await self._compute.run_long_in_pool(_append, upload, message, classes)
            if upload is None:
                raise InvalidField("images", "there are none")
            name = await self._compute.run_in_pool(upload.finish)
            return pb.UploadDatasetResponse(dataset=name, images=upload.count)
        finally:
            if upload is not None:
                await self._compute.run_in_pool(upload.abandon)


def _append(upload: Upload, message: pb.UploadDatasetRequest, classes: tuple[str, ...]) -> None:
    upload.add(wire_uploads.rows(message, upload.count, classes))
