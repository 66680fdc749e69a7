"""Where results came from."""

from typing import Any

import numpy as np

import striate
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
