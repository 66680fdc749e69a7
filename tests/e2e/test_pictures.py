"""Pictures through real servers: composed and certified, a whole layer that outlives a killed
server, facets.
"""

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from striate.v1 import exemplars_pb2, interpret_pb2_grpc
from striate.v1 import visualize_pb2 as pb
from tests.toys_server import serving

pytestmark = pytest.mark.slow  # servers that are ended and started anew

NAME = "digits-lenet5"
WAIT = 60.0
LARGE = [("grpc.max_receive_message_length", 64 * 2**20)]


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], grpc.Channel]]:
    """A server of one network whose state is in the folder, killed in the end."""
    with (
        serving(folder, "--model", NAME) as (process, target),
        grpc.insecure_channel(target, options=LARGE) as channel,
    ):
        yield process, channel


def index(channel: grpc.Channel, layer: str) -> None:
    stub = interpret_pb2_grpc.InterpretServiceStub(channel)
    request = exemplars_pb2.BuildExemplarIndexRequest(
        model=NAME, dataset="digits", layers=[layer], k=8, limit=200
    )
    started = stub.BuildExemplarIndex(request, timeout=WAIT)
    waiting = operations_pb2.WaitOperationRequest(
        name=started.name, timeout=Duration(seconds=int(WAIT))
    )
    ended = operations_pb2_grpc.OperationsStub(channel).WaitOperation(waiting, timeout=WAIT)
    assert ended.done
    assert not ended.HasField("error"), ended.error


def layer(stub: interpret_pb2_grpc.InterpretServiceStub) -> Iterator[pb.VisualizeLayerResponse]:
    settings = pb.PictureSettings(steps=12, seed=4, certification=pb.Certification(retries=0))
    request = pb.VisualizeLayerRequest(model=NAME, layer="c5", settings=settings)
    return iter(stub.VisualizeLayer(request, timeout=WAIT))


def test_pictures_are_composed_certified_kept_and_sorted_into_facets(tmp_path: Path) -> None:
    with served(tmp_path) as (process, channel):
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        index(channel, "c5")
        terms = [pb.Term(unit="c5:3"), pb.Term(unit="f6:10", weight=-1)]
        request = pb.VisualizeRequest(
            model=NAME,
            settings=pb.PictureSettings(steps=12),
            composed=[pb.Objective(terms=terms), pb.Objective(terms=terms[:1])],
        )
        *progress, last = stub.Visualize(request, timeout=WAIT)
        both, alone = last.result.visualizations
        assert all(len(event.progress.scores) == 2 for event in progress)
        assert (both.objective, alone.objective) == ("c5:3 - f6:10", "c5:3")
        assert not both.certificate.HasField("ratio")
        found = alone.certificate
        assert (found.dataset, found.images, found.units) == ("digits", 200, 120)
        assert found.ratio == pytest.approx(found.activation / found.dataset_maximum)
        assert found.activation == alone.activation
        best = stub.FindExemplars(
            exemplars_pb2.FindExemplarsRequest(model=NAME, unit="c5:3", dataset="digits", k=1),
            timeout=WAIT,
        )
        assert found.dataset_maximum == pytest.approx(
            best.exemplars[0].activation
        )  # its map is 1 x 1: the mean is the maximum

        stream, before = layer(stub), dict[int, bytes]()
        while len(before) < 20:
            one = next(stream).picture
            before[one.unit] = one.visualization.png
            assert not one.cached
        process.kill()  # in the middle of the layer
        with pytest.raises(grpc.RpcError):
            list(stream)

    with served(tmp_path) as (_, channel):
        stub = interpret_pb2_grpc.InterpretServiceStub(channel)
        *units, last_event = layer(stub)
        after = {event.picture.unit: event.picture for event in units}
        assert sorted(after) == list(range(120))
        assert all(
            after[unit].cached and after[unit].visualization.png == png
            for unit, png in before.items()
        )
        assert list(last_event.sheet.units) == list(range(120))
        sheet = np.asarray(Image.open(io.BytesIO(last_event.sheet.png)))
        assert sheet.shape == (
            11 * last_event.sheet.tile,
            last_event.sheet.columns * last_event.sheet.tile,
        )

        wanted = pb.FindFacetsRequest(
            model=NAME,
            settings=pb.PictureSettings(steps=6),
            unit="c5:3",
            dataset="digits",
            facets=2,
        )
        facets = stub.FindFacets(wanted, timeout=WAIT)
        assert sum(facet.share for facet in facets.facets) == pytest.approx(1)
        assert len({facet.visualization.png for facet in facets.facets}) == 2
