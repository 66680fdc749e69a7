"""Fingerprints of data sets: what changes them, what does not, and what then is opened anew."""

import io
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from interp.network.network import Network
from service.datasets import DatasetError, Datasets, open_dataset
from service.datasets import fingerprint as fingerprints
from service.datasets.fingerprint import Fingerprint
from service.index.store import IndexMissing, IndexPlan, IndexStore, Subject
from tests.service.index.toys_index import SIDE, Device, K, prepare, small_network


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_PATIENCE", 0.0)


@pytest.fixture(scope="module")
def network() -> Network:
    return small_network()


def shade(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (SIDE, SIDE), value).save(buffer, "PNG", compress_level=0)  # of equal sizes
    return buffer.getvalue()


def folder_of(path: Path, *values: int) -> Path:
    for number, value in enumerate(values):
        (path / "a").mkdir(parents=True, exist_ok=True)
        (path / "a" / f"{number}.png").write_bytes(shade(value))
    return path


def of(path: Path) -> str:
    return open_dataset("few", f"imagefolder:{path}", path).content


def replace_keeping_dates(path: Path, data: bytes) -> None:
    before = path.stat()
    assert before.st_size == len(data)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_content_and_names_count_and_dates_do_not(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", 0, 85, 170)
    two = Path(shutil.copytree(one, tmp_path / "two"))
    os.utime(two / "a" / "1.png", (0, 0))
    assert of(one) == of(two)
    replace_keeping_dates(two / "a" / "1.png", shade(255))
    assert of(one) != of(two)
    replace_keeping_dates(two / "a" / "1.png", shade(85))
    assert of(one) == of(two)
    for change in (
        lambda: (two / "a" / "3.png").write_bytes(shade(0)),
        lambda: (two / "a" / "3.png").rename(two / "a" / "4.png"),
        lambda: (two / "b").mkdir(),  # a class more
    ):
        before = of(two)
        change()
        assert of(two) != before


def test_an_open_fingerprint_sees_what_changes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one", 0, 85)
    data = open_dataset("few", f"imagefolder:{folder}", tmp_path)
    assert not data.has_changed
    os.utime(folder / "a" / "0.png", (0, 0))
    assert not data.has_changed
    replace_keeping_dates(folder / "a" / "0.png", shade(170))  # the inode's own date changes
    assert data.has_changed
    with pytest.raises(DatasetError, match="have changed while it was indexed"):
        data.check_unchanged("it was indexed")
    shutil.rmtree(folder)
    assert data.has_changed


def test_of_large_files_blocks_are_read_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(3 * fingerprints.BLOCKS * fingerprints.BLOCK)
    listing = Fingerprint(lambda: [("large", path)])
    found = {listing()}
    size = path.stat().st_size
    for place, data in ((0, b"1"), (size // 2, b"1" * 2**16), (size - 1, b"1")):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(data)
        found.add(listing())
    assert len(found) == 4


def test_many_files_cost_no_more_than_so_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "BLOCKS", 10)
    folder = folder_of(tmp_path, *[0] * 20)
    read = list[int]()
    content = fingerprints._content

    def counted(path: Path, blocks: int) -> bytes:
        read.append(blocks)
        return content(path, blocks)

    monkeypatch.setattr(fingerprints, "_content", counted)
    paths = sorted((folder / "a").iterdir())
    listing = Fingerprint(lambda: [(path.name, path) for path in paths])
    before = listing()
    assert read == [2] * 5
    assert listing() == before
    assert len(read) == 5  # nothing is read again
    paths[1].write_bytes(shade(0) + b"more")  # not among those that are looked into
    assert listing() != before


def test_a_digest_counts_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_PATIENCE", 20.0)
    calls = list[int]()

    def slow() -> list[tuple[str, Path]]:
        time.sleep(0.05)
        calls.append(1)
        return []

    listing = Fingerprint(slow)
    assert listing() == listing() == listing()
    assert len(calls) == 1


def test_replaced_files_are_opened_anew(tmp_path: Path) -> None:
    def write(value: int) -> None:
        table = pa.table({"image": pa.array([shade(value)] * 3, pa.binary())})
        pq.write_table(table, tmp_path / "one.parquet", compression="none")

    write(0)
    datasets = Datasets({"few": f"parquet:{tmp_path}/*.parquet"}, tmp_path)
    first = datasets.get("few")
    assert first.read(0, 1)[0].image == shade(0)
    assert datasets.get("few") is first
    write(255)
    second = datasets.get("few")
    assert second.read(0, 1)[0].image == shade(255)
    assert second.content != first.content


def test_an_index_of_replaced_files_is_stale(tmp_path: Path, network: Network) -> None:
    folder = folder_of(tmp_path / "one", 0, 85, 170)
    datasets = Datasets({"few": f"imagefolder:{folder}"}, tmp_path)

    def subject() -> Subject:
        return Subject.of("net", "d1", datasets.get("few"))

    def build() -> None:
        plan = IndexPlan(subject(), {"conv": (5, 6, 6)}, K)
        store.build(plan, datasets.get("few"), prepare, Device(network).submit)

    store = IndexStore(tmp_path / "state")
    build()
    before = [hit.activation for hit in store.find(subject(), "conv", 0, K).hits]
    (folder / "a" / "0.png").write_bytes(shade(255))
    with pytest.raises(IndexMissing, match="other files of the data set") as caught:
        store.find(subject(), "conv", 0, K)
    assert caught.value.stale
    build()
    assert [hit.activation for hit in store.find(subject(), "conv", 0, K).hits] != before


def test_files_that_change_while_they_are_indexed_give_no_index(
    tmp_path: Path, network: Network
) -> None:
    folder = folder_of(tmp_path / "one", 0, 85, 170)
    data = open_dataset("few", f"imagefolder:{folder}", tmp_path)
    device, store = Device(network), IndexStore(tmp_path / "state")

    def submit(procedure):  # type: ignore[no-untyped-def]
        (folder / "a" / "0.png").write_bytes(shade(255))
        return device.submit(procedure)

    plan = IndexPlan(Subject.of("net", "d1", data), {"conv": (5, 6, 6)}, K)
    with pytest.raises(DatasetError, match="have changed while it was indexed"):
        store.build(plan, data, prepare, submit)
    assert store.layers(plan.subject) == []
