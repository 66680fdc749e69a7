"""A data set's spectrum is computed once, exactly, and never of a damaged file."""

import io
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.datasets import Dataset, DatasetError, Source
from service.imaging import Preprocessing
from service.visualization.spectra import SpectrumStore, identity

SEEN = Preprocessing(1, 6, 8, 8, "bilinear", (0.5,), (0.5,))


class Reads:
    """A data set of random gray images of 8 x 8 that counts how often one is read."""

    def __init__(self, size: int = 5) -> None:
        self.pixels = np.random.default_rng(0).integers(0, 256, (size, 8, 8), dtype=np.uint8)
        self.count, self._lock = 0, threading.Lock()
        self.dataset = Dataset("toy", "toy:", Source(size, self._item))

    def _item(self, number: int) -> tuple[str, bytes, int | None]:
        with self._lock:
            self.count += 1
        buffer = io.BytesIO()
        Image.fromarray(self.pixels[number]).save(buffer, "PNG")
        return f"{number}", buffer.getvalue(), None

    def magnitude(self, images: int) -> torch.Tensor:
        """What the spectrum must be, of what the network sees: the central rows."""
        seen = self.pixels[:images, 1:7] / 255
        return torch.from_numpy(np.abs(np.fft.rfft2(seen)).mean(0, keepdims=True)).float()


@pytest.mark.parametrize("images", [3, 5, 100])
def test_it_is_the_mean_magnitude_of_what_the_network_sees(tmp_path: Path, images: int) -> None:
    reads = Reads()
    found = SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, images)
    torch.testing.assert_close(found, reads.magnitude(images))


def test_it_is_computed_once_even_if_many_ask(tmp_path: Path) -> None:
    reads = Reads()
    store = SpectrumStore(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: store.magnitude(reads.dataset, SEEN, 5), range(8)))
    again = SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, 5)
    assert reads.count == 5
    assert all(torch.equal(one, again) for one in found)


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    reads = Reads()
    SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, 5)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:40])
    torch.testing.assert_close(
        SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, 5), reads.magnitude(5)
    )


def test_a_disk_that_takes_nothing_loses_no_spectrum(tmp_path: Path) -> None:
    reads = Reads()
    (tmp_path / "spectra").write_text("a file where a folder should be")
    torch.testing.assert_close(
        SpectrumStore(tmp_path / "spectra").magnitude(reads.dataset, SEEN, 5), reads.magnitude(5)
    )


def test_one_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    reads = Reads()
    with pytest.raises(CancelledError):
        SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, 5, cancelled=lambda: True)
    assert not list(tmp_path.iterdir())


def test_what_has_no_spectrum_is_refused(tmp_path: Path) -> None:
    reads = Reads()
    reads.pixels[:] = 77
    with pytest.raises(DatasetError, match="of one colour"):
        SpectrumStore(tmp_path).magnitude(reads.dataset, SEEN, 5)
    with pytest.raises(DatasetError, match="is empty"):
        SpectrumStore(tmp_path).magnitude(Reads(0).dataset, SEEN, 5)


def test_its_name_is_that_of_all_it_depends_on() -> None:
    dataset, larger = Reads().dataset, Reads(6).dataset
    other = Preprocessing(1, 6, 6, 8, "bilinear", (0.5,), (0.5,))
    names = {
        identity(dataset, SEEN, 5),
        identity(dataset, SEEN, 4),
        identity(larger, SEEN, 5),
        identity(dataset, other, 5),
    }
    assert len(names) == 4
    assert identity(dataset, SEEN, 5) == identity(dataset, SEEN, 500)
