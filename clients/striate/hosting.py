"""A network in memory, hosted by a server inside the caller's own process."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate._rpc.caller import Caller
from striate.errors import FailedPrecondition, InvalidArgument, ModelNotLoadable
from striate.service import Service

if TYPE_CHECKING:
    from striate.model import Model

_GROUP = "striate.host"


def host(
    module: Any,
    *,
    size: int | tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    labels: Sequence[str] | None = None,
    name: str = "hosted",
    datasets: Mapping[str, str] | None = None,
    state_dir: str | Path | None = None,
    device: str = "auto",
    threads: int = 0,
) -> Model:
    """Hosts a torch module that is in memory, and gives the handle that `Service.model` gives.

    The module is copied as it is now, in evaluation mode: training it further does not change what
    is hosted, and nothing that is asked of the handle changes the module. Host it again to ask
    about its new weights. What torch.compile and DataParallel put around it is taken off. A server
    of its own runs inside the process until the handle is gone; it listens on a free port of the
    loopback address, and `striate.connect(net.target)` reaches it for indexes and audits.

    Args:
        module: A torch.nn.Module from (N, C, H, W) to logits.
        size: Input pixels, one number or (height, width).
        mean: Mean of each channel, in pixel units of [0, 1]: the network is given
            (pixel - mean) / std. One value or three say how many channels it has. Zeros and ones
            for a network that normalizes its input itself.
        std: Standard deviation of each channel, in the same units.
        labels: Class names in the order of the logits. Default: "class 0", "class 1", ...
        name: What results call the network.
        datasets: Data sets as name -> URI, e.g. {"mine": "imagefolder:photos"}. Default: those that
            come along.
        state_dir: Folder of indexes, audits and uploads, which stay there. Default: a folder that
            is removed at the end.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, 0 for torch's own number.

    Returns:
        The handle.

    Raises:
        FailedPrecondition: The server's package is not installed.
        InvalidArgument: An argument is out of its range.
        ModelNotLoadable: The module cannot be copied, or does not run on images of that size.
    """
    (found, *_) = (*entry_points(group=_GROUP), None)
    if found is None:
        raise FailedPrecondition(
            "striate.host needs the server beside the client; in a checkout of Striate: "
            "pip install ./clients ."
        )
    start = found.load()
    try:
        server = start(module, name, size, mean, std, labels, datasets, state_dir, device, threads)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"striate.host: {error}") from error
    except RuntimeError as error:  # what a network cannot do
        raise ModelNotLoadable(str(error)) from error
    caller = Caller(server.target)
    weakref.finalize(caller, server.close)  # with the last that uses the connection, or at exit
    return Service(caller).model(name)
