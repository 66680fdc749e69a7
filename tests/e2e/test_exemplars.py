"""Indexes through a real server: every order, label and number against the library and numpy; and a
build whose server is killed.
"""

import contextlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from interp.network.network import Network
from service.datasets import digits as all_digits
from tests.e2e.conftest import NAME
from tests.toys_server import serving

COUNT, K, CLASS_K = 201, 6, 3
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)  # of 200 others: whole numbers
LAYERS = ("s4", "output")  # (16, 5, 5) and (10,)
LONG = 120.0  # seconds after which a test that hangs has failed
SHARD = 64

Maps = dict[str, np.ndarray]
ORDERS: dict[
    str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
] = {  # maps (N, P) -> (N,) activations, and keys to sort by
    "max": lambda maps: (maps.max(1), -maps.max(1)),
    "min": lambda maps: (maps.min(1), maps.min(1)),
    "mean": lambda maps: (maps.mean(1), -maps.mean(1)),
    "magnitude": lambda maps: (
        np.take_along_axis(maps, np.abs(maps).argmax(1)[:, None], 1)[:, 0],
        -np.abs(maps).max(1),
    ),
}


def maps_of(local: Network, count: int) -> Maps:
    """Layer -> the activations of the first digits, (N, units, positions) float64."""
    images, _ = all_digits()
    found = local.activations(images[:count].float() / 255, LAYERS)
    return {
        layer: maps.double().flatten(2).numpy()
        if maps.ndim == 4
        else maps.double()[:, :, None].numpy()
        for layer, maps in found.items()
    }


@pytest.fixture(scope="module")
def maps(service: striate.Service, local: Network) -> Maps:
    """The index is there, and this is what it is of."""
    report = service.build_index(
        NAME,
        "digits",
        LAYERS,
        k=K,
        limit=COUNT,
        class_k=CLASS_K,
        shard_images=SHARD,
        quantiles=SHARES,
    ).wait(timeout=LONG)
    assert (report.images, report.units) == (COUNT, 26)
    return maps_of(local, COUNT)


def assert_these(
    found: striate.Exemplars, maps: np.ndarray, order: str, k: int, among: np.ndarray
) -> None:
    """The best k images of those `among`, by brute force: what is close may change places, for
    floats depend on their batch.
    """
    values, keys = ORDERS[order](maps)
    wanted = among[np.argsort(keys[among], kind="stable")][:k]
    assert [e.activation for e in found] == pytest.approx(values[wanted].tolist(), abs=1e-5)
    ids = [e.id for e in found]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(among.tolist())
    assert [e.activation for e in found] == pytest.approx(values[ids].tolist(), abs=1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_order_is_brute_force(net: striate.Model, maps: Maps, layer: str, order: Any) -> None:
    for unit in (0, 9):
        found = net.exemplars(f"{layer}:{unit}", k=K, dataset="digits", order=order, images=False)
        assert (found.images, len(found)) == (COUNT, K)
        assert_these(found, maps[layer][:, unit], order, K, np.arange(COUNT))
        for exemplar in found:
            row, column = exemplar.position
            if order == "mean" or layer == "output":
                assert (row, column) == (0, 0)
            else:
                assert maps[layer][exemplar.id, unit, 5 * row + column] == pytest.approx(
                    exemplar.activation, abs=1e-5
                )


def test_every_label_is_brute_force(net: striate.Model, maps: Maps) -> None:
    labels = all_digits()[1][:COUNT].numpy()
    for label in range(10):
        found = net.exemplars("s4:3", dataset="digits", label=str(label) if label % 2 else label)
        assert [e.label for e in found] == [label] * CLASS_K
        assert_these(found, maps["s4"][:, 3], "max", CLASS_K, np.flatnonzero(labels == label))
    with pytest.raises(striate.InvalidArgument, match="label"):
        net.exemplars("s4:3", dataset="digits", label=10)


def test_quantiles_are_brute_force(net: striate.Model, maps: Maps) -> None:
    for layer in LAYERS:
        found = net.exemplars(f"{layer}:4", dataset="digits", order="quantile")
        assert [e.quantile for e in found] == list(SHARES)
        maxima = maps[layer][:, 4].max(1)
        assert [e.activation for e in found] == pytest.approx(
            np.sort(maxima)[[0, 20, 50, 100, 200]].tolist(), abs=1e-5
        )
        assert [e.activation for e in found] == pytest.approx(
            maxima[[e.id for e in found]].tolist(), abs=1e-5
        )
    first = found[0]
    assert np.array_equal(np.asarray(first.image), all_digits()[0][first.id, 0].numpy())
    assert first.name == f"digit-{first.id:04d}"


@pytest.mark.parametrize("layer", LAYERS)
def test_statistics_are_numpys(net: striate.Model, maps: Maps, layer: str) -> None:
    found = net.statistics(layer, dataset="digits")
    assert isinstance(found, striate.LayerStatistics)
    assert [unit.unit for unit in found] == [
        f"{layer}:{unit}" for unit in range(maps[layer].shape[1])
    ]
    for unit, values in zip(found, maps[layer].transpose(1, 0, 2), strict=True):
        maxima = values.max(1)
        figures = (
            unit.minimum,
            unit.maximum,
            unit.maximum_mean,
            unit.minimum_mean,
            unit.mean,
            unit.variance,
            unit.active_share,
            unit.active_images,
        )
        wanted = (
            values.min(),
            maxima.max(),
            values.mean(1).max(),
            values.mean(1).min(),
            values.mean(),
            values.var(),
            (values > 0).mean(),
            (maxima > 0).mean(),
        )
        assert figures == pytest.approx(wanted, abs=1e-5)
        above = maxima.clip(0)
        assert unit.sparsity == pytest.approx(
            1 - above.mean() ** 2 / (above**2).mean() if above.any() else 0, abs=1e-5
        )
        counts, edges = unit.histogram
        assert (unit.images, counts.sum()) == (COUNT, COUNT)
        assert edges[[0, -1]] == pytest.approx([maxima.min(), maxima.max()], abs=1e-5)
        assert (
            np.abs(counts - np.histogram(maxima, edges)[0]).sum() <= 2 * 2
        )  # at an edge, a last bit decides
        assert list(unit.quantiles) == list(SHARES)
        assert list(unit.quantiles.values()) == pytest.approx(
            np.sort(maxima)[[0, 20, 50, 100, 200]].tolist(), abs=1e-5
        )
    one = net.statistics(f"{layer}:2", dataset="digits")
    assert isinstance(one, striate.UnitStatistics)
    assert (one.unit, one.counts, one.mean) == (found[2].unit, found[2].counts, found[2].mean)


def write_shards(folder: Path) -> int:
    """All digits in three tars; returns how many there are."""
    images, labels = all_digits()
    for number in range(3):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for index in range(number * 600, min(number * 600 + 600, len(images))):
                buffer = io.BytesIO()
                Image.fromarray(images[index, 0].numpy()).save(buffer, "PNG")
                for suffix, data in (
                    ("cls", str(int(labels[index])).encode()),
                    ("png", buffer.getvalue()),
                ):
                    info = tarfile.TarInfo(f"{index:06}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return len(images)


@contextlib.contextmanager
def watched_shards(folder: Path) -> Iterator[dict[str, set[int]]]:
    """The files of a build's shards by name, as the numbers of all files that ever had the name:
    a shard that is written again is another file.
    """
    files: dict[str, set[int]] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.001):
            for path in folder.rglob("shard-*.safetensors"):
                with contextlib.suppress(FileNotFoundError):  # removed when the index is whole
                    files.setdefault(path.name, set()).add(path.stat().st_ino)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield files
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
def test_a_build_outlives_its_server(tmp_path: Path, local: Network) -> None:
    count = write_shards(tmp_path)
    own = ("--model", NAME, "--dataset", f"tars=webdataset:{tmp_path}/*.tar")
    with (
        serving(tmp_path, *own) as (process, target),
        striate.connect(target, timeout=LONG) as service,
    ):
        name = service.build_index(NAME, "tars", LAYERS, k=K, shard_images=SHARD).name
        limit = time.monotonic() + LONG
        while (
            len(list((tmp_path / "state").rglob("shard-*.safetensors"))) < 3
            and time.monotonic() < limit
        ):
            time.sleep(0.002)
        process.kill()
        process.wait()
    done = {
        path.name: {path.stat().st_ino}
        for path in (tmp_path / "state").rglob("shard-*.safetensors")
    }
    assert 3 <= len(done) < -(-count // SHARD)
    with (
        watched_shards(tmp_path / "state") as files,
        serving(tmp_path, *own) as (_, target),
        striate.connect(target, timeout=LONG) as service,
    ):
        operation = service.operation(name)
        assert operation.wait(timeout=LONG).images == count
        assert (
            operation.metadata.shards_done == operation.metadata.shards_total == -(-count // SHARD)
        )
        assert {shard: files[shard] for shard in done} == done, "a finished shard was made again"
        assert len(files) > len(done)
        net, maps = service.model(NAME), maps_of(local, count)
        for order in ORDERS:
            found = net.exemplars("s4:7", k=K, dataset="tars", order=order, images=False)  # type: ignore[arg-type]
            assert_these(found, maps["s4"][:, 7], order, K, np.arange(count))
        statistics = net.statistics("output:3", dataset="tars")
        assert (statistics.images, len(service.datasets(NAME)[2].classes)) == (count, 0)
        assert sum(statistics.counts) == count  # type: ignore[union-attr]
        assert statistics.mean == pytest.approx(maps["output"][:, 3].mean(), abs=1e-5)  # type: ignore[union-attr]
