"""Clients and servers of different versions: what is understood, and what users are told."""

import warnings
from collections.abc import Callable

import grpc
import pytest

import striate
from striate._rpc import caller
from striate._rpc.versions import understand
from tests.client.fakes.fakes_server import Fake, failure
from tests.client.toys_cli import Cli


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.1.9.dev3", True),
        ("0.1.0", "0.2.0", False),
        ("0.10.0", "0.1.0", False),
        ("0.9.0", "1.9.0", False),
        ("1.0.0", "1.7.2", True),
        ("1.7.2", "1.0.0rc1", True),
        ("2.1.0", "1.1.0", False),
        ("", "1.0.0", True),
        ("1.0.0", "", True),
        ("1.0.0", "of today", True),
    ],
)
def test_who_understands_whom(client: str, server: str, expected: bool) -> None:
    assert understand(client, server) is expected
    assert understand(server, client) is expected


def of_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(caller, "client_version", lambda: version)


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.models(),
        lambda service: service.health(),
        lambda service: list(service.samples("digits", count=1)),
    ],
)
def test_one_warning_a_connection(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, call: Callable[[striate.Service], object]
) -> None:
    of_version(monkeypatch, "0.1.0")
    fake.version = "0.2.0"
    for _ in range(2):
        with striate.connect(fake.target) as service:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", striate.StriateWarning)
                call(service)
                call(service)
            assert len(caught) == 1
            assert caught[0].filename == __file__
            message = str(caught[0].message)
            assert (
                f"the client is version 0.1.0 and the server at {fake.target} is 0.2.0" in message
            )
            assert "pip install ./clients ." in message


def test_near_versions_are_silent(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version(monkeypatch, "1.0.0")
    fake.version = "1.4.0"
    with striate.connect(fake.target) as service, warnings.catch_warnings():
        warnings.simplefilter("error")
        service.models()


def test_an_unknown_call_names_both_versions_where_they_differ(
    fake: Fake, service: striate.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.health()
    of_version(monkeypatch, "0.1.0")
    for version, told in (("0.1.7", True), ("0.1.0", False)):
        fake.version = version
        service.health()
        fake.failures.append(failure(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"))
        with pytest.raises(striate.Unimplemented, match=r"^Method not found!") as caught:
            service.models()
        assert ("(the client is 0.1.0, the server 0.1.7; install both" in str(caught.value)) is told
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_failing_call_warns_too(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows no call of ours names its version in the refusal itself."""
    of_version(monkeypatch, "0.1.0")

    def refuse(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("x-striate-version", "3.0.0"),))
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")

    fake.failures.append(refuse)
    with (
        striate.connect(fake.target) as service,
        pytest.warns(striate.StriateWarning, match=r"is 3\.0\.0"),
        pytest.raises(striate.Unimplemented, match=r"the client is 0\.1\.0, the server 3\.0\.0"),
    ):
        service.models()


def test_the_command_line_says_it_on_stderr(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version(monkeypatch, "0.1.0")
    cli.fake.version = "0.2.0"
    assert (
        "striate: warning: the client is version 0.1.0 and the server" in cli.run("models").stderr
    )
