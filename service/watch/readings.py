"""What a server's metrics are read from, part by part."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from service.engine.engine import Engine
from service.engine.job import Job, Priority
from service.imaging.decoding import FairPool, PixelBudget
from service.models.zoo import ModelZoo
from service.operations import Operations
from service.state.space import DiskSpace
from service.watch.gauges import Reading
from service.watch.loop_lag import LoopLag


def of_engine(engine: Engine) -> list[Reading]:
    """What waits for the device, and how busy it is.

    Args:
        engine: owns the device.
    """
    return [
        Reading(
            "striate_queue_depth",
            "Jobs that wait for admission",
            lambda: _by_priority(engine.waiting(), lambda jobs: len(jobs)),
            "priority",
        ),
        Reading(
            "striate_queue_oldest_wait_seconds",
            "Time that the oldest of these jobs has been waiting",
            lambda: _by_priority(
                engine.waiting(), lambda jobs: max((job.waited for job in jobs), default=0.0)
            ),
            "priority",
        ),
        Reading(
            "striate_running_jobs", "Jobs that have been admitted", lambda: len(engine.running())
        ),
        Reading(
            "striate_device_busy_seconds_total",
            "Time that the device's thread has been at work: its rate is the device's busy share",
            engine.activity.busy_seconds,
        ),
        Reading(
            "striate_device_pass_age_seconds",
            "Since when the device's pass, or call, has been under way; 0 where there is none",
            engine.activity.seconds,
        ),
    ]


def of_loop(lag: LoopLag, calls: Callable[[], float]) -> list[Reading]:
    """How the event loop gets on.

    Args:
        lag: of the loop.
        calls: counts those in flight.
    """
    return [
        Reading(
            "striate_loop_lag_highest_seconds",
            "The most that the event loop was late in the last 30 to 60 seconds",
            lag.highest,
        ),
        Reading("striate_calls_in_flight", "Calls that have come and are not answered", calls),
    ]


def of_images(pool: FairPool, budget: PixelBudget) -> list[Reading]:
    """What waits to be decoded and encoded.

    Args:
        pool: where it is done.
        budget: of the pixels that may wait.
    """
    return [
        Reading(
            "striate_decode_waiting",
            "Steps of decoding and encoding that wait for a thread",
            lambda: pool.waiting,
        ),
        Reading(
            "striate_decode_oldest_wait_seconds",
            "Time that the oldest of these steps has been waiting",
            lambda: pool.oldest_wait,
        ),
        Reading(
            "striate_decode_pixels",
            "Pixels of images that are being decoded or wait for it",
            lambda: budget.pixels,
        ),
        Reading(
            "striate_decode_refused_total",
            "Requests refused because so many pixels were waiting",
            lambda: budget.refused,
        ),
    ]


def of_memory(zoo: ModelZoo, device: torch.device) -> list[Reading]:
    """What is in memory; that of the process is `process_resident_memory_bytes`.

    Args:
        zoo: has the models.
        device: where they are.
    """
    return [
        Reading("striate_models", "Models that serve", lambda: len(zoo.loaded())),
        Reading(
            "striate_model_bytes",
            "Memory of the weights of each model that serves",
            lambda: {model.name: model.memory_bytes for model in zoo.loaded()},
            "model",
        ),
        Reading(
            "striate_device_memory_bytes",
            "Memory of the GPU by what it is: all of it (total), free, in use by tensors "
            "(allocated), and kept by this process (reserved); none without a GPU",
            lambda: _device_memory(device),
            "kind",
        ),
    ]


def of_disk(space: DiskSpace, taken: Callable[[], Mapping[str, int]]) -> list[Reading]:
    """How full the disk is, and with what.

    Args:
        space: of the disk.
        taken: bytes in the state folder by kind.
    """
    return [
        Reading(
            "striate_disk_free_bytes",
            "Free space on the disk of the state folder",
            lambda: space.free,
        ),
        Reading(
            "striate_disk_floor_bytes",
            "Free space below which no new work that writes begins",
            lambda: space.floor,
        ),
        Reading(
            "striate_state_bytes",
            "What the state folder has of each kind, looked at about once a minute",
            taken,
            "kind",
        ),
    ]


def of_operations(operations: Operations) -> list[Reading]:
    """How it stands with the operations.

    Args:
        operations: of the server.
    """
    return [
        Reading(
            "striate_operations",
            "Operations that are not done, by state: they run, or wait for a thread",
            operations.census,
            "state",
        ),
        Reading(
            "striate_operations_ended_total",
            "Operations that ended while this server ran, by outcome",
            lambda: dict(operations.ended),
            "outcome",
        ),
    ]


def _by_priority(
    jobs: list[Job[Any]], measure: Callable[[list[Job[Any]]], float]
) -> dict[str, float]:
    return {
        priority.value: measure([job for job in jobs if job.priority is priority])
        for priority in Priority
    }


def _device_memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    return {
        "total": total,
        "free": free,
        "allocated": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
    }
