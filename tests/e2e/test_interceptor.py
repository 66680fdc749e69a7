"""Service manners, each on a real server process of its own: signals, crashes, queues,
cancellation, reflection, metrics.
"""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from PIL import Image

import striate
from striate.v1 import attack_pb2, interpret_pb2_grpc, robustness_pb2_grpc, types_pb2, visualize_pb2

NAME = "digits-lenet5"


@contextlib.contextmanager
def started(state: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process with the digits network: (process, HOST:PORT). Killed at the end if it still
    runs.
    """
    command = [
        str(Path(sys.executable).with_name("striate-server")),
        "--port",
        "0",
        "--threads",
        "1",
        "--model",
        NAME,
    ]
    settings = {
        name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")
    }
    process = subprocess.Popen(
        [*command, "--state-dir", str(state), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=settings,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("striate listening on "), line
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def metric(port: int, name: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def eventually(condition: object, seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)


def test_sigterm_lets_a_short_call_finish_and_exits_with_0(tmp_path: Path) -> None:
    with (
        started(tmp_path, "--drain-seconds", "30") as (process, target),
        ThreadPoolExecutor(1) as pool,
    ):
        with striate.connect(target, timeout=60) as service:
            net = service.model(NAME)
            seen: list[striate.Progress] = []
            running = pool.submit(net.visualize, "c3:1", steps=400, on_progress=seen.append)
            eventually(lambda: seen)
            process.send_signal(signal.SIGTERM)
            assert running.result(60).activation > 0
        assert process.wait(60) == 0


def test_an_index_build_survives_the_servers_death(tmp_path: Path) -> None:
    with started(tmp_path) as (process, target), striate.connect(target, timeout=60) as service:
        name = service.build_index(NAME, dataset="digits", layers=["c3"], k=3).name
        process.kill()
        process.wait(30)
    with started(tmp_path) as (_, target), striate.connect(target, timeout=60) as service:
        operation = service.operation(name)
        assert operation.wait(timeout=60).images == 1797
        again = service.model(NAME).exemplars("c3:2", k=3, dataset="digits")
        activations = [e.activation for e in again]
        assert activations == sorted(activations, reverse=True)
        assert len(activations) == 3


def test_a_cancelled_call_frees_the_device(tmp_path: Path) -> None:
    port = free_port()
    with (
        started(tmp_path, "--metrics-port", str(port)) as (_, target),
        grpc.insecure_channel(target) as channel,
    ):
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        call = stub.Visualize(
            visualize_pb2.VisualizeRequest(model=NAME, objectives=["c3:1"], steps=4096), timeout=120
        )
        next(call)
        call.cancel()
        eventually(lambda: metric(port, 'striate_jobs_total{reason="cancelled"}') == 1)
        ticks = metric(port, "striate_tick_seconds_count")
        assert ticks > 0
        time.sleep(0.3)
        assert metric(port, "striate_tick_seconds_count") == ticks
        assert metric(port, "striate_models") == 1


def test_a_cancelled_stream_frees_the_device(tmp_path: Path) -> None:
    port = free_port()
    pixels = types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT32, shape=[1, 1, 32, 32], data=bytes(4096)
    )
    images = [
        attack_pb2.AttackStreamImage(id=n, image=types_pb2.ImageBatch(tensor=pixels))
        for n in range(9)
    ]
    endless = attack_pb2.AttackRequest(
        model=NAME, pgd=attack_pb2.Pgd(epsilon=0, steps=10_000)
    )  # nothing is ever fooled
    requests = [
        attack_pb2.AttackStreamRequest(settings=attack_pb2.AttackStreamSettings(attack=endless))
    ]
    requests += [attack_pb2.AttackStreamRequest(image=image) for image in images]
    with (
        started(tmp_path, "--metrics-port", str(port)) as (_, target),
        grpc.insecure_channel(target) as channel,
    ):
        call = robustness_pb2_grpc.RobustnessServiceStub(channel).AttackStream(
            iter(requests), timeout=120
        )
        eventually(lambda: metric(port, "striate_tick_seconds_count") > 50)
        call.cancel()
        eventually(lambda: metric(port, 'striate_jobs_total{reason="cancelled"}') >= 1)
        time.sleep(0.2)
        ticks = metric(port, "striate_tick_seconds_count")
        time.sleep(0.3)
        assert metric(port, "striate_tick_seconds_count") == ticks


def test_a_full_queue_is_said_so_and_retried(tmp_path: Path) -> None:
    with (
        started(tmp_path, "--queue-size", "1", "--memory-bytes", "1") as (_, target),
        grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel,
    ):
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        request = visualize_pb2.VisualizeRequest(model=NAME, objectives=["c3:1"], steps=300)
        calls = [stub.Visualize(request, timeout=60) for _ in range(6)]
        errors = []
        for call in calls:
            try:
                list(call)
            except grpc.RpcError as error:
                errors.append(error)
        assert errors
        assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        trailers = {item.key: item.value for item in errors[0].trailing_metadata()}
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        assert "grpc-status-details-bin" in trailers
        assert len(errors) < len(calls)


def test_reflection_and_health_are_there_for_tools(tmp_path: Path) -> None:
    with started(tmp_path) as (_, target), grpc.insecure_channel(target) as channel:
        for version in ("v1", "v1alpha"):
            ask = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            answer = next(
                ask(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=20)
            )
            names = {s.name for s in answer.list_services_response.service}
            assert {
                "striate.v1.InterpretService",
                "google.longrunning.Operations",
                "grpc.health.v1.Health",
            } <= names
        with striate.connect(target) as service:
            assert service.health(NAME) == "SERVING"
            service.unload(NAME)
            assert service.health(NAME) == "NOT_SERVING"
            with pytest.raises(striate.ModelNotFound):
                service.model(NAME)
            service.load(NAME)
            assert service.health(NAME) == "SERVING"


def test_bombs_and_foreign_files_are_refused(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    gif = io.BytesIO()
    Image.new("L", (8, 8)).save(gif, "GIF")
    with started(tmp_path) as (_, target), striate.connect(target, timeout=30) as service:
        net = service.model(NAME)
        for data, words in (
            (bomb.getvalue(), "pixels"),
            (gif.getvalue(), "no readable PNG"),
            (b"\x80\x04N.", "no readable PNG"),
        ):
            with pytest.raises(striate.BadImage, match=words):
                net.classify(data)


def test_a_model_in_use_is_not_unloaded(tmp_path: Path) -> None:
    with (
        started(tmp_path) as (_, target),
        striate.connect(target, timeout=60) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        net = service.model(NAME)
        seen: list[striate.Progress] = []
        running = pool.submit(net.visualize, "c3:1", steps=300, on_progress=seen.append)
        eventually(lambda: seen)
        with pytest.raises(striate.ModelBusy):
            service.unload(NAME)
        running.result(60)
        service.unload(NAME)


def test_a_remote_load_reaches_no_factory(tmp_path: Path) -> None:
    with started(tmp_path) as (_, target), striate.connect(target, timeout=30) as service:
        for name in ("os:getcwd", "../weights/x", "interp.architectures:LeNet5"):
            with pytest.raises((striate.ModelNotFound, striate.InvalidArgument)):
                service.load(name)
