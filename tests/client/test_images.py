"""The images argument, compared with what numpy and PIL say the pixels are."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import striate
from striate import images
from striate.images import as_batch
from striate.v1 import types_pb2

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (3, 6, 7, 3), dtype=np.uint8)
MANY = np.concatenate([LEVELS, LEVELS])


def message(argument: Any) -> types_pb2.ImageBatch:
    batch = as_batch(argument)
    return batch.message(range(len(batch)))


def tensor_of(argument: Any) -> NDArray[Any]:
    """The array that a server would read."""
    sent = message(argument)
    assert not sent.encoded
    kind = {types_pb2.DATA_TYPE_UINT8: "|u1", types_pb2.DATA_TYPE_FLOAT32: "<f4"}[sent.tensor.dtype]
    return np.frombuffer(sent.tensor.data, kind).reshape(tuple(sent.tensor.shape))


def decoded(argument: Any) -> list[NDArray[Any]]:
    """The pictures that a server would decode."""
    sent = message(argument)
    assert not sent.HasField("tensor")
    return [np.asarray(Image.open(io.BytesIO(data))) for data in sent.encoded]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (LEVELS, LEVELS),
        (LEVELS[0], LEVELS[:1]),
        (LEVELS[:, ::2, ::-1], LEVELS[:, ::2, ::-1]),  # not contiguous
        (MANY[..., 0], MANY[..., :1]),
        (LEVELS[:1, :, :, 0], LEVELS[:1, :, :, :1]),  # (1, H, W) is one gray image either way
        (LEVELS[0, :, :, 0], LEVELS[:1, :, :, :1]),
        (LEVELS[0, :, :, :1], LEVELS[:1, :, :, :1]),
        (list(LEVELS), LEVELS),
        (list(LEVELS[..., 0]), LEVELS[..., :1]),
        (list(LEVELS[..., :1]), LEVELS[..., :1]),
    ],
)
def test_uint8_arrays_travel_exactly(given: Any, sent: NDArray[np.uint8]) -> None:
    arrived = tensor_of(given)
    assert arrived.dtype == np.uint8
    np.testing.assert_array_equal(arrived, sent)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_float_arrays_travel_as_little_endian_float32(dtype: Any) -> None:
    pixels = RNG.random((2, 3, 4, 5)).astype(dtype)
    for given, sent in (
        (pixels, pixels),
        (pixels[0], pixels[:1]),
        (list(pixels), pixels),
        (np.asfortranarray(pixels), pixels),
    ):
        arrived = tensor_of(given)
        assert arrived.dtype == np.dtype("<f4")
        np.testing.assert_array_equal(arrived, sent.astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_float_type_travel_out_of_their_graph(dtype: torch.dtype) -> None:
    pixels = torch.from_numpy(RNG.random((2, 3, 4, 5))).to(dtype)
    for given in (pixels, pixels.clone().requires_grad_(), list(pixels), pixels.requires_grad_()):
        np.testing.assert_array_equal(tensor_of(given), pixels.detach().float().numpy())


def test_a_premultiplied_or_deep_picture_travels_without_loss() -> None:
    plain = Image.fromarray(LEVELS[0]).convert("LA")
    plain.putalpha(Image.new("L", plain.size, 128))
    for mode, target in (("La", "LA"), ("RGBa", "RGBA")):
        given = plain.convert(target).convert(mode)
        (arrived,) = decoded([given])
        np.testing.assert_array_equal(arrived, np.asarray(given.convert(target)))
    deep = (LEVELS[0, :, :, 0].astype(np.uint16) << 8) + 7
    for given in (Image.fromarray(deep), Image.fromarray(deep.astype(">u2"))):
        (arrived,) = decoded([given])
        np.testing.assert_array_equal(arrived.astype(np.uint16), deep)


def test_arraylike_objects_count_as_arrays() -> None:
    class Arraylike:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
            return LEVELS

    np.testing.assert_array_equal(tensor_of(Arraylike()), LEVELS)


def test_paths_bytes_and_samples_travel_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(LEVELS[0]).save(path, quality=60)
    data = path.read_bytes()
    sample = striate.Sample(id=3, name="a", label=None, encoded=data)
    for one in (path, str(path), data, bytearray(data), sample):
        assert list(message(one).encoded) == [data]
    assert list(message([path, data, sample]).encoded) == [data] * 3
    assert list(message(part for part in (path, str(path))).encoded) == [data] * 2


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1", "P"])
def test_pil_images_travel_without_loss(mode: str) -> None:
    picture = Image.fromarray(LEVELS[0]).convert(mode)
    sent = message(picture).encoded[0]
    arrived = Image.open(io.BytesIO(sent))
    assert arrived.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


def test_modes_that_png_lacks_become_rgb() -> None:
    picture = Image.fromarray(LEVELS[0]).convert("CMYK")
    (arrived,) = decoded([picture])
    np.testing.assert_array_equal(arrived, np.asarray(picture.convert("RGB")))


def test_orientation_of_a_pil_image_is_applied_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    buffer = io.BytesIO()
    Image.fromarray(LEVELS[0]).save(buffer, "PNG", exif=exif)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    arrived = Image.open(io.BytesIO(message(opened).encoded[0]))
    np.testing.assert_array_equal(np.asarray(arrived), np.rot90(LEVELS[0], k=-1))
    assert arrived.getexif().get(0x0112, 1) == 1


def test_mixed_lists_and_sizes_become_files() -> None:
    small = LEVELS[0, :3]
    arrived = decoded([LEVELS[0], small, Image.fromarray(LEVELS[1]), LEVELS[2, :, :, 0]])
    for found, expected in zip(
        arrived, (LEVELS[0], small, LEVELS[1], LEVELS[2, :, :, 0]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_alpha_travels_as_files() -> None:
    levels = RNG.integers(0, 256, (2, 6, 7, 4), dtype=np.uint8)
    for found, expected in zip(decoded(levels), levels, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (np.full((1, 3, 2, 2), 255.0), "images", "divide by 255"),
        (np.full((1, 3, 2, 2), -0.1), "images", "within [0, 1]"),
        (np.full((1, 3, 2, 2), np.nan), "images", "within [0, 1]"),
        (np.full((1, 3, 2, 2), np.inf), "images", "within [0, 1]"),
        (np.zeros((1, 6, 7, 3)), "images", "(N, C, H, W)"),
        (np.zeros((4, 4)), "images", "(N, C, H, W)"),
        (np.zeros((1, 3, 6, 7), np.uint8), "images", "(N, H, W, C)"),
        (np.zeros((1, 3, 6, 7), np.int64), "images", "int64"),
        (np.zeros((0, 6, 7, 3), np.uint8), "images", "at least one"),
        ([], "images", "at least one"),
        (7, "images", "int"),
        ([b"x", 7], "images[1]", "int"),
        ([b"x", b""], "images[1]", "bytes"),
        ([b"x", np.zeros((3, 2, 2))], "images[1]", "uint8"),
        ([np.zeros((3, 2, 2)), np.zeros((3, 2, 3))], "images", "same shape"),
        ([np.zeros((1, 3, 2, 2))], "images", "one image"),
        (Image.new("F", (2, 2)), "images", "mode F"),
        (Image.new("I", (2, 2)), "images", "mode I"),
        (Image.new("RGB", (0, 2)), "images", "cannot be read"),
        (np.zeros((3, 6, 7), np.uint8), "images", "permute(1, 2, 0)"),
        (np.zeros((2, 6, 7), np.uint8), "images", "permute(1, 2, 0)"),
        (np.zeros((4, 6, 7), np.uint8), "images", "[..., None]"),
        (torch.zeros((3, 6, 7), dtype=torch.uint8), "images", "permute(1, 2, 0)"),
        (torch.zeros((5, 3, 6, 7), dtype=torch.uint8), "images", "permute(0, 2, 3, 1)"),
        (torch.zeros((5, 1, 6, 7), dtype=torch.uint8), "images", "permute(0, 2, 3, 1)"),
        ([np.zeros((3, 6, 7), np.uint8)] * 2, "images[0]", "permute(1, 2, 0)"),
        (
            [np.zeros((6, 7, 3), np.uint8), np.zeros((3, 6, 8), np.uint8)],
            "images[1]",
            "permute(1, 2, 0)",
        ),
        ([b"x", np.zeros((3, 6, 7), np.uint8)], "images[1]", "permute(1, 2, 0)"),
        (np.zeros((1, 6, 7, 3)), "images", "transpose(0, 3, 1, 2)"),
        (np.zeros((6, 7, 3), np.uint16), "images", "65535"),
        (np.zeros((6, 7, 3), bool), "images", "bool"),
        (np.ma.masked_equal(np.zeros((6, 7, 3), np.uint8), 0), "images", "masked"),
        (torch.zeros((3, 6, 7)).to_sparse(), "images", "numpy array"),
        (torch.zeros((3, 6, 7), device="meta"), "images", "numpy array"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_name(given: Any, field: str, words: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        as_batch(given)
    assert field in caught.value.fields
    assert words in str(caught.value)


def test_oversized_files_are_refused() -> None:
    with pytest.raises(striate.InvalidArgument, match="16777217"):
        as_batch([bytes(2**24 + 1)])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        as_batch([tmp_path / "gone.png"])


@pytest.mark.parametrize("sizes", [[5] * 40, [1, 9] * 30, list(range(1, 60)), [3], [50] * 9])
@pytest.mark.parametrize("reply_row", [0, 2, 11])
def test_spans_cover_all_rows_within_the_budget(
    sizes: list[int], reply_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", 600)
    batch = as_batch([bytes(size) for size in sizes])
    spans = batch.spans(reply_row)
    assert [row for span in spans for row in span] == list(range(len(sizes)))
    for span in spans:
        assert span.start % 8 == 0
        assert sum(sizes[row] for row in span) <= 600
        assert len(span) * reply_row <= 600


def test_spans_end_at_the_row_limit() -> None:
    batch = as_batch(np.zeros((10_000, 1, 1, 1), np.uint8))
    assert [len(span) for span in batch.spans(0)] == [4096, 4096, 1808]


def test_rows_too_large_for_groups_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", 600)
    batch = as_batch([bytes(100)] * 10)
    assert [len(span) for span in batch.spans(0)] == [5, 5]  # 108 bytes each with their framing
    with pytest.raises(striate.InvalidArgument, match="deterministic"):
        batch.spans(0, whole_groups=True)
    with pytest.raises(striate.InvalidArgument, match=r"images\[1\]"):
        as_batch([bytes(100), bytes(700)]).spans(0)


def test_a_list_of_gray_floats_is_a_batch_of_gray_images() -> None:
    batch = as_batch([np.full((4, 5), value, np.float32) for value in (0.0, 0.5, 1.0)])
    assert len(batch) == 3
    tensor = batch.message(range(3)).tensor
    assert tuple(tensor.shape) == (3, 1, 4, 5)
