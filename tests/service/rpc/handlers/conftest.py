"""The embedded networks and an engine, for handlers that ask nothing else of a server."""

from collections.abc import Iterator

import pytest

from tests.service.rpc.handlers.toys_hosted import CIFAR, DIGITS, Hosted, hosting


@pytest.fixture(scope="session")
def hosted() -> Iterator[Hosted]:
    with hosting(DIGITS, CIFAR) as both:
        yield both
