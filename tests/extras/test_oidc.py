"""Tokens of identity providers: what is taken, and what an attacker would try."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.auth.authority import Authority
from service.auth.errors import ProviderUnreachable, Unauthenticated
from service.auth.identity import Identity, Role
from service.auth.reread import FilesUnusable

ISSUER, AUDIENCE = "https://login.example", "striate"


@dataclass
class Provider:
    """Signs tokens, and publishes its keys."""

    keys: dict[str, Any] = field(default_factory=dict)  # private keys by kid

    def jwks(self) -> str:
        found = []
        for kid, key in self.keys.items():
            algorithm = jwt.algorithms.RSAAlgorithm if is_rsa(key) else jwt.algorithms.ECAlgorithm
            public: Any = algorithm.to_jwk(key.public_key(), as_dict=True)
            found.append({**public, "kid": kid, "use": "sig"})
        return json.dumps({"keys": found})

    def token(self, kid: str = "one", algorithm: str = "", **changed: Any) -> str:
        now = time.time()
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600}
        claims = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        key = self.keys[kid]
        algorithm = algorithm or ("RS256" if is_rsa(key) else "ES256")
        return str(jwt.encode(claims, key, algorithm, headers={"kid": kid}))


def is_rsa(key: object) -> bool:
    return isinstance(key, rsa.RSAPrivateKey)


@pytest.fixture(scope="module")
def provider() -> Provider:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Provider({"one": key, "two": ec.generate_private_key(ec.SECP256R1())})


def authority(folder: Path, jwks: str, more: str = 'role = "read"') -> Authority:
    path = folder / "auth.toml"
    path.write_text(
        f'[[providers]]\nname = "sso"\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\n'
        f'jwks = "{jwks}"\n{more}\n'
    )
    return Authority(path)


def who(known: Authority, token: str) -> Identity:
    return asyncio.run(known.by_token(f"Bearer {token}")).identity


@pytest.fixture
def filed(provider: Provider, tmp_path: Path) -> Iterator[Authority]:
    (tmp_path / "keys.json").write_text(provider.jwks())
    known = authority(tmp_path, "keys.json")
    yield known
    known.close()


def test_valid_tokens_of_both_kinds_of_keys(filed: Authority, provider: Provider) -> None:
    for kid in provider.keys:
        found = who(filed, provider.token(kid))
        assert (found.name, found.role) == ("sso:ann", Role.READ)
    assert who(filed, provider.token(aud=["other", AUDIENCE])).name == "sso:ann"
    assert who(filed, provider.token(exp=time.time() - 10)).name == "sso:ann"  # within the skew


def test_roles_by_claim(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(provider.jwks())
    roles = 'role_claim = "groups"\nroles = { compute = ["vision"], admin = ["platform"] }\n'
    known = authority(tmp_path, "keys.json", roles + 'models = ["cifar10-*"]')
    chosen: list[tuple[Any, Role]] = [
        (["vision"], Role.COMPUTE),
        (["vision", "platform"], Role.ADMIN),
        ("platform", Role.ADMIN),
    ]
    for groups, role in chosen:
        found = who(known, provider.token(groups=groups))
        assert (found.role, found.models) == (role, ("cifar10-*",))
    wrong: list[Any] = [["other"], [], None, 7, [["platform"]], {"platform": True}, "platform,x"]
    for groups in wrong:
        with pytest.raises(Unauthenticated, match="has no role here"):
            who(known, provider.token(groups=groups))
    known.close()


def unsigned(provider: Provider) -> str:
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    return str(jwt.encode(claims, "", "none"))


def by_public_key(provider: Provider) -> str:
    """Signed with the public key as a shared secret (RFC 8725, section 2.1)."""
    public = (
        provider.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body = ({"alg": "HS256", "kid": "one", "typ": "JWT"}, provider.token().split(".")[1])
    begin = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=").decode() + "." + body
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        begin.encode(), public
    )
    return begin + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def of_a_stranger(provider: Provider) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Provider({"one": key}).token()


def with_another_body(provider: Provider) -> str:
    head, _, signature = provider.token().split(".")
    return ".".join([head, provider.token(sub="root").split(".")[1], signature])


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        by_public_key,
        of_a_stranger,
        with_another_body,
        lambda p: p.token(iss="https://login.example/"),
        lambda p: p.token(aud="other"),
        lambda p: p.token(aud=None),
        lambda p: p.token(exp=None),
        lambda p: p.token(exp=time.time() - 120),
        lambda p: p.token(nbf=time.time() + 120),
        lambda p: p.token(sub=None),
        lambda p: p.token(sub=""),
        lambda p: p.token(sub="x" * 1000),
        lambda p: p.token(algorithm="RS512"),
        lambda p: jwt.encode({"iss": ISSUER}, p.keys["one"], "RS256"),
        lambda p: Provider({"three": p.keys["one"]}).token("three"),
        lambda p: p.token() + "x",
        lambda p: p.token(pad="x" * 20_000),
        lambda p: "a." + base64.urlsafe_b64encode(b"[" * 5000).decode() + ".c",
    ],
)
def test_what_is_not_taken(
    forge: Callable[[Provider], str], filed: Authority, provider: Provider
) -> None:
    token = forge(provider)
    with pytest.raises(Unauthenticated) as error:
        who(filed, token)
    assert token[-40:] not in str(error.value)


def test_keys_of_a_file_are_read_again(provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(Provider({"one": provider.keys["one"]}).jwks())
    known = authority(tmp_path, "keys.json")
    with pytest.raises(Unauthenticated, match="none of the provider's"):
        who(known, provider.token("two"))
    file.write_text(provider.jwks())
    assert who(known, provider.token("two")).name == "sso:ann"
    file.write_text('{"keys": []}')
    who(known, provider.token("two", jti="another"))  # the last valid ones stay
    known.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "oct"}]}',
        '{"keys": [{"kty": "oct", "k": "aa"}]}',
    ],
)
def test_a_file_without_keys_keeps_the_server_from_starting(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(FilesUnusable, match=r"keys\.json"):
        authority(tmp_path, "keys.json")


@contextmanager
def published(text: Callable[[], str]) -> Iterator[tuple[str, list[str]]]:
    """An address of keys on this machine, and what was asked of it."""
    asked = list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = text().encode()
            self.send_response(200 if body else 503)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys.json", asked
        server.shutdown()


def test_keys_of_an_address_are_fetched_once(provider: Provider, tmp_path: Path) -> None:
    with published(provider.jwks) as (address, asked):
        known = authority(tmp_path, address)
        for number in range(20):
            assert who(known, provider.token(jti=str(number))).name == "sso:ann"
        assert len(asked) == 1
        # Who makes up key names cannot have them fetched again and again.
        for number in range(20):
            stranger = Provider({f"made-up-{number}": provider.keys["one"]})
            with pytest.raises(Unauthenticated):
                who(known, stranger.token(f"made-up-{number}"))
        assert len(asked) <= 2
        known.close()


@pytest.mark.parametrize(
    "said", ["", "<html>moved</html>", "[]", "{}", '{"keys": []}', "[" * 99_999]
)
def test_an_address_without_keys_is_told_and_asked_rarely(
    said: str, provider: Provider, tmp_path: Path
) -> None:
    with published(lambda: said) as (address, asked):
        known = authority(tmp_path, address)
        for number in range(10):
            with pytest.raises(ProviderUnreachable, match="'sso' cannot be had at present"):
                who(known, provider.token(jti=str(number)))
        assert len(asked) == 1
        known.close()


def test_keys_come_by_https_or_from_this_machine(tmp_path: Path) -> None:
    with pytest.raises(FilesUnusable, match="must be https"):
        authority(tmp_path, "http://login.example/keys.json")


def test_a_token_that_was_checked_still_expires(filed: Authority, provider: Provider) -> None:
    token = provider.token(exp=time.time() - 28)  # and 30 seconds of skew
    assert who(filed, token).name == "sso:ann"
    time.sleep(2.5)
    with pytest.raises(Unauthenticated, match="expired"):
        who(filed, token)
