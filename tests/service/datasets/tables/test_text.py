"""CSV and TSV files of paths and labels, against the files that they name."""

import os
from pathlib import Path

import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, Sample, open_dataset


def opened(uri: str) -> Dataset:
    return open_dataset("d", uri, Path("/nowhere"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three pictures, and one outside of it."""
    for name in ("set/a.png", "set/deep/b c.png", "set/d.png", "out.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2), len(name)).save(tmp_path / name)
    return tmp_path / "set"


def row(root: Path, number: int, name: str, label: int | None) -> Sample:
    return Sample(number, name, (root / name).read_bytes(), label)


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("csv", "path,label\na.png,dog\ndeep/b c.png,cat\nd.png,\n"),
        ("csv", '\ufeffid;LABEL;Filename\r\n1;dog;a.png\r\n2;cat;"deep/b c.png"\r\n3;;d.png\r\n'),
        ("tsv", "image\tclass\na.png\tdog\n\ndeep/b c.png\tcat\nd.png\n"),
        ("csv", "a.png,dog\ndeep/b c.png,cat\nd.png,\n"),
        ("tsv", "a.png\tdog\ndeep\\b c.png\tcat\n./d.png\t \n"),
    ],
)
def test_paths_and_names_of_classes(root: Path, scheme: str, text: str) -> None:
    (root / "list.txt").write_text(text, encoding="utf-8")
    data = opened(f"{scheme}:{root}/list.txt")
    assert (data.classes, data.label_count) == (("cat", "dog"), 2)
    samples = data.read(0, 9)
    assert [sample.label for sample in samples] == [1, 0, None]
    files = ("a.png", "deep/b c.png", "d.png")
    assert [sample.image for sample in samples] == [(root / name).read_bytes() for name in files]
    assert samples[0].name == "a.png"


def test_numbers_named_columns_and_another_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("what,where,kind,title\nx,a.png,1,A\ny,d.png,-1,D\n")
    uri = f"csv:{tmp_path}/list.csv?image=where&label=kind&name=title&root={root}"
    data = opened(uri)
    assert (data.classes, data.label_count) == ((), 2)
    assert [(s.name, s.label) for s in data.read(0, 9)] == [("A", 1), ("D", None)]
    (tmp_path / "names.txt").write_text("no\nyes\n")
    assert opened(f"{uri}&classes={tmp_path}/names.txt").classes == ("no", "yes")


def test_paths_stay_inside(root: Path) -> None:
    outside = root.parent / "out.png"
    (root / "list.csv").write_text(f"path,label\n{root}/a.png,0\n../out.png,1\n{outside},1\n")
    data = opened(f"csv:{root}/list.csv")
    assert data.read(0, 1)[0].image == (root / "a.png").read_bytes()  # a path in full
    for number in (1, 2):
        with pytest.raises(DatasetError, match=r"out\.png' lies outside the folder"):
            data.read(number, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("path,label\n", "names columns and no file"),
        ("path,label\na.png,0\n,1\n", r"line 3 of .*list\.csv' names no file"),
        ("one,two\nx,y\n", r"names no column path, .*'one', 'two'; .*image=COLUMN"),
        ('path,label\n"a.png,0\n', "no table in UTF-8"),
        ("path,label\na.png,1000000\n", "label 1000000, more than 999999"),
    ],
)
def test_tables_that_do_not_fit(root: Path, text: str, message: str) -> None:
    (root / "list.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        opened(f"csv:{root}/list.csv")


def test_what_is_missing_or_changes_is_told(root: Path) -> None:
    (root / "list.csv").write_text("path,label\na.png,0\ngone.png,1\n")
    data = opened(f"csv:{root}/list.csv")
    with pytest.raises(DatasetError, match=r"image 1 \('gone\.png'\).*No such file"):
        data.read(1, 1)
    with pytest.raises(DatasetError, match="No such file"):
        opened(f"csv:{root}/none.csv")
    Image.new("L", (3, 2), 99).save(root / "a.png")
    assert opened(f"csv:{root}/list.csv").content != data.content
    (root / "list.csv").write_bytes(os.fsencode("path,label\n") + b"\xff.png,0\n")
    with pytest.raises(DatasetError, match="no table in UTF-8"):
        opened(f"csv:{root}/list.csv")
