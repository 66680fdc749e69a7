"""Nobody serves the world by accident."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import Settings, load_settings
from service.config.binding import is_loopback
from tests.service.config.toys_config import refused

OPEN = ("0.0.0.0", "::", "[::]", "0", "192.0.2.7", "::ffff:0.0.0.0", "no.such.host.invalid", "")
CLOSED = ("127.0.0.1", "127.8.9.1", "127.1", "localhost", "::1", "[::1]", "::ffff:127.0.0.1")


def test_which_addresses_only_this_machine_reaches() -> None:
    assert [host for host in OPEN if host and is_loopback(host)] == []
    assert [host for host in CLOSED if not is_loopback(host)] == []


@pytest.mark.parametrize("host", OPEN)
def test_what_others_reach_needs_keys_or_an_open_word(host: str) -> None:
    with pytest.raises(ValidationError):
        Settings(host=host)
    if host:
        assert Settings(host=host, insecure=True).host == host
        files = {"tls_certificate": Path("c"), "tls_key": Path("k")}
        with pytest.raises(ValidationError, match="host"):  # TLS tells nobody who calls
            Settings(host=host, **files)
        assert Settings(host=host, **files, tls_client_ca=Path("a")).host == host


def test_metrics_stay_on_this_machine() -> None:
    with pytest.raises(ValidationError, match="metrics_host"):
        Settings(metrics_port=1, metrics_host="0.0.0.0")
    assert Settings(metrics_host="0.0.0.0").metrics_port == 0
    Settings(metrics_port=1, metrics_host="0.0.0.0", insecure=True)
    Settings(metrics_port=1, metrics_host="0.0.0.0", metrics_insecure=True)


@pytest.mark.parametrize("host", CLOSED)
def test_this_machine_needs_no_key(host: str) -> None:
    assert Settings(host=host).host == host


def test_the_refusal_names_the_ways_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(["--host", "0.0.0.0"], capsys)
    assert told.startswith("striate-server: --host: other machines reach 0.0.0.0")
    assert "--tls-certificate" in told
    assert "--insecure" in told
    monkeypatch.setenv("STRIATE_HOST", "0.0.0.0")
    assert refused([], capsys).startswith("striate-server: STRIATE_HOST: ")
    monkeypatch.setenv("STRIATE_INSECURE", "1")
    assert load_settings([]).insecure
    monkeypatch.setenv("STRIATE_INSECURE", "0")
    refused([], capsys)
    assert load_settings(["--insecure"]).insecure


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--tls-certificate", "c"], "--tls-certificate: needs tls_key beside it"),
        (["--tls-key", "k"], "--tls-key: needs tls_certificate beside it"),
        (["--tls-client-ca", "a"], "--tls-client-ca: needs tls_certificate and tls_key beside it"),
        (["--bundle", "/no/such.striate"], "--bundle: there is no file /no/such.striate"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(flags, capsys)


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "striate.toml"
    file.write_text('tls_certificate = "c.pem"\ntls_key = "/k.pem"\ninsecure = true')
    settings = load_settings(["--settings", str(file)])
    assert (settings.tls_certificate, settings.tls_key) == (tmp_path / "c.pem", Path("/k.pem"))
