"""The operation that builds an index, on an embedded network with the engine itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf.any_pb2 import Any as Packed

from interp.network.network import Network
from service.datasets import Datasets
from service.imaging import decode
from service.index.store import IndexStore, Subject
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.handlers.index_build import IndexBuildHandler
from striate.v1 import exemplars_pb2 as pb
from tests.service.engine.toys_engine import running

NAME = "digits-lenet5"

Place = tuple[ModelZoo, Compute, Datasets]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running() as engine, ThreadPoolExecutor(1) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        zoo.load(NAME)
        datasets = Datasets({"digits": "digits"}, tmp_path_factory.mktemp("data"))
        yield zoo, Compute(engine, pool), datasets


def test_an_operation_builds_an_index_and_tells_of_whole_shards(
    place: Place, tmp_path: Path
) -> None:
    store, told = IndexStore(tmp_path), list[tuple[pb.BuildExemplarIndexMetadata, bool]]()
    zoo, compute, datasets = place
    operations: Any = SimpleNamespace(register=lambda *_: None)
    handler = IndexBuildHandler(zoo, compute, datasets, store, operations)
    request = Packed()
    request.Pack(
        pb.BuildExemplarIndexRequest(
            model=NAME, dataset="digits", layers=["c3", "logits"], k=3, limit=150, shard_images=64
        )
    )
    context: Any = SimpleNamespace(
        cancelled=bool, progress=lambda metadata, lasting: told.append((metadata, lasting))
    )
    response = handler._build(request, context)
    assert (response.images, response.units) == (150, 26)
    assert [lasting for _, lasting in told].count(True) == 3
    last = told[-1][0]
    assert (last.images_done, last.images_total, last.shards_done, last.shards_total) == (
        150,
        150,
        3,
        3,
    )
    assert (last.model, last.dataset, list(last.layers)) == (NAME, "digits", ["c3", "logits"])
    with zoo.use(NAME) as model:
        data = datasets.get("digits")
        _assert_maxima(
            store,
            Subject.of(NAME, model.digest, data),
            model.network,
            [model.preprocessing.apply(decode(s.image)) for s in data.read(0, 150)],
        )


def _assert_maxima(
    store: IndexStore, subject: Subject, network: Network, images: list[np.ndarray]
) -> None:
    maps = network.activations(torch.from_numpy(np.stack(images)).float() / 255, ["c3"])[
        "c3"
    ].flatten(2)
    found = store.extremes(subject, "c3")
    assert found is not None
    np.testing.assert_allclose(found.maximum, maps.amax((0, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.maximum_mean, maps.mean(2).amax(0), rtol=1e-4)
    np.testing.assert_allclose(
        [s.variance for s in store.statistics(subject, "c3")],
        maps.transpose(0, 1).flatten(1).var(1, correction=0),
        rtol=1e-3,
    )
