"""Networks carried from one server process to another in bundles."""

from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

import striate
from striate.v1 import model_pb2, model_pb2_grpc
from tests.e2e.test_main_job import NAME
from tests.toys_server import Server, serving

FACTORY = """
[models.own]
factory = "torchvision.models:squeezenet1_1"
size = 64
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""


def test_another_server_hosts_the_exported_network(server: Server, tmp_path: Path) -> None:
    images: NDArray[np.float32] = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    attack = striate.PGD(epsilon=0.1, steps=5, random_start=False)
    with striate.connect(server.target) as service:
        net = service.model(NAME)
        path = net.export(tmp_path / "there" / "carried.striate")
        answers = net.attack(images, [0, 1, 2], attack, deterministic=True)
        assert [file.name for file in path.parent.iterdir()] == ["carried.striate"]
        assert net.export(tmp_path / "again.striate").read_bytes() == path.read_bytes()
    with (
        serving(tmp_path, "--bundle", str(path)) as (_, target),
        striate.connect(target) as service,
    ):
        carried = service.model("carried")
        assert (carried.info.digest, carried.classes) == (net.info.digest, net.classes)
        assert (carried.info.license, carried.info.source) == ("Apache-2.0", "Striate")
        again = carried.attack(images, [0, 1, 2], attack, deterministic=True)
        assert np.array_equal(again.images, answers.images)
        with pytest.raises(striate.ModelNotFound):
            service.load(f"bundle:{path}")


def test_a_network_of_the_users_own_code_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "striate.toml"
    settings.write_text(FACTORY)
    flags = ("--settings", str(settings), "--model", "own")
    with serving(tmp_path, *flags) as (_, target), striate.connect(target) as service:
        with pytest.raises(striate.ModelNotExportable, match="code of its own"):
            service.model("own").export(tmp_path / "own.striate")
        assert not list(tmp_path.glob("own.striate*"))


def test_the_parts_are_small_and_the_digest_comes_last(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        parts = list(stub.ExportModel(model_pb2.ExportModelRequest(model="cifar10-plain")))
    assert all(0 < len(part.data) <= 1 << 20 and not part.sha256 for part in parts[:-1])
    assert parts[-1].sha256
    assert not parts[-1].data
