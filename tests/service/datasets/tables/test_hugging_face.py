"""Parquet files and folders as Hugging Face's library `datasets` writes them: their class names,
columns, splits and cards.
"""

import io
import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, class_indices, open_dataset

PETS = ("dog", "cat", "owl")


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 2), shade).save(buffer, "PNG")
    return buffer.getvalue()


def class_label(*names: str) -> dict[str, Any]:
    return {"names": list(names), "_type": "ClassLabel"}


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    pq.write_table(table, path)
    return path


def pictures(*shades: int) -> list[dict[str, Any]]:
    return [{"bytes": encoded(shade), "path": None} for shade in shades]


def opened(uri: str) -> Dataset:
    return open_dataset("d", uri, Path("/nowhere"))


def labels(data: Dataset) -> list[int | None]:
    return [sample.label for sample in data.read(0, 100)]


def test_class_names_of_the_schema_are_honoured(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet",
        {"img": pictures(1, 2, 3), "label": [0, 2, -1]},
        {"img": {"_type": "Image"}, "label": class_label(*PETS)},
    )
    data = opened(f"parquet:{path}")
    assert (data.classes, data.label_count, labels(data)) == (PETS, 3, [0, 2, None])
    # The model has the same classes in another order: by number all would be wrong.
    assert class_indices(data.classes, ("cat", "owl", "dog"), data.label_count) == [2, 0, 1]
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    named = opened(f"parquet:{path}?classes={tmp_path}/names.txt")
    assert named.classes == ("a", "b", "c")  # what the caller says comes first


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}'])
def test_damaged_metadata_is_none(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"image": pictures(1), "label": [0]})
    pq.write_table(
        table.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "a.parquet"
    )
    assert opened(f"parquet:{tmp_path}/a.parquet").classes == ()


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    both = {
        "img": pictures(1, 2),
        "coarse_label": [1, 0],
        "fine_label": [2, 0],
        "thumbnail": [encoded(8), encoded(9)],
        "file": ["x", "y"],
    }
    features = {
        "img": {"_type": "Image"},
        "coarse_label": class_label("bird", "mammal"),
        "fine_label": class_label(*PETS),
    }
    path = write(tmp_path / "a.parquet", both, features)
    assert (opened(f"parquet:{path}").classes, labels(opened(f"parquet:{path}"))) == (PETS, [2, 0])
    other = opened(f"parquet:{path}?image=thumbnail&label=coarse_label&name=file")
    assert (other.classes, labels(other)) == (("bird", "mammal"), [1, 0])
    assert [(s.name, s.image) for s in other.read(0, 2)] == [("x", encoded(8)), ("y", encoded(9))]
    for option, message in (
        ("image=left", "no column 'left' of bytes; it has img: .*, coarse_label: int64"),
        ("image=file", "no column 'file' of bytes"),
        ("label=kind", "no column 'kind'; it has img"),
        ("label=img", "column img .* not integers or names; .*label=COLUMN"),
        ("name=label", "no column 'label'; it has"),
        ("split=test", r"none of the 1 files is of that split"),
        ("labels=x", "unknown option 'labels'"),
    ):
        with pytest.raises(DatasetError, match=message):
            opened(f"parquet:{path}?{option}")


def test_nested_columns(tmp_path: Path) -> None:
    columns = {
        "sample": [{"picture": each, "kind": {"fine": n}} for n, each in enumerate(pictures(4, 5))]
    }
    features = {"sample": {"picture": {"_type": "Image"}, "kind": {"fine": class_label(*PETS)}}}
    path = write(tmp_path / "a.parquet", columns, features)
    found, named = opened(f"parquet:{path}"), "image=sample.picture&label=sample.kind.fine"
    assert (found.classes, labels(found)) == (PETS, [0, 1])
    assert [s.image for s in found.read(0, 2)] == [encoded(4), encoded(5)]
    assert labels(opened(f"parquet:{path}?{named}")) == [0, 1]


def test_names_numbers_and_nothing_as_labels(tmp_path: Path) -> None:
    cases: list[tuple[Any, tuple[str, ...], list[int | None]]] = [
        (["owl", None, "cat"], ("cat", "owl"), [1, None, 0]),
        (pa.array(["owl", "owl", "cat"]).dictionary_encode(), ("cat", "owl"), [1, 1, 0]),
        ([1.0, float("nan"), 0.0], (), [1, None, 0]),  # integers with gaps, as pandas writes them
        ([True, False, None], (), [1, 0, None]),
        (["2", "0", ""], (), [2, 0, None]),
        ([None, None, None], (), [None, None, None]),
    ]
    for column, classes, expected in cases:
        path = write(tmp_path / "a.parquet", {"image": pictures(1, 2, 3), "target": column})
        data = opened(f"parquet:{path}")
        assert (data.classes, labels(data)) == (classes, expected)
    path = write(tmp_path / "a.parquet", {"image": pictures(1, 2), "label": ["owl", "elk"]})
    (tmp_path / "names.txt").write_text("\n".join(PETS))
    with pytest.raises(DatasetError, match="none of the class names: 'elk'"):
        opened(f"parquet:{path}?classes={tmp_path}/names.txt")
    path = write(tmp_path / "a.parquet", {"image": pictures(1, 2), "label": [0.5, 1.0]})
    with pytest.raises(DatasetError, match=r"label '0\.5', which is not a whole number"):
        opened(f"parquet:{path}")


CARD = """---
dataset_info:
  features:
  - name: img
    dtype: image
  - name: kind
    dtype:
      class_label:
        names:
          '0': dog
          '1': cat
          '2': owl
---
"""


def folder(root: Path) -> Path:
    """Two splits of files without metadata, and a card."""
    write(root / "data/train-00000-of-00002.parquet", {"img": pictures(1, 2), "kind": [0, 1]})
    write(root / "data/train-00001-of-00002.parquet", {"img": pictures(3), "kind": [2]})
    write(root / "data/test-00000-of-00001.parquet", {"img": pictures(7), "kind": [1]})
    (root / "README.md").write_text(CARD)
    return root


def test_a_folder_with_splits_and_a_card(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets")
    train, test = opened(f"parquet:{root}?split=train"), opened(f"parquet:{root}?split=test")
    assert (train.classes, labels(train)) == (PETS, [0, 1, 2])
    assert (test.classes, labels(test)) == (PETS, [1])  # as many as the card names
    assert test.label_count == 3
    assert opened(f"parquet:{root}/data/test-*.parquet").classes == PETS  # the card is above
    with pytest.raises(DatasetError, match=r"splits test, train: choose one by \?split=test"):
        opened(f"parquet:{root}")
    with pytest.raises(DatasetError, match="of that split; there are: test, train"):
        opened(f"parquet:{root}?split=validation")
    (root / "README.md").write_text(CARD.replace("owl", "eagle"))
    assert opened(f"parquet:{root}?split=train").content != train.content
    (root / "README.md").write_text(CARD.replace("dataset_info:", "dataset_info: *other"))
    with pytest.raises(DatasetError, match=r"README\.md.*line 2.*classes=FILE"):
        opened(f"parquet:{root}?split=test")


def test_configurations_of_a_card(tmp_path: Path) -> None:
    for config, kind in (("fine", 2), ("coarse", 1)):
        write(tmp_path / config / "x.parquet", {"img": pictures(1), "kind": [kind]})
    info = dedent(CARD.removeprefix("---\ndataset_info:\n").removesuffix("---\n"))
    card = "---\ndataset_info:\n"
    for config, names in (("fine", "owl"), ("coarse", "bird")):
        lines = f"config_name: {config}\n{info.replace('owl', names)}".splitlines()
        card += (
            "\n".join(f"{'- ' if n == 0 else '  '}{line}" for n, line in enumerate(lines)) + "\n"
        )
    card += "configs:\n" + "".join(
        f"- config_name: {config}\n  data_files:\n  - split: test\n    path: {config}/*.parquet\n"
        for config in ("fine", "coarse")
    )
    (tmp_path / "README.md").write_text(f"{card}---\n")
    with pytest.raises(DatasetError, match=r"configurations coarse, fine: choose one by \?config="):
        opened(f"parquet:{tmp_path}")
    data = opened(f"parquet:{tmp_path}?config=coarse&split=test")
    assert (data.classes, labels(data)) == (("dog", "cat", "bird"), [1])
    assert opened(f"parquet:{tmp_path}/fine/*.parquet").classes == PETS
    (tmp_path / "README.md").write_text(
        f"{card}---\n".replace("fine\n  d", "fine\n  default: true\n  d")
    )
    assert opened(f"parquet:{tmp_path}").classes == PETS


def test_images_beside_the_table(tmp_path: Path) -> None:
    write(
        tmp_path / "set/a.parquet",
        {"image": [{"bytes": None, "path": path} for path in ("x.png", "../out.png", "gone.png")]},
    )
    for name in ("set/x.png", "out.png"):
        (tmp_path / name).write_bytes(encoded(6))
    data = opened(f"parquet:{tmp_path}/set/a.parquet")
    assert data.read(0, 1)[0].image == encoded(6)
    with pytest.raises(DatasetError, match=r"'row-1'.*out\.png' lies outside the folder"):
        data.read(1, 1)
    with pytest.raises(DatasetError, match=r"'row-2'.*null.*gone\.png' is no file"):
        data.read(2, 1)


def test_a_question_mark_in_a_path(tmp_path: Path) -> None:
    write(tmp_path / "what?label=x/a.parquet", {"img": pictures(1), "kind": [0], "label": [1]})
    uri = f"parquet:{tmp_path}/what[?]label=x/a.parquet"
    assert labels(opened(uri)) == [1]
    assert labels(opened(f"{uri}?label=kind")) == [0]
    assert len(opened(f"parquet:{tmp_path}/what?label=x/?.parquet")) == 1  # and as a wildcard


def test_without_labels_the_way_to_them_is_known(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"img": pictures(1), "kind": [0]})
    data = opened(f"parquet:{path}")
    assert not data.labelled
    assert "kind: int64: name one by ?label=COLUMN" in data.source.unlabelled
