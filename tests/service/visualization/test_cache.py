"""Kept pictures are whole or not there."""

import os
import time
from pathlib import Path

import pytest

from service.visualization.cache import PictureCache, content_key
from tests.service.visualization.toys_pictures import picture, same

KEY = content_key("a", 1)


def test_what_is_kept_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    PictureCache(tmp_path).put(KEY, picture())
    assert same(PictureCache(tmp_path).get(KEY), picture())
    assert PictureCache(tmp_path).get(content_key("a", 2)) is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_keys_differ_with_every_part() -> None:
    keys = {
        content_key(*parts)
        for parts in (["a", 1], ["a", 2], ["a", 1.5], ["a"], ["a", [1]], ["a", None])
    }
    assert len(keys) == 6


@pytest.mark.parametrize("ending", ["png", "json"])
@pytest.mark.parametrize("damage", [b"", b"7", b'{"activation": 1, "sha256": ""}', None])
def test_a_damaged_picture_is_none(tmp_path: Path, ending: str, damage: bytes | None) -> None:
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    (path,) = tmp_path.rglob(f"*.{ending}")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert cache.get(KEY) is None
    cache.put(KEY, picture())
    assert same(cache.get(KEY), picture())


def test_a_changed_number_is_damage(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace('"held_out": 0.2', '"held_out": 0.9'))
    assert "0.9" in path.read_text()
    assert cache.get(KEY) is None


def age(folder: Path, name: str, seconds: int) -> None:
    """Make a kept picture's files, or another file of that name, so old."""
    then = time.time() - seconds
    for path in folder.rglob(f"{name}.*"):
        os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.*")}


def test_what_was_asked_for_longest_ago_goes_first(tmp_path: Path) -> None:
    keys = [content_key(number) for number in range(12)]
    PictureCache(tmp_path).put(keys[0], picture())
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.*"))
    cache = PictureCache(tmp_path, most_bytes=10 * size + size // 2)
    left = tmp_path / keys[0][:2] / "left.tmp"  # by a server that was killed
    left.write_bytes(b"x")
    age(tmp_path, "left", 9000)
    for number, name in enumerate(keys[:10]):
        cache.put(name, picture())
        age(tmp_path, name, 1000 - number)
    assert same(cache.get(keys[0]), picture())  # which makes it the youngest
    assert names(tmp_path) == {*keys[:10], "left"}
    cache.put(keys[10], picture())  # is too much: a tenth of the room is made
    assert names(tmp_path) == {keys[0], *keys[3:11]}
    assert cache.get(keys[1]) is None
    restarted = PictureCache(tmp_path, most_bytes=3 * size)  # it had more room before
    restarted.put(keys[11], picture())
    assert names(tmp_path) == {keys[0], keys[11]} or names(tmp_path) == {keys[10], keys[11]}
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= 3 * size


def test_without_room_nothing_is_kept(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, most_bytes=0)
    cache.put(KEY, picture())
    assert not names(tmp_path)
    small = PictureCache(tmp_path, most_bytes=1)
    small.put(KEY, picture())
    assert small.get(KEY) is None


def test_a_disk_that_takes_nothing_loses_no_picture(tmp_path: Path) -> None:
    (tmp_path / KEY[:2]).write_text("a file where a folder should be")
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    assert cache.get(KEY) is None
