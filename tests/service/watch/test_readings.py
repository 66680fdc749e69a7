"""What is read when somebody asks for the metrics: jobs that wait, how busy the device is, disks,
operations; and that one which cannot be read hides no other.
"""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
import torch
from prometheus_client import CollectorRegistry

from service.engine.activity import Activity
from service.engine.job import Priority
from service.models.zoo import ModelZoo
from service.state.space import DiskSpace
from service.state.survey import bytes_by_kind
from service.watch import readings
from service.watch.gauges import Gauges, Reading
from service.watch.state_sizes import StateSizes
from tests.service.engine.toys_engine import WAIT, Recorder, counted, held, running, steps
from tests.toys_server import eventually


def registry_of(*found: Reading) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Gauges(found))
    return registry


def test_what_waits_is_counted_by_priority_and_so_is_the_oldest_wait() -> None:
    with running() as engine:
        registry = registry_of(*readings.of_engine(engine))

        def read(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(name, labels)

        model = Recorder().model
        with held(engine):
            for tag, priority in enumerate((Priority.BATCH, Priority.BATCH, Priority.INTERACTIVE)):
                last = engine.submit(model, steps(tag, 1, 2), priority=priority)
            assert read("striate_queue_depth", priority="batch") == 2
            assert read("striate_queue_depth", priority="interactive") == 1
            before = read("striate_queue_oldest_wait_seconds", priority="batch")
            assert before is not None
            assert before > 0
            assert read("striate_running_jobs") == 0
            assert (read("striate_device_pass_age_seconds") or 0) > 0
        last.result(WAIT)
        eventually(lambda: read("striate_queue_depth", priority="batch") == 0)
        assert read("striate_queue_oldest_wait_seconds", priority="batch") == 0
        eventually(lambda: engine.activity.present() is None)
        busy = read("striate_device_busy_seconds_total")
        assert busy is not None
        assert busy >= before  # the call that held it, at the least


def test_gradients_are_counted_by_model_and_rows() -> None:
    with running() as engine:
        engine.submit(Recorder().model, steps(1, rows=3, count=5)).result(WAIT)
        assert counted(engine, "striate_image_gradients_total", model="toy") == 15


def test_busy_seconds_never_fall() -> None:
    activity, stop, seen = Activity(), threading.Event(), list[float]()

    def work() -> None:
        while not stop.is_set():
            with activity.of("a pass"):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        seen = [activity.busy_seconds() for _ in range(20_000)]
    finally:
        stop.set()
        thread.join(WAIT)
    assert seen == sorted(seen)
    assert seen[-1] > 0


def test_a_metric_that_cannot_be_read_hides_no_other() -> None:
    def fail() -> float:
        raise OSError("the disk is gone")

    registry = registry_of(
        Reading("striate_lost", "Cannot be read", fail),
        Reading("striate_kept", "Can be read", lambda: 2.0),
        Reading("striate_parts_total", "By part", lambda: {"a": 1, "b": 2}, "part"),
    )
    with structlog.testing.capture_logs() as log:
        assert registry.get_sample_value("striate_kept") == 2
        assert registry.get_sample_value("striate_lost") is None
        assert registry.get_sample_value("striate_parts_total", {"part": "b"}) == 2
    assert log[0]["metric"] == "striate_lost"


def test_the_state_folder_is_measured_by_kind(tmp_path: Path) -> None:
    for name, size in {"audits/a/x": 3, "datasets/uploads/u": 5, "datasets/d": 7, "y": 11}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    found = bytes_by_kind(tmp_path)
    assert {kind: size for kind, size in found.items() if size} == {
        "audits": 3,
        "uploads": 5,
        "datasets": 7,
        "rest": 11,
    }
    sizes = StateSizes(tmp_path)
    registry = registry_of(*readings.of_disk(DiskSpace(tmp_path, 9), sizes.found))
    assert registry.get_sample_value("striate_state_bytes", {"kind": "audits"}) is None
    asyncio.run(sizes.look())
    assert registry.get_sample_value("striate_state_bytes", {"kind": "audits"}) == 3
    assert registry.get_sample_value("striate_state_bytes", {"kind": "pictures"}) == 0
    assert registry.get_sample_value("striate_disk_floor_bytes") == 9
    free = registry.get_sample_value("striate_disk_free_bytes")
    assert free is not None
    assert free > 0


def test_a_state_folder_that_cannot_be_measured_leaves_what_was_found(tmp_path: Path) -> None:
    answers: list[Any] = [{"rest": 1}, OSError("gone")]

    def measure(_: Path) -> dict[str, int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast(dict[str, int], answer)

    sizes = StateSizes(tmp_path, measure)
    asyncio.run(sizes.look())
    asyncio.run(sizes.look())
    assert (sizes.found(), answers) == ({"rest": 1}, [])


def test_models_and_their_bytes() -> None:
    models = [SimpleNamespace(name="a", memory_bytes=5), SimpleNamespace(name="b", memory_bytes=7)]
    zoo = cast(ModelZoo, SimpleNamespace(loaded=lambda: models))
    registry = registry_of(*readings.of_memory(zoo, torch.device("cpu")))
    assert registry.get_sample_value("striate_models") == 2
    assert registry.get_sample_value("striate_model_bytes", {"model": "b"}) == 7


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_memory_of_a_gpu_is_told_by_kind() -> None:
    zoo = cast(ModelZoo, SimpleNamespace(loaded=list))
    registry = registry_of(*readings.of_memory(zoo, torch.device("cuda")))
    held = torch.zeros(2**20, device="cuda")
    kinds = {
        kind: registry.get_sample_value("striate_device_memory_bytes", {"kind": kind}) or 0
        for kind in ("total", "free", "allocated", "reserved")
    }
    assert held.nbytes <= kinds["allocated"] <= kinds["reserved"] < kinds["total"]
    assert 0 < kinds["free"] < kinds["total"]
