"""A fake server and a connection to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import striate
from tests.client import toys_cli as commands
from tests.client.fakes import fakes_server as fakes
from tests.client.fakes import fakes_servicers as servicers


@pytest.fixture
def fake() -> Iterator[fakes.Fake]:
    """A running fake server that is told what to do through this object."""
    fake = fakes.Fake()
    server = servicers.serve(fake)
    yield fake
    server.stop(None).wait()


@pytest.fixture
def service(fake: fakes.Fake) -> Iterator[striate.Service]:
    """A connection to the fake server."""
    with striate.connect(fake.target) as service:
        yield service


@pytest.fixture
def net(service: striate.Service) -> striate.Model:
    """The handle on the fake server's only model."""
    return service.model("tiny")


@pytest.fixture
def cli(fake: fakes.Fake, tmp_path: Path) -> commands.Cli:
    """The command line, connected to the fake server."""
    return commands.Cli(fake, tmp_path)
