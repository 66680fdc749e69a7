"""ExportModel: a hosted network as a bundle."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast

from service.models.bundles.export import export
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.state import DiskSpace
from striate.v1 import model_pb2

CHUNK_BYTES = 1 << 20


class ExportHandler:
    """Answers ExportModel.

    Args:
        zoo: the models.
        compute: whose pool reads and writes files.
        state: folder for a bundle that is being sent.
        space: of its disk.
    """

    def __init__(self, zoo: ModelZoo, compute: Compute, state: Path, space: DiskSpace) -> None:
        self._zoo, self._compute, self._state, self._space = zoo, compute, state, space

    async def export_model(
        self, request: model_pb2.ExportModelRequest, context: Context
    ) -> AsyncIterator[model_pb2.ExportModelResponse]:
        """Write a model's bundle to a file without a name, which is gone with this process, and
        send it as fast as the caller takes it.
        """
        self._space.require()
        run, digest = self._compute.run_in_pool, hashlib.sha256()
        file = await run(_without_name, self._state)
        try:
            with self._zoo.use(required("model", request.model)) as model:
                await run(export, model, file)
            file.seek(0)
            while data := await run(file.read, CHUNK_BYTES):
                await run(digest.update, data)
                yield model_pb2.ExportModelResponse(data=data)
        finally:
            await run(file.close)  # gives back the disk's blocks, which takes its time
        yield model_pb2.ExportModelResponse(sha256=digest.hexdigest())


def _without_name(folder: Path) -> BinaryIO:
    """A new file in a folder, which is gone when it is closed."""
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))
