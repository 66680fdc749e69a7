"""Trusted files that run code when they are read: read in a process without network.

Only tensors come back, in a file that is read without unpickling. The process runs as the user and
may read and write the user's files: it is for files whose author is trusted.
"""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from service.models.checkpoints import ModelError

_PROGRAMS = Path(__file__).parent / "sandboxed"
_SECONDS = 600
_DATA_BYTES = 8 << 30  # beside four times the file's own
_FILE_BYTES = 64 << 20  # likewise
_TOLD = 300  # characters of a failure
_WITHOUT_NETWORK = (("--net",), ("--user", "--map-root-user", "--net"))  # as root, and as others


def plain_copy(path: Path, scratch: Path) -> Path:
    """Read a pickled file, and write the tensors in it to a plain one.

    Args:
        path: of the file.
        scratch: folder for the plain one.

    Returns:
        The plain file's path.

    Raises:
        ModelError: there is no way here to keep a process from the network, or the file cannot be
            read.
    """
    target = scratch / f"{path.stem}.pth"
    run(_PROGRAMS / "unpickle.py", path, target)
    return target


def run_program(path: Path, target: Path, shape: tuple[int, ...] = ()) -> None:
    """Load a TorchScript or torch.export file, and write its tensors to a plain one.

    Args:
        path: of the file.
        target: the plain file that is written.
        shape: (N, C, H, W) of images that it also answers, kept with its logits; none: no images.

    Raises:
        ModelError: there is no way here to keep a process from the network, or the file cannot be
            loaded or run.
    """
    run(_PROGRAMS / "run_program.py", path, target, ",".join(map(str, shape)))


def run(program: Path, path: Path, target: Path, *arguments: str) -> None:
    """Run a program of ours on a trusted file, without network and with limits.

    Args:
        program: given the two paths and the arguments that follow.
        path: of the trusted file.
        target: that it writes.
        arguments: further ones.

    Raises:
        ModelError: there is no way here to keep a process from the network, or it fails.
    """
    size = path.stat().st_size
    paths = (str(path.absolute()), str(target), *arguments)
    command = [*_unshare(), sys.executable, "-I", str(program), *paths]
    known = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    environment = known | {"OMP_NUM_THREADS": "1", "HOME": str(target.parent)}

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES + 4 * size,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES + 4 * size,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment,
            cwd=target.parent,
            preexec_fn=limits,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path.name} was not read within {_SECONDS} seconds") from error
    if ended.returncode != 0 or not target.is_file():
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        reason = lines[-1][:_TOLD] if lines else f"the process ended with {ended.returncode}"
        raise ModelError(f"{path.name} cannot be read, even where objects are trusted: {reason}")


def _unshare() -> list[str]:
    """The command that runs another without network."""
    program = shutil.which("unshare")
    for flags in _WITHOUT_NETWORK if program else ():
        assert program is not None
        tried = subprocess.run([program, *flags, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return [program, *flags, "--"]
    raise ModelError(
        "--trust-pickle reads files in a process without network, which takes Linux, the program "
        "`unshare` (of util-linux), and root or user namespaces; there is none of that here. Save "
        "the tensors alone where the file comes from: torch.save(model.state_dict(), ...)"
    )
