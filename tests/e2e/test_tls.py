"""TLS of a real server: what connects, what the others are told, and keys that are replaced while
calls are made.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import striate
from tests.toys_keys import Authority, Pair
from tests.toys_server import Server, eventually, serving

MODEL = ("--model", "digits-lenet5")


@dataclass(frozen=True)
class TlsServer:
    """A server that speaks TLS, and the files that it was given."""

    target: str
    folder: Path
    authority: Authority
    files: Pair
    log: Path

    @property
    def port(self) -> str:
        return self.target.rpartition(":")[2]


@contextlib.contextmanager
def tls_server(folder: Path, mutual: bool) -> Iterator[TlsServer]:
    """A server with a certificate of its own; mutual: it asks for those of its clients."""
    authority = Authority(folder)
    files = authority.sign("server")
    flags = ["--tls-certificate", str(files.certificate), "--tls-key", str(files.key)]
    if mutual:
        flags += ["--tls-client-ca", str(authority.certificate)]
    with serving(folder, *MODEL, *flags) as (_, target):
        yield TlsServer(target, folder, authority, files, folder / "stderr.log")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(tmp_path_factory.mktemp("tls"), False) as started:
        yield started


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(tmp_path_factory.mktemp("mutual"), True) as started:
        yield started


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command `striate` in a process of its own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")}
    program = str(Path(sys.executable).with_name("striate"))
    return subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=ours | environment,
        check=False,
    )


def names(service: striate.Service) -> list[str]:
    return [model.name for model in service.models()]


def test_the_authority_s_certificate_is_enough(tls: TlsServer) -> None:
    with striate.connect(tls.target, ca=tls.authority.certificate) as service:
        assert names(service) == ["digits-lenet5"]
        assert service.health(ready=True) == "SERVING"
    with striate.connect(tls.target, tls=True, ca=str(tls.authority.certificate)) as service:
        assert names(service) == ["digits-lenet5"]


def test_the_probe_and_the_command_line(tls: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = str(tls.authority.certificate)
    server = ("--server", tls.target)
    assert run("health", "--ready", *server, "--ca", ca).stdout == "SERVING\n"
    assert run("--ca", ca, "health", *server).stdout == "SERVING\n"
    found = run("models", "--json", STRIATE_SERVER=tls.target, STRIATE_CA=ca)
    assert [model["name"] for model in json.loads(found.stdout)["models"]] == ["digits-lenet5"]
    refused = run("models", *server)
    assert refused.returncode == 4
    assert "--tls and --ca FILE" in refused.stderr
    monkeypatch.setenv("STRIATE_CA", ca)
    with striate.connect(tls.target) as service:
        assert names(service) == ["digits-lenet5"]


def test_what_does_not_fit_is_told_at_once(tls: TlsServer, server: Server, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").certificate
    ours = tls.authority.certificate
    for target, ca, plain, told in (
        (tls.target, stranger, False, "ca=PATH"),
        (f"127.0.0.1:{tls.port}", None, True, "pass tls=True"),
        (server.target, ours, False, "speaks plain text"),
    ):
        arguments: dict[str, object] = {"tls": False} if plain else {"ca": ca}
        with striate.connect(target, **arguments) as service:  # type: ignore[arg-type]
            for _ in range(2):
                with pytest.raises(striate.TLSFailed, match=told) as caught:
                    service.models()
                assert isinstance(caught.value, striate.Unavailable)
            with pytest.raises(striate.TLSFailed, match=told):
                service.upload(np.zeros((1, 8, 8, 1), np.uint8), 0)


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server", "server", "striate.example")
    flags = ("--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key))
    with (
        serving(tmp_path, *MODEL, *flags) as (_, target),
        striate.connect(target, ca=authority.certificate) as service,
        pytest.raises(striate.TLSFailed, match="for other names"),
    ):
        service.models()


def test_clients_show_their_certificate(mutual: TlsServer, tmp_path: Path) -> None:
    ca, mine = mutual.authority.certificate, mutual.authority.sign("analyst")
    with striate.connect(
        mutual.target, ca=ca, certificate=mine.certificate, key=mine.key
    ) as service:
        assert names(service) == ["digits-lenet5"]
    words = ("--ca", str(ca), "--certificate", str(mine.certificate), "--key", str(mine.key))
    assert run("health", "--server", mutual.target, *words).stdout == "SERVING\n"
    strange = Authority(tmp_path, "strange").sign("stranger")
    for shown, told in (({}, "a certificate of the caller"), (vars(strange), "another")):
        with (
            striate.connect(mutual.target, ca=ca, **shown) as service,
            pytest.raises(striate.TLSFailed, match=f"asks for {told}"),
        ):
            service.models()


def test_keys_are_replaced_while_calls_are_made(tls: TlsServer) -> None:
    """Every call over an open connection and over new ones succeeds, through a change of the
    authority and a broken file; connections that are made later have the new certificate.
    """
    before, failed, calls = tls.authority.certificate, list[BaseException](), [0]
    trusted, stop = tls.folder / "trusted.pem", threading.Event()
    shutil.copy(before, trusted)

    def call(anew: bool) -> None:
        held = striate.connect(tls.target, ca=before)
        try:
            while not stop.is_set():
                if anew:
                    held.close()
                    held = striate.connect(tls.target, ca=trusted)
                held.health()
                calls[0] += 1
        except striate.StriateError as error:
            failed.append(error)
        finally:
            held.close()

    threads = [threading.Thread(target=call, args=(anew,)) for anew in (False, True, True)]
    for thread in threads:
        thread.start()
    try:
        new = Authority(tls.folder, "new")
        trusted.write_bytes(before.read_bytes() + new.certificate.read_bytes())
        for turn in range(3):
            begun = calls[0]
            eventually(lambda begun=begun: calls[0] > begun + 20)  # type: ignore[misc]
            if turn == 1:
                tls.files.certificate.write_text("broken")
                eventually(lambda: "the last valid stay" in tls.log.read_text())
            new.sign("server")
        begun = calls[0]
        eventually(lambda: calls[0] > begun + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    with striate.connect(tls.target, ca=new.certificate) as service:
        assert names(service) == ["digits-lenet5"]
    with striate.connect(tls.target, ca=before) as service, pytest.raises(striate.TLSFailed):
        service.models()
    log = tls.log.read_text()
    assert "TLS certificates: read again" in log
    assert "PRIVATE" not in log


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tls-certificate", "no.pem", "--tls-key", "no.key"), "no.pem"),
        (("--host", "0.0.0.0"), "--insecure"),
    ],
)
def test_a_server_without_its_keys_does_not_start(
    tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    program = str(Path(sys.executable).with_name("striate-server"))
    command = [program, "--port", "0", "--state-dir", str(tmp_path / "state"), *flags]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert told in found.stderr
    assert "Traceback" not in found.stderr
