"""Probes without TLS and keys, on a port of their own."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.auth.tokens import digest, new_token
from tests.toys_keys import Authority
from tests.toys_server import free_port, serving

MODEL = "digits-lenet5"


def test_probes_in_plain_text_are_told_of_the_server_alone(tmp_path: Path) -> None:
    files, port, auth = Authority(tmp_path).sign("server"), free_port(), tmp_path / "auth.toml"
    auth.write_text(f'[[tokens]]\nname = "a"\nrole = "read"\nsha256 = "{digest(new_token())}"\n')
    flags = ["--tls-certificate", str(files.certificate), "--tls-key", str(files.key)]
    flags += ["--auth", str(auth), "--model", MODEL, "--health-port", str(port)]
    with serving(tmp_path, *flags), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "striate.readiness", "striate.v1.ModelService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as error:
            stub.Check(health_pb2.HealthCheckRequest(service=MODEL), timeout=20)
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        models: Any = channel.unary_unary("/striate.v1.ModelService/ListModels")
        with pytest.raises(grpc.RpcError) as error:
            models(b"", timeout=20)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
