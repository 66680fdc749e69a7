"""What callers may have, and are told of it, through a server with an auth file."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import striate
from service.auth.tokens import digest, new_token
from striate._cli.main import app
from tests.toys_server import serving

NET = "digits-lenet5"
STEPS = 5

Guarded = tuple[str, dict[str, str]]  # address, tokens by name


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("usage")
    tokens = {name: new_token() for name in ("ann", "ben", "root")}
    more = {
        "ann": "weight = 2\nimage_gradients_per_minute = 12\nrows_in_flight = 3",
        "root": 'role = "admin"',
    }
    text = "[defaults]\noperations = 4\n"
    for name, token in tokens.items():
        role = "" if name == "root" else 'role = "compute"\n'
        text += f'[[tokens]]\nname = "{name}"\n{role}sha256 = "{digest(token)}"\n'
        text += more.get(name, "") + "\n"
    auth = folder / "auth.toml"
    auth.write_text(text)
    auth.chmod(0o600)
    with serving(folder, "--model", NET, "--auth", str(auth)) as (_, target):
        yield target, tokens


def connected(guarded: Guarded, name: str) -> striate.Service:
    target, tokens = guarded
    return striate.connect(target, token=tokens[name])


def image(net: striate.Model) -> np.ndarray:
    return np.zeros((1, 1, *net.input_size), np.float32)


def test_a_caller_is_told_what_they_may_and_have_and_refused_what_is_more(
    guarded: Guarded,
) -> None:
    method = striate.PGD(epsilon=0.1, steps=STEPS, stop_when_fooled=False)
    with connected(guarded, "ann") as service:
        net = service.model(NET)
        one = image(net)
        for _ in range(3):
            net.attack(one, None, method)
        usage = service.usage()
        caps = {cap.name: cap for cap in usage.caps}
        assert (usage.name, usage.weight, usage.image_gradients) == ("ann", 2, 3 * STEPS)
        assert caps["image_gradients_per_minute"].limit == 12
        assert 12 < caps["image_gradients_per_minute"].used <= 15
        assert (caps["operations"].limit, caps["operations"].used) == (4, 0)
        assert caps["requests_per_second"].limit is None
        assert usage.requests >= 4
        assert usage.device_seconds > 0
        with pytest.raises(striate.QuotaExceeded, match="12 image gradients per minute") as found:
            net.attack(one, None, method)
        assert found.value.retry_after
        assert found.value.reason == "QUOTA_EXCEEDED"
        assert len(net.classify(one)) == 1  # takes no gradients
        with pytest.raises(striate.QuotaExceeded, match="3 rows in flight"):
            net.classify(one.repeat(4, axis=0))


def test_the_usage_of_others_is_told_to_admins(guarded: Guarded) -> None:
    with connected(guarded, "ben") as service:
        service.models()
        with pytest.raises(striate.PermissionDenied):
            service.usage("ann")
        assert service.usage("ben") == service.usage()
    with connected(guarded, "root") as service:
        found = service.usage("ben")
        assert (found.name, found.requests) == ("ben", 1)
        assert {cap.name: cap.limit for cap in found.caps}["operations"] == 4


def test_the_command_line_tells_it(guarded: Guarded, tmp_path: Path) -> None:
    target, tokens = guarded
    flags = ["--server", target, "--token", tokens["ben"]]
    told = CliRunner().invoke(app, [*flags, "--json", "usage"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["name"] == "ben"
    shown = CliRunner().invoke(app, [*flags, "usage"])
    assert "operations" in shown.output
