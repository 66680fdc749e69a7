"""What every call and tool may rely on, on real server processes: signals, crashes, queues,
cancellation, reflection, health, metrics.
"""

import io
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from PIL import Image

import striate
from striate.v1 import attack_pb2, interpret_pb2_grpc, robustness_pb2_grpc, types_pb2, visualize_pb2
from tests.toys_server import Server, eventually, metric, serving

NAME = "digits-lenet5"
CANCELLED = 'striate_jobs_total{reason="cancelled"}'
TICKS = "striate_tick_seconds_count"


def visualizing(steps: int) -> visualize_pb2.VisualizeRequest:
    return visualize_pb2.VisualizeRequest(
        model=NAME, objectives=["c3:1"], settings=visualize_pb2.PictureSettings(steps=steps)
    )


@pytest.mark.slow
def test_sigterm_lets_a_short_call_finish_and_exits_with_0(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--model", NAME, "--drain-seconds", "30") as (process, target),
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


@pytest.mark.slow
def test_an_index_build_survives_the_servers_death(tmp_path: Path) -> None:
    own = ("--model", NAME)
    with (
        serving(tmp_path, *own) as (process, target),
        striate.connect(target, timeout=60) as service,
    ):
        name = service.build_index(NAME, dataset="digits", layers=["c3"], k=3).name
        process.kill()
        process.wait(30)
    with serving(tmp_path, *own) as (_, target), striate.connect(target, timeout=60) as service:
        operation = service.operation(name)
        assert operation.wait(timeout=60).images == 1797
        again = service.model(NAME).exemplars("c3:2", k=3, dataset="digits")
        activations = [e.activation for e in again]
        assert activations == sorted(activations, reverse=True)
        assert len(activations) == 3


def test_a_cancelled_call_frees_the_device(server: Server) -> None:
    before = metric(server.metrics_port, CANCELLED)
    with grpc.insecure_channel(server.target) as channel:
        call = interpret_pb2_grpc.InterpretServiceStub(channel).Visualize(
            visualizing(4096), timeout=120
        )
        next(call)
        call.cancel()
        eventually(lambda: metric(server.metrics_port, CANCELLED) == before + 1)
        ticks = metric(server.metrics_port, TICKS)
        assert ticks > 0
        time.sleep(0.3)
        assert metric(server.metrics_port, TICKS) == ticks
        assert metric(server.metrics_port, "striate_models") == 3


def test_a_cancelled_stream_frees_the_device(server: Server) -> None:
    pixels = types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT32, shape=[1, 1, 32, 32], data=bytes(4096)
    )
    images = [
        attack_pb2.AttackStreamImage(id=n, image=types_pb2.ImageBatch(tensor=pixels))
        for n in range(9)
    ]
    endless = attack_pb2.AttackRequest(  # nothing is ever fooled
        model=NAME, epsilon=0, method=attack_pb2.AttackMethod(pgd=attack_pb2.Pgd(steps=10_000))
    )
    requests = [
        attack_pb2.AttackStreamRequest(settings=attack_pb2.AttackStreamSettings(attack=endless))
    ]
    requests += [attack_pb2.AttackStreamRequest(image=image) for image in images]
    before = {name: metric(server.metrics_port, name) for name in (CANCELLED, TICKS)}
    with grpc.insecure_channel(server.target) as channel:
        call = robustness_pb2_grpc.RobustnessServiceStub(channel).AttackStream(
            iter(requests), timeout=120
        )
        eventually(lambda: metric(server.metrics_port, TICKS) > before[TICKS] + 50)
        call.cancel()
        eventually(lambda: metric(server.metrics_port, CANCELLED) > before[CANCELLED])
        time.sleep(0.2)
        ticks = metric(server.metrics_port, TICKS)
        time.sleep(0.3)
        assert metric(server.metrics_port, TICKS) == ticks


@pytest.mark.slow
def test_a_full_queue_is_said_so_and_retried(tmp_path: Path) -> None:
    small = ("--model", NAME, "--queue-size", "1", "--memory-bytes", "1")
    with (
        serving(tmp_path, *small) as (_, target),
        grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel,
    ):
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        request = visualizing(300)
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


def test_reflection_is_there_for_tools(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        for revision in ("v1", "v1alpha"):
            ask = channel.stream_stream(
                f"/grpc.reflection.{revision}.ServerReflection/ServerReflectionInfo",
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


def test_health_tells_of_each_model_and_a_model_in_use_is_not_unloaded(server: Server) -> None:
    with striate.connect(server.target, timeout=60) as service, ThreadPoolExecutor(1) as pool:
        net = service.model(NAME)
        assert service.health(NAME) == "SERVING"
        seen: list[striate.Progress] = []
        running = pool.submit(net.visualize, "c3:1", steps=300, on_progress=seen.append)
        eventually(lambda: seen)
        with pytest.raises(striate.ModelBusy):
            service.unload(NAME)
        running.result(60)
        service.unload(NAME)
        assert service.health(NAME) == "NOT_SERVING"
        with pytest.raises(striate.ModelNotFound):
            service.model(NAME)
        service.load(NAME)
        assert service.health(NAME) == "SERVING"


def test_bombs_and_foreign_files_are_refused(server: Server) -> None:
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    foreign = io.BytesIO()
    Image.new("L", (8, 8)).save(foreign, "EPS")
    with striate.connect(server.target, timeout=30) as service:
        net = service.model(NAME)
        for data, words in (
            (bomb.getvalue(), "pixels"),
            (foreign.getvalue(), "no readable PNG"),
            (b"\x80\x04N.", "no readable PNG"),
        ):
            with pytest.raises(striate.BadImage, match=words):
                net.classify(data)


def test_a_remote_load_reaches_no_factory(server: Server) -> None:
    with striate.connect(server.target, timeout=30) as service:
        for name in ("os:getcwd", "../weights/x", "interp.network.architectures:LeNet5"):
            with pytest.raises((striate.ModelNotFound, striate.InvalidArgument)):
                service.load(name)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_a_method_that_the_server_does_not_have_is_refused_with_its_version(
    server: Server, kind: str
) -> None:
    method = "/striate.v1.ModelService/FromTheFuture"
    with grpc.insecure_channel(server.target) as channel:
        call = getattr(channel, kind)(method)
        request = iter([b"x"]) if kind.startswith("stream") else b"x"
        with pytest.raises(grpc.RpcError) as caught:
            list(call(request, timeout=30))
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert method in (error.details() or "")
    assert ("x-striate-version", version("striate-server")) in error.trailing_metadata()
