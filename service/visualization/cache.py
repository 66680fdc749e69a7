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

FORMAT = 2  # of these files, and of how a picture is made of what its key names: part of every key

MOST_BYTES = 2 * 2**30
# of those, what is left when pictures are removed: a folder is not gone through for every picture
_SPARED = 0.9

log = structlog.get_logger("striate")


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture, and what was measured on it; nothing here hangs on a data set's index.

    Attributes:
        png: the file.
        activation, held_out, held_out_minimum: of the objective, see `interp.feature.certificate`.
        dead: no step had a gradient, or the network's values were not finite; then all numbers are
            NaN.
        rank, units: place of its unit among the layer's, from 1 (0 unknown), and their number.
        layer_activations: (units,) float32, the layer's values on the picture; empty if unknown.
        seed_activations: of further seeds.
        attempts: optimizations that were run.
        seed, rate: of the one that was kept.
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
    rate: float


def key(*content: object) -> str:
    """64 hexadecimal digits that name JSON values."""
    return hashlib.sha256(json.dumps([FORMAT, *content], sort_keys=True).encode()).hexdigest()


class PictureCache:
    """The pictures in a folder. It may be used from several threads; all methods read or write
    files: not for the event loop.

    Args:
        most_bytes: of all files together; beyond, those pictures go that were asked for longest
            ago. 0 keeps none.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes
        self._guard = threading.Lock()
        self._held: int | None = None  # bytes of the folder, at most; None until it is gone through

    def get(self, name: str) -> Picture | None:
        """The picture of that key; None if there is none, or a damaged one."""
        try:
            told = json.loads(self._path(name, "json").read_bytes())
            data = self._path(name, "png").read_bytes()
            if not isinstance(told, dict) or told.pop("sha256", None) != _digest(data, told):
                raise ValueError(
                    "the picture and what was measured on it are not as they were kept"
                )
            found = _restored(data, told)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(
                "a kept picture cannot be read and is made again", key=name, error=str(error)
            )
            return None
        with contextlib.suppress(OSError):  # a folder that cannot be written keeps what it has
            os.utime(self._path(name, "json"))
        return found

    def put(self, name: str, picture: Picture) -> None:
        """Keep a picture; a disk that does not take it is logged, as the picture itself is not lost
        by that.
        """
        if not self._most:
            return
        told = asdict(picture)
        del told["png"]
        told["layer_activations"] = base64.b64encode(
            picture.layer_activations.astype("<f4").tobytes()
        ).decode()
        told["sha256"] = _digest(picture.png, told)
        text = json.dumps(told).encode()
        try:
            whole_file.write(self._path(name, "png"), picture.png)
            whole_file.write(self._path(name, "json"), text)
            self._grown(len(picture.png) + len(text))
        except OSError as error:
            log.warning("a picture cannot be kept", key=name, error=str(error))

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / name[:2] / f"{name}.{ending}"

    def _grown(self, size: int) -> None:
        """Take note of so many new bytes, and make room if they are too many."""
        with self._guard:
            if self._held is not None:
                self._held += size
            if self._held is None or self._held > self._most:
                self._held = self._shrunk()

    def _shrunk(self) -> int:
        """The bytes of the folder, after what was asked for longest ago has gone if they were too
        many.
        """
        entries = sorted(_entries(self._folder).values(), key=lambda entry: entry.asked)
        held = sum(entry.size for entry in entries)
        if held <= self._most:
            return held
        for entry in entries:
            if held <= _SPARED * self._most:
                break
            for path in sorted(entry.paths):  # the .json first, without which there is no picture
                path.unlink(missing_ok=True)
            held -= entry.size
        return held


@dataclass(eq=False)
class _Entry:
    """Files of one name: a picture's two, or what a server left that was killed while it wrote."""

    asked: float = 0.0
    size: int = 0
    paths: list[Path] = field(default_factory=list)


def _entries(folder: Path) -> dict[str, _Entry]:
    found = dict[str, _Entry]()
    for path in folder.glob("*/*"):
        try:
            about = path.stat()
        except FileNotFoundError:  # it has been renamed or removed meanwhile
            continue
        entry = found.setdefault(path.stem, _Entry())
        entry.asked, entry.size = max(entry.asked, about.st_mtime), entry.size + about.st_size
        entry.paths.append(path)
    return found


def _digest(data: bytes, told: dict[str, Any]) -> str:
    return hashlib.sha256(data + json.dumps(told, sort_keys=True).encode()).hexdigest()


def _restored(data: bytes, told: dict[str, Any]) -> Picture:
    told["layer_activations"] = np.frombuffer(
        base64.b64decode(told["layer_activations"]), "<f4"
    ).astype(np.float32)
    told["seed_activations"] = tuple(told["seed_activations"])
    if missing := {field.name for field in fields(Picture)} - {"png"} - told.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return Picture(data, **told)
