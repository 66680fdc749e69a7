"""What a running operation knows of itself, and reports of itself."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from service.operations.rows import Record

Save = Callable[[str, Any, bool], "Future[None]"]  # (name, metadata, whether crashes are forgiven)


class OperationContext:
    """What the runner of an operation is given beside the request. Its methods may be called from
    any thread.

    Attributes:
        name: of the operation.
        resumed: whether it ran before, in a server that is gone.
        progressed: whether this run has reported progress.
        cancel_requested: whether somebody has cancelled it.
        metadata: what it reported last.
    """

    def __init__(self, record: Record, resumed: bool, save: Save, interval: float) -> None:
        """Begin the run of an operation.

        Args:
            record: the operation as it is on disk.
            resumed: whether it ran before, in a server that is gone.
            save: queues a write of its metadata.
            interval: seconds between two such writes.
        """
        self.name = record.name
        self.resumed = resumed
        self.progressed = False
        self.cancel_requested = False
        self.metadata = record.operation.metadata
        self._forgiven = not resumed  # the crashes of earlier servers, of which there are none
        self._stop = threading.Event()
        self._save, self._interval, self._saved = save, interval, time.monotonic()

    def cancelled(self) -> bool:
        """Return whether the runner should stop, by raising concurrent.futures.CancelledError:
        somebody cancelled, or the server goes down.
        """
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the runner to stop."""
        self._stop.set()

    def progress(self, metadata: Message, lasting: bool = False) -> None:
        """Replace the operation's metadata, at once for whoever asks, and every so often on disk.

        Args:
            metadata: how far the operation is.
            lasting: some work is done that no later server will have to do again: crashes so far
                are forgiven, on disk when this returns.
        """
        packed = Any()
        packed.Pack(metadata)
        self.metadata, self.progressed = packed, True
        forgive = lasting and not self._forgiven
        if forgive or time.monotonic() - self._saved >= self._interval:
            self._saved, self._forgiven = time.monotonic(), self._forgiven or forgive
            saved = self._save(self.name, packed, forgive)
            if forgive:  # once in a server's life
                wait([saved])
