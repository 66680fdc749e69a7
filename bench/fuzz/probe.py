"""A process beside a bench that asks a server for its health, and says how long it waited:
`python -m bench.fuzz.probe TARGET`, until its standard input closes.
"""

import json
import sys
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PAUSE = 0.02  # seconds


def main() -> None:
    """Ask until told to stop; print the seconds of each answer as a JSON list."""
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    waited = list[float]()
    with grpc.insecure_channel(sys.argv[1]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        ask = health_pb2.HealthCheckRequest()
        stub.Check(ask, wait_for_ready=True, timeout=60)  # type: ignore[attr-defined]
        print("ready", flush=True)
        while not stop.wait(PAUSE):
            began = time.monotonic()
            stub.Check(ask, timeout=60)  # type: ignore[attr-defined]
            waited.append(time.monotonic() - began)
    print(json.dumps(waited))


if __name__ == "__main__":
    main()
