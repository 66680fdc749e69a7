"""What secures a connection is checked before anything is sent."""

from pathlib import Path

import grpc
import pytest

import striate
from tests.client.fakes.fakes_server import Fake
from tests.toys_keys import Authority

TOKEN = "striate_" + "x" * 43


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLS", "CA", "CERTIFICATE", "KEY", "TOKEN"):
        monkeypatch.delenv(f"STRIATE_{name}", raising=False)


def test_the_token_goes_with_every_call(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    with striate.connect(fake.target, token=f"{TOKEN}\n") as service:
        service.models()
        net = service.model("tiny")
        net.visualize("stem:1")
    sent = [call.metadata.get("authorization") for call in fake.calls]
    assert sent == [f"Bearer {TOKEN}"] * len(sent)
    monkeypatch.setenv("STRIATE_TOKEN", "another")
    with striate.connect(fake.target) as service:
        service.models()
    assert fake.calls[-1].metadata["authorization"] == "Bearer another"


@pytest.mark.parametrize(
    "target", ["striate.example:50051", "192.0.2.1:1", "[2001:db8::1]:5", "127.0.0.1.example:9"]
)
def test_a_token_does_not_travel_in_the_clear(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(striate.InvalidArgument, match="in the clear") as caught:
        striate.connect(target, token=TOKEN)
    assert TOKEN not in str(caught.value)
    monkeypatch.setenv("STRIATE_TOKEN", TOKEN)
    with pytest.raises(striate.InvalidArgument, match="in the clear"):
        striate.connect(target)
    striate.connect(target, tls=True).close()
    striate.connect(target, credentials=grpc.ssl_channel_credentials()).close()


@pytest.mark.parametrize("target", ["localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/run/s.sock"])
def test_within_the_machine_it_may(target: str) -> None:
    striate.connect(target, token=TOKEN).close()


@pytest.mark.parametrize("token", ["", "two words", "\n", "é", "a\x00b", 7])
def test_a_token_is_one_word_and_is_not_shown(token: object) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        striate.connect("localhost:1", token=token)  # type: ignore[arg-type]
    assert list(caught.value.fields) == ["token"]
    assert repr(token) not in str(caught.value)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, other = authority.sign("mine"), authority.sign("other")
    words = tmp_path / "words"
    words.write_text("nothing")
    cases: list[tuple[str, dict[str, object]]] = [
        ("ca", {"ca": tmp_path / "nowhere"}),
        ("ca", {"ca": words}),
        ("certificate", {"certificate": mine.certificate}),
        ("key", {"key": mine.key}),
        ("certificate", {"certificate": mine.certificate, "key": other.key}),
        ("key", {"certificate": mine.certificate, "key": tmp_path}),
        ("tls", {"tls": False, "ca": authority.certificate}),
        ("tls", {"tls": "yes"}),
        ("credentials", {"tls": True, "credentials": grpc.ssl_channel_credentials()}),
    ]
    for field, arguments in cases:
        with pytest.raises(striate.InvalidArgument) as caught:
            striate.connect("localhost:1", **arguments)  # type: ignore[arg-type]
        assert list(caught.value.fields) == [field]


def test_the_environment_says_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_TLS", "perhaps")
    with pytest.raises(striate.InvalidArgument, match="STRIATE_TLS"):
        striate.connect("localhost:1")
    striate.connect("localhost:1", tls=False).close()
