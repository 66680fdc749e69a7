"""What belongs to one call: its request id, and the version of the service that answers it."""

from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]  # gRPC's own, of handlers

VERSION = version("striate-server")
request_id: ContextVar[str] = ContextVar("request_id", default="")
# whose turn a call takes where calls share threads: no two calls have an equal one
caller: ContextVar[object] = ContextVar("caller", default=None)
