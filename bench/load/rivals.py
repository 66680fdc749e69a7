"""A server to itself, fair or not, and the clients that want all of it."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np

from bench.load.client import retry_pause
from bench.setting import MODEL
from service.models.blueprint import RANDOM
from striate.v1 import (
    attack_pb2,
    interpret_pb2,
    interpret_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    robustness_pb2_grpc,
    types_pb2,
    visualize_pb2,
)

# Its callers are one share: whoever has more to do gets more.
UNFAIR = """
import sys
from service.engine.share import OWN
from service.rpc import compute
compute.present_share = lambda: OWN
from service.__main__ import main
sys.exit(main())
"""
_SUM = re.compile(r"^striate_tick_rows_sum (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Rival:
    """A server, and the network that is asked for.

    Attributes:
        target: HOST:PORT.
        metrics: port of its metrics.
        model: name of the network.
        size: of its images.
    """

    target: str
    metrics: int
    model: str
    size: int

    def rows(self) -> float:
        """Rows that all its passes have had so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as page:
            found = _SUM.search(page.read().decode())
        return float(found[1]) if found else 0.0

    @contextmanager
    def connected(self) -> Iterator[grpc.Channel]:
        """A connection of its own."""
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.target, options) as channel:
            yield channel

    def images(self, rows: int) -> types_pb2.ImageBatch:
        """Noise, (N, H, W, C) of bytes."""
        pixels = np.random.default_rng(rows).integers(0, 256, (rows, self.size, self.size, 3))
        data = pixels.astype(np.uint8)
        tensor = types_pb2.Tensor(
            shape=data.shape, dtype=types_pb2.DATA_TYPE_UINT8, data=data.tobytes()
        )
        return types_pb2.ImageBatch(tensor=tensor)

    def pgd(self, rows: int, steps: int) -> attack_pb2.AttackRequest:
        """An attack that takes all its steps."""
        method = attack_pb2.Pgd(steps=steps, stop_when_fooled=False)
        return attack_pb2.AttackRequest(
            model=self.model,
            images=self.images(rows),
            method=attack_pb2.AttackMethod(pgd=method),
            epsilon=0.001,
        )

    def classify(self) -> interpret_pb2.ClassifyRequest:
        """A question about one image."""
        return interpret_pb2.ClassifyRequest(model=self.model, images=self.images(1))

    def pictures(
        self, channel: grpc.Channel, count: int, steps: int
    ) -> visualize_pb2.VisualizeRequest:
        """Pictures of units of the middle of the network."""
        described = model_pb2_grpc.ModelServiceStub(channel).GetModel(
            model_pb2.GetModelRequest(model=self.model)
        )
        layers = [one for one in described.layers if len(one.output_shape) == 3]
        layer = next(one for one in layers[len(layers) // 2 :] if one.output_shape[0] >= 16)
        return visualize_pb2.VisualizeRequest(
            model=self.model,
            objectives=[f"{layer.name}:{n % layer.output_shape[0]}" for n in range(count)],
            settings=visualize_pb2.PictureSettings(steps=steps),
        )


@contextmanager
def rival(model: str, threads: int, fair: bool) -> Iterator[Rival]:
    """Start a server, and stop it at the end.

    Args:
        model: name of the network, random where its weights are not at hand.
        threads: of its device.
        fair: whether its callers take turns.
    """
    data, metrics = os.environ.get("STRIATE_DATA"), 19461 + fair
    own = "import sys; from service.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", own if fair else UNFAIR]
    command += ["--port", "0", "--threads", str(threads), "--log-level", "error"]
    command += ["--metrics-port", str(metrics)]
    if data:
        command += ["--weights-dir", f"{data}/weights", "--model", model]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRIATE_")}
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [*command, "--state-dir", state], stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            target = process.stdout.readline().split()[-1]
            with grpc.insecure_channel(target) as channel:
                if not data:
                    model_pb2_grpc.ModelServiceStub(channel).LoadModel(
                        model_pb2.LoadModelRequest(model=model, weights=RANDOM)
                    )
            yield Rival(target, metrics, model, 32 if model == MODEL else 224)
        finally:
            process.kill()  # what it has to do would take hours
            process.wait(timeout=60)


@contextmanager
def attacking(place: Rival, calls: int) -> Iterator[None]:
    """One client that has so many PGD-50 on 8 images in flight: it sends another for each
    that ends, and one that is refused again when it is told to.
    """
    with place.connected() as channel:
        attack, request = (
            robustness_pb2_grpc.RobustnessServiceStub(channel).Attack,
            place.pgd(8, 50),
        )
        over = False

        def again() -> None:
            if not over:
                attack.future(request).add_done_callback(ended)

        def ended(call: Any) -> None:
            pause = 0.0 if call.code() is grpc.StatusCode.OK else retry_pause(call) or 1.0
            timer = threading.Timer(pause, again)
            timer.daemon = True
            timer.start()

        for _ in range(calls):
            again()
        try:
            yield
        finally:
            over = True


@contextmanager
def picturing(place: Rival, calls: int, count: int, steps: int) -> Iterator[None]:
    """One client that has so many streams of pictures open."""
    with place.connected() as channel:
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        request = place.pictures(channel, count, steps)
        streams = [stub.Visualize(request) for _ in range(calls)]
        try:
            yield
        finally:
            for stream in streams:
                stream.cancel()


def asks(place: Rival, channel: grpc.Channel, seconds: float) -> dict[str, Callable[[], object]]:
    """What the other client asks for, by name, each answered within so many seconds."""
    attack = robustness_pb2_grpc.RobustnessServiceStub(channel).Attack
    classify = interpret_pb2_grpc.InterpretServiceStub(channel).Classify
    return {
        "PGD-10 on one image": partial(attack, place.pgd(1, 10), timeout=seconds),
        "Classify": partial(classify, place.classify(), timeout=seconds),
    }
