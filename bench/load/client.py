"""Many clients in one process beside a bench: `python -m bench.load.client TARGET`, with a plan as
JSON on its standard input; what each call met is printed as JSON when they are through.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench.setting import MODEL
from striate.v1 import attack_pb2, interpret_pb2, model_pb2, types_pb2

SHAPE = (3, 32, 32)
SECONDS = 120.0  # the deadline of a call


@dataclass(frozen=True)
class Plan:
    """What the clients of one process do.

    Attributes:
        kinds: of request, one a client, see `REQUESTS`.
        tokens: of the clients; empty where the server asks for none.
        pause: seconds between two requests of a client, on average.
        seconds: after which no more are begun.
        cancelled: share of the calls that are given up after a random time.
        seed: of pauses and images.
    """

    kinds: list[str]
    tokens: list[str]
    pause: float
    seconds: float
    cancelled: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Met:
    """What one call met.

    Attributes:
        kind: of request.
        seconds: that it took.
        code: its status, "LOST" for an answer that is not the request's.
        pause: seconds that RetryInfo asks for; None without one.
        message: of an error.
    """

    kind: str
    seconds: float
    code: str
    pause: float | None = None
    message: str = ""


def images(rows: int, generator: np.random.Generator) -> types_pb2.ImageBatch:
    """Noise."""
    data = generator.random((rows, *SHAPE), dtype=np.float32)
    tensor = types_pb2.Tensor(
        shape=data.shape, dtype=types_pb2.DATA_TYPE_FLOAT32, data=data.tobytes()
    )
    return types_pb2.ImageBatch(tensor=tensor)


def pgd(
    rows: int, steps: int, priority: types_pb2.Priority.ValueType, generator: np.random.Generator
) -> Message:
    """An attack that takes all its steps."""
    method = attack_pb2.Pgd(steps=steps, stop_when_fooled=False)
    return attack_pb2.AttackRequest(
        model=MODEL,
        images=images(rows, generator),
        method=attack_pb2.AttackMethod(pgd=method),
        epsilon=0.001,
        priority=priority,
    )


def classify(generator: np.random.Generator) -> Message:
    """A question about one image."""
    return interpret_pb2.ClassifyRequest(model=MODEL, images=images(1, generator))


def describe(generator: np.random.Generator) -> Message:
    """A question that takes no device."""
    return model_pb2.GetModelRequest(model=MODEL)


_ATTACK = "/striate.v1.RobustnessService/Attack"
# By kind: the method, what makes a request of it, and how many rows the answer must have.
REQUESTS: Mapping[str, tuple[str, Callable[[np.random.Generator], Message], Any, int]] = {
    "classify": (
        "/striate.v1.InterpretService/Classify",
        classify,
        interpret_pb2.ClassifyResponse,
        1,
    ),
    "describe": ("/striate.v1.ModelService/GetModel", describe, model_pb2.GetModelResponse, 0),
    "attack": (
        _ATTACK,
        partial(pgd, 1, 10, types_pb2.PRIORITY_INTERACTIVE),
        attack_pb2.AttackResponse,
        1,
    ),
    "pipeline": (
        _ATTACK,
        partial(pgd, 8, 50, types_pb2.PRIORITY_BATCH),
        attack_pb2.AttackResponse,
        8,
    ),
}


async def client(target: str, plan: Plan, number: int) -> list[Met]:
    """One client with a connection of its own, which waits when it is told to."""
    kind, chance = plan.kinds[number], random.Random(plan.seed * 1000 + number)
    generator = np.random.default_rng(plan.seed * 1000 + number)
    token = plan.tokens[number] if plan.tokens else ""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    path, make, answer, _ = REQUESTS[kind]
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    found, end = list[Met](), time.monotonic() + plan.seconds
    async with grpc.aio.insecure_channel(target, options) as channel:
        method = channel.unary_unary(
            path,
            request_serializer=type(make(generator)).SerializeToString,
            response_deserializer=answer.FromString,
        )
        await asyncio.sleep(chance.random() * plan.pause)
        while time.monotonic() < end:
            call = method(make(generator), timeout=SECONDS, metadata=metadata)
            given_up = chance.random() < plan.cancelled
            if given_up:
                asyncio.get_running_loop().call_later(chance.random() / 5, call.cancel)
            found.append(await met(kind, call, given_up))
            pause = chance.expovariate(1 / plan.pause) if plan.pause else 0.0
            await asyncio.sleep(found[-1].pause or pause)
    return found


async def met(kind: str, call: Any, given_up: bool) -> Met:
    """Await one call, and say what it met."""
    began = time.monotonic()
    try:
        response = await call
    except asyncio.CancelledError:
        return Met(kind, time.monotonic() - began, "GIVEN UP" if given_up else "CANCELLED")
    except grpc.aio.AioRpcError as error:
        pause, message = retry_pause(error), str(error.details())
        return Met(kind, time.monotonic() - began, error.code().name, pause, message[:300])
    rows = len(response.rows) if kind in ("attack", "pipeline") else 0
    rows = len(response.images) if kind == "classify" else rows
    code = "OK" if rows == REQUESTS[kind][-1] else "LOST"
    return Met(kind, time.monotonic() - began, code)


def retry_pause(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds that an error's RetryInfo asks for; None without one."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return None


async def main() -> None:
    """Be many clients, as the plan on standard input says."""
    plan = Plan(**json.load(sys.stdin))
    clients = (client(sys.argv[1], plan, number) for number in range(len(plan.kinds)))
    found = await asyncio.gather(*clients)
    json.dump([asdict(one) for each in found for one in each], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
