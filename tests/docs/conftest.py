"""What the snippets of a page find in the folder where they run: pictures, named as pages name
them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.toys_server import Server, shared_server

SIDE = 48  # pixels; larger than the embedded networks' input, so that they are resized
PICTURES = (
    "cat.jpg",
    "dog.png",
    "photos/cat/1.png",
    "photos/cat/2.png",
    "photos/dog/1.png",
    "photos/dog/2.png",
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the pages' own, since they build indexes that other tests would find."""
    with shared_server(tmp_path_factory.mktemp("pages")) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the pictures that pages speak of; it is the current folder meanwhile.

    Returns:
        The folder.
    """
    for seed, name in enumerate(PICTURES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(seed: int) -> Image.Image:
    """Draw smooth random colours.

    Args:
        seed: of the colours.

    Returns:
        An RGB image of `SIDE` pixels a side.
    """
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
