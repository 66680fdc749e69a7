"""`striate-server`: reads the settings, sets up the log, serves."""

import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

import structlog

from service.auth.command import main as make_token
from service.auth.reread import FilesUnusable
from service.config import load_settings
from service.config.log import set_up_log
from service.config.settings import default_state_dir
from service.process import packages
from service.process.tracing.export import TracingUnusable
from service.state import StateInUse, StateUnusable


def main(argv: list[str] | None = None) -> None:
    """Run the server until it is told to stop; or, behind `import`, make bundles of files; or,
    behind `state`, look after the state folder. Exit code 0 after a drain, 1 if it could not start,
    2 for wrong settings or where the client's package is missing.

    Args:
        argv: the flags; None: the process's own.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["import"]:
        sys.exit(_import(arguments[1:]))
    if arguments[:1] == ["state"]:
        sys.exit(_state(arguments[1:]))
    if arguments[:1] == ["token"]:
        auth = os.environ.get("STRIATE_AUTH")
        sys.exit(make_token(arguments[1:], Path(auth) if auth else None))
    settings = load_settings(argv)
    if (complaint := packages.complaint()) is not None:
        sys.stderr.write(f"striate-server: {complaint}\n")
        sys.exit(2)
    set_up_log(settings)
    from service.server import serve  # after the settings: `--help` need not wait for torch

    try:
        asyncio.run(serve(settings))
    except (StateInUse, StateUnusable, FilesUnusable, TracingUnusable) as error:
        sys.stderr.write(f"striate-server: {error}\n")
        sys.exit(2 if isinstance(error, FilesUnusable | TracingUnusable) else 1)
    except Exception as error:  # noqa: BLE001 - whatever keeps the server from starting is logged in one line
        structlog.get_logger("striate").error(
            "the server stops", error=str(error), kind=type(error).__name__, exc_info=error
        )
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own end would wait for threads that hang, in a download for instance.
    os._exit(0)


def _import(arguments: list[str]) -> int:
    """Make bundles of files; warnings go to stderr, since stdout is for what was made."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    from service.models.importer.command import main as import_files

    return import_files(arguments)


def _state(arguments: list[str]) -> int:
    """Look after a state folder."""
    from service.datasets import uploads
    from service.index import files
    from service.state.command import main as look_after
    from service.visualization import cache

    verifiers = {
        "datasets/uploads/upload-*.parquet": uploads.damage,
        "indexes/*.safetensors": files.damage,
        "pictures/*/*.json": cache.damage,
    }
    folder = os.environ.get("STRIATE_STATE_DIR") or default_state_dir()
    return look_after(arguments, Path(folder), version("striate-server"), verifiers)


if __name__ == "__main__":
    main()
