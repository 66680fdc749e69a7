"""The page of metrics is what docs/metrics.md says, name by name."""

import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import striate
from tests.toys_server import Server, eventually

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$"


def families(server: Server) -> dict[str, Metric]:
    """What the server tells, by the names that samples go by."""
    address = f"http://127.0.0.1:{server.metrics_port}/metrics"
    text = urllib.request.urlopen(address, timeout=10).read().decode()
    return {
        family.name + "_total" * (family.type == "counter"): family
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")
    }


def value(server: Server, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    return sum(
        sample.value
        for family in families(server).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def used(server: Server) -> None:
    """Let the server answer, and refuse, a little of each kind."""
    with striate.connect(server.target) as service:
        net = service.model("cifar10-plain")
        images = np.zeros((2, 3, 32, 32), np.float32)
        net.attack(images, [0, 1], striate.FGSM(epsilon=0.01))
        with pytest.raises(striate.ModelNotFound):
            service.model("nobody")


def test_the_page_lists_every_metric_and_no_other(server: Server) -> None:
    used(server)
    eventually(lambda: value(server, "striate_state_bytes") > 0)
    told = families(server)
    rows = re.findall(ROW, PAGE.read_text(), re.MULTILINE)
    assert {name: (kind, text) for name, kind, _, text in rows} == {
        name: (family.type, family.documentation) for name, family in told.items()
    }
    assert [name for name, *_ in rows] == sorted(name for name, *_ in rows)
    for name, _, labels, _ in rows:
        written = set(re.findall(r"`(\w+)`", labels))
        for sample in told[name].samples:
            assert set(sample.labels) - {"le"} == written, name


def test_calls_are_counted_by_caller_and_gradients_by_model(server: Server) -> None:
    def seen() -> tuple[float, ...]:
        return (
            value(server, "striate_requests_by_identity_total", identity="", code="OK"),
            value(server, "striate_requests_by_identity_total", identity="", code="NOT_FOUND"),
            value(server, "striate_image_gradients_total", model="cifar10-plain"),
            value(server, "striate_device_busy_seconds_total"),
        )

    before = seen()
    used(server)
    assert all(now > then for now, then in zip(seen(), before, strict=True))
    assert seen()[2] - before[2] == 2
    assert value(server, "striate_model_bytes", model="cifar10-plain") > 1_000_000
    assert value(server, "process_resident_memory_bytes") > 100_000_000


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/striate.json"])
def test_what_the_operators_files_name_is_served(server: Server, file: str) -> None:
    text = (PAGE.parents[1] / "deploy" / file).read_text()
    named = set(re.findall(r"\b(?:striate|process)_\w+(?=[{\[)\s=,\\])", text))
    suffixes = re.compile(r"_(bucket|sum|count)$")
    served = set(families(server))
    unknown = {
        name for name in named if name not in served and suffixes.sub("", name) not in served
    }
    assert len(named) > 10
    assert unknown == set()


def test_the_dashboard_draws_every_metric(server: Server) -> None:
    text = (PAGE.parents[1] / "deploy" / "grafana" / "striate.json").read_text()
    own = {name for name in families(server) if name.startswith("striate_")}
    assert {name for name in own if name not in text} == set()
