"""Exemplars by any order, statistics, and the settings of an index: what is sent, and what becomes
of the answers.
"""

from typing import Any

import numpy as np
import pytest

import striate
from striate.v1 import exemplars_pb2 as pb
from tests.client.fakes.fakes_exemplars import QUANTILES
from tests.client.fakes.fakes_server import Fake, finished

ORDERS = {
    "max": pb.EXEMPLAR_ORDER_MAX,
    "min": pb.EXEMPLAR_ORDER_MIN,
    "mean": pb.EXEMPLAR_ORDER_MEAN,
    "magnitude": pb.EXEMPLAR_ORDER_MAGNITUDE,
    "quantile": pb.EXEMPLAR_ORDER_QUANTILE,
}


def sent(fake: Fake, method: str = "FindExemplars") -> Any:
    return fake.requests(method)[-1]


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_is_sent(fake: Fake, net: striate.Model, order: Any) -> None:
    found = net.exemplars("stem:1", dataset="digits", order=order)
    request = sent(fake)
    assert (request.model, request.unit, request.dataset, request.k, request.order) == (
        "tiny",
        "stem:1",
        "digits",
        0,
        ORDERS[order],
    )
    assert (request.HasField("label"), request.without_images) == (False, False)
    shares = list(QUANTILES) if order == "quantile" else [None, None]
    assert [exemplar.quantile for exemplar in found] == [*shares, None]


@pytest.mark.parametrize(("label", "number"), [(0, 0), (np.int64(7), 7), ("cat", 0), ("Dog", 1)])
def test_a_label_is_a_number_or_a_name_of_the_data_set(
    fake: Fake, net: striate.Model, label: Any, number: int
) -> None:
    net.exemplars("stem:1", 2, dataset="digits", label=label)
    assert (sent(fake).k, sent(fake).HasField("label"), sent(fake).label) == (2, True, number)
    pages = 2 if isinstance(label, str) else 0  # a data set each
    assert len(fake.requests("ListDatasets")) == pages


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"label": "wolf"}, striate.InvalidArgument, "label.*no class is called 'wolf'"),
        (
            {"label": "cat", "dataset": "gone"},
            striate.InvalidArgument,
            "label.*class names of 'gone' are not known",
        ),
        ({"label": "cat", "dataset": "digit"}, striate.DatasetNotFound, "known: digits, gone"),
        ({"label": -1}, striate.InvalidArgument, "label"),
        ({"label": 0.5}, striate.InvalidArgument, "label"),
        ({"order": "best"}, striate.InvalidArgument, "order"),
        ({"k": 0}, striate.InvalidArgument, "k"),
    ],
)
def test_questions_that_are_refused(
    fake: Fake, net: striate.Model, settings: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        net.exemplars("stem:1", **{"dataset": "digits"} | settings)
    assert not fake.requests("FindExemplars")


def test_the_settings_of_an_index(fake: Fake, service: striate.Service) -> None:
    service.build_index("tiny", "digits", ["stem"])
    request = sent(fake, "BuildExemplarIndex")
    assert (
        request.k,
        request.HasField("class_k"),
        request.shard_images,
        list(request.quantiles),
    ) == (9, False, 0, [])
    service.build_index(
        "tiny", "digits", ["stem"], class_k=0, shard_images=128, quantiles=[0, 0.25, 1]
    )
    request = sent(fake, "BuildExemplarIndex")
    assert (
        request.HasField("class_k"),
        request.class_k,
        request.shard_images,
        list(request.quantiles),
    ) == (True, 0, 128, [0, 0.25, 1])
    for settings in (
        {"class_k": -1},
        {"shard_images": 0},
        {"quantiles": [0.5, 1.5]},
        {"quantiles": ["half"]},
    ):
        with pytest.raises(striate.InvalidArgument, match=next(iter(settings))):
            service.build_index("tiny", "digits", ["stem"], **settings)


def test_progress_counts_shards(fake: Fake, service: striate.Service) -> None:
    state = finished("operations/1")
    state.metadata.Pack(
        pb.BuildExemplarIndexMetadata(
            model="tiny", layers=["stem"], images_done=9, shards_done=3, shards_total=4
        )
    )
    fake.operations["operations/1"] = state
    progress = service.operation("operations/1").metadata
    assert (progress.images_done, progress.shards_done, progress.shards_total) == (9, 3, 4)
