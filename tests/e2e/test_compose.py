"""docker-compose.yml: who reaches its servers, and the keys that its profile `secure` makes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import striate
from tests.toys_server import serving

FILE = Path(__file__).parents[2] / "docker-compose.yml"
GUARDED = "striate-secure"


def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(FILE.read_text())["services"])


def test_only_the_server_with_keys_is_published_to_other_machines() -> None:
    for name, service in services().items():
        ports = service.get("ports", ())
        if name == GUARDED:
            environment = service["environment"]
            assert {"STRIATE_TLS_CERTIFICATE", "STRIATE_TLS_KEY", "STRIATE_AUTH"} <= {*environment}
            assert "STRIATE_INSECURE" not in environment
        else:
            assert all(port.startswith("127.0.0.1:") for port in ports), name


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_keys_that_are_made_at_the_first_start_are_enough(tmp_path: Path) -> None:
    keys = services()["keys"]
    (program,) = keys["command"]
    binaries = Path(sys.executable).parent
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "KEYS": str(tmp_path),
        "STRIATE_NAME": "striate.example",
    }
    command = [*keys["entrypoint"], program.replace("$$", "$")]
    for _ in range(2):
        subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
    made = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert made == dict.fromkeys(("tls.key", "tls.crt", "auth.toml", "admin.token"), 0o600)
    token = (tmp_path / "admin.token").read_text().strip()
    assert (tmp_path / "auth.toml").read_text().count("[[tokens]]") == 1
    flags = ["--auth", str(tmp_path / "auth.toml"), "--tls-key", str(tmp_path / "tls.key")]
    flags += ["--tls-certificate", str(tmp_path / "tls.crt"), "--host", "0.0.0.0"]
    with serving(tmp_path, "--model", "digits-lenet5", *flags) as (_, target):
        port = target.rpartition(":")[2]
        with striate.connect(f"localhost:{port}", ca=tmp_path / "tls.crt", token=token) as service:
            service.unload("digits-lenet5")
