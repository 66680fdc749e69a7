"""A server whose device hangs is alive and not ready; one whose factories hang or end their process
serves on.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import striate
from tests.toys_server import Server, eventually, metric, serving

pytestmark = pytest.mark.slow  # servers of their own, and trials of factories

NETWORKS = """
import os, time
from pathlib import Path
from torch import nn

HERE = Path(__file__).parent

class Stops(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))

    def forward(self, x):
        while (HERE / "stop").exists():
            time.sleep(0.02)
        return self.inner(x)

def leaves():
    os._exit(3)

def hangs():
    time.sleep(600)

def raises():
    raise RuntimeError("a secret path")
"""
TABLE = """
[models.{name}]
factory = "striate_test_readiness:{factory}"
size = 8
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""
LONG = 60.0


def test_alive_and_ready_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "striate_test_readiness.py").write_text(NETWORKS)
    settings = tmp_path / "settings.toml"
    names = {"stops": "Stops", "leaves": "leaves", "hangs": "hangs", "raises": "raises"}
    settings.write_text("".join(TABLE.format(name=n, factory=f) for n, f in names.items()))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    flags = [
        *("--settings", str(settings), "--model", "stops"),
        *("--stall-seconds", "0.5", "--factory-seconds", "15", "--log-level", "info"),
    ]
    with (
        serving(tmp_path, *flags, environment={"PYTHONPATH": path}) as (process, target),
        striate.connect(target, timeout=LONG) as service,
    ):
        images = np.zeros((1, 3, 8, 8), np.float32)
        net = service.model("stops")
        assert (service.health(), service.health(ready=True)) == ("SERVING", "SERVING")
        (tmp_path / "stop").touch()
        with pytest.raises(striate.DeadlineExceeded):
            net.classify(images, timeout=1)
        eventually(lambda: service.health(ready=True) == "NOT_SERVING")
        assert (service.health(), service.health("stops")) == ("SERVING", "SERVING")
        (tmp_path / "stop").unlink()
        eventually(lambda: service.health(ready=True) == "SERVING")
        assert len(net.classify(images)) == 1
        log = (tmp_path / "stderr.log").read_text()
        assert "the device hangs" in log
        assert "of 1 rows of 1 jobs, stops" in log
        assert "the device gets on again" in log

        for name in ("leaves", "hangs", "raises"):
            with pytest.raises(striate.ModelNotLoadable, match="server's log says more") as caught:
                service.load(name)
            assert "secret" not in str(caught.value)
            with pytest.raises(striate.ModelNotLoadable):  # the name is free: it is tried again
                service.load(name, timeout=LONG)
        assert "a secret path" in (tmp_path / "stderr.log").read_text()
        assert process.poll() is None
        assert service.health() == "SERVING"


def test_how_late_the_loop_is_is_measured(server: Server) -> None:
    port = server.metrics_port
    eventually(lambda: metric(port, "striate_loop_lag_seconds_count") > 10)
    assert metric(port, "striate_ready") == 1
    assert metric(port, "striate_loop_lag_highest_seconds") > 0
