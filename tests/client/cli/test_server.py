"""Commands about the server: models, layers, data sets, health."""

from tests.client.fakes.fakes_server import (
    DIGEST,
)
from tests.client.toys_cli import Cli


def test_models_and_layers(cli: Cli) -> None:
    assert [model["name"] for model in cli.json("models")["models"]] == ["tiny"]
    assert [model["name"] for model in cli.json("models", "--available")["models"]] == [
        "tiny",
        "resnet18",
    ]
    assert [layer["name"] for layer in cli.json("layers", "tiny")["layers"]] == ["stem", "head"]
    text = cli.run("layers", "tiny").stdout
    assert "stem" in text
    assert "3x3" in text


def test_load_unload_datasets(cli: Cli) -> None:
    assert cli.json("load", "tiny", "--weights", "random")["model"]["digest"] == DIGEST
    assert cli.fake.requests("LoadModel")[0].weights == "random"
    path = cli.folder / "t.striate"
    assert cli.json("export", "tiny", "--out", path) == {
        "model": "tiny",
        "path": str(path),
        "bytes": 8,
    }
    assert path.read_bytes() == b"a bundle"
    assert cli.json("unload", "tiny") == {"model": "tiny", "freed_bytes": 880}
    assert cli.json("datasets", "--model", "tiny")["datasets"][0]["class_indices"] == [0, -1]


def test_health(cli: Cli) -> None:
    assert cli.run("health").stdout == "SERVING\n"
    assert cli.json("health", "--model", "tiny") == {
        "status": "SERVING",
        "model": "tiny",
        "service_version": cli.fake.version,
    }
    assert cli.json("health", "--model", "x" * 200, code=1)["status"] == "NOT_SERVING"
    assert cli.json("health", "--model", "nobody", code=1)["status"] == "SERVICE_UNKNOWN"
    assert cli.json("health", "--ready", code=1)["status"] == "NOT_SERVING"
