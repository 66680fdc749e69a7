"""Clients who give up, who stay and say nothing, who read slowly, and who come again and again."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import grpc
import numpy as np

import striate
from bench.fuzz.run import resident
from bench.load.client import REQUESTS
from bench.setting import MODEL, Setting
from bench.timing import seconds
from striate.v1 import visualize_pb2
from striate.v1.interpret_pb2_grpc import InterpretServiceStub

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04" + bytes(5)  # and no settings
CALM = 3.0  # seconds after which memory is looked at
MIB = 2**20


def give_up(place: Setting, calls: int, seed: int = 0) -> tuple[float, int]:
    """Send calls that end before they are answered, half by a deadline, half cancelled.

    Args:
        place: with the server.
        calls: how many.
        seed: of the moments.

    Returns:
        Seconds of a small attack right after the last of them, and how many ended otherwise than
        they should: neither answered, nor cancelled, nor past the deadline, nor refused.
    """
    chance, generator = random.Random(seed), np.random.default_rng(seed)
    path, make, answer, _ = REQUESTS["pipeline"]
    wrong, options = 0, [("grpc.enable_retries", 0)]
    fine = {
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    with grpc.insecure_channel(place.target, options) as channel:
        method = channel.unary_unary(
            path,
            request_serializer=type(make(generator)).SerializeToString,
            response_deserializer=answer.FromString,
        )
        for begin in range(0, calls, 50):
            running = [
                method.future(make(generator), timeout=chance.choice([chance.random() / 5, 60]))
                for _ in range(min(50, calls - begin))
            ]
            time.sleep(chance.random() / 5)
            for call in running:
                call.cancel()
                wrong += call.code() not in fine
    with place.connect() as service:
        net = service.model(MODEL)
        ask = partial(net.attack, place.images[:1].numpy(), [3], striate.PGD(1 / 255, steps=10))
        return seconds(ask), wrong


@contextmanager
def idle(target: str, connections: int) -> Iterator[None]:
    """Connections that have greeted the server, and say no more, while the context lasts."""
    host, port = target.rsplit(":", 1)
    with ExitStack() as stack:
        for _ in range(connections):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            one.sendall(PREFACE)
        yield


@contextmanager
def slow_readers(target: str, readers: int) -> Iterator[None]:
    """Streams of pictures of a whole layer of which nothing is read, while the context lasts."""
    request = visualize_pb2.VisualizeLayerRequest(
        model=MODEL, layer="layer2.2", sheet=True, settings=visualize_pb2.PictureSettings(steps=1)
    )
    with ExitStack() as stack:
        for number in range(readers):
            channel = grpc.insecure_channel(
                target, [("grpc.use_local_subchannel_pool", 1), ("reader", number)]
            )
            stack.enter_context(channel)
            stream = InterpretServiceStub(channel).VisualizeLayer(request)
            stack.callback(stream.cancel)
        yield


def growth(place: Setting, jobs: int) -> float:
    """Have a server do tiny jobs one after another.

    Args:
        place: with the server.
        jobs: how many.

    Returns:
        MiB that the server grew by from the first tenth of them to the end.
    """
    before = 0
    with place.connect() as service:
        net = service.load("digits-lenet5")
        image = np.zeros((1, 1, *net.input_size), dtype=np.float32)
        for number in range(jobs):
            net.attack(image, [3], striate.FGSM(1 / 255))
            if number == jobs // 10:
                before = resident(place.pid)
    time.sleep(CALM)
    return (resident(place.pid) - before) / MIB


def interactive(place: Setting, times: int = 40) -> float:
    """The 95th percentile of the seconds of a question about one image, asked so many times."""
    with place.connect() as service:
        net, image = service.model(MODEL), place.images[:1].numpy()
        net.classify(image)
        return float(
            np.percentile([seconds(lambda: net.classify(image)) for _ in range(times)], 95)
        )
