"""The authorization matrix: every method of every service, called by everyone there is."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import striate
from bench.fuzz.methods import METHODS, Method
from service.auth.identity import Role
from service.auth.tokens import digest, new_token
from service.rpc.roles import least_role
from striate.errors import PermissionDenied, Unauthenticated
from tests.toys_keys import Authority
from tests.toys_server import eventually, free_port, metric, serving

MODEL = ("--model", "digits-lenet5")
ROLES = {"read": Role.READ, "compute": Role.COMPUTE, "admin": Role.ADMIN}
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@dataclass(frozen=True)
class Guarded:
    """A server with an auth file, and tokens by who has them."""

    target: str
    auth: Path
    log: Path
    tokens: dict[str, str]
    metrics_port: int


def write(auth: Path, *names: str, expires: str = "") -> dict[str, str]:
    """Make tokens, whose names are roles, or any name for the role "compute"."""
    made, text = {}, ""
    for name in names:
        made[name] = new_token()
        role = name if name in ROLES else "compute"
        text += f'[[tokens]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest(made[name])}"\n'
        text += expires if name == "expired" else ""
    auth.write_text(text)
    auth.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    auth, port = folder / "auth.toml", free_port()
    tokens = write(auth, *ROLES, "expired", expires="expires = 2020-01-01\n")
    flags = ["--auth", str(auth), "--metrics-port", str(port)]
    flags += ["--access-log", str(folder / "access.jsonl")]
    with serving(folder, *MODEL, *flags) as (_, target):
        yield Guarded(target, auth, folder / "stderr.log", tokens, port)


def code(channel: grpc.Channel, method: Method, authorization: str | None) -> grpc.StatusCode:
    """How an empty request ends; OK for a stream that begins."""
    multi = getattr(channel, method.kind)(method.name)
    request = iter([b""]) if method.kind.startswith("stream") else b""
    metadata = () if authorization is None else (("authorization", authorization),)
    try:
        answer = multi(request, timeout=20, metadata=metadata)
        if method.kind.endswith("stream"):
            next(answer, None)
            answer.cancel()
    except grpc.RpcError as error:
        found: grpc.StatusCode = error.code()
        return found
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name.rpartition("/")[2])
def test_the_matrix(guarded: Guarded, method: Method) -> None:
    least = least_role(method.name)
    with grpc.insecure_channel(guarded.target, [("grpc.enable_retries", 0)]) as channel:
        for shown in (
            None,
            "Bearer wrong",
            f"Bearer {guarded.tokens['expired']}",
            f"Basic {guarded.tokens['admin']}",
        ):
            found = code(channel, method, shown)
            # A probe needs no key; a wrong one is told all the same.
            expected = least is not None or shown is not None
            assert (found is grpc.StatusCode.UNAUTHENTICATED) == expected, shown
        for name, role in ROLES.items():
            found = code(channel, method, f"Bearer {guarded.tokens[name]}")
            if least is not None and role < least:
                assert found is grpc.StatusCode.PERMISSION_DENIED, name
            else:
                assert found not in REFUSED, name


def test_the_client_tells_what_is_missing(guarded: Guarded) -> None:
    with striate.connect(guarded.target) as service:
        assert service.health() == "SERVING"
        with pytest.raises(Unauthenticated, match="STRIATE_TOKEN"):
            service.models()
    with striate.connect(guarded.target, token=guarded.tokens["read"]) as service:
        net = service.model("digits-lenet5")
        image = np.zeros((1, 1, 32, 32), np.float32)
        assert len(net.classify(image)) == 1
        with pytest.raises(PermissionDenied, match="read has role read, and Attack needs compute"):
            net.attack(image, [3], striate.FGSM(0.1))
    with striate.connect(guarded.target, token=guarded.tokens["compute"]) as service:
        assert len(service.model("digits-lenet5").attack(image, [3], striate.FGSM(0.1)).images) == 1
        with pytest.raises(PermissionDenied, match="LoadModel needs admin"):
            service.load("cifar10-plain")


def test_no_token_is_in_the_log(guarded: Guarded) -> None:
    for shown in (*guarded.tokens.values(), "x" * 40):
        with (
            contextlib.suppress(striate.StriateError),
            striate.connect(guarded.target, token=shown) as service,
        ):
            service.models()
    log = guarded.log.read_text() + guarded.log.with_name("access.jsonl").read_text()
    assert "UNAUTHENTICATED" in log
    for shown in (*guarded.tokens.values(), "x" * 40):
        assert shown not in log
    refused = metric(guarded.metrics_port, 'striate_auth_failures_total{reason="Unauthenticated"}')
    assert refused > 0


def test_the_access_log_says_who_did_what(guarded: Guarded) -> None:
    net = "digits-lenet5"
    with striate.connect(guarded.target, token=guarded.tokens["compute"]) as service:
        audit = service.audit([net], dataset="digits", limit=8, skip_checks=True)
        audit.wait(timeout=120)
        with pytest.raises(PermissionDenied):
            service.unload(net)
        next(iter(service.model(net).attack_stream([np.zeros((1, 32, 32), np.float32)])))

    def said(method: str) -> list[dict[str, Any]]:
        text = guarded.log.with_name("access.jsonl").read_text()
        every = [json.loads(line) for line in text.splitlines()]
        return [
            one for one in every if one["method"].endswith(method) and one["identity"] == "compute"
        ]

    eventually(lambda: said("/AttackStream"), 10)
    (started,) = (one for one in said("/Audit") if one["code"] == "OK")
    assert (started["models"], started["datasets"]) == ([net], ["digits"])
    assert started["operations"] == [audit.name]
    assert (started["role"], started["peer"][:4]) == ("compute", "ipv4")
    assert [one["models"] for one in said("/AttackStream") if "models" in one] == [[net]]
    assert any(audit.name in one.get("operations", ()) for one in said("Operation"))
    refused = said("/UnloadModel")[-1]  # before its request was read: of what, nobody knows
    assert refused["code"] == "PERMISSION_DENIED"


def test_a_large_upload_of_a_stranger_is_not_read(guarded: Guarded) -> None:
    """It is refused before its body has come: sending it all would take far more memory."""
    sent = []

    def parts() -> Iterator[bytes]:
        for _ in range(10_000):
            sent.append(1)
            yield bytes(2**20)

    with grpc.insecure_channel(guarded.target) as channel:
        upload: Any = channel.stream_unary("/striate.v1.RobustnessService/UploadDataset")
        with pytest.raises(grpc.RpcError) as error:
            upload(parts(), timeout=60)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(sent) < 200


def test_a_token_that_is_taken_out_stops_working_at_once(tmp_path: Path) -> None:
    auth = tmp_path / "auth.toml"
    write(auth, "ann")
    with serving(tmp_path, *MODEL, "--auth", str(auth)) as (_, target):
        for _ in range(3):  # it may be in the midst of a message, or between two
            ann = write(auth, "ann")["ann"]
            with striate.connect(target, token=ann) as service:
                _taken_out(service, auth)
    lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    ends = [line["code"] for line in lines if str(line.get("method")).endswith("/Visualize")]
    assert ends == ["UNAUTHENTICATED"] * 3


def _taken_out(service: striate.Service, auth: Path) -> None:
    """Take the token out while a call with it lasts, and call again."""
    net, steps = service.model("digits-lenet5"), list[float]()

    def take_out(progress: striate.Progress) -> None:
        if not steps:
            write(auth, "bob")
        steps.append(time.monotonic())

    with pytest.raises(Unauthenticated, match="ann was taken out"):
        net.visualize(["c1:0"] * 32, steps=4096, on_progress=take_out, timeout=120)
    assert steps[-1] - steps[0] < 10
    with pytest.raises(Unauthenticated, match="not known here, or was taken out"):
        service.models()


def test_a_client_certificate_is_an_identity(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served, client, stranger = (authority.sign(name) for name in ("server", "ci", "other"))
    auth = tmp_path / "auth.toml"
    tokens = write(auth, "admin")
    auth.write_text(
        auth.read_text() + '[[certificates]]\nname = "ci"\nrole = "read"\nsubject = "CN=ci"\n'
    )
    flags = ["--tls-certificate", str(served.certificate), "--tls-key", str(served.key)]
    flags += ["--tls-client-ca", str(authority.certificate), "--auth", str(auth)]
    with serving(tmp_path, *MODEL, *flags) as (_, target):
        ca = authority.certificate
        with striate.connect(
            target, ca=ca, certificate=client.certificate, key=client.key
        ) as service:
            assert [model.name for model in service.models()] == ["digits-lenet5"]
            with pytest.raises(PermissionDenied, match="ci has role read"):
                service.unload("digits-lenet5")
        with (
            striate.connect(
                target, ca=ca, certificate=stranger.certificate, key=stranger.key
            ) as service,
            pytest.raises(Unauthenticated, match="'CN=other' has no role here"),
        ):
            service.models()
        # A token says more than the certificate of the connection.
        with striate.connect(
            target,
            ca=ca,
            certificate=client.certificate,
            key=client.key,
            token=tokens["admin"],
        ) as service:
            service.unload("digits-lenet5")
