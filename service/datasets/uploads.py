"""Data sets that callers send: kept as parquet files, under names made of their content."""

import glob
import hashlib
import json
import os
import re
import threading
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.datasets.base import Dataset, DatasetError
from service.datasets.tables.parquet import parquet_source

MOST_BYTES = 4 * 2**30  # of encoded images in one upload
# A row group ends at whichever comes first; images are read in random order, a group at a time.
GROUP_ROWS, GROUP_BYTES = 64, 8 * 2**20
UPLOADED = "upload:"  # how the URI of an uploaded data set begins

_NAME = re.compile(r"upload-[0-9a-f]{16}")
_CLASSES = b"striate.classes"  # the key of the class names, as JSON, in the file's metadata
_UNFINISHED = ".part"


class UploadTooLarge(RuntimeError):
    """The images of an upload take more bytes than are kept."""


class Uploads:
    """The uploaded data sets in a folder. It may be used from several threads."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        """Find the data sets of earlier servers; what those left unfinished is removed.

        Args:
            folder: of all uploads; it need not exist.
            most_bytes: of the encoded images of one upload.
        """
        self._folder, self._most_bytes = folder, most_bytes
        for left in folder.glob(f"*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    @property
    def names(self) -> list[str]:
        """The names of all, sorted."""
        return sorted(
            path.stem
            for path in self._folder.glob("upload-*.parquet")
            if _NAME.fullmatch(path.stem)
        )

    def __contains__(self, name: str) -> bool:
        return bool(_NAME.fullmatch(name)) and self._path(name).exists()

    def uri(self, name: str) -> str:
        """Name what stands for the data set where others have a URI; it does not depend on the
        folder.

        Args:
            name: of an uploaded data set.

        Returns:
            The text.
        """
        return UPLOADED + name.partition("-")[2]

    def open(self, name: str) -> Dataset:
        """Open an uploaded data set.

        Args:
            name: one of `names`.

        Returns:
            The data set.

        Raises:
            DatasetError: its file cannot be read.
        """
        path = self._path(name)
        try:
            classes = json.loads((pq.read_schema(path).metadata or {})[_CLASSES])
            return Dataset(
                name, self.uri(name), parquet_source(glob.escape(str(path)), tuple(classes))
            )
        except (DatasetError, OSError, pa.ArrowException, ValueError, KeyError) as error:
            raise DatasetError(f"data set {name!r}: {error}") from error

    def begin(self, classes: Sequence[str] = ()) -> "Upload":
        """Begin a new data set.

        Args:
            classes: names by label; none: the numbers.

        Returns:
            The data set, to be filled.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        return Upload(self._folder, classes, self._most_bytes)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"


class Upload:
    """A data set that is being sent. `add` its images in order, then `finish`; always `abandon` in
    the end.

    The same images, labels and class names give the same file, however they were cut into parts.
    """

    def __init__(self, folder: Path, classes: Sequence[str], most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._digest = hashlib.sha256(json.dumps(list(classes)).encode())
        self._rows: list[tuple[bytes, int]] = []
        self._rows_bytes = self._bytes = 0
        self.count = 0
        self._lock = threading.Lock()  # who abandons it may do so while another thread still adds
        self._open = True
        self._temporary = folder / f"{uuid.uuid4().hex}{_UNFINISHED}"
        columns = [("image", pa.binary()), ("label", pa.int64())]
        self._schema = pa.schema(columns, metadata={_CLASSES: json.dumps(list(classes)).encode()})
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
        """
        with self._lock:
            for image, label in rows if self._open else ():
                self._bytes += len(image)
                if self._bytes > self._most_bytes:
                    raise UploadTooLarge(
                        f"the images take more than {self._most_bytes} bytes: send fewer, "
                        f"or have the server read them itself"
                    )
                self._digest.update(
                    len(image).to_bytes(8, "little") + label.to_bytes(8, "little") + image
                )
                self._rows.append((image, label))
                self._rows_bytes += len(image)
                self.count += 1
                if len(self._rows) >= GROUP_ROWS or self._rows_bytes >= GROUP_BYTES:
                    self._flush()

    def finish(self) -> str:
        """Keep what was added.

        Returns:
            The name of the data set, made of its content: if the same was kept before, that stays.
        """
        with self._lock:
            self._flush()
            self._writer.close()
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
            name = f"upload-{self._digest.hexdigest()[:16]}"
            # What may be there already holds the same bytes.
            self._temporary.replace(self._folder / f"{name}.parquet")
            return name

    def abandon(self) -> None:
        """Remove what was not finished."""
        with self._lock:
            self._open = False
            self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            images, labels = zip(*self._rows, strict=True)
            self._writer.write_table(
                pa.table(
                    [pa.array(images, pa.binary()), pa.array(labels, pa.int64())],
                    schema=self._schema,
                )
            )
        self._rows, self._rows_bytes = [], 0
