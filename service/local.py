"""A server inside the caller's own process, for a network that is in memory: what `striate.host`
finds by the entry point of its name.
"""

import asyncio
import contextlib
import copy
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import structlog
import torch
from pydantic import ValidationError
from torch import nn

from service.config import ModelTable, Settings
from service.config.log import set_up_log
from service.models.zoo import ModelError
from service.server import Server

_NAME = re.compile(r"[\w.-]{1,100}")

CLOSE_SECONDS = 10.0  # that closing waits for the server's thread


class LocalServer:
    """A server on a free port of the loopback address, in a thread of this process.

    Args:
        settings: of the server.
        modules: networks that are in memory, by the names of their settings tables.
        scratch: a folder that is removed when the server has closed; None for none.

    Raises:
        OSError, ModelError: the server cannot start.
    """

    def __init__(
        self, settings: Settings, modules: Mapping[str, nn.Module], scratch: Path | None
    ) -> None:
        self._settings, self._modules, self._scratch = settings, modules, scratch
        self._started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="striate-local", daemon=True)
        self._thread.start()
        port, self._loop, self._stop = self._started.result()
        self.target = f"{settings.host}:{port}"

    def close(self) -> None:
        """Cancel what runs and end the thread; a second call does nothing."""
        with contextlib.suppress(RuntimeError):  # the loop has closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised where the server was asked for
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)

    async def _serve(self) -> None:
        server, stop = Server(self._settings, self._modules), asyncio.Event()
        try:
            port = await server.start()
        except BaseException:
            server.engine.close(0)
            server.state.close()
            raise
        self._started.set_result((port, asyncio.get_running_loop(), stop))
        await stop.wait()
        await server.drain()


def host(
    module: object,
    name: str,
    size: Any,
    mean: Sequence[float],
    std: Sequence[float],
    labels: Sequence[str] | None,
    datasets: Mapping[str, str] | None,
    state_dir: str | Path | None,
    device: str,
    threads: int,
) -> LocalServer:
    """Serve a copy of a network that is in memory.

    The network is copied as it is now, in evaluation mode: what is done to the module afterwards
    does not change what is served, nor the other way round.

    Args:
        module: a torch module from (N, C, H, W) to logits.
        name: by which requests call it.
        size: input pixels, one number or (height, width).
        mean, std: of each channel, in pixel units of [0, 1].
        labels: class names in the order of the logits; None for "class 0", ...
        datasets: URIs by name; None for those that come along.
        state_dir: folder of indexes, operations and uploads; None for one that is removed at the
            end.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads of the engine; 0 leaves it to torch.

    Returns:
        The server, which has loaded the network.

    Raises:
        TypeError: `module` is no torch module.
        ValueError: a value is out of its range; the message names it.
        ModelError: the network cannot be copied or loaded.
        StateInUse: another server has the state folder.
        StateUnusable: the state folder cannot be written or locked.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, is {type(module).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name: must be letters, digits, '_', '.' and '-', at most 100 of them, is {name!r}"
        )
    scratch = None if state_dir is not None else Path(tempfile.mkdtemp(prefix="striate-"))
    try:
        table = ModelTable(
            factory="memory:module", size=size, mean=tuple(mean), std=tuple(std), labels=labels
        )
        settings = Settings(
            port=0,
            model=(name,),
            state_dir=scratch or Path(str(state_dir)),
            device=device,
            threads=threads,
            models={name: table},
            drain_seconds=0.0,
            log_level="warning",
            log_format="console",
            **({} if datasets is None else {"dataset": dict(datasets)}),
        )
        if not structlog.is_configured():
            set_up_log(settings)
        return LocalServer(settings, {name: _copied(module)}, scratch)
    except BaseException as error:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        if isinstance(error, ValidationError):
            raise ValueError(_first(error)) from error
        raise


def _copied(module: nn.Module) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(module).__name__} is a program of TorchScript, into whose layers nobody can "
            f"look: host the module that it was made of, or write that with torch.onnx.export and "
            f"make a bundle of the file by `striate-server import`"
        )
    try:
        return copy.deepcopy(module).eval().requires_grad_(False)
    except Exception as error:  # a user's own module may hold anything
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}): host one without open files and "
            f"tensors that are computed, or serve it by a settings table"
        ) from error


def _first(error: ValidationError) -> str:
    """The first complaint, with the name of the argument."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'settings'}: {first['msg']}"
