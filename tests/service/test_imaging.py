"""Decoding, resizing and encoding images, against Pillow, numpy and torchvision."""

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from service.imaging import (
    FORMATS,
    MAX_BYTES,
    BadImage,
    Interpolation,
    Pixels,
    Preprocessing,
    as_png,
    decode,
    png,
)

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def pixels_of(image: Image.Image) -> Pixels:
    return np.asarray(image)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def preprocessing(
    channels: int, height: int, width: int, resize: int, interpolation: Interpolation = "bilinear"
) -> Preprocessing:
    return Preprocessing(
        channels, height, width, resize, interpolation, (0.5,) * channels, (0.5,) * channels
    )


def test_decode_gives_the_pixels() -> None:
    image = Image.fromarray(COLOUR)
    assert np.array_equal(pixels_of(decode(encoded(image))), COLOUR)
    assert np.array_equal(pixels_of(decode(encoded(image, "WEBP", lossless=True))), COLOUR)
    jpeg = encoded(image, "JPEG")
    assert np.array_equal(pixels_of(decode(jpeg)), pixels_of(Image.open(io.BytesIO(jpeg))))
    assert decode(encoded(image.convert("L"))).mode == "L"
    assert np.array_equal(
        pixels_of(decode(encoded(image.convert("1")))), pixels_of(image.convert("1").convert("L"))
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    turned: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x.transpose(1, 0, 2), 2),
        8: lambda x: np.rot90(x, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = (
        {"lossless": True}
        if kind == "WEBP"
        else {"quality": 100, "subsampling": 0}
        if kind == "JPEG"
        else {}
    )
    plain = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(COLOUR), kind, **options))))
    data = encoded(Image.fromarray(COLOUR), kind, exif=exif, **options)
    assert np.array_equal(pixels_of(decode(data)), turned[orientation](plain))


def test_alpha_lies_over_white() -> None:
    alpha = RNG.integers(0, 256, (7, 5), np.uint8)
    image = Image.fromarray(np.dstack([COLOUR, alpha]))
    weight = alpha[..., None] / 255
    expected = COLOUR * weight + 255 * (1 - weight)
    for data in (encoded(image), encoded(image, "WEBP", lossless=True, exact=True)):
        assert np.abs(np.asarray(decode(data)) - expected).max() <= 1
    gray = Image.fromarray(COLOUR[..., 0])
    gray.putalpha(Image.fromarray(alpha))
    over = decode(encoded(gray))
    assert over.mode == "L"
    assert (
        np.abs(
            np.asarray(over) - (COLOUR[..., 0] * weight[..., 0] + 255 * (1 - weight[..., 0]))
        ).max()
        <= 1
    )


def test_transparent_palette_entries_and_colours_are_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert np.asarray(decode(encoded(palette, transparency=0))).tolist() == [
        [[255] * 3, [40, 50, 60]]
    ]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert np.asarray(decode(encoded(rgb, transparency=(1, 2, 3)))).tolist() == [
        [[255] * 3, [4, 5, 6]]
    ]
    gray = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert np.asarray(decode(encoded(gray, transparency=8))).tolist() == [[7, 255]]


def deep_png(samples: np.ndarray, colour_type: int, extra: bytes = b"") -> bytes:
    """A 16-bit PNG file of samples (H, W, C), written by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bits_keep_the_high_byte() -> None:
    gray = RNG.integers(0, 65536, (4, 3, 1))
    assert np.array_equal(pixels_of(decode(deep_png(gray, 0))), gray[..., 0] >> 8)
    colour = RNG.integers(0, 65536, (4, 3, 3))
    assert np.array_equal(pixels_of(decode(deep_png(colour, 2))), colour >> 8)


def test_a_transparent_deep_gray_is_white() -> None:
    body = b"tRNS" + struct.pack(">H", 300)
    transparency = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    decoded = decode(deep_png(np.array([[[300], [301]]]), 0, transparency))
    assert np.asarray(decoded).tolist() == [[255, 1]]


def test_cmyk_jpeg() -> None:
    cmyk = Image.fromarray(np.full((16, 16, 3), (200, 30, 90), np.uint8)).convert("CMYK")
    decoded = np.asarray(decode(encoded(cmyk, "JPEG", quality=100)))
    assert decoded.shape == (16, 16, 3)
    assert np.abs(decoded.astype(int) - (200, 30, 90)).max() <= 4


def test_what_is_no_image_is_refused() -> None:
    good = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)))
    with pytest.raises(BadImage, match="empty"):
        decode(b"")
    with pytest.raises(BadImage, match="no readable PNG, JPEG, WebP"):
        decode(b"neither this nor that")
    for kind in ("TGA", "EPS", "ICO"):  # Pillow has plugins for them, and is not to use these
        with pytest.raises(BadImage, match="no readable PNG, JPEG, WebP"):
            decode(encoded(Image.fromarray(COLOUR), kind))
    with pytest.raises(BadImage, match="truncated or corrupt"):
        decode(good[: len(good) // 2])
    with pytest.raises(BadImage, match="truncated or corrupt"):
        decode(encoded(Image.fromarray(COLOUR).resize((64, 64)), "JPEG")[:-400])
    with pytest.raises(BadImage, match=f"at most {MAX_BYTES}"):
        decode(good + b"\0" * MAX_BYTES)


@pytest.mark.parametrize("side", [8001, 12000, 60000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", side, 8000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("was decoded"))
    warns = pytest.warns(Image.DecompressionBombWarning) if side == 12000 else nullcontext()
    with warns, pytest.raises(BadImage, match="pixels; at most 64000000"):
        decode(
            b"\x89PNG\r\n\x1a\n"
            + chunk
            + struct.pack(">I", 0)
            + b"IDAT"
            + struct.pack(">I", zlib.crc32(b"IDAT"))
        )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_decode_or_are_bad_images(kind: str, damage: list[tuple[int, int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(encoded(Image.fromarray(np.resize(COLOUR, (24, 24, 3))), kind, exif=exif))
    for position, value in damage:
        data[position % len(data)] = value
    try:
        image = decode(bytes(data))
    except BadImage:
        return
    assert image.mode in ("L", "RGB")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 7), (224, 224), (301, 199), (97, 640), (256, 300), (33, 32)])
@pytest.mark.parametrize(
    ("resize", "crop"),
    [(256, (224, 224)), (232, (224, 224)), (32, (32, 32)), (20, (33, 26)), (41, (28, 40))],
)
def test_preprocessing_equals_torchvision(
    interpolation: Interpolation, size: tuple[int, int], resize: int, crop: tuple[int, int]
) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8))
    mode = v2.InterpolationMode(interpolation)
    oracle = v2.Compose([v2.Resize(resize, mode, antialias=True), v2.CenterCrop(crop)])
    ours = preprocessing(3, *crop, resize, interpolation).apply(image)
    assert ours.dtype == np.uint8
    assert np.array_equal(ours.transpose(1, 2, 0), np.asarray(oracle(image)))
    gray = preprocessing(1, *crop, resize, interpolation).apply(image)
    assert np.array_equal(gray[0], np.asarray(oracle(image.convert("L"))))


@pytest.mark.parametrize(
    "size", [(60_000, 1), (1, 60_000), (64_000_000, 1), (1, 64_000_000), (3_000_000, 20)]
)
def test_a_strip_is_refused_before_it_is_scaled_to_gigabytes(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = preprocessing(3, 224, 224, 256)
    strip = Image.new("L", size)
    monkeypatch.setattr(Image.Image, "resize", lambda *_: pytest.fail("was resized"))
    monkeypatch.setattr(
        Image.Image, "convert", lambda image, _: image
    )  # a strip in colour takes 200 MB
    with pytest.raises(BadImage, match=r"resized to 256 .*at most 64000000"):
        network.apply(strip)


def test_a_strip_among_arrays_and_files_is_refused() -> None:
    network = preprocessing(1, 32, 32, 256)
    strip = np.zeros((1, 60_000, 1), np.uint8)
    with pytest.raises(BadImage, match="15360000"):
        network.from_array(strip[None])
    with pytest.raises(BadImage, match="15360000"):
        network.apply(decode(encoded(Image.fromarray(strip[..., 0]))))


def test_a_long_strip_equals_torchvision_still() -> None:
    image = Image.fromarray(RNG.integers(0, 256, (2, 3000, 3), np.uint8))
    oracle = v2.Compose(
        [v2.Resize(32, v2.InterpolationMode.BILINEAR, antialias=True), v2.CenterCrop((32, 32))]
    )
    assert np.array_equal(
        preprocessing(3, 32, 32, 32).apply(image).transpose(1, 2, 0), np.asarray(oracle(image))
    )


def test_gray_is_repeated_for_a_colour_network() -> None:
    gray = Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8))
    assert np.array_equal(
        preprocessing(3, 8, 8, 8).apply(gray), np.repeat(np.asarray(gray)[None], 3, 0)
    )


def test_arrays_are_treated_like_files() -> None:
    colour = RNG.integers(0, 256, (2, 7, 9, 3), np.uint8)
    for network in (preprocessing(3, 6, 6, 6), preprocessing(1, 8, 5, 8)):
        for images in (colour, colour[..., :1], colour[:, ::-1]):
            files = [
                encoded(Image.fromarray(i.squeeze() if i.shape[2] == 1 else i)) for i in images
            ]
            assert np.array_equal(
                network.from_array(images), np.stack([network.apply(decode(f)) for f in files])
            )
    clear = np.concatenate([colour, np.zeros((2, 7, 9, 1), np.uint8)], 3)
    assert (preprocessing(3, 6, 6, 6).from_array(clear) == 255).all()
    for bad in ((2, 3, 4, 2), (0, 4, 4, 3), (4, 4, 3), (1, 0, 4, 3)):
        with pytest.raises(BadImage):
            preprocessing(3, 6, 6, 6).from_array(np.zeros(bad, np.uint8))
    with pytest.raises(BadImage, match="uint8"):
        preprocessing(3, 6, 6, 6).from_array(np.zeros((1, 4, 4, 3), np.float32))


def test_png_rounds_to_the_nearest_level() -> None:
    pixels = RNG.random((3, 6, 4))
    decoded = np.asarray(Image.open(io.BytesIO(png(pixels)))).transpose(2, 0, 1)
    assert np.abs(decoded / 255 - pixels).max() <= 0.5 / 255 + 1e-9
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for same in (levels, levels[None], levels / 255, (levels / 255).astype(np.float32)[None]):
        assert np.array_equal(pixels_of(Image.open(io.BytesIO(png(same)))), levels)
    assert np.asarray(Image.open(io.BytesIO(png(np.array([[-1.0, 2.0]]))))).tolist() == [[0, 255]]
    with pytest.raises(ValueError, match="finite"):
        png(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="expected"):
        png(np.zeros((2, 4, 4)))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "AVIF"])
def test_the_first_of_several_frames_counts(kind: str) -> None:
    if kind not in FORMATS:
        pytest.skip("this Pillow does not read it")
    frames = [Image.new("L", (6, 4), level) for level in (40, 200, 90)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    for data in (file.getvalue(), as_png(file.getvalue())):
        assert np.abs(pixels_of(decode(data)).astype(int) - 40).max() <= 2


@pytest.mark.parametrize("kind", ["BMP", "PPM", "TIFF"])
def test_other_formats_have_the_same_pixels(kind: str) -> None:
    data = encoded(Image.fromarray(COLOUR), kind)
    assert np.array_equal(pixels_of(decode(data)), COLOUR)
    assert np.array_equal(pixels_of(Image.open(io.BytesIO(as_png(data)))), COLOUR)


def test_deep_tiffs_keep_what_they_say() -> None:
    deep = RNG.integers(0, 65536, (4, 3)).astype(np.uint16)
    for samples in (deep, deep.astype(">u2")):
        data = encoded(Image.fromarray(samples), "TIFF")
        assert np.array_equal(pixels_of(decode(data)), deep >> 8)
        assert np.array_equal(pixels_of(Image.open(io.BytesIO(as_png(data)))), deep)
    for dtype in (np.float32, np.int32):
        data = encoded(Image.fromarray(deep.astype(dtype)), "TIFF")
        with pytest.raises(BadImage, match=r"32-bit samples .* nothing states"):
            decode(data)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
def test_orientation_is_applied_before_a_picture_becomes_png(kind: str) -> None:
    if kind not in FORMATS:
        pytest.skip("this Pillow does not read it")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the first row is the right side
    flat = np.zeros((4, 6, 3), np.uint8)
    flat[:2] = 255
    data = encoded(Image.fromarray(flat), kind, exif=exif)
    for found in (decode(data), Image.open(io.BytesIO(as_png(data)))):
        assert found.size == (4, 6)
        assert (np.asarray(found)[:, 2:] > 250).all()
        assert (np.asarray(found)[:, :2] < 5).all()


def test_only_the_listed_formats_are_ever_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    opened = Image.open

    def noted(file: io.BytesIO, formats: tuple[str, ...] | None = None) -> Image.Image:
        tried.append(formats)
        return opened(file, formats=formats)

    monkeypatch.setattr(Image, "open", noted)
    for read in (decode, as_png):
        with pytest.raises(BadImage, match="no readable"):
            read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert tried == [FORMATS, FORMATS]
