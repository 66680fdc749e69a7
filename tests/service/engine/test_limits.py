"""What a CPU and a GPU get where nothing is set."""

import os

import pytest
import torch

from service.config import Settings
from service.engine.limits import EngineLimits


def test_a_cpu_gets_small_passes_and_a_quarter_of_the_memory() -> None:
    limits = EngineLimits.for_device("cpu")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    assert limits == EngineLimits(64, memory, 256, 8, 0)


def test_a_gpu_gets_large_passes_and_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000 * device.index, 9999))
    assert EngineLimits.for_device("cuda:3") == EngineLimits(1024, 1500, 256, 32, 0)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_what_is_set_goes_before_what_the_device_gets(device: str) -> None:
    settings = Settings(
        tick_rows=3, memory_bytes=500, queue_size=7, deterministic_chunk=2, threads=5
    )
    assert EngineLimits.for_device(device, settings) == EngineLimits(3, 500, 7, 2, 5)
