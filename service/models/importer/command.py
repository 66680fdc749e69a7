"""The command line of `striate-server import`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.config.log import visible
from service.models.checkpoints import ModelError
from service.models.hosted import HostedModel
from service.models.importer.convert import convert
from service.models.importer.request import ImportRequest


def main(argv: Sequence[str]) -> int:
    """Make a bundle of each file, and tell of each in a line.

    Args:
        argv: the arguments behind `import`.

    Returns:
        The exit code: 0, or 1 where a file could not be imported; the others are.
    """
    parser = _parser()
    given = parser.parse_args(argv)
    if given.name and len(given.files) > 1:
        parser.error("--name is for one file")
    request = ImportRequest(given.architecture, _table_keys(given), given.trust_pickle)
    failed = 0
    for file in given.files:
        try:
            path, model = convert(file, given.out, request, given.name, given.force)
        except (ModelError, LookupError, OSError) as error:
            sys.stderr.write(visible(f"striate-server import: {file}: {error}\n"))
            failed = 1
        else:
            print(visible(_told(path, model)), flush=True)
    return failed


def _told(path: Path, model: HostedModel) -> str:
    seen = model.preprocessing
    size = " x ".join(map(str, seen.shape))
    lines = [
        f"{path}: {model.architecture}, images of {size} less {seen.mean} over {seen.std}, "
        f"{len(model.classes)} classes, licence {model.license or 'not stated'}, sha256 "
        f"{model.digest}",
        *(f"  {warning}" for warning in model.warnings),
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "striate-server import",
        description="Makes bundles, which striate-server --bundle hosts, of files in which "
        "networks are kept. It runs apart from any server.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a file of tensors (.safetensors, .pth, .pt, .ckpt, .bin), a folder of Hugging Face's "
        "library, a bundle, an ONNX graph (.onnx), or a program of "
        "TorchScript or torch.export (.pt2)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of bundles")
    parser.add_argument("--name", default="", help="of the network (default: the file's)")
    parser.add_argument("--force", action="store_true", help="replace bundles that are there")
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="e.g. resnet18 or timm:resnet18 (default: found by the tensors)",
    )
    parser.add_argument("--size", metavar="PIXELS", help="of the images, N or HEIGHT,WIDTH")
    for name, what in (("mean", "mean"), ("std", "standard deviation")):
        parser.add_argument(
            f"--{name}", metavar="VALUES", help=f"{what} of each channel in [0, 1], with commas"
        )
    parser.add_argument("--resize", metavar="PIXELS", help="short side before the centre crop")
    parser.add_argument("--interpolation", help="of the resize: nearest, bilinear or bicubic")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="text file with one class name a line"
    )
    parser.add_argument("--license", help="licence of the weights, e.g. MIT")
    parser.add_argument("--source", help="who published the weights, in words or as an address")
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="unpickle files that hold more than tensors, in a process without network: they may "
        "run code as you; only for files whose author you trust",
    )
    return parser


def _table_keys(given: argparse.Namespace) -> dict[str, Any]:
    """What was given, by the keys of a settings table."""
    size = given.size.split(",") if given.size else None
    keys: dict[str, Any] = {
        "size": size[0] if size and len(size) == 1 else size,
        "mean": given.mean.split(",") if given.mean else None,
        "std": given.std.split(",") if given.std else None,
        "resize": given.resize,
        "interpolation": given.interpolation,
        "labels": given.labels,
        "license": given.license,
        "origin": given.source,
    }
    return {key: value for key, value in keys.items() if value is not None}
