"""A data set on its way here."""

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from service.auth.ownership import Ownership
from service.datasets.uploads.content import CLASSES, WHOSE, Content, keep_whose

log = structlog.get_logger("striate")

# A row group ends at whichever comes first; images are read in random order, a group at a time.
GROUP_ROWS, GROUP_BYTES = 64, 8 * 2**20
UNFINISHED = ".part"  # the ending of what is not finished


class UploadTooLarge(RuntimeError):
    """The images of an upload take more bytes than are kept."""


class Upload:
    """A data set that is being sent. `add` its images in order, then `finish`; always `abandon` in
    the end.

    The same images, labels and class names of the same owner give the same file, however they were
    cut into parts. Those of two owners have nothing in common.
    """

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        most_bytes: int,
        require_room: Callable[[], None],
        whose: Ownership,
        sending: Callable[[int], None] = lambda more: None,
    ) -> None:
        self._whose, self._sending, self._sent = whose, sending, 0
        self._folder, self._most_bytes = folder, most_bytes
        self._require_room = require_room
        self._content = Content(classes, whose.owner)
        self._rows: list[tuple[bytes, int]] = []
        self._rows_bytes = self._bytes = 0
        self.count = 0
        self._lock = threading.Lock()  # who abandons it may do so while another thread still adds
        self._open = True
        self._temporary = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
        columns = [("image", pa.binary()), ("label", pa.int64())]
        self._schema = pa.schema(columns, metadata={CLASSES: json.dumps(list(classes)).encode()})
        self._writer = pq.ParquetWriter(
            self._temporary,
            self._schema,
            compression="none",
            use_dictionary=False,
            write_statistics=["label"],
        )

    def add(self, rows: Iterable[tuple[bytes, int]]) -> None:
        """Append images.

        Args:
            rows: encoded images and their labels.

        Raises:
            UploadTooLarge: all images together take more bytes than are kept.
            StorageFull: the disk has too little room.
            QuotaExceeded: the owner's uploads would take more bytes than they may.
        """
        with self._lock:
            for image, label in rows if self._open else ():
                self._sending(len(image))
                self._sent += len(image)
                self._bytes += len(image)
                if self._bytes > self._most_bytes:
                    raise UploadTooLarge(
                        f"the images take more than {self._most_bytes} bytes: send fewer, "
                        f"or have the server read them itself"
                    )
                self._content.add(image, label)
                self._rows.append((image, label))
                self._rows_bytes += len(image)
                self.count += 1
                if len(self._rows) >= GROUP_ROWS or self._rows_bytes >= GROUP_BYTES:
                    self._flush()

    def finish(self) -> str:
        """Keep what was added.

        Returns:
            The name of the data set, made of its content and owner: if the same was kept before,
            that stays, and is shared as this one.
        """
        with self._lock:
            self._flush()
            self._writer.close()
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
            name = self._content.name
            keep_whose(self._folder / f"{name}{WHOSE}", self._whose)
            # What may be there already holds the same bytes, or is damaged.
            self._temporary.replace(self._folder / f"{name}.parquet")
            return name

    def abandon(self) -> None:
        """Remove what was not finished."""
        with self._lock:
            self._open = False
            self._sending(-self._sent)
            self._sent = 0
            try:
                self._writer.close()
            except (OSError, pa.ArrowException) as error:  # whose end does not fit on the disk
                log.warning("an unfinished upload cannot be closed", error=str(error))
            finally:
                self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            self._require_room()
            images, labels = zip(*self._rows, strict=True)
            self._writer.write_table(
                pa.table(
                    [pa.array(images, pa.binary()), pa.array(labels, pa.int64())],
                    schema=self._schema,
                )
            )
        self._rows, self._rows_bytes = [], 0
