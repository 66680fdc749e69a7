"""What belongs to one call: its request id, and the version of the service that answers it."""

from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]  # gRPC's own, of handlers

VERSION = version("striate-server")
request_id: ContextVar[str] = ContextVar("request_id", default="")
