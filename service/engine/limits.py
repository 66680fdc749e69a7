"""How much one engine takes on at a time, and what a CPU and a GPU get where nothing is set."""

import os
from dataclasses import dataclass

import torch

from service.config import Settings

_TICK_ROWS = {"cpu": 64, "cuda": 1024}
_CHUNK = {"cpu": 8, "cuda": 32}


@dataclass(frozen=True)
class EngineLimits:
    """The limits of one engine. This is the one place that turns settings and device into them.

    Attributes:
        tick_rows: most rows of a pass, at least 1.
        memory: bytes that the running jobs and a pass may take together; at least one job always
            runs.
        queue_size: jobs that may wait for admission; more are refused with `QueueFull`.
        chunk: rows of a deterministic pass, see `interp.rows.Chunks`.
        threads: torch's CPU threads; 0 leaves torch's default.
    """

    tick_rows: int
    memory: int
    queue_size: int
    chunk: int
    threads: int

    @classmethod
    def for_device(
        cls, device: torch.device | str, settings: Settings | None = None
    ) -> "EngineLimits":
        """The limits that the settings give, and those of the device for each that is 0 there.

        Args:
            device: where the networks run.
            settings: of the server; None: the defaults.

        Returns:
            The limits, with every number chosen. Memory is half of what is free on a GPU, or a
            quarter of the machine's.
        """
        device, settings = torch.device(device), settings or Settings()
        return cls(
            tick_rows=settings.tick_rows or _TICK_ROWS[device.type],
            memory=settings.memory_bytes or _memory(device),
            queue_size=settings.queue_size,
            chunk=settings.deterministic_chunk or _CHUNK[device.type],
            threads=settings.threads,
        )


def _memory(device: torch.device) -> int:
    """Bytes for jobs and passes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
