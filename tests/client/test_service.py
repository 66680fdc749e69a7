"""What the connection says about the server: models, data sets, samples, health, operations."""

import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped, unused-ignore]

import striate
from tests.client.fakes.fakes_server import (
    CLASSES,
    DATASET_SIZE,
    DIGEST,
    LONG,
    Fake,
    failed,
    finished,
    png,
    reason,
    running,
)


def test_models_are_described(service: striate.Service) -> None:
    (info,) = service.models()
    assert (info.name, info.state, info.weights, info.digest) == (
        "tiny",
        "serving",
        "random",
        DIGEST,
    )
    assert (info.input_size, info.channels, info.mean, info.std) == ((4, 5), 3, (0.5,), (0.25,))
    assert [model.state for model in service.models(include_available=True)] == [
        "serving",
        "available",
    ]


def test_a_handle_knows_its_model(service: striate.Service) -> None:
    net = service.model("tiny")
    assert (net.name, net.input_size, net.classes) == ("tiny", (4, 5), CLASSES)
    stem, head = net.layers
    assert (stem.name, stem.kernel, stem.output_shape) == ("stem", (3, 3), (5, 4, 5))
    assert stem.receptive_field == striate.ReceptiveField(
        size=(3, 3), jump=(1, 1), offset=(-1, -1), is_global=False, bounds=(0, 0, 4, 5)
    )
    assert (head.kernel, head.receptive_field, head.multiply_adds) == ((), None, 160)
    with pytest.raises(striate.ModelNotFound, match="nearest: tiny"):
        service.model("tinny")


def test_load_and_unload(fake: Fake, service: striate.Service) -> None:
    assert service.load("tiny", "random").info.name == "tiny"
    assert fake.requests("LoadModel")[0].weights == "random"
    service.load("tiny", labels=("cat", "dog"))
    assert list(fake.requests("LoadModel")[1].labels) == ["cat", "dog"]
    with pytest.raises(striate.InvalidArgument, match="labels: are a sequence of names"):
        service.load("tiny", labels="cat")
    assert service.unload("tiny") == 880


def test_a_bundle_that_was_altered_on_its_way_leaves_no_file(
    fake: Fake, service: striate.Service, tmp_path: Path
) -> None:
    net, path = service.model("tiny"), tmp_path / "tiny.striate"
    assert net.export(path).read_bytes() == b"a bundle"
    path.unlink()
    fake.exported = b"another"
    with pytest.raises(striate.Internal, match="the bundle of tiny was cut or altered"):
        net.export(path)
    assert not list(tmp_path.iterdir())


def test_datasets(service: striate.Service) -> None:
    info, gone = service.datasets()
    assert (info.name, info.size, info.labelled, info.classes) == (
        "digits",
        DATASET_SIZE,
        True,
        ("cat", "dog"),
    )
    assert (info.class_indices, info.indexed_layers) == ((), ())
    assert (info.error, gone.name, gone.size, gone.error) == (
        "",
        "gone",
        0,
        "'/gone' is not a folder",
    )
    info, _ = service.datasets("tiny")
    assert (info.class_indices, info.indexed_layers) == ((0, -1), ("stem",))


def test_samples_come_in_several_calls_and_stop_at_the_end(
    fake: Fake, service: striate.Service
) -> None:
    fake.samples_a_message = 3
    samples = service.samples("digits", 10, 2000)
    assert [sample.id for sample in samples] == list(range(10, DATASET_SIZE))
    assert [sample.id for sample in service.samples("digits", 10, 7)] == list(range(10, 17))
    assert all(request.count <= 1024 for request in fake.requests("ReadSamples"))
    assert samples[3].encoded == png(4, 5, 13)
    assert samples[3].image.size == (5, 4)
    assert [sample.label for sample in service.samples("digits", 0, 3)] == [None, 1, 0]


def test_samples_that_are_left_out_are_named(fake: Fake, service: striate.Service) -> None:
    fake.samples_a_message, fake.bad_samples = 3, {10, 11, 12, 14, DATASET_SIZE - 1}
    samples = service.samples("digits", 10, 2000, skip_bad=True)
    left = set(range(10, DATASET_SIZE)) - fake.bad_samples
    assert [sample.id for sample in samples] == sorted(left)
    assert [image.id for image in samples.left_out] == sorted(fake.bad_samples)
    assert str(samples.left_out[0]) == "10 n10: is none"
    assert not service.samples("digits", 0, 3).left_out


def test_a_sample_that_is_no_image_names_itself() -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n", png(4, 5, 1)[:50]):
        sample = striate.Sample(7, "birds/7.png", None, data)
        with pytest.raises(striate.BadImage, match=r"image 7 \('birds/7.png'\) is no readable"):
            _ = sample.image


def test_samples_can_be_passed_on(service: striate.Service, net: striate.Model) -> None:
    samples = service.samples("digits", 0, 2)
    assert net.classify(samples) == net.classify([sample.encoded for sample in samples])


def test_health(service: striate.Service) -> None:
    assert service.health() == "SERVING"
    assert service.health("tiny") == "SERVING"
    assert (
        service.health("x" * 200) == "NOT_SERVING"
    )  # a name whose length takes two bytes on the wire
    assert service.health("nobody") == "SERVICE_UNKNOWN"
    assert service.health(ready=True) == "NOT_SERVING"
    with pytest.raises(striate.InvalidArgument, match="ready"):
        service.health("tiny", ready=True)


def test_an_operation_is_waited_for(fake: Fake, service: striate.Service) -> None:
    operation = service.build_index(
        "tiny", dataset="digits", layers=["stem", "head"], k=4, limit=100
    )
    (request,) = fake.requests("BuildExemplarIndex")
    assert (list(request.layers), request.k, request.limit) == (["stem", "head"], 4, 100)
    assert not operation.done
    fake.operation_script.extend(
        [running("operations/1", 64), running("operations/1", 128), finished("operations/1")]
    )
    seen: list[striate.IndexProgress] = []
    report = operation.wait(on_progress=seen.append)
    assert [progress.images_done for progress in seen] == [64, 128, DATASET_SIZE]
    assert (report.images, report.units, report.provenance.model_digest) == (
        DATASET_SIZE,
        2,
        DIGEST,
    )
    assert operation.done
    assert operation.result() == report


def test_a_failed_operation_raises_its_error(fake: Fake, service: striate.Service) -> None:
    operation = service.build_index("tiny", "digits", "stem")
    assert list(fake.requests("BuildExemplarIndex")[0].layers) == ["stem"]
    violation = error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="f", description="d")]
    )
    fake.operation_script.append(
        failed(
            operation.name,
            grpc.StatusCode.NOT_FOUND,
            "no layer",
            reason("LAYER_NOT_FOUND"),
            violation,
        )
    )
    with pytest.raises(striate.LayerNotFound, match="no layer") as caught:
        operation.wait()
    assert caught.value.fields == {"f": "d"}
    assert isinstance(operation.error, striate.LayerNotFound)


def test_an_operation_can_be_cancelled_found_and_forgotten(
    fake: Fake, service: striate.Service
) -> None:
    operation = service.build_index("tiny", "digits", ["stem"])
    operation.cancel()
    with pytest.raises(striate.Cancelled):
        service.operation(operation.name).wait()
    assert operation.refresh().done
    fake.operations["operations/2"] = running("operations/2", 3)
    assert [found.name for found in service.operations()] == [
        "operations/1",
        "operations/2",
    ]  # the fake shows one a page
    operation.delete()
    assert [found.name for found in service.operations()] == ["operations/2"]
    with pytest.raises(striate.OperationNotFound):
        service.operation(operation.name)


def test_waiting_gives_up_but_the_work_goes_on(fake: Fake, service: striate.Service) -> None:
    operation = service.build_index("tiny", "digits", ["stem"])
    with pytest.raises(striate.DeadlineExceeded, match="goes on"):
        operation.wait(timeout=0.3)
    assert not fake.requests("CancelOperation")
    assert (
        1 <= len(fake.requests("WaitOperation")) < 20
    )  # the fake answers at once: the client must not spin


def test_a_connection_serves_many_threads(service: striate.Service, net: striate.Model) -> None:
    results: list[int] = []

    def ask(value: int) -> None:
        results.append(len(net.classify(np.full((value, 3, 4, 5), 0.5, np.float32))))

    threads = [threading.Thread(target=ask, args=(value,)) for value in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(results) == list(range(1, 9))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda service: service.samples("digits", -1), "first"),
        (lambda service: service.samples("digits", 0, 0), "count"),
        (lambda service: service.build_index("tiny", "digits", ["stem"], k=0), "k"),
        (lambda service: service.build_index("tiny", "digits", ["stem"], limit=-1), "limit"),
    ],
)
def test_arguments_that_the_wire_cannot_carry_are_refused(
    service: striate.Service, call: object, field: str
) -> None:
    assert callable(call)
    with pytest.raises(striate.InvalidArgument) as caught:
        call(service)
    assert list(caught.value.fields) == [field]
