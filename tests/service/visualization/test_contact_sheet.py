"""Contact sheets: tiles in order, whole where they fit, shrunk where they do not."""

import io

import numpy as np
import pytest
from PIL import Image

from service.imaging import png
from service.visualization.contact_sheet import ContactSheet


def opened(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiles_lie_in_rows_whole_and_apart(channels: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (5, channels, 8, 6), dtype=np.uint8)
    sheet = ContactSheet(5, 8, 6, channels)
    for number in (4, 0, 2, 1, 3):
        sheet.place(number, png(pictures[number]))
    found = opened(sheet.png()).reshape(2 * sheet.tile, 3 * sheet.tile, channels)
    assert sheet.columns == 3
    assert sheet.tile == 9  # and the margin
    for number, picture in enumerate(pictures):
        top, left = number // 3 * 9, number % 3 * 9
        assert np.array_equal(found[top : top + 8, left : left + 6], picture.transpose(1, 2, 0))
    assert (found[8::9] == 255).all()  # margins below
    assert (found[:, 8::9] == 255).all()
    assert (found[9:, 18:] == 255).all()  # no sixth picture


def test_so_many_that_they_must_shrink_still_fit() -> None:
    sheet = ContactSheet(100, 64, 64, 3, most_bytes=300_000)
    for number in range(100):
        sheet.place(number, png(np.full((3, 64, 64), number, np.uint8)))
    found = opened(sheet.png())
    assert found.nbytes <= 300_000
    assert found.shape == (10 * sheet.tile, 10 * sheet.tile, 3)
    assert found[:: sheet.tile, :: sheet.tile, 0].flatten().tolist() == list(range(100))


def test_one_picture_is_a_sheet() -> None:
    picture = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    sheet = ContactSheet(1, 4, 4, 1)
    sheet.place(0, png(picture))
    assert np.array_equal(opened(sheet.png())[:4, :4], picture[0])
