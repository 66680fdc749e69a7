"""The process of a trial: builds the module and shows it one image. `service.models.trial.factory`
starts it and reads what it says; nothing of the service is imported here.
"""

import importlib
import json
import os
import socket
import sys
import threading
from pathlib import Path


def main() -> None:
    """Read what is to be tried, try it, and write how it went to a file."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_server, daemon=True).start()
    socket.setdefaulttimeout(asked["stalled"])
    said = Path(asked["answer"])
    said.write_text(json.dumps(_tried(asked["factory"], asked["shape"])))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the factory may have left are not waited for


def _tried(factory: str, shape: list[int]) -> dict[str, str]:
    """What went wrong, or nothing. Whether the module runs on its images the server finds out and
    explains; here it is only seen that it comes back.
    """
    import torch

    module_name, _, function = factory.partition(":")
    try:
        module = getattr(importlib.import_module(module_name), function)()
    except Exception as error:  # noqa: BLE001 - it is the user's own code
        return {"error": f"{type(error).__name__}: {error}"}
    if isinstance(module, torch.nn.Module):
        try:
            with torch.no_grad():
                module.eval()(torch.zeros(1, *shape))
        except Exception:  # noqa: BLE001, S110 - see above
            pass
    return {}


def _end_with_server() -> None:
    """The pipe closes when the server ends, however it does."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
