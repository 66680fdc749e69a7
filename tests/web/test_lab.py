"""The lab without a browser: what it takes as an image, and what it says of all else."""

from __future__ import annotations

import http.client
import io
import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from striate import BadImage
from striate_web.views import drawing
from tests.web.conftest import NET
from tests.web.toys_microscope import Running


def file_of(mode: str = "RGB", size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """A picture of noise."""
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(file, kind)
    return file.getvalue()


def send(web: Running, image: bytes, name: str = "a.png") -> tuple[int, str, str]:
    """Sends an image as a browser does; returns status, location and body."""
    page = web.get(f"/-/lab?model={NET}")
    line = "\r\n"
    parts = [
        f'--x{line}Content-Disposition: form-data; name="proof"{line * 2}{page.proof}{line}',
        f'--x{line}Content-Disposition: form-data; name="model"{line * 2}{NET}{line}',
        f'--x{line}Content-Disposition: form-data; name="image"; filename="{name}"{line * 2}',
    ]
    body = "".join(parts).encode() + image + f"{line}--x--{line}".encode()
    connection = http.client.HTTPConnection(urlsplit(web.address).netloc, timeout=60)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Cookie": page.cookie}
    connection.request("POST", "/-/lab/images", body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers.get("Location", ""), text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_an_image_is_taken_and_attacked(web: Running, kind: str) -> None:
    status, location, _ = send(web, file_of("L" if kind == "GIF" else "RGB", kind=kind))
    assert status == 303
    page = web.get(location)
    assert page.text.count("<li><span>") == 5
    query = location.partition("?")[2]
    bench = web.get(f"/-/lab/attack?{query}&attack=FGSM&level=30", hx_request="true")
    assert bench.status == 200
    assert bench.text.count("<figure>") == 4
    (source,) = re.findall(r'<a href="([^"]+)" download', bench.text)
    assert web.get(source).body.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"no image",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_what_is_no_image_is_told_in_words(web: Running, image: bytes) -> None:
    status, _, text = send(web, image)
    assert status == 400
    assert "no image that can be read" in text
    assert "Traceback" not in text


def test_a_large_file_is_refused_before_it_is_read(web: Running) -> None:
    status, _, _ = send(web, b"\0" * (17 * 2**20))
    assert status == 413


def test_an_image_of_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_PIXELS", 1000)
    with pytest.raises(BadImage, match="more than 1,000 pixels"):
        drawing.as_png(file_of(size=(40, 30)))


def test_a_name_of_a_file_is_never_shown(web: Running) -> None:
    status, location, _ = send(web, file_of(), "<script>alert(1)</script>.png")
    assert status == 303
    assert "<script>alert" not in web.get(location).text


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 404), ("image=zz", 404), ("image=" + "0" * 64, 404), ("method=magic&image=zz", 404)],
)
def test_an_image_that_is_not_there(web: Running, query: str, status: int) -> None:
    for page in ("attack", "attribution"):
        answer = web.get(f"/-/lab/{page}?model={NET}&{query}")
        assert answer.status == status


def test_a_difference_fills_the_range_around_gray() -> None:
    difference = np.zeros((4, 5, 3))
    difference[1, 2] = (0.01, -0.02, 0.005)
    png, factor = drawing.magnified(difference)
    assert factor == pytest.approx(25)
    found = drawing.pixels(png)
    assert found.shape == (4, 5, 3)
    assert found[1, 2] == pytest.approx((0.75, 0.0, 0.625), abs=1 / 255)
    assert found[0, 0] == pytest.approx((0.5, 0.5, 0.5), abs=1 / 255)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_has_the_size_asked_for(norm: str) -> None:
    clean = np.full((16, 16, 3), 0.5)
    difference = drawing.pixels(drawing.noise(clean, norm, 0.2 if norm == "linf" else 2.0)) - clean
    size = np.abs(difference).max() if norm == "linf" else np.linalg.norm(difference)
    assert size == pytest.approx(0.2 if norm == "linf" else 2.0, rel=0.03)


def test_an_image_is_written_anew_without_what_else_a_file_holds() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", comment=b"secret")
    assert b"secret" in file.getvalue()
    assert b"secret" not in drawing.as_png(file.getvalue())
