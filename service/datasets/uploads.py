"""Data sets that callers send: kept as parquet files, under names made of their owner and content,
with a file beside each that says whose it is. To others they do not exist, unless they are shared.
"""

import contextlib
import glob
import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from service import files as whole_file
from service.auth.errors import PermissionDenied
from service.auth.identity import current
from service.auth.ownership import Ownership
from service.auth.usage import require
from service.datasets.base import Dataset, DatasetError, UnknownDataset
from service.datasets.fingerprint import Fingerprint
from service.datasets.tables.parquet import parquet_source
from service.state import DataLost, DiskSpace, Verified

log = structlog.get_logger("striate")

MOST_BYTES = 4 * 2**30  # of encoded images in one upload
# A row group ends at whichever comes first; images are read in random order, a group at a time.
GROUP_ROWS, GROUP_BYTES = 64, 8 * 2**20
UPLOADED = "upload:"  # how the URI of an uploaded data set begins

_NAME = re.compile(r"upload-[0-9a-f]{16}")
_CLASSES = b"striate.classes"  # the key of the class names, as JSON, in the file's metadata
_RETRY_SECONDS = 60.0  # after which a caller may have deleted some
_UNFINISHED = ".part"

PLACE = ".place"  # the ending of the file, beside the folder, that says where it was at first
_WHOSE = ".json"  # the ending of the file that says whose an upload is, and with whom it is shared
_USED = ".used"  # the ending of the file that says when an upload was last used, in served seconds


class UploadTooLarge(RuntimeError):
    """The images of an upload take more bytes than are kept."""


class DatasetBusy(RuntimeError):
    """Operations use an upload that is to be deleted."""


class Uploads:
    """The uploaded data sets in a folder. It may be used from several threads."""

    def __init__(
        self,
        folder: Path,
        most_bytes: int = MOST_BYTES,
        space: DiskSpace | None = None,
        served: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find the data sets of earlier servers; what those left unfinished is removed.

        Args:
            folder: of all uploads; it need not exist.
            most_bytes: of the encoded images of one upload.
            space: of its disk, with the floor below which nothing is taken; None: no floor.
            served: seconds that servers have served, by which the age of uploads is counted.
        """
        self._folder, self._most_bytes = folder, most_bytes
        self._space, self._served = space or DiskSpace(folder, 0), served
        self._sending, self._counting = Counter[str](), threading.Lock()  # bytes by owner
        self._verified = Verified()
        self._place = _remembered(folder)
        for left in folder.glob(f"*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    @property
    def names(self) -> list[str]:
        """The names of all that the present caller may see, sorted."""
        stems = (path.stem for path in self._folder.glob("upload-*.parquet"))
        return sorted(stem for stem in stems if stem in self)

    def __contains__(self, name: str) -> bool:
        """Whether there is one of that name for the present caller."""
        return self._is_there(name) and self.ownership(name).may_read(current.get())

    def _is_there(self, name: str) -> bool:
        return is_name(name) and self._path(name).exists()

    def may_name(self, name: str) -> bool:
        """Tell whether the present caller may know of an uploaded data set, also of one that is
        gone: then nobody knows any more whose it was.

        Args:
            name: that `is_name` is true for.
        """
        whose = self.ownership(name) if self._is_there(name) else Ownership()
        return whose.may_read(current.get())

    def ownership(self, name: str) -> Ownership:
        """Tell whose an uploaded data set is.

        Args:
            name: of one that there is.

        Returns:
            Its ownership: nobody's in particular where nothing was kept of that.
        """
        return _whose(self._path(name))

    def uri(self, name: str) -> str:
        """Name what stands for the data set where others have a URI; it does not depend on the
        folder.

        Args:
            name: of an uploaded data set.

        Returns:
            The text.
        """
        return UPLOADED + name.partition("-")[2]

    def size(self, name: str) -> int:
        """Bytes of the disk that an uploaded data set takes; 0 where there is none of that name."""
        try:
            return self._path(name).stat().st_size if name in self else 0
        except OSError:
            return 0

    def verify(self, name: str) -> None:
        """Hold an uploaded data set to its name, which is made of its content, unless that was done
        since its file last changed; and note that it is used.

        Args:
            name: one of `names`.

        Raises:
            DataLost: its file is not what was sent.
        """
        path = self._path(name)
        otherwise = f"data set {name!r} is not what was uploaded any more: upload it again"
        try:
            self._verified.require(path, name, lambda: _name_of(path), otherwise)
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            raise DataLost(f"{otherwise} ({error})") from error
        with contextlib.suppress(OSError):
            whole_file.write(self._path(name, _USED), f"{self._served():.0f}\n".encode())

    def delete(self, name: str) -> int:
        """Remove an uploaded data set.

        Args:
            name: of the data set.

        Returns:
            The bytes that are free again.

        Raises:
            UnknownDataset: there is none of that name, for the present caller.
            PermissionDenied: it is another's, who shares it.
        """
        freed = self.size(name)
        self.require_own(name)
        for ending in (".parquet", _WHOSE, _USED):
            self._path(name, ending).unlink(missing_ok=True)
        return freed

    def require_own(self, name: str) -> None:
        """Check that the present caller may delete an uploaded data set.

        Args:
            name: of the data set.

        Raises:
            UnknownDataset: there is none of that name, for them.
            PermissionDenied: it is another's, who shares it.
        """
        if name not in self:
            raise UnknownDataset(name, self.names)
        whose = self.ownership(name)
        if not whose.may_change(current.get()):
            raise PermissionDenied(
                current.get(),
                f"data set {name!r} belongs to {whose.owner!r}, who shares it: it can be used, and "
                f"is deleted by them or an admin",
            )

    def unused(self, seconds: float) -> list[str]:
        """List the uploads that nothing has used for a time.

        Args:
            seconds: that servers have served since their last use.

        Returns:
            Their names. One of which the last use is not known counts as used now.
        """
        found = []
        for name in self.names:
            path = self._path(name, _USED)
            try:
                used = float(path.read_text())
            except (OSError, ValueError):
                used = self._served()
                with contextlib.suppress(OSError):
                    whole_file.write(path, f"{used:.0f}\n".encode())
            if self._served() - used > seconds:
                found.append(name)
        return found

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
            source = parquet_source(glob.escape(str(path)), tuple(classes))
            # In a copy of the folder elsewhere it is the same data set.
            named = f"{self._place}/{path.name}"
            source = replace(source, fingerprint=Fingerprint(lambda: [(named, path)]))
            return Dataset(name, self.uri(name), source)
        except (DatasetError, OSError, pa.ArrowException, ValueError, KeyError) as error:
            raise DatasetError(f"data set {name!r}: {error}") from error

    def begin(self, classes: Sequence[str] = (), shared: Sequence[str] = ()) -> "Upload":
        """Begin a new data set of the present caller's.

        Args:
            classes: names by label; none: the numbers.
            shared: names and roles who may use it, too.

        Returns:
            The data set, to be filled.

        Raises:
            StorageFull: the disk has too little room.
            QuotaExceeded: the caller has as many, or as large ones, as they may.
        """
        by, (count, kept) = current.get(), self.held(current.get().name)
        require(by, "uploads", count, retry_after=_RETRY_SECONDS)
        self._space.require()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._place = _remembered(self._folder)
        whose = Ownership(by.name, tuple(shared))

        def sending(more: int) -> None:
            with self._counting:
                if more > 0:
                    used = kept + self._sending[by.name]
                    require(by, "upload_bytes", used, more, _RETRY_SECONDS)
                self._sending[by.name] += more

        return Upload(self._folder, classes, self._most_bytes, self._space.require, whose, sending)

    def held(self, owner: str) -> tuple[int, int]:
        """Count what one has uploaded.

        Args:
            owner: their name; "" for all that nobody in particular has.

        Returns:
            Their data sets, and the bytes that these take on the disk.
        """
        sizes = list[int]()
        for path in self._folder.glob("upload-*.parquet"):
            with contextlib.suppress(OSError):  # it has just been deleted
                if _whose(path).owner == owner:
                    sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def _path(self, name: str, ending: str = ".parquet") -> Path:
        return self._folder / f"{name}{ending}"


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
        self._content = _Content(classes, whose.owner)
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
            _keep_whose(self._folder / f"{name}{_WHOSE}", self._whose)
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


class _Content:
    """What the name of an upload is made of: its owner, its class names, and its images with their
    labels.
    """

    def __init__(self, classes: Sequence[str], owner: str) -> None:
        named = [list(classes), owner] if owner else list(classes)
        self._digest = hashlib.sha256(json.dumps(named).encode())

    def add(self, image: bytes, label: int) -> None:
        """Take the next image in."""
        self._digest.update(len(image).to_bytes(8, "little") + label.to_bytes(8, "little") + image)

    @property
    def name(self) -> str:
        """Of the upload of what was taken in."""
        return f"upload-{self._digest.hexdigest()[:16]}"


def _remembered(folder: Path) -> str:
    """Where the uploads of a folder were when there was none yet: indexes and audits know them by
    that, also where a copy of the folder is served.
    """
    path = folder.with_suffix(PLACE)
    try:
        return path.read_text()
    except (OSError, ValueError):
        if folder.exists():
            with contextlib.suppress(OSError):
                whole_file.write(path, str(folder).encode())
        return str(folder)


def damage(path: Path) -> str | None:
    """Tell what is wrong with the file of an upload.

    Args:
        path: of the file.

    Returns:
        A few words; None for nothing.
    """
    try:
        return None if _name_of(path) == path.stem else "it is not what was uploaded"
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        return str(error)


def is_name(name: str) -> bool:
    """Tell whether a name is one that uploads have.

    Args:
        name: any.
    """
    return bool(_NAME.fullmatch(name))


def _whose(path: Path) -> Ownership:
    """Whose the upload in a file is. Where that cannot be read it is nobody's in particular, and
    then its name does not fit its content, unless it was so from the first.
    """
    try:
        found = json.loads(path.with_suffix(_WHOSE).read_bytes())
        return Ownership(str(found["owner"]), tuple(map(str, found["share"])))
    except (OSError, ValueError, KeyError, TypeError):
        return Ownership()


def _keep_whose(path: Path, whose: Ownership) -> None:
    """Write down whose an upload is, or that it is nobody's in particular."""
    if whose == Ownership():
        path.unlink(missing_ok=True)
        return
    text = json.dumps({"owner": whose.owner, "share": whose.shared})
    whole_file.write(path, text.encode(), durable=True)


def _name_of(path: Path) -> str:
    """The name that the content of a file has; raises what pyarrow raises of a damaged one."""
    with pq.ParquetFile(path) as file:
        classes = json.loads((file.schema_arrow.metadata or {})[_CLASSES])
        content = _Content(classes, _whose(path).owner)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, ["image", "label"])
            for image, label in zip(table["image"], table["label"], strict=True):
                content.add(image.as_py(), label.as_py())
    return content.name
