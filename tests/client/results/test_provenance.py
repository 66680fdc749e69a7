"""Where results came from."""

from typing import Any

import numpy as np
import pytest

import striate
from striate.provenance import Provenance
from striate.results.models import ModelInfo
from striate.v1 import types_pb2
from tests.client.fakes import fakes_servicers
from tests.client.fakes.fakes_server import (
    DIGEST,
    Fake,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


def test_every_result_says_where_it_came_from(fake: Fake, net: striate.Model) -> None:
    many = net.visualize(["stem:0", "stem:1"])
    results: list[Any] = [
        net.classify(IMAGES),
        net.visualize("stem:0"),
        many,
        net.filters(),
        net.exemplars("stem:0", dataset="digits"),
        net.attack(IMAGES, None, striate.FGSM()),
    ]
    for result in results:
        assert isinstance(result.provenance, striate.Provenance)
        assert (
            result.provenance.model,
            result.provenance.model_digest,
            result.provenance.service_version,
        ) == ("tiny", DIGEST, "7.8.9")
    sent = [seen.metadata["x-request-id"] for seen in fake.calls if seen.method != "GetModel"]
    assert sorted(str(sent_id) for sent_id in sent) == sorted(
        result.provenance.request_id for result in results
    )
    assert many[1].provenance == many.provenance


def test_warnings_about_the_model_are_issued_to_the_users_code() -> None:
    message = types_pb2.Provenance(model="tiny", warnings=["tiny: rows depend on their company"])
    with pytest.warns(striate.StriateWarning, match="rows depend on their company") as caught:
        found = Provenance.read(message)
    assert found.warnings == ("tiny: rows depend on their company",)
    assert [warning.filename for warning in caught] == [__file__]


def test_load_issues_what_it_found_odd(
    service: striate.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = fakes_servicers.tiny()
    odd.warnings.append("tiny: the network's backward pass fails")
    monkeypatch.setattr(fakes_servicers, "tiny", lambda: odd)
    with pytest.warns(striate.StriateWarning, match="backward pass fails") as caught:
        service.load("tiny")
    assert [warning.filename for warning in caught] == [__file__]
    assert ModelInfo.read(odd).warnings == ("tiny: the network's backward pass fails",)
