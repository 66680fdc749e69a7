"""A program of its own, which a sandbox runs: load a TorchScript or torch.export file, write its
tensors and, where a shape is given, what it answers to images.

Loading such a file may run code: nothing but the sandbox may start this.
"""

import sys
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SEED = 0


def main(source: str, target: str, shape: str = "") -> None:
    """Load `source`; write `target`, which `weights_only` reads: the tensors, and with a shape,
    "2,3,224,224", images of it and the logits that the program gives.
    """
    call, state = _loaded(source)
    kept: dict[str, Any] = {"state_dict": {k: t.detach().clone() for k, t in state.items()}}
    if shape:
        size = tuple(map(int, shape.split(",")))
        images = torch.rand(size, generator=torch.Generator().manual_seed(_SEED))
        with torch.no_grad():
            kept["checked"] = {"images": images, "logits": _answers(call, images)}
    torch.save(kept, target)


def _loaded(source: str) -> tuple[Callable[[Tensor], Any], dict[str, Tensor]]:
    with zipfile.ZipFile(source) as archive:
        is_script = any(name.endswith("/constants.pkl") for name in archive.namelist())
    if is_script:
        script = torch.jit.load(source, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        return script, script.state_dict()
    program = torch.export.load(source)
    return program.module(), program.state_dict


def _answers(call: Callable[[Tensor], Any], images: Tensor) -> Tensor:
    """Logits (N, classes); image by image where a program takes one alone."""
    try:
        logits = call(images)
    except Exception:  # noqa: BLE001 - what a program of a fixed number raises is open-ended
        logits = torch.cat([call(image[None]) for image in images])
    return torch.as_tensor(logits).detach().cpu()


if __name__ == "__main__":
    main(*sys.argv[1:])
