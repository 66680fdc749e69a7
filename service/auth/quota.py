"""How much a caller may have, and what they are told who want more."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=10**9)]
Bytes = Annotated[int, Field(ge=0, le=2**60)]
Rate = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]


class Quota(BaseModel):
    """What a caller may have at a time, None for any number, and their weight beside others.

    The entries of an auth file have these fields, and its [defaults] those of whoever has none of
    their own.

    Attributes:
        weight: how much of the device they get beside others, relative to these.
        requests_per_second: on average; within one second as many may come at once.
        image_gradients_per_minute: images times gradients, on average: within one minute as many
            may be had at once. What has begun goes on; what comes is refused until the average is
            met again.
        rows_in_flight: images, or pictures, of the requests that are being answered.
        waiting_jobs: that wait for the device.
        operations: that have not ended.
        uploads: data sets that they have sent, and nobody has deleted.
        upload_bytes: of these on the disk, and of what they are sending.
        loaded_models: that they have loaded and nobody has unloaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0.01, le=100)
    requests_per_second: Rate | None = None
    image_gradients_per_minute: Rate | None = None
    rows_in_flight: Count | None = None
    waiting_jobs: Count | None = None
    operations: Count | None = None
    uploads: Count | None = None
    upload_bytes: Bytes | None = None
    loaded_models: Count | None = None


UNLIMITED = Quota()
CAPS = tuple(name for name in Quota.model_fields if name != "weight")


class QuotaExceeded(RuntimeError):
    """A caller has as much as they may have.

    Attributes:
        facts: cap, limit and used, for programs.
        retry_after: seconds after which it is worth trying again.
    """

    def __init__(
        self, name: str, cap: str, limit: float, used: float, retry_after: float, wanted: float = 1
    ) -> None:
        words = cap.replace("_", " ")
        more = f" and asks for {wanted:g} more" if wanted != 1 else ""
        super().__init__(
            f"{name or 'the caller'} may have {limit:g} {words}, has {used:g}{more}: try again in "
            f"{retry_after:.1f} s, or ask who keeps the server, who sets {cap} in the auth file"
        )
        self.facts = {"quota": cap, "limit": f"{limit:g}", "used": f"{used:g}"}
        self.retry_after = retry_after


class RateExceeded(QuotaExceeded):
    """A caller asks more often than they may: the same request is taken in a moment."""
