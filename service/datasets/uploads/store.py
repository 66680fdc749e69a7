"""The folder of the data sets that callers have sent: parquet files, under names made of their
owner and content, with a file beside each that says whose it is. To others they do not exist,
unless they are shared.
"""

import contextlib
import glob
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service import files as whole_file
from service.auth.errors import PermissionDenied
from service.auth.identity import current
from service.auth.ownership import Ownership
from service.auth.usage import require
from service.datasets.base import Dataset, DatasetError, UnknownDataset
from service.datasets.fingerprint import Fingerprint
from service.datasets.tables.parquet import parquet_source
from service.datasets.uploads.content import CLASSES, WHOSE, is_name, name_of, whose_is
from service.datasets.uploads.sending import UNFINISHED, Upload
from service.state import DataLost, DiskSpace, Verified

MOST_BYTES = 4 * 2**30  # of encoded images in one upload
UPLOADED = "upload:"  # how the URI of an uploaded data set begins
_RETRY_SECONDS = 60.0  # after which a caller may have deleted some

PLACE = ".place"  # the ending of the file, beside the folder, that says where it was at first
_USED = ".used"  # the ending of the file that says when an upload was last used, in served seconds


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
        for left in folder.glob(f"*{UNFINISHED}"):
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
        return whose_is(self._path(name))

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
            self._verified.require(path, name, lambda: name_of(path), otherwise)
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
        for ending in (".parquet", WHOSE, _USED):
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
            classes = json.loads((pq.read_schema(path).metadata or {})[CLASSES])
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
                if whose_is(path).owner == owner:
                    sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def _path(self, name: str, ending: str = ".parquet") -> Path:
        return self._folder / f"{name}{ending}"


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
