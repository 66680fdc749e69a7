"""What belongs to one call: its request id, and the version of the service that answers it."""

from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

import grpc

from service.auth import identity
from service.engine.share import Share
from service.imaging.decoding import ShareCall

Context = grpc.aio.ServicerContext[Any, Any]  # gRPC's own, of handlers

VERSION = version("striate-server")
request_id: ContextVar[str] = ContextVar("request_id", default="")
# whose turn a call takes where calls share threads: no two calls have an equal one
caller: ContextVar[object] = ContextVar("caller", default=None)
# the connection that a call came by
peer: ContextVar[str] = ContextVar("peer", default="")


def present_share() -> Share:
    """Tell whose turn the work of the present call takes: its caller's, or where nobody is told
    apart, its connection's; the server's own outside of any call.
    """
    by = identity.current.get()
    return Share(by.name or peer.get(), by.quota.weight)


def present_turn(otherwise: object) -> ShareCall:
    """Tell whose turn the present call takes in threads that all calls share.

    Args:
        otherwise: what stands for the call outside of any.
    """
    return ShareCall(present_share().key, caller.get() or otherwise)
