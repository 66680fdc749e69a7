"""A real server process with models that hang, data sets that are gone, and images that are
large.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

import striate
from striate.v1 import model_pb2, model_pb2_grpc
from tests.toys_server import ServerProcess, eventually, start, stop

pytestmark = pytest.mark.slow  # servers that are ended and started anew

NAME = "digits-lenet5"
LONG = 60.0  # seconds after which a test that hangs has failed
MIB = 2**20

FACTORIES = """
import os, socket, time
from pathlib import Path

from torch import nn

from service.models.checkpoints import fetch

HERE = Path(__file__).parent


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 4))


def slow():
    (HERE / "began").touch()
    while not (HERE / "go").exists():
        time.sleep(0.02)
    return small()


def download():
    fetch(os.environ["SILENT"], HERE)
    return small()


def impatient():
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(min(0.3, patience))
    try:
        return download()
    finally:
        socket.setdefaulttimeout(patience)
"""
TABLE = """
[models.{name}]
factory = "striate_test_hangs:{name}"
size = 8
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""


@dataclass
class Place:
    """A folder with the factories and settings, and the port of a file server that takes
    connections and never answers.
    """

    folder: Path
    silent: socket.socket

    def start(self, *flags: str) -> ServerProcess:
        port = self.silent.getsockname()[1]
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])
        environment = {
            "PYTHONPATH": path,
            "SILENT": f"http://127.0.0.1:{port}/net-01234567.pth",
            "no_proxy": "*",
        }
        settings = ("--settings", str(self.folder / "settings.toml"))
        return start(self.folder, *settings, *flags, environment=environment)

    @contextlib.contextmanager
    def started(self, *flags: str) -> Iterator[ServerProcess]:
        """The server, which may not serve yet; killed at the end if it still runs."""
        server = self.start(*flags)
        try:
            yield server
        finally:
            stop(server, kill=True)

    def asked(self) -> socket.socket:
        """The next connection to the file server, once its request has come."""
        self.silent.settimeout(LONG)
        connection, _ = self.silent.accept()
        connection.settimeout(LONG)
        assert connection.recv(4) == b"GET "
        return connection


def place_in(folder: Path) -> Iterator[Place]:
    (folder / "striate_test_hangs.py").write_text(FACTORIES)
    (folder / "settings.toml").write_text(
        "".join(TABLE.format(name=name) for name in ("slow", "download", "impatient"))
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield Place(folder, silent)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from place_in(tmp_path)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from place_in(tmp_path_factory.mktemp("settled"))


@pytest.fixture(scope="module")
def service(settled: Place) -> Iterator[striate.Service]:
    """A server with data sets of all kinds; photos are PNG files of 25 MiB by their signature."""
    photos = settled.folder / "photos"
    photos.mkdir()
    for number in range(5):
        with (photos / f"{number}.png").open("wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + bytes([number]))
            file.truncate(25 * MIB)
    (settled.folder / "huge").mkdir()
    with (settled.folder / "huge" / "0.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(61 * MIB)
    uris = [
        "gone=imagefolder:/gone",
        "far=torchvision:MNIST",
        f"photos=imagefolder:{photos}",
        f"huge=imagefolder:{settled.folder}/huge",
    ]
    flags = [word for uri in uris for word in ("--dataset", uri)]
    with (
        settled.started("--model", NAME, *flags) as server,
        striate.connect(server.wait_until_it_serves(), timeout=LONG) as connected,
    ):
        yield connected


def test_sigterm_ends_a_start_whose_download_hangs(place: Place) -> None:
    with place.started("--model", "download") as server, place.asked():
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(LONG / 3) == 0


def test_sigterm_ends_a_server_whose_download_hangs(place: Place) -> None:
    with (
        place.started("--model", NAME, "--drain-seconds", "1") as server,
        striate.connect(server.wait_until_it_serves(), timeout=LONG) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        loading = pool.submit(service.load, "download")
        with place.asked():
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(LONG / 3) == 0
        assert isinstance(loading.exception(LONG), striate.StriateError)


def test_a_call_that_runs_is_waited_for_while_new_ones_are_refused(place: Place) -> None:
    with (
        place.started("--model", NAME, "--drain-seconds", "50") as server,
        grpc.insecure_channel(target := server.wait_until_it_serves()) as channel,
        striate.connect(target, timeout=2) as other,
    ):
        running = model_pb2_grpc.ModelServiceStub(channel).LoadModel.future(
            model_pb2.LoadModelRequest(model="slow"), timeout=LONG
        )
        other.health(timeout=LONG)
        eventually((place.folder / "began").exists)
        server.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                other.models()
            except (striate.Unavailable, striate.DeadlineExceeded, striate.Cancelled):
                return True
            return False

        eventually(refused)
        assert server.process.poll() is None
        (place.folder / "go").touch()
        assert running.result().model.name == "slow"
        assert server.process.wait(LONG) == 0


def test_a_load_whose_caller_has_gone_ends_well(service: striate.Service, settled: Place) -> None:
    with pytest.raises(striate.DeadlineExceeded):
        service.load("slow", timeout=0.5)
    assert service.health("slow") != "SERVING"
    eventually((settled.folder / "began").exists)
    (settled.folder / "go").touch()
    eventually(lambda: service.health("slow") == "SERVING")
    assert "slow" in [model.name for model in service.models()]


def test_a_download_that_stalls_is_given_up(service: striate.Service, settled: Place) -> None:
    with pytest.raises(striate.ModelNotLoadable, match=r"models\.impatient\.factory .* failed"):
        service.load("impatient")
    log = (settled.folder / "stderr.log").read_text()
    assert "net-01234567.pth cannot be downloaded" in log


def test_one_bad_data_set_spoils_no_listing(service: striate.Service) -> None:
    found = {info.name: info for info in service.datasets(NAME)}
    assert (found["digits"].size, found["digits"].error, len(found["digits"].class_indices)) == (
        1797,
        "",
        10,
    )
    assert (found["photos"].size, found["photos"].error) == (5, "")
    assert (found["gone"].size, found["gone"].uri) == (0, "imagefolder:/gone")
    assert "not a folder" in found["gone"].error
    assert found["far"].size == 0
    assert "not opened yet" in found["far"].error


def test_samples_that_exceed_one_message_come_in_several(service: striate.Service) -> None:
    samples = service.samples("photos", count=100)
    assert [(s.id, len(s.encoded), s.encoded[8]) for s in samples] == [
        (number, 25 * MIB, number) for number in range(5)
    ]
    with pytest.raises(striate.StriateError, match=r"image 0 \('0\.png'\) of data set 'huge'"):
        service.samples("huge")


def test_a_short_index_does_not_replace_a_whole_one(service: striate.Service) -> None:
    net = service.model(NAME)

    def found(limit: int) -> striate.Exemplars:
        assert service.build_index(
            NAME, dataset="digits", layers=["c3"], k=3, limit=limit
        ).wait().images == (limit or 1797)
        return net.exemplars("c3:2", k=3, dataset="digits")

    short = found(50)
    assert short.images == 50
    assert all(exemplar.id < 50 for exemplar in short)
    whole, again = found(0), found(50)
    assert whole.images == again.images == 1797
    assert list(again) == list(whole)
