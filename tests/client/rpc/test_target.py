"""The address of a server, as people write it."""

import pytest

import striate
from striate._rpc.target import check_target


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "127.0.0.1:1",
        "[::1]:50051",
        "gpu-7.lab.example:65535",
        "unix:/run/striate.sock",
        "dns:///name:50051",
        "ipv4:127.0.0.1:50051,127.0.0.2:50051",
    ],
)
def test_addresses_that_grpc_reads(target: str) -> None:
    assert check_target(target) == target


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("127.0.0.1", 'HOST:PORT is meant, "127.0.0.1:50051"'),
        ("localhost", '"localhost:50051"'),
        ("http://localhost:8080", '"localhost:8080", no URL'),
        ("https://gpu.lab/", '"gpu.lab:50051", no URL'),
        ("grpc://gpu.lab:7", '"gpu.lab:7", no URL'),
        ("::1", "IPv6 host in brackets"),
        ("[::1]", '"[::1]:50051"'),
        ("host:port", "a port from 1 to 65535"),
        ("host:0", "a port from 1 to 65535"),
        ("host:70000", "a port from 1 to 65535"),
        (":50051", "HOST:PORT"),
        ("", 'must be "host:port"'),
        (50051, 'must be "host:port"'),
    ],
)
def test_others_are_told_what_is_meant(target: str, told: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        striate.connect(target)
    assert told in str(caught.value)
