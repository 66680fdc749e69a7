"""UsageService: what a caller may have and has, and what waits before them."""

from service.auth.errors import PermissionDenied
from service.auth.identity import Identity, Role, current
from service.auth.quota import CAPS, UNLIMITED
from service.datasets import Datasets
from service.engine.share import ShareUse
from service.models.zoo import ModelZoo
from service.operations import Operations
from service.rpc.compute import Compute
from service.rpc.context import Context, present_share
from striate.v1 import usage_pb2


class UsageHandler:
    """Answers GetUsage.

    Args:
        zoo: the models.
        compute: where work is done, and counted.
        operations: the server's.
        datasets: those that callers have sent among them.
    """

    def __init__(
        self, zoo: ModelZoo, compute: Compute, operations: Operations, datasets: Datasets
    ) -> None:
        self._zoo, self._compute = zoo, compute
        self._operations, self._datasets = operations, datasets

    async def get_usage(
        self, request: usage_pb2.GetUsageRequest, context: Context
    ) -> usage_pb2.GetUsageResponse:
        """Tell the usage of the caller, or to an admin that of another."""
        by, key = self._whose(request.name)
        meter = self._compute.meter
        usage, shares = meter.usage(key), self._compute.engine.shares()
        mine = next((share for share in shares if share.key == key), ShareUse(key))
        others = [share for share in shares if share.key != key]
        uploads = await self._compute.run_in_pool(self._datasets.uploads.held, by.name)
        used = self._used(by, key, mine) | dict(
            zip(("uploads", "upload_bytes"), uploads, strict=True)
        )
        response = usage_pb2.GetUsageResponse(
            name=by.name,
            weight=by.quota.weight,
            requests=usage.requests,
            image_gradients=usage.gradients,
            device_seconds=mine.seconds,
            rows=mine.rows,
            waiting_jobs=mine.waiting,
            running_jobs=mine.running,
            others_waiting_jobs=sum(share.waiting for share in others),
            others_running_jobs=sum(share.running for share in others),
            callers=sum(share.waiting + share.running > 0 for share in shares),
            oldest_wait_seconds=mine.oldest_wait,
        )
        for name in CAPS:
            response.caps.add(name=name, limit=getattr(by.quota, name), used=used[name])
        return response

    def _whose(self, name: str) -> tuple[Identity, str]:
        """Of whom the usage is, and the key of their share."""
        by = current.get()
        if not name or name == by.name:
            return by, present_share().key
        if not by.is_admin:
            raise PermissionDenied(by, f"the usage of others, such as {name!r}, is told to admins")
        seen = self._compute.meter.usage(name).by
        return seen or Identity(name, Role.READ, quota=UNLIMITED), name

    def _used(self, by: Identity, key: str, mine: ShareUse) -> dict[str, float]:
        """What is used of each cap."""
        meter = self._compute.meter
        loaded = [model.name for model in self._zoo.loaded()]
        return {
            "requests_per_second": meter.used_of_requests(by),
            "image_gradients_per_minute": meter.used_of_gradients(by),
            "rows_in_flight": meter.usage(key).rows,
            "waiting_jobs": mine.waiting,
            "operations": self._operations.unfinished(by.name),
            "loaded_models": meter.loaded_by(by.name, loaded),
        }
