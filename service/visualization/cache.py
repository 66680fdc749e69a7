"""Finished pictures on disk, named by all that they depend on.

`<state>/pictures/<2 digits>/<key>.png` is a picture, `<key>.json` what was measured on it. The
second is written last and holds a digest of both, so that a picture is there wholly or not at all,
whenever the server was killed. When a picture was last asked for is its second file's time, by
which the folder is held to a size.
"""

import base64
import contextlib
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from service import files as whole_file
from service.state import DiskSpace, Quarantine, StorageFull

# Of these files, and of how a picture is made of what its key names: part of every key.
FORMAT = 4
MOST_BYTES = 2 * 2**30
# Of those, what is left when pictures are removed: a folder is not gone through for every picture.
_KEPT_SHARE = 0.9

log = structlog.get_logger("striate")


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture, and what was measured on it; nothing here depends on a data set's index.

    Attributes:
        png: the file.
        activation: the objective on the picture, see `interp.feature.certificate`.
        held_out: its mean under the held-out views.
        held_out_minimum: the lowest of those.
        dead: no step had a gradient, or the network's values were not finite; then all numbers are
            NaN.
        rank: place of its unit among the layer's, from 1; 0 if unknown.
        units: the number of the layer's units; 0 if unknown.
        layer_activations: (units,) float32, the layer's values on the picture; empty if unknown.
        seed_activations: the activations that further seeds reached.
        attempts: optimizations that were run.
        seed: of the optimization that was kept.
        learning_rate: of the optimization that was kept.
        contrast: that it was allowed, 0 for any.
        height, width: at which the network was shown the picture, in pixels.
        clipped, high_frequencies, saturation: how it looks, see `interp.feature.appearance`.
    """

    png: bytes
    activation: float
    held_out: float
    held_out_minimum: float
    dead: bool
    rank: int
    units: int
    layer_activations: NDArray[np.float32]
    seed_activations: tuple[float, ...]
    attempts: int
    seed: int
    learning_rate: float
    contrast: float
    height: int
    width: int
    clipped: float
    high_frequencies: float
    saturation: float


def content_key(*content: object) -> str:
    """Name JSON values.

    Args:
        content: values that `json.dumps` takes.

    Returns:
        64 hexadecimal digits, equal for equal values.
    """
    return hashlib.sha256(json.dumps([FORMAT, *content], sort_keys=True).encode()).hexdigest()


class PictureCache:
    """The pictures in a folder. It may be used from several threads; all methods read or write
    files: not for the event loop.

    Args:
        folder: where they are kept; made when the first one comes.
        most_bytes: of all files together; beyond, those pictures go that were asked for longest
            ago. 0 keeps none.
        space: of its disk, with the floor below which no picture is kept; None: no floor.
        quarantine: where damaged ones go; None: a folder beside this one.
    """

    def __init__(
        self,
        folder: Path,
        most_bytes: int = MOST_BYTES,
        space: DiskSpace | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._folder, self._most = folder, most_bytes
        self._space = space or DiskSpace(folder, 0)
        self._quarantine = quarantine or Quarantine(folder.parent / "quarantine")
        self._lock = threading.Lock()
        self._bytes: int | None = None  # of the folder, at most; None until it is gone through

    def get(self, name: str) -> Picture | None:
        """Read a picture.

        Args:
            name: its key.

        Returns:
            The picture; None if there is none, or a damaged one.
        """
        try:
            found = _read(self._path(name, "json"), self._path(name, "png"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            for ending in ("json", "png"):
                self._quarantine.set_aside(
                    self._path(name, ending), "picture", f"it is made again: {error}"
                )
            return None
        with contextlib.suppress(OSError):  # a folder that cannot be written keeps what it has
            os.utime(self._path(name, "json"))
        return found

    def put(self, name: str, picture: Picture) -> None:
        """Keep a picture; a disk that does not take it is logged, as the picture itself is not lost
        by that.

        Args:
            name: its key.
            picture: to keep.
        """
        if not self._most:
            return
        measured = asdict(picture)
        del measured["png"]
        measured["layer_activations"] = base64.b64encode(
            picture.layer_activations.astype("<f4").tobytes()
        ).decode()
        measured["sha256"] = _digest(picture.png, measured)
        text = json.dumps(measured).encode()
        try:
            self._space.require(len(picture.png) + len(text))
            whole_file.write(self._path(name, "png"), picture.png)
            whole_file.write(self._path(name, "json"), text)
            self._count(len(picture.png) + len(text))
        except (OSError, StorageFull) as error:
            log.warning("a picture cannot be kept", key=name, error=str(error))

    def _path(self, name: str, ending: str) -> Path:
        """The file of a key."""
        return self._folder / name[:2] / f"{name}.{ending}"

    def _count(self, size: int) -> None:
        """Count new bytes, and make room if there are too many."""
        with self._lock:
            if self._bytes is not None:
                self._bytes += size
            if self._bytes is None or self._bytes > self._most:
                self._bytes = self._evict()

    def _evict(self) -> int:
        """Remove what was asked for longest ago if there is too much; returns the bytes left."""
        entries = sorted(_entries(self._folder).values(), key=lambda entry: entry.last_used)
        left = sum(entry.size for entry in entries)
        if left <= self._most:
            return left
        for entry in entries:
            if left <= _KEPT_SHARE * self._most:
                break
            for path in sorted(entry.paths):  # the .json first, without which there is no picture
                path.unlink(missing_ok=True)
            left -= entry.size
        return left


@dataclass(eq=False)
class _Entry:
    """Files of one name: a picture's two, or what a server left that was killed while it wrote."""

    last_used: float = 0.0
    size: int = 0
    paths: list[Path] = field(default_factory=list)


def _entries(folder: Path) -> dict[str, _Entry]:
    """The files of a folder, by the key of their picture."""
    found = dict[str, _Entry]()
    for path in folder.glob("*/*"):
        try:
            about = path.stat()
        except FileNotFoundError:  # it has been renamed or removed meanwhile
            continue
        entry = found.setdefault(path.stem, _Entry())
        entry.last_used, entry.size = (
            max(entry.last_used, about.st_mtime),
            entry.size + about.st_size,
        )
        entry.paths.append(path)
    return found


def damage(path: Path) -> str | None:
    """Tell what is wrong with a kept picture.

    Args:
        path: of its second file, "KEY.json".

    Returns:
        A few words; None for nothing.
    """
    try:
        _read(path, path.with_suffix(".png"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return str(error)
    return None


def _read(about: Path, png: Path) -> Picture:
    """The picture in two files; raises what reading a damaged one does."""
    measured, data = json.loads(about.read_bytes()), png.read_bytes()
    if not isinstance(measured, dict) or measured.pop("sha256", None) != _digest(data, measured):
        raise ValueError("the picture and what was measured on it are not as they were kept")
    return _restored(data, measured)


def _digest(data: bytes, measured: dict[str, Any]) -> str:
    """Of both files, in hexadecimal digits."""
    return hashlib.sha256(data + json.dumps(measured, sort_keys=True).encode()).hexdigest()


def _restored(data: bytes, measured: dict[str, Any]) -> Picture:
    """The picture of a PNG file, and of what was measured on it."""
    measured["layer_activations"] = np.frombuffer(
        base64.b64decode(measured["layer_activations"]), "<f4"
    ).astype(np.float32)
    measured["seed_activations"] = tuple(measured["seed_activations"])
    if missing := {field.name for field in fields(Picture)} - {"png"} - measured.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return Picture(data, **measured)
