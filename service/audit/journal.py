"""The journal of an audit: a folder of files that appear whole or not at all, from which alone its
reports are made.

* `facts.json`: what the audit began with; it goes on only with the same.
* `checks-<network>.json`: the audit's checks of itself on a network.
* `met-<network>.safetensors`: the misclassified images that these checks met, which the shards
  count.
* `shard-<number>-<network>.safetensors`: what was found out about the images of a shard on a
  network.
* `report.json` and its fellows: the reports; `report.json` comes last, and then the shards go.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from interp.audit.result import Examples, Ints, ShardResult
from service.datasets.samples import LeftOut
from service.files import TEMPORARY, write
from service.state import Quarantine
from service.state.sealed import SEAL, arrays_digest, seal, unseal

log = structlog.get_logger()

REPORT = "report.json"
_UNREADABLE = (OSError, SafetensorError, ValueError, KeyError)  # what reading a damaged file raises
_NAMES = "names"  # the key of the images' names in a file's metadata
_LEFT_OUT = "left_out"  # and that of what was left out
_JUDGED = "judged."  # before the names of a verdict's arrays


class AuditChanged(RuntimeError):
    """What an audit began with is not there any more: other weights, another data set, another
    version.
    """


class NoReport(RuntimeError):
    """An audit has no report: it ended with an error, or its files are gone."""


@dataclass(frozen=True, eq=False)
class Shard:
    """The images of a shard and what was found out about them on one network."""

    ids: Ints  # (B,) in the data set
    names: list[str]
    labels: Ints  # (B,) classes of the network
    judged: ShardResult
    pixels: (
        NDArray[np.uint8] | None
    )  # (B, C, H, W), the clean images; only the first shards keep them, for the gallery
    left_out: Sequence[LeftOut] = ()  # of the shard's images those that could not be used


class Journal:
    """The journal in a folder, which is made if it is not there. It belongs to one thread."""

    def __init__(self, folder: Path, quarantine: Quarantine | None = None) -> None:
        self.folder = folder
        self._quarantine = quarantine or Quarantine(folder.parent / "quarantine")
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"*{TEMPORARY}"):  # by a server that died
            left.unlink(missing_ok=True)

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write down what the audit begins with, or compare it with what was written.

        Args:
            facts: plain JSON values that must not change while the audit runs.

        Raises:
            AuditChanged: a fact is not as it was when the audit began.
        """
        path, now = self.folder / "facts.json", json.loads(json.dumps(facts))
        before = self._read_json(path)
        if not isinstance(before, dict):
            self._start_anew()
            write(path, seal(now), durable=True)
            return
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                was, is_ = before.get(name), now.get(name)
                raise AuditChanged(
                    f"{name} is {is_} now, and was {was} when the audit began: its shards "
                    f"would not fit together; start anew"
                )

    def write(self, shard: int, network: int, found: Shard) -> None:
        """Keep what was found out about a shard.

        Args:
            shard: its number.
            network: number of the network.
            found: what is kept.
        """
        arrays: dict[str, NDArray[Any]] = {
            _JUDGED + name: array for name, array in found.judged.arrays().items()
        }
        arrays |= {"ids": found.ids, "labels": found.labels} | (
            {} if found.pixels is None else {"pixels": found.pixels}
        )
        about = {
            _NAMES: json.dumps(found.names),
            _LEFT_OUT: json.dumps([asdict(one) for one in found.left_out]),
        }
        _write_arrays(self._path(shard, network), arrays, about)

    def read(self, shard: int, network: int, images: bool = True) -> Shard | None:
        """What was found out about a shard; None if it is not done, or its file is damaged, which
        is logged.

        Args:
            images: read the images, too, which take up most of the file; otherwise there are none.
        """
        path = self._path(shard, network)
        if not path.exists():
            return None
        try:
            arrays, about = _read_arrays(path)
            if not images:
                arrays |= {
                    name: np.zeros(0, np.uint8)
                    for name in arrays
                    if name.endswith((".images", "pixels"))
                }
            names = json.loads(about[_NAMES])
            left_out = [LeftOut(**one) for one in json.loads(about[_LEFT_OUT])]
            judged = ShardResult.read(
                {
                    name.removeprefix(_JUDGED): array
                    for name, array in arrays.items()
                    if name.startswith(_JUDGED)
                }
            )
            pixels = arrays.get("pixels")
            return Shard(arrays["ids"], names, arrays["labels"], judged, pixels, left_out)
        except _UNREADABLE as error:
            self._set_aside(path, f"a shard that is judged again: {error}")
            return None

    def write_checks(self, network: int, checks: list[dict[str, Any]]) -> None:
        """Keep the audit's checks of itself on a network.

        Args:
            network: its number.
            checks: as dictionaries.
        """
        write(self._checks(network), seal(checks), durable=True)

    def write_met(self, network: int, examples: Sequence[Examples]) -> None:
        """Keep the misclassified images that the checks met on a network; before the checks, which
        say that it is done.

        Args:
            network: its number.
            examples: one entry a threat.
        """
        arrays = {
            f"{number}.{name}": array
            for number, one in enumerate(examples)
            for name, array in one.arrays().items()
        }
        _write_arrays(self._met(network), arrays, {})

    def read_met(self, network: int) -> list[Examples] | None:
        """Read the misclassified images that the checks met on a network, one entry a threat; None
        if there were no checks.

        Args:
            network: its place among the audit's networks, from 0.
        """
        path = self._met(network)
        if not path.exists():
            return None
        arrays, _ = _read_arrays(path)
        threats = sum(name.endswith(".row") for name in arrays)
        return [Examples.read(arrays, f"{number}.") for number in range(threats)]

    def read_checks(self, network: int) -> list[dict[str, Any]] | None:
        """Read the audit's checks of itself on a network.

        Args:
            network: its place among the audit's networks, from 0.

        Returns:
            The checks; None if they are not done, or if they or the images that they met are
            damaged.
        """
        found: list[dict[str, Any]] | None = self._read_json(self._checks(network))
        try:
            self.read_met(network)
        except _UNREADABLE as error:
            self._set_aside(self._met(network), f"checks that are made again: {error}")
            self._checks(network).unlink(missing_ok=True)
            return None
        return found

    def report(self) -> dict[str, Any] | None:
        """The finished report; None if there is none yet."""
        path = self.folder / REPORT
        return json.loads(path.read_text()) if path.exists() else None

    def _read_json(self, path: Path) -> Any:
        """What a sealed file says; None if there is none, or a damaged one, which is set aside."""
        if not path.exists():
            return None
        try:
            return unseal(path.read_bytes())
        except _UNREADABLE as error:
            self._set_aside(path, str(error))
            return None

    def _start_anew(self) -> None:
        """Set aside what was found out before: nothing says with which facts it began."""
        for path in sorted(self.folder.iterdir()):
            if path.suffix != TEMPORARY:
                self._set_aside(path, "the audit begins anew: what it began with is not known")

    def _set_aside(self, path: Path, reason: str) -> None:
        self._quarantine.set_aside(path, "audit", f"{reason}; of audit {self.folder.name}")

    def close(self) -> None:
        """Remove the shards, when all that they say is in the reports."""
        for pattern in ("shard-*.safetensors", "met-*.safetensors"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _path(self, shard: int, network: int) -> Path:
        return self.folder / f"shard-{shard:06d}-{network}.safetensors"

    def _met(self, network: int) -> Path:
        return self.folder / f"met-{network}.safetensors"

    def _checks(self, network: int) -> Path:
        return self.folder / f"checks-{network}.json"


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]], about: dict[str, str]) -> None:
    """Write arrays and metadata, with the digest of both."""
    write(path, save(arrays, {**about, SEAL: arrays_digest(arrays, about)}), durable=True)


def _read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read them; ValueError where they are not what was written. Those of earlier versions have no
    digest.
    """
    with safe_open(path, "np") as file:
        about = file.metadata() or {}
        arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    if SEAL in about and about[SEAL] != arrays_digest(arrays, about):
        raise ValueError("it is not what was written")
    return arrays, about
