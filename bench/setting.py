"""The place where figures are measured: one server process, its networks in this process too, and
images.
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from interp.network.network import Network
from service.models.blueprint import RANDOM, Blueprint
from service.models.catalogue import Catalogue
from service.models.initialization import randomize

MODEL, ROBUST = "cifar_resnet20", "cifar10-robust"
SIZE = 32  # of the images


@dataclass(frozen=True)
class Setting:
    """A server at `target` with process id `pid`; `local` is its `cifar_resnet20` in this process;
    images (N, 3, 32, 32) in [0, 1].

    The images are the lossless ones of CIFAR-10's test set, in no order of classes; noise where
    STRIATE_DATA is not set.

    Attributes:
        rows: how many images the long benches shall take; None: as many as their figure says.
    """

    target: str
    pid: int
    local: Network
    images: Tensor
    labels: Tensor
    threads: int
    rows: int | None = None

    def connect(self) -> striate.Service:
        """A new connection."""
        return striate.connect(self.target, timeout=600)

    def published(self, name: str) -> tuple[nn.Module, Blueprint]:
        """A new module of that name as it is published, in eval mode, and how its input is
        normalized.
        """
        return _published(name, os.environ.get("STRIATE_DATA"))

    def hosted(self, name: str, dtype: torch.dtype = torch.float32, fold: bool = True) -> Network:
        """The same as the server hosts it."""
        module, plan = self.published(name)
        seen = plan.preprocessing
        return Network(module, seen.shape, seen.mean, seen.std, dtype=dtype, fold=fold)


@contextmanager
def setting(threads: int, rows: int | None = None, *flags: str) -> Iterator[Setting]:
    """Start a server with `cifar_resnet20`, trained where STRIATE_DATA is set, random otherwise,
    and with further flags; stop it at the end.
    """
    data = os.environ.get("STRIATE_DATA")
    program = str(Path(sys.executable).with_name("striate-server"))
    command = [program, "--port", "0", "--threads", str(threads), "--log-level", "error"]
    if data:
        command += ["--weights-dir", f"{data}/weights", "--model", MODEL]
        for name in ("test", "lossless"):
            command += [
                "--dataset",
                f"cifar10-{name}=parquet:{data}/cifar10/{name}.parquet?classes=cifar10",
            ]
        command += [
            "--dataset",
            f"imagenet-sample=parquet:{data}/imagenet_sample/images.parquet?classes=imagenet",
        ]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")
    }
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [*command, *flags, "--state-dir", state],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            assert process.stdout is not None
            target = process.stdout.readline().split()[-1]
            if not data:
                with striate.connect(target) as service:
                    service.load(MODEL, "random")
            module, plan = _published(MODEL, data)
            seen = plan.preprocessing
            images, labels = cifar("lossless", 846)
            yield Setting(
                target,
                process.pid,
                Network(module, seen.shape, seen.mean, seen.std),
                images,
                labels,
                threads,
                rows,
            )
        finally:
            process.terminate()
            process.wait(timeout=60)


def _published(name: str, data: str | None) -> tuple[nn.Module, Blueprint]:
    weights = RANDOM if name == MODEL and not data else ""
    plan = Catalogue(Path(data) / "weights" if data else None, {}).blueprint(name, weights)
    module, seen = plan.build(), plan.preprocessing
    if weights == RANDOM:
        randomize(module, seen.shape, seen.mean, seen.std)
    return module.eval(), plan


def cifar(part: str, rows: int) -> tuple[Tensor, Tensor]:
    """At most so many images of a part ("lossless" or "test") of CIFAR-10, spread over it, and
    their labels; noise without data.
    """
    data = os.environ.get("STRIATE_DATA")
    if not data:
        generator = torch.Generator().manual_seed(0)
        levels = torch.randint(0, 256, (rows, 3, SIZE, SIZE), generator=generator)
        return levels / 255, torch.randint(0, 10, (rows,), generator=generator)
    table = pyarrow.parquet.read_table(Path(data) / "cifar10" / f"{part}.parquet")
    table = table.take(np.linspace(0, len(table) - 1, min(rows, len(table))).astype(int))
    pixels = np.stack(
        [np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in table["image"].to_pylist()]
    )
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # as the peers expect them
    return x.float() / 255, torch.tensor(table["label"].to_pylist())
