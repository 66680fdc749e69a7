"""The files that results are saved to."""

from pathlib import Path

import pytest
from PIL import Image

import striate


def test_saving_by_ending(net: striate.Model, tmp_path: Path) -> None:
    one = net.visualize("stem:1")
    assert one.save(tmp_path / "plain").read_bytes() == one.png
    for path, kind in ((tmp_path / "a.jpg", "JPEG"), (tmp_path / "deep" / "er" / "a.webp", "WEBP")):
        with Image.open(one.save(str(path))) as picture:
            assert (picture.format, picture.size) == (kind, one.image.size)
    with pytest.raises(striate.InvalidArgument, match=r"\.xyz"):
        one.save(tmp_path / "a.xyz")
