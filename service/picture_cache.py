"""Finished pictures on disk, named by all that they depend on.

`<state>/pictures/<2 digits>/<key>.png` is a picture, `<key>.json` what was measured on it. The second is written last and holds
the digest of the first, so that a picture is there wholly or not at all, whenever the server was killed.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from service import whole_file

FORMAT = 1  # of these files, and of how a picture is made of what its key names: part of every key

log = structlog.get_logger("striate")


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture, and what was measured on it; nothing here hangs on a data set's index.

    Attributes:
        png: the file.
        activation, held_out, held_out_minimum: of the objective, see `interp.certificate`.
        dead: no step had a gradient.
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
    """The pictures in a folder. It may be used from several threads; all methods read or write files: not for the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Picture | None:
        """The picture of that key; None if there is none, or a damaged one."""
        try:
            told = json.loads(self._path(name, "json").read_bytes())
            data = self._path(name, "png").read_bytes()
            if hashlib.sha256(data).hexdigest() != told.pop("sha256"):
                raise ValueError("the picture is not the one that was measured")
            return _restored(data, told)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a kept picture cannot be read and is made again", key=name, error=str(error))
            return None

    def put(self, name: str, picture: Picture) -> None:
        """Keep a picture; a disk that does not take it is logged, as the picture itself is not lost by that."""
        told = asdict(picture)
        del told["png"]
        told["layer_activations"] = base64.b64encode(picture.layer_activations.astype("<f4").tobytes()).decode()
        told["sha256"] = hashlib.sha256(picture.png).hexdigest()
        try:
            whole_file.write(self._path(name, "png"), picture.png)
            whole_file.write(self._path(name, "json"), json.dumps(told).encode())
        except OSError as error:
            log.warning("a picture cannot be kept", key=name, error=str(error))

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / name[:2] / f"{name}.{ending}"


def _restored(data: bytes, told: dict[str, Any]) -> Picture:
    told["layer_activations"] = np.frombuffer(base64.b64decode(told["layer_activations"]), "<f4").astype(np.float32)
    told["seed_activations"] = tuple(told["seed_activations"])
    if missing := {field.name for field in fields(Picture)} - {"png"} - told.keys():
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return Picture(data, **told)
