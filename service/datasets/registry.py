"""From names and URIs to data sets."""

import threading
from collections.abc import Mapping
from pathlib import Path

from service.auth.identity import current, visible_datasets
from service.auth.ownership import Ownership
from service.datasets.base import Dataset, DatasetError, UnknownDataset
from service.datasets.schemes import open_uri, skips_bad
from service.datasets.uploads import Uploads, is_name

BUILT_IN = {"digits": "digits", "photo-patches": "photo-patches"}


class NotAnUpload(DatasetError):
    """A data set is the settings' own."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"data set {name!r} is no upload: it goes with the setting that names it, or comes "
            f"along"
        )


class Datasets:
    """The data sets that a server reads, by name: the built-in ones, those of the settings and the
    uploaded ones. Each is opened at its first use; any thread may ask. To a caller who may not name
    a data set, see `service.auth.identity`, there is none of that name.

    Attributes:
        uploads: those that callers have sent.
    """

    def __init__(
        self,
        uris: Mapping[str, str],
        cache: Path,
        skip_bad: bool = False,
        uploads: Uploads | None = None,
    ) -> None:
        """Name the data sets, and open none.

        Args:
            uris: of the settings, by name.
            cache: folder of downloads for URIs that name none, and of uploads.
            skip_bad: samples that cannot be used are left out where a URI does not say it.
            uploads: those that callers send; None: in a folder of the cache, without a floor.
        """
        self._uris = {**BUILT_IN, **uris}
        self._cache, self._skip_bad = cache, skip_bad
        self.uploads = uploads or Uploads(cache / "uploads")
        self._opened: dict[str, Dataset] = {}
        # A slow download holds up its own data set alone.
        self._locks = {name: threading.Lock() for name in self._uris}

    @property
    def names(self) -> tuple[str, ...]:
        """All names: the built-in ones first, those of uploads last."""
        uploaded = (name for name in self.uploads.names if name not in self._uris)
        return (*visible_datasets(self._uris), *uploaded)

    def may_name(self, name: str) -> bool:
        """Tell whether a data set is not kept from the present caller, be there one or not.

        Args:
            name: of a data set.
        """
        if name not in self._uris and is_name(name):
            return self.uploads.may_name(name)
        return current.get().may_use_dataset(name)

    def __contains__(self, name: str) -> bool:
        if name in self._uris:
            return current.get().may_use_dataset(name)
        return name in self.uploads

    def get(self, name: str) -> Dataset:
        """Open a data set, unless it is open already with the files that it has now. May download.

        Args:
            name: one of `names`.

        Returns:
            The data set.

        Raises:
            UnknownDataset: none has that name.
            DatasetError: it cannot be opened.
            DataLost: it is an upload, and not what was sent.
        """
        found = self._get(name)
        if name not in self._uris:
            self.uploads.verify(name)
        return found

    def _get(self, name: str) -> Dataset:
        self._require(name)
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._opened or self._opened[name].has_changed:
                self._opened[name] = (
                    open_dataset(name, self._uris[name], self._cache, self._skip_bad)
                    if name in self._uris
                    else self.uploads.open(name).skipping_bad(self._skip_bad)
                )
            return self._opened[name]

    def _require(self, name: str) -> None:
        """Refuse a name that there is no data set of, for the present caller."""
        if name not in self:
            raise UnknownDataset(name, visible_datasets(self._uris))

    def get_without_download(self, name: str) -> Dataset | None:
        """Open a data set if that takes no download.

        Args:
            name: one of `names`.

        Returns:
            The data set; None if opening it could mean a download and it is not open yet.

        Raises:
            UnknownDataset: none has that name.
            DatasetError: it cannot be opened.
        """
        self._require(name)
        if (
            name in self._uris
            and name not in self._opened
            and self._uris[name].startswith("torchvision:")
        ):
            return None
        return self._get(name)

    def delete(self, name: str) -> int:
        """Remove an uploaded data set.

        Args:
            name: of the data set.

        Returns:
            The bytes that are free again.

        Raises:
            UnknownDataset: none has that name.
            NotAnUpload: it is not uploaded.
            PermissionDenied: it is another's, who shares it.
        """
        self.require_own(name)
        with self._locks.setdefault(name, threading.Lock()):
            self._opened.pop(name, None)
            freed = self.uploads.delete(name)
        self._locks.pop(name, None)
        return freed

    def require_own(self, name: str) -> None:
        """Check that the present caller may delete a data set.

        Args:
            name: of the data set.

        Raises:
            UnknownDataset: none has that name.
            NotAnUpload: it is not uploaded.
            PermissionDenied: it is another's, who shares it.
        """
        self._require(name)
        if name in self._uris:
            raise NotAnUpload(name)
        self.uploads.require_own(name)

    @property
    def listed_first(self) -> int:
        """How many of `names` are no uploads."""
        return len(visible_datasets(self._uris))

    def ownership(self, name: str) -> Ownership:
        """Tell whose a data set is; the settings' are nobody's in particular.

        Args:
            name: one of `names`.
        """
        return Ownership() if name in self._uris else self.uploads.ownership(name)

    def uri(self, name: str) -> str:
        """Find where the data set of a name is read from.

        Args:
            name: one of `names`.

        Returns:
            The URI.
        """
        return self._uris[name] if name in self._uris else self.uploads.uri(name)


def open_dataset(name: str, uri: str, cache: Path, skip_bad: bool = False) -> Dataset:
    """Open a data set.

    Args:
        name: what to call it.
        uri: where it is, see `service.datasets`.
        cache: folder of downloads if the URI names no `root`.
        skip_bad: samples that cannot be used are left out where the URI does not say it.

    Returns:
        The data set.

    Raises:
        DatasetError: it cannot be opened; the message names it, its URI and what is wrong with it.
    """
    try:
        said = skips_bad(uri)
        return Dataset(name, uri, open_uri(uri, cache), skip_bad if said is None else said)
    except (DatasetError, OSError) as error:
        raise DatasetError(f"data set {name!r} ({uri}): {error}") from error
