"""A folder with images that cannot be used, through a real server process: what is refused names
them, and what leaves them out lists them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import striate
from service.datasets import digits
from tests.e2e.conftest import NAME
from tests.toys_server import serving

COUNT = 20
TRUNCATED, NO_TIFF = 7, 12
LONG = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[striate.Service]:
    """A server of twenty digits, one of which is cut off, and one no picture at all."""
    folder = tmp_path_factory.mktemp("bad")
    pictures = folder / "pictures" / "digit"
    pictures.mkdir(parents=True)
    for number, pixels in enumerate(digits()[0][:COUNT]):
        if number == NO_TIFF:
            (pictures / f"{number}.tif").write_bytes(b"II*\0 and no more")
        else:
            path = pictures / f"{number:02}.png"
            Image.fromarray(pixels[0].numpy()).save(path)
            path.write_bytes(path.read_bytes()[: 60 if number == TRUNCATED else None])
    flags = ["--model", NAME]
    flags += ["--dataset", f"strict=imagefolder:{folder}/pictures"]
    flags += ["--dataset", f"lenient=imagefolder:{folder}/pictures?on_error=skip"]
    with serving(folder, *flags) as (_, target), striate.connect(target, timeout=LONG) as connected:
        yield connected


def test_samples(service: striate.Service) -> None:
    for found in (
        service.samples("lenient", count=COUNT),
        service.samples("strict", count=COUNT, skip_bad=True),
    ):
        assert [one.id for one in found] == sorted(set(range(COUNT)) - {TRUNCATED, NO_TIFF})
        assert [(one.id, Path(one.name).name) for one in found.left_out] == [
            (TRUNCATED, "07.png"),
            (NO_TIFF, "12.tif"),
        ]
        assert all(one.reason for one in found.left_out)
    with pytest.raises(striate.DatasetUnreadable, match=r"image 12 \('.*12\.tif'\) of .* 'strict'"):
        service.samples("strict", count=COUNT)
    (truncated,) = service.samples("strict", TRUNCATED, 1)
    with pytest.raises(striate.BadImage, match=r"image 7 \('.*07\.png'\) is no readable image"):
        _ = truncated.image


def test_an_index_its_exemplars_and_a_dossier(service: striate.Service) -> None:
    net = service.model(NAME)
    with pytest.raises(striate.StriateError, match=r"image 7 \('.*07\.png'\)"):
        service.build_index(NAME, "strict", ["c3"], k=4).wait(timeout=LONG)
    operation = service.build_index(NAME, "strict", ["c3"], k=4, skip_bad=True)
    report = operation.wait(timeout=LONG)
    assert (report.images, report.images_left_out) == (COUNT - 2, 2)
    progress = operation.metadata
    assert (progress.images_done, progress.images_left_out) == (COUNT, 2)
    found = net.exemplars("c3:1", 4, dataset="strict")
    assert (len(found), found.images, found.images_left_out) == (4, COUNT - 2, 2)
    page = net.dossier("c3:1", dataset="strict", steps=2, exemplars=2, images=COUNT, attack_steps=1)
    assert "2 images could not be used" in page.html
    for name in ("07.png", "12.tif"):
        assert f"{name}</th>" in page.html
