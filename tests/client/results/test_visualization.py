"""The pictures that objectives like best, and the progress towards them."""

from pathlib import Path

import striate
from striate.v1 import types_pb2, visualize_pb2
from tests.client.fakes.fakes_server import (
    Fake,
    png,
)


def test_visualize_one_and_many(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    one = net.visualize(
        "stem:1",
        steps=5,
        learning_rate=0.1,
        seed=3,
        size=32,
        transforms=False,
        deterministic=True,
        priority="batch",
    )
    (request,) = fake.requests("Visualize")
    assert list(request.objectives) == ["stem:1"]
    assert request.settings == visualize_pb2.PictureSettings(
        steps=5,
        learning_rate=0.1,
        seed=3,
        size=32,
        without_transforms=True,
        deterministic=True,
        priority=types_pb2.PRIORITY_BATCH,
    )
    assert (one.objective, one.activation, one.dead) == ("stem:1", 0, False)
    assert one.image.size == (32, 32)
    many = net.visualize(["stem:0", "stem:1@2,3"])
    assert [item.dead for item in many] == [False, True]
    assert [path.name for path in many.save(tmp_path / "new")] == ["stem-0.png", "stem-1-2-3.png"]
    assert (tmp_path / "new" / "stem-0.png").read_bytes() == many[0].png


def test_progress_and_previews(net: striate.Model) -> None:
    seen: list[striate.Progress] = []
    net.visualize(["stem:0", "stem:1"], steps=4, preview_every=2, on_progress=seen.append)
    assert [(progress.step, progress.steps, progress.scores) for progress in seen] == [
        (i, 4, (i, i)) for i in (1, 2, 3, 4)
    ]
    assert [len(progress.previews) for progress in seen] == [0, 1, 0, 1]
    assert seen[1].previews[0].getpixel((0, 0)) == (2, 2, 2)


def test_one_many_and_variants(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    assert net.visualize(striate.Unit("stem:1")).objective == "stem:1"
    assert net.visualize("stem:1 - stem:0").objective == "stem:1 + stem:0"
    assert [one.variant for one in net.visualize("stem:1", variants=3)] == [0, 1, 2]
    assert len(net.visualize("stem:1", variants=1)) == 1
    assert len(net.visualize(striate.interpolate("stem:0", "stem:1", 3))) == 3
    sent = fake.requests("Visualize")
    assert [(list(one.objectives), len(one.composed)) for one in sent] == [
        (["stem:1"], 0),
        ([], 1),
        (["stem:1"], 0),
        (["stem:1"], 0),
        ([], 3),
    ]
    paths = net.visualize(["stem:1", "stem:0"], variants=2).save(tmp_path)
    assert [path.name for path in paths] == [
        "stem-1.png",
        "stem-1-2.png",
        "stem-0.png",
        "stem-0-2.png",
    ]
    assert [path.read_bytes() for path in paths] == [png(4, 5, place) for place in range(4)]


def test_long_names_are_cut_for_files(net: striate.Model, tmp_path: Path) -> None:
    long = " + ".join(f"stem:{unit}" for unit in range(16)) + "0" * 100
    first, second = net.visualize([long, long + "1"]).save(tmp_path)
    assert first != second
    assert max(len(path.name) for path in (first, second)) < 130
