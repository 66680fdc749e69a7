"""The place where figures are measured: one server process, its network in this process too, and images."""

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
from safetensors.torch import load_file
from torch import Tensor

import striate
from interp.architectures import CifarResNet
from interp.network import Network

MODEL = "cifar_resnet20"
Figures = dict[str, tuple[float, str]]  # name -> (value, aim)


@dataclass(frozen=True)
class Setting:
    """A server at `target` with process id `pid`; `local` is the same network in this process; images (N, 3, 32, 32) in [0, 1]."""

    target: str
    pid: int
    local: Network
    images: Tensor
    labels: Tensor
    threads: int

    def connect(self) -> striate.Service:
        """A new connection."""
        return striate.connect(self.target, timeout=600)


@contextmanager
def setting(threads: int) -> Iterator[Setting]:
    """Start a server with `cifar_resnet20`, trained where STRIATE_DATA is set, random otherwise; stop it at the end."""
    data = os.environ.get("STRIATE_DATA")
    program = str(Path(sys.executable).with_name("striate-server"))
    command = [program, "--port", "0", "--threads", str(threads), "--log-level", "error"]
    if data:
        command += ["--weights-dir", f"{data}/weights", "--model", MODEL]
        for name in ("test", "lossless"):
            command += ["--dataset", f"cifar10-{name}=parquet:{data}/cifar10/{name}.parquet?classes=cifar10"]
        command += ["--dataset", f"imagenet-sample=parquet:{data}/imagenet_sample/images.parquet?classes=imagenet"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")}
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen([*command, "--state-dir", state], stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert process.stdout is not None
            target = process.stdout.readline().split()[-1]
            if not data:
                with striate.connect(target) as service:
                    service.load(MODEL, "random")
            images, labels = _images(data)
            yield Setting(target, process.pid, _network(data), images, labels, threads)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _network(data: str | None) -> Network:
    module = CifarResNet(20)
    if data:
        module.load_state_dict(load_file(Path(data) / "weights" / f"{MODEL}.safetensors"))
    return Network(module, (3, 32, 32), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _images(data: str | None) -> tuple[Tensor, Tensor]:
    if not data:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(256, 3, 32, 32, generator=generator), torch.randint(0, 10, (256,), generator=generator)
    table = pyarrow.parquet.read_table(Path(data) / "cifar10" / "lossless.parquet").slice(0, 256)
    levels = np.stack([np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in table["image"].to_pylist()])
    return torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255, torch.tensor(table["label"].to_pylist())
