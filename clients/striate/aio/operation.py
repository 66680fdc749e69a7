"""Work that takes minutes, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate._api.operation import Operation
from striate.aio.awaited import Twin, awaited

if TYPE_CHECKING:
    from striate.errors import StriateError


class AsyncOperation(Twin[Operation]):
    """Work on the server that outlives the connection, see striate.Operation.

    A coroutine that is cancelled ends its waiting, not the work.
    """

    wait = awaited(Operation.wait)
    result = awaited(Operation.result)
    refresh = awaited(Operation.refresh)
    cancel = awaited(Operation.cancel)
    delete = awaited(Operation.delete)

    def __repr__(self) -> str:
        return f"Async{self._handle!r}"

    @property
    def name(self) -> str:
        """The name by which `AsyncService.operation` finds it, also after a restart."""
        return self._handle.name

    @property
    def done(self) -> bool:
        """Whether it had ended, well or not, when the server last said."""
        return self._handle.done

    @property
    def metadata(self) -> Any:
        """Its progress when the server last told it, see striate.Operation."""
        return self._handle.metadata

    @property
    def error(self) -> StriateError | None:
        """Why it failed; None if it has not."""
        return self._handle.error
