"""Streams of images: what travels, order, back-pressure and bad images."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2  # type: ignore[import-untyped, unused-ignore]

import striate
from striate.v1 import attack_pb2 as pb
from tests.client.fakes.fakes_robustness import answer
from tests.client.fakes.fakes_server import LONG, Fake, adversarial, png, reason
from tests.client.fakes.fakes_stream import (
    IMAGES,
    LABELS,
    Requests,
    backwards,
    counted,
    ids,
    in_groups,
)

Code = grpc.StatusCode


@pytest.mark.parametrize("form", ["float32", "png"])
def test_a_stream_says_what_a_batch_says(fake: Fake, net: striate.Model, form: Any) -> None:
    whole = net.attack(IMAGES, LABELS, striate.PGD(), seed=5, noise_control=True, format=form)
    found = list(
        net.attack_stream(
            zip(IMAGES, LABELS, strict=True), striate.PGD(), seed=5, noise_control=True, format=form
        )
    )
    assert ids(found) == list(range(23))
    np.testing.assert_array_equal(np.stack([image.image for image in found]), whole.images)
    assert tuple(image.png for image in found if image.png) == whole.pngs
    rows = [image.row for image in found if image.row is not None]
    for name, column in (
        ("label", "labels"),
        ("prediction", "predictions"),
        ("succeeded", "succeeded"),
        ("norm", "norms"),
    ):
        np.testing.assert_array_equal([getattr(row, name) for row in rows], getattr(whole, column))
    np.testing.assert_array_equal([row.noise_succeeded for row in rows], whole.noise_succeeded)
    assert (
        {row.target for row in rows}
        == {row.activation for row in rows}
        == {row.minimal_epsilon for row in rows}
        == {None}
    )


def test_settings_go_first_and_each_image_has_its_own(fake: Fake, net: striate.Model) -> None:
    seen: list[pb.AttackStreamRequest] = []

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        for request in requests:
            seen.append(request)
            if request.HasField("image"):
                yield answer(seen[0].settings.attack, request.image)

    fake.converse = converse
    items = [
        IMAGES[0],
        (IMAGES[1],),
        (IMAGES[2], "cat"),
        (IMAGES[3], np.int64(2), 3),
        (IMAGES[4], None, "cat", 0.5),
    ]
    options: dict[str, Any] = {
        "in_flight": 3,
        "first_id": 40,
        "targets": "Sports Car",
        "deterministic": True,
        "priority": "batch",
    }
    list(net.attack_stream(items, striate.FGSM(0.1), **options, seed=2**64 - 1))
    settings: Any = seen[0].settings
    assert (settings.in_flight, settings.attack.model, settings.attack.epsilon) == (
        3,
        "tiny",
        0.1,
    )
    assert (settings.attack.seed, settings.attack.deterministic, settings.attack.priority) == (
        2**64 - 1,
        True,
        2,
    )
    assert not settings.attack.HasField("images")
    images = [request.image for request in seen[1:]]
    assert [image.id for image in images] == [40, 41, 42, 43, 44]
    assert [image.image.tensor.data for image in images] == [
        pixels.tobytes() for pixels in IMAGES[:5]
    ]
    assert [image.label if image.HasField("label") else None for image in images] == [
        None,
        None,
        0,
        2,
        None,
    ]
    assert [image.target for image in images] == [1, 1, 1, 3, 0]
    assert [image.epsilon if image.HasField("epsilon") else None for image in images] == [
        None
    ] * 4 + [0.5]


def test_unset_settings_stay_unset(fake: Fake, net: striate.Model) -> None:
    seen: list[Any] = []

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        seen.extend(requests)
        return iter(())

    fake.converse = converse
    assert list(net.attack_stream([])) == []
    (first,) = seen
    assert first.settings.in_flight == 0
    assert {field.name for field, _ in first.settings.attack.ListFields()} == {
        *("model", "norm", "epsilon", "method", "format")
    }
    assert first.settings.attack.format == pb.IMAGE_FORMAT_FLOAT32


def test_images_are_handed_out_in_order_or_as_they_come(fake: Fake, net: striate.Model) -> None:
    fake.converse = in_groups(4, backwards)
    found = list(net.attack_stream(IMAGES, first_id=7))
    assert ids(found) == list(range(7, 30))
    for image in found:
        np.testing.assert_array_equal(image.image, adversarial(0, image.id))
    as_they_come = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]
    assert ids(net.attack_stream(IMAGES[:12], ordered=False)) == as_they_come


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_no_more_is_read_than_fits_the_window(
    fake: Fake, net: striate.Model, in_flight: int, ordered: bool
) -> None:
    fake.converse = in_groups(min(2, in_flight), backwards)
    handed_out, ahead = 0, []

    def source() -> Iterator[Any]:
        for read, image in enumerate(IMAGES, 1):
            ahead.append(read - handed_out)
            yield image

    for image in net.attack_stream(source(), in_flight=in_flight, ordered=ordered):
        handed_out += 1
        assert image.error is None
    assert handed_out == len(IMAGES)
    assert 1 <= max(ahead) <= in_flight


def test_reading_waits_for_answers(fake: Fake, net: striate.Model) -> None:
    """A server that has said nothing yet is sent so many images, and each answer that is taken lets
    one more follow.
    """
    arrived, go = threading.Semaphore(0), threading.Semaphore(0)

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack, waiting = next(requests).settings.attack, []

        def take() -> None:
            with suppress(Exception):  # as gRPC says in the end that the call was cancelled
                for request in requests:
                    waiting.append(request.image)
                    arrived.release()

        threading.Thread(target=take, daemon=True).start()
        for place in range(len(IMAGES)):
            assert go.acquire(timeout=LONG)
            yield answer(attack, waiting[place])

    fake.converse = converse
    read: list[int] = []
    stream = net.attack_stream(counted(read), in_flight=4)
    assert read == [], "nothing is read before the first image is asked for"
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(next(stream).id))
    thread.start()
    for _ in range(4):
        assert arrived.acquire(timeout=LONG)
    assert not arrived.acquire(timeout=0.2)
    assert read == [0, 1, 2, 3]
    go.release()
    thread.join(LONG)
    assert first == [0]
    assert arrived.acquire(timeout=LONG)
    assert not arrived.acquire(timeout=0.2)
    assert read == [0, 1, 2, 3, 4]
    stream.close()


def test_an_image_that_waits_for_an_earlier_one_keeps_its_room(
    fake: Fake, net: striate.Model
) -> None:
    """Memory stays bounded while the first image takes for ever."""
    answered, go = threading.Semaphore(0), threading.Event()

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack, first = next(requests).settings.attack, next(requests).image
        for _ in range(3):
            yield answer(attack, next(requests).image)
            answered.release()
        assert go.wait(LONG)
        yield answer(attack, first)
        yield from (answer(attack, request.image) for request in requests)

    fake.converse = converse
    read: list[int] = []
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.extend(ids(net.attack_stream(counted(read), in_flight=4)))
    )
    thread.start()
    for _ in range(3):
        assert answered.acquire(timeout=LONG)
    time.sleep(0.2)  # enough to read on, were it allowed
    assert (read, found) == ([0, 1, 2, 3], [])
    go.set()
    thread.join(LONG)
    assert found == list(range(23))


def test_a_bad_image_is_one_bad_row(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    class Spoilt:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise TypeError("it is on another device")

    items: list[Any] = [
        IMAGES[0],
        tmp_path / "gone.png",
        (IMAGES[1], "dgo"),
        (IMAGES[1], 1, 99),
        (IMAGES[1], 1, 2, float("nan")),
        (IMAGES[1], 1, 2, 0.1, 5),
        IMAGES[:2],
        np.full((3, 4, 5), 255.0),
        Spoilt(),
        object(),
        b"",
        png(4, 5, 1),
    ]
    found = list(net.attack_stream(items, in_flight=2))
    assert ids(found) == list(range(12))
    good, bad = (
        [image for image in found if image.error is None],
        [image for image in found if image.error is not None],
    )
    assert ids(good) == [0, 11]
    expected = (
        "gone.png",
        "dgo",
        "target",
        "epsilon",
        "tuple of 5",
        "are 2",
        "divide by 255",
        "another device",
        "object",
        "bytes",
    )
    for image, words in zip(bad, expected, strict=True):
        assert words in str(image.error)
        assert isinstance(image.error, striate.InvalidArgument)
        assert (image.row, image.png) == (None, b"")
        with pytest.raises(striate.InvalidArgument) as caught:
            _ = image.image
        assert caught.value is image.error
    assert isinstance(bad[0].error, striate.BadImage)
    assert isinstance(bad[0].error.__cause__, FileNotFoundError)


def test_bad_images_alone_do_not_stall_a_server_that_says_nothing(net: striate.Model) -> None:
    found = list(net.attack_stream([5, 6, 7] * 3, in_flight=1))  # type: ignore[list-item]
    assert [image.error is not None for image in found] == [True] * 9


def test_the_servers_word_on_an_image_is_its_error(fake: Fake, net: striate.Model) -> None:
    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack = next(requests).settings.attack
        for request in requests:
            if request.image.id != 1:
                yield answer(attack, request.image)
                continue
            refused = pb.AttackStreamResponse(id=1)
            refused.error.code, refused.error.message = Code.INVALID_ARGUMENT.value[0], "no picture"
            for detail in (
                reason("BAD_IMAGE"),
                error_details_pb2.BadRequest(
                    field_violations=[{"field": "image", "description": "bad"}]
                ),
            ):
                packed = any_pb2.Any()
                packed.Pack(detail)
                refused.error.details.append(packed)
            yield refused

    fake.converse = converse
    first, second, third = net.attack_stream(IMAGES[:3])
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, striate.BadImage)
    assert (str(second.error), second.error.fields) == ("no picture", {"image": "bad"})


def test_an_iterable_that_is_none(net: striate.Model, tmp_path: Path) -> None:
    for given in (5, "a.png", b"bytes", tmp_path):
        with pytest.raises(striate.InvalidArgument) as caught:
            net.attack_stream(given)  # type: ignore[arg-type]
        assert list(caught.value.fields) == ["images"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"in_flight": 0}, "in_flight"),
        ({"in_flight": 1025}, "in_flight"),
        ({"first_id": -1}, "first_id"),
        ({"seed": -1}, "seed"),
        ({"format": "gif"}, "format"),
        ({"targets": 99}, "targets[0]"),
        ({"targets": "random", "unit": striate.Silence("stem:1")}, "unit"),
        ({"unit": "stem:1"}, "unit"),
        ({"attack": "pgdd"}, "attack"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(
    net: striate.Model, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        net.attack_stream(IMAGES, **options)
    assert list(caught.value.fields) == [field]


def test_warnings_are_told_once(fake: Fake, net: striate.Model) -> None:
    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack = next(requests).settings.attack
        for request in requests:
            response = answer(attack, request.image)
            response.attacked.warnings.extend(
                ["gradients are zero"] + ["no freedom"] * (request.image.id == 2)
            )
            yield response

    fake.converse = converse
    with pytest.warns(striate.StriateWarning) as caught:
        found = list(net.attack_stream(IMAGES[:5]))
    assert [str(warning.message) for warning in caught] == ["gradients are zero", "no freedom"]
    assert {warning.filename for warning in caught} == {__file__}
    assert [len(image.warnings) for image in found] == [1, 1, 2, 1, 1]


def test_notebooks_show_a_streamed_image(net: striate.Model) -> None:
    good, bad = net.attack_stream([IMAGES[0], object()])  # type: ignore[list-item]
    assert good._repr_png_() is not None
    assert bad._repr_png_() is None
