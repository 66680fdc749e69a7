"""Runs the application, and tells when it serves."""

from __future__ import annotations

import logging
import socket
import warnings

import uvicorn

from striate import StriateWarning
from striate_web.app import application
from striate_web.settings import Settings


class _Announcing(uvicorn.Server):
    """Prints the address once it serves."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        if self.should_exit or not self.servers:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"striate microscope on http://{self._settings.url_host}:{port}", flush=True)


def serve(settings: Settings) -> bool:
    """Serves until SIGINT or SIGTERM.

    Args:
        settings: What it is started with.

    Returns:
        Whether it came to serve.
    """
    warnings.simplefilter("ignore", StriateWarning)  # the pages show what answers are doubted
    logging.basicConfig(format="striate-web: %(levelname)s: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        application(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=1000,
    )
    server = _Announcing(config, settings)
    server.run()
    return server.started
