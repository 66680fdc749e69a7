"""The files of TLS are checked before they are used."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.auth import certificates
from tests.toys_keys import Authority


def test_a_pair_and_an_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    found = certificates.read(pair.certificate, pair.key, authority.certificate)
    assert found.certificate == pair.certificate.read_bytes()
    assert found.client_ca == authority.certificate.read_bytes()
    assert "PRIVATE" not in repr(found)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.sign("server"), authority.sign("other")
    words = tmp_path / "words"
    words.write_text("no certificate")
    for certificate, key, client_ca, told in (
        (pair.certificate, other.key, None, "KEY_VALUES_MISMATCH"),
        (words, pair.key, None, "tls_certificate"),
        (pair.certificate, words, None, "tls_key"),
        (pair.certificate, pair.key, words, "tls_client_ca"),
    ):
        with pytest.raises(ValueError, match=told):
            certificates.read(certificate, key, client_ca)
    with pytest.raises(OSError, match="nowhere"):
        certificates.read(tmp_path / "nowhere", pair.key, None)


def test_a_key_that_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    pair = Authority(tmp_path).sign("server")
    with capture_logs() as logs:
        certificates.watched(pair.certificate, pair.key, None)
        assert logs == []
        pair.key.chmod(0o644)
        certificates.watched(pair.certificate, pair.key, None)
    assert [(line["log_level"], line["tls_key"]) for line in logs] == [("warning", str(pair.key))]
