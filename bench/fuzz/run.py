"""Thousands of odd requests over all methods, while a process beside them asks for the health."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc

from bench.figure import Figure, Figures
from bench.fuzz.generate import MODELS, Generator
from bench.fuzz.methods import METHODS, Method, call
from bench.setting import Setting
from striate.v1 import model_pb2, model_pb2_grpc

REQUESTS, WORKERS = 20_000, 8
SECONDS = 1.0  # the deadline of a call: what is legal may compute for long
CALM = 3.0  # seconds after which memory is looked at
SHOWN = 20
_MIB = 2**20


@dataclass
class Outcome:
    """How the requests ended.

    Attributes:
        codes: by method, the status codes.
        faults: those for which the service is to blame, with its message.
    """

    codes: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, method: Method, said: str) -> None:
        """Count one."""
        code, _, message = said.partition(": ")
        self.codes.setdefault(method.name, Counter())[code] += 1
        if message:
            self.faults.append(f"{method.name} {said}")


def send_all(target: str, requests: int, seed: int, seconds: float = SECONDS) -> Outcome:
    """Send odd requests, each method in its turn.

    Args:
        target: HOST:PORT of a server.
        requests: how many.
        seed: of what is sent.
        seconds: deadline of each.

    Returns:
        How they ended. Operations that they began are cancelled and deleted meanwhile.
    """
    generator, outcome = Generator(seed), Outcome()
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(target, options) as channel, ThreadPoolExecutor(WORKERS) as pool:
        for begin in range(0, requests, 16 * WORKERS):
            numbers = range(begin, min(requests, begin + 16 * WORKERS))
            methods = [METHODS[number % len(METHODS)] for number in numbers]
            frames = [generator.frames(method) for method in methods]
            ends = pool.map(partial(call, channel, seconds=seconds), methods, frames)
            for method, said in zip(methods, ends, strict=True):
                outcome.add(method, said)
            _tidy(channel)
    return outcome


def _tidy(channel: grpc.Channel) -> None:
    """Cancel and delete the operations, and load again what was unloaded."""
    stub = operations_pb2_grpc.OperationsStub(channel)
    for operation in stub.ListOperations(
        operations_pb2.ListOperationsRequest(), timeout=60
    ).operations:
        try:
            stub.CancelOperation(
                operations_pb2.CancelOperationRequest(name=operation.name), timeout=60
            )
            if operation.done:
                stub.DeleteOperation(
                    operations_pb2.DeleteOperationRequest(name=operation.name), timeout=60
                )
        except grpc.RpcError:  # it has ended and been deleted meanwhile
            continue
    models = model_pb2_grpc.ModelServiceStub(channel)
    for name in MODELS:
        try:
            models.LoadModel(model_pb2.LoadModelRequest(model=name), timeout=60)
        except grpc.RpcError:  # it is there with random weights: the next turn loads it
            with suppress(grpc.RpcError):  # calls that were given up may still use it
                models.UnloadModel(model_pb2.UnloadModelRequest(model=name), timeout=60)


@contextmanager
def probed(target: str) -> Iterator[list[float]]:
    """A process that asks for the health meanwhile; its seconds are there when the context has
    ended.
    """
    waited = list[float]()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fuzz.probe", target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield waited
    finally:
        waited += json.loads(process.communicate(timeout=120)[0])


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def fuzz(place: Setting) -> Figures:
    """20,000 requests from one seed (`--images` gives another number), 8 at a time."""
    send_all(place.target, len(METHODS), 1)  # what is made once is not counted
    before = resident(place.pid)
    with probed(place.target) as waited:
        outcome = send_all(place.target, place.rows or REQUESTS, 0)
    time.sleep(CALM)
    grown = (resident(place.pid) - before) / _MIB
    total = sum((Counter(codes) for codes in outcome.codes.values()), Counter[str]())
    about = f"{sum(total.values())} odd requests"
    waited.sort()
    note = ", ".join(f"{code} {count}" for code, count in total.most_common())
    for fault in outcome.faults[:SHOWN]:
        print(fault)
    return {
        f"{about}: UNKNOWN or INTERNAL": Figure(len(outcome.faults), at_most=0, note=note),
        f"{about}: p99 of health beside them in ms": Figure(
            1000 * waited[int(0.99 * len(waited))], at_most=100
        ),
        f"{about}: longest health beside them in ms": Figure(1000 * waited[-1]),
        f"{about}: memory afterwards, MiB more than before": Figure(grown, at_most=300),
    }
