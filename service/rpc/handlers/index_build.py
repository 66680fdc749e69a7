"""BuildExemplarIndex: what a data set shows of every unit, computed once and kept."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from google.longrunning.operations_pb2 import Operation

from interp.probe import Procedure
from service.auth.identity import current
from service.datasets import Dataset, Datasets
from service.engine.job import T
from service.imaging import decode
from service.index.store import IndexPlan, IndexStore
from service.models.zoo import HostedModel, ModelZoo
from service.operations import OperationContext, Operations
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.rpc.wire import images as wire_images
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire.index_plan import build_metadata, read_plan
from service.rpc.wire.share import read_share
from service.threads import in_daemon_thread
from striate.v1 import exemplars_pb2 as pb

BUILD = "BuildExemplarIndex"
BATCH = (64, 256)  # images of one pass of a scan, at least and at most


class IndexBuildHandler:
    """Answers BuildExemplarIndex."""

    def __init__(
        self,
        zoo: ModelZoo,
        compute: Compute,
        datasets: Datasets,
        index: IndexStore,
        operations: Operations,
    ) -> None:
        self._zoo, self._compute, self._datasets = zoo, compute, datasets
        self._index, self._operations = index, operations
        operations.register(BUILD, self._build)

    async def build_exemplar_index(
        self, request: pb.BuildExemplarIndexRequest, context: Context
    ) -> Operation:
        """Check the request, and answer as soon as the operation is on disk."""
        shared = read_share(request.share)
        await in_daemon_thread(self._plan, request)
        metadata = pb.BuildExemplarIndexMetadata(
            model=request.model,
            dataset=request.dataset,
            layers=request.layers,
            owner=current.get().name,
            share=shared,
        )
        return await self._operations.start(BUILD, request, metadata, shared)

    def _plan(self, request: pb.BuildExemplarIndexRequest) -> tuple[IndexPlan, Dataset]:
        """Opening the data set may download it, and hang: not for the event loop."""
        dataset = self._datasets.get(required("dataset", request.dataset))
        dataset = dataset.skipping_bad(request.skip_bad)
        with self._zoo.use(required("model", request.model)) as model:
            return read_plan(request, model, dataset), dataset

    def _build(self, packed: Any, context: OperationContext) -> pb.BuildExemplarIndexResponse:
        """Run the operation, in a thread of its own; after a restart it goes on where it
        stopped.
        """
        request = pb.BuildExemplarIndexRequest()
        packed.Unpack(request)
        batch = min(max(self._compute.engine.limits.tick_rows, BATCH[0]), BATCH[1])
        # The plan is of this model: none is loaded in its place meanwhile.
        with self._zoo.use(required("model", request.model)) as model:
            plan, dataset = self._plan(request)
            images = self._index.build(
                plan,
                dataset,
                lambda data: model.preprocessing.apply(decode(data)),
                self._submitter(model, batch),
                batch=batch,
                progress=lambda now: context.progress(
                    build_metadata(request, plan, now), lasting=now.lasting
                ),
                cancelled=context.cancelled,
            )
            return pb.BuildExemplarIndexResponse(
                images=images,
                units=plan.units,
                provenance=wire_provenance.provenance(model),
                left_out=wire_images.left_out(
                    self._index.left_out(plan.subject, next(iter(plan.shapes)))
                ),
            )

    def _submitter(self, model: HostedModel, batch: int) -> "Callable[[Procedure[T]], Future[T]]":
        memory = wire_images.image_bytes(batch, model)
        return lambda procedure: self._compute.submit_patiently(
            model, procedure, memory, gradients=False
        )
