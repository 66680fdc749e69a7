"""How calls behave: deadlines, Ctrl-C and cancellation that reach the server, retries,
request ids.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

import striate
from tests.client.fakes.fakes_server import LONG, Fake, block_until_cancelled, failure, reason

Code = grpc.StatusCode
PIXELS = np.zeros((2, 3, 4, 5), np.float32)
CALLS: list[Callable[[striate.Model], object]] = [
    lambda net: net.classify(PIXELS),
    lambda net: net.visualize("stem:1"),
    lambda net: net.filters(),
    lambda net: net.exemplars("stem:1", dataset="digits"),
    lambda net: net.facets("stem:1", dataset="digits"),
    lambda net: net.dossier("stem:1", dataset="digits"),
    lambda net: net.visualize_layer("stem").all(),
    lambda net: net.attack(PIXELS, None, striate.FGSM()),
    lambda net: net.epsilon_curve(PIXELS, epsilons=[0.1]),
]


def block(fake: Fake, started: Callable[[], object] = lambda: None) -> threading.Event:
    """Makes every further call wait; the event tells that such a call was ended by the client."""
    cancelled = threading.Event()
    fake.on_call = lambda method, context: block_until_cancelled(context, started, cancelled)
    return cancelled


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_cancels_on_the_server(
    fake: Fake, net: striate.Model, call: Callable[[striate.Model], object]
) -> None:
    main = threading.main_thread().ident
    assert main is not None
    cancelled = block(fake, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        call(net)
    assert cancelled.wait(LONG)


def test_ctrl_c_cancels_an_upload_on_the_server(fake: Fake, service: striate.Service) -> None:
    main = threading.main_thread().ident
    assert main is not None
    cancelled = block(fake, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        service.upload(np.zeros((2, 4, 5, 3), np.uint8), 1)
    assert cancelled.wait(LONG)


def test_ctrl_c_in_a_progress_callback_cancels_on_the_server(
    fake: Fake, net: striate.Model
) -> None:
    ended = threading.Event()

    def note_end(method: str, context: grpc.ServicerContext) -> None:
        context.add_callback(ended.set)

    fake.on_call = note_end

    def interrupt(progress: striate.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.visualize(
            "stem:1", steps=10**9, on_progress=interrupt
        )  # the fake would stream for hours
    assert ended.wait(LONG)


@pytest.mark.parametrize("call", CALLS)
def test_timeout_ends_the_call_on_both_sides(
    fake: Fake, call: Callable[[striate.Model], object]
) -> None:
    with striate.connect(fake.target, timeout=0.2) as service:
        net = service.model(
            "tiny", timeout=LONG
        )  # a call's own timeout goes before the connection's
        cancelled = block(fake)
        with pytest.raises(striate.DeadlineExceeded):
            call(net)
        assert cancelled.wait(LONG)


def test_every_call_takes_a_timeout(
    fake: Fake, service: striate.Service, net: striate.Model
) -> None:
    operation = service.build_index("tiny", "digits", ["stem"])
    cancelled = block(fake)
    calls: list[Callable[[], object]] = [
        lambda: service.models(timeout=0.1),
        lambda: service.model("tiny", timeout=0.1),
        lambda: service.load("tiny", timeout=0.1),
        lambda: service.unload("tiny", timeout=0.1),
        lambda: service.datasets(timeout=0.1),
        lambda: service.samples("digits", timeout=0.1),
        lambda: service.build_index("tiny", "digits", ["stem"], timeout=0.1),
        lambda: service.operations(timeout=0.1),
        lambda: service.operation("operations/1", timeout=0.1),
        lambda: service.health(timeout=0.1),
        lambda: operation.refresh(timeout=0.1),
        lambda: operation.cancel(timeout=0.1),
        lambda: operation.delete(timeout=0.1),
        lambda: operation.wait(timeout=0.1),
        lambda: net.visualize(["stem:1"], timeout=0.1),
        lambda: net.attack(PIXELS, timeout=0.1),
        lambda: net.epsilon_curve(PIXELS, epsilons=[0.1], timeout=0.1),
        lambda: next(net.attack_stream(PIXELS, timeout=0.1)),
        lambda: service.audit("tiny", "digits", timeout=0.1),
        lambda: service.audit_report("operations/1", timeout=0.1),
        lambda: service.upload(PIXELS.astype(np.uint8).transpose(0, 2, 3, 1), 1, timeout=0.1),
    ]
    for call in calls:
        cancelled.clear()
        with pytest.raises(striate.DeadlineExceeded):
            call()
        assert cancelled.wait(LONG)


def test_closing_the_connection_ends_its_calls(fake: Fake) -> None:
    service = striate.connect(fake.target)
    started = threading.Event()
    cancelled = block(fake, started.set)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            service.models()
        except striate.StriateError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert started.wait(LONG)
    service.close()
    thread.join(LONG)
    assert [type(error) for error in errors] == [striate.Cancelled]
    assert cancelled.wait(LONG)


def test_a_full_queue_is_retried_after_the_time_that_the_server_names(
    fake: Fake, service: striate.Service
) -> None:
    fake.failures.extend(
        [failure(Code.RESOURCE_EXHAUSTED, "full", reason("QUEUE_FULL"), pushback=300)] * 2
    )
    began = time.monotonic()
    assert [model.name for model in service.models()] == ["tiny"]
    assert (
        time.monotonic() - began > 0.6
    )  # a slow machine only adds to it; by itself it would wait at most 0.1 s and 0.2 s
    assert len(fake.calls) == 3
    assert len({seen.metadata["x-request-id"] for seen in fake.calls}) == 1
    assert [seen.metadata.get("grpc-previous-rpc-attempts") for seen in fake.calls[1:]] == [
        "1",
        "2",
    ]


def test_a_large_request_is_retried_too(fake: Fake, net: striate.Model) -> None:
    fake.failures.append(failure(Code.UNAVAILABLE, "draining"))
    images = np.zeros((100, 100, 100, 3), np.uint8)  # 3 MB, above gRPC's own buffer for retries
    assert len(net.classify(images)) == 100
    assert len(fake.requests("Classify")) == 2


def test_a_queue_that_stays_full_is_reported(fake: Fake, service: striate.Service) -> None:
    fake.failures.extend(
        [failure(Code.RESOURCE_EXHAUSTED, "full", reason("QUEUE_FULL"), pushback=1)] * 9
    )
    with pytest.raises(striate.QueueFull, match="full"):
        service.models()
    assert len(fake.calls) == 5


def test_a_visualization_is_retried(fake: Fake, net: striate.Model) -> None:
    fake.failures.append(failure(Code.UNAVAILABLE, "draining"))
    assert net.visualize("stem:1").activation == 0
    assert len(fake.requests("Visualize")) == 2


def test_starting_an_index_is_repeated_only_when_it_had_not_begun(
    fake: Fake, service: striate.Service
) -> None:
    fake.failures.append(failure(Code.RESOURCE_EXHAUSTED, "full", reason("QUEUE_FULL"), pushback=1))
    service.build_index("tiny", "digits", ["stem"])
    assert len(fake.requests("BuildExemplarIndex")) == 2
    fake.failures.append(failure(Code.UNAVAILABLE, "connection reset"))
    with pytest.raises(striate.Unavailable):
        service.build_index("tiny", "digits", ["stem"])
    assert len(fake.requests("BuildExemplarIndex")) == 3


def test_calls_carry_fresh_ids_and_the_connections_metadata(fake: Fake) -> None:
    with striate.connect(fake.target, metadata=[("authorization", "Bearer x")]) as service:
        service.models()
        net = service.model("tiny")
        net.visualize("stem:1")
    ids = [seen.metadata["x-request-id"] for seen in fake.calls]
    assert len(set(ids)) == 3
    assert all(ids)
    assert [seen.metadata["authorization"] for seen in fake.calls] == ["Bearer x"] * 3


def test_version_of_the_server(fake: Fake, service: striate.Service) -> None:
    assert service.version == fake.version


def test_ctrl_c_on_the_command_line(fake: Fake) -> None:
    started = threading.Event()
    cancelled = block(fake, started.set)
    command = [str(Path(sys.executable).with_name("striate")), "models", "--server", fake.target]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert started.wait(LONG)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert cancelled.wait(LONG)


def test_import_is_light() -> None:
    """The numeric and terminal packages are left to those who need them."""
    late = (
        "numpy",
        "PIL",
        "typer",
        "rich",
        "torch",
        "striate.view",
        "striate.objective",
        "striate.results.visualization",
    )
    code = f"import striate, sys; print([name for name in {late} if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()
        == "[]"
    )
