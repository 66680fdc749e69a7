"""Published weights: downloaded, cached, verified, and never unpickled, from a file server on
loopback.
"""

import functools
import hashlib
import io
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models import ShuffleNet_V2_X0_5_Weights

from service.models.zoo import ModelError, ModelZoo

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
MEMBER = ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state: dict[str, Tensor] = torchvision.models.shufflenet_v2_x0_5().state_dict()
    return state


class Server(ThreadingHTTPServer):
    """Serves a folder on loopback, and counts the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests = folder, 0
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                super().do_GET()

            def log_message(self, *_: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))

    def publish(self, data: bytes, digest: str) -> str:
        """The address of a file whose name promises that digest."""
        name = f"network-{digest[:8]}.pth"
        (self.folder / name).write_bytes(data)
        return f"http://127.0.0.1:{self.server_port}/{name}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "published"
    folder.mkdir()
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pth(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def hosted_state(zoo: ModelZoo, name: str, weights: str = "") -> dict[str, Tensor]:
    state: dict[str, Tensor] = zoo.load(name, weights).network.module.state_dict()
    return state


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_published_weights_are_downloaded_once(
    state: dict[str, Tensor],
    server: Server,
    tmp_path: Path,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = pth(state)
    monkeypatch.setattr(MEMBER.value, "url", server.publish(data, hashlib.sha256(data).hexdigest()))
    for _ in range(2):
        zoo = ModelZoo(tmp_path / "cache", {}, run)
        assert_equal(hosted_state(zoo, "shufflenet_v2_x0_5"), state)
        assert zoo.get("shufflenet_v2_x0_5").weights == MEMBER.name
    assert server.requests == 1
    assert "100%" in capsys.readouterr().err  # the progress bar


def test_a_download_that_is_not_what_it_promises_is_refused(
    state: dict[str, Tensor],
    server: Server,
    tmp_path: Path,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MEMBER.value, "url", server.publish(pth(state), "0123456789"))
    with pytest.raises(ModelError, match=r"network-01234567\.pth was downloaded but is damaged"):
        ModelZoo(tmp_path / "cache", {}, run).load("shufflenet_v2_x0_5", MEMBER.name)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cached_file_that_is_damaged_is_downloaded_again(
    state: dict[str, Tensor],
    server: Server,
    tmp_path: Path,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = pth(state)
    url = server.publish(data, hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(MEMBER.value, "url", url)
    cached = tmp_path / "cache" / Path(url).name
    cached.parent.mkdir()
    cached.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert_equal(hosted_state(ModelZoo(cached.parent, {}, run), "shufflenet_v2_x0_5"), state)
    assert cached.read_bytes() == data
    assert server.requests == 1


def test_what_cannot_be_downloaded_is_told(
    server: Server, tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = f"http://127.0.0.1:{server.server_port}/absent-01234567.pth"
    for url in (missing, "http://127.0.0.1:1/network-01234567.pth"):
        monkeypatch.setattr(MEMBER.value, "url", url)
        with pytest.raises(ModelError, match=f"{Path(url).name} cannot be downloaded"):
            ModelZoo(tmp_path / "cache", {}, run).load("shufflenet_v2_x0_5")


def test_what_could_not_be_verified_is_not_downloaded(
    server: Server, tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "network.pth").write_bytes(b"anything")
    monkeypatch.setattr(MEMBER.value, "url", f"http://127.0.0.1:{server.server_port}/network.pth")
    with pytest.raises(ModelError, match="no digest"):
        ModelZoo(tmp_path / "cache", {}, run).load("shufflenet_v2_x0_5")
    assert server.requests == 0


def test_inceptionv1_comes_from_the_weights_folder_alone(
    tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("was downloaded")
    )
    with pytest.raises(ModelError, match=r"put inceptionv1\.safetensors into the weights folder"):
        ModelZoo(tmp_path, {}, run).load("inceptionv1")


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch sprung",)


def test_pickles_are_never_opened(
    server: Server, tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (pth({"weight": Trap()}), pickle.dumps(Trap())):
        monkeypatch.setattr(
            MEMBER.value, "url", server.publish(data, hashlib.sha256(data).hexdigest())
        )
        with pytest.raises(ModelError, match="never unpickled"):
            ModelZoo(tmp_path / "cache", {}, run).load("shufflenet_v2_x0_5")
        (tmp_path / "lenet5.pth").write_bytes(data)
        with pytest.raises(ModelError, match="never unpickled"):
            ModelZoo(tmp_path, {}, run).load("lenet5")
    assert not (tmp_path / "sprung").exists()
