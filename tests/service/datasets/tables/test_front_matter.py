"""The front matter of data set cards, against a whole YAML library."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from service.datasets.tables.front_matter import UnreadableFrontMatter, front_matter

CARD = """---
license: mit
pretty_name: 'A card: with "much" in it'
unread: &anchor [1, 2
dataset_info:
- config_name: plain_text  # the first
  features:
  - name: img
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': tench, Tinca tinca
          '1': great white shark, white shark, man-eater, man-eating shark, Carcharodon
            carcharias
          "2": "caf\\xe9 \\"au lait\\""
          '3': 'don''t know'
          '4': a#b
          '5': http://x.y
          6: 'no'

          '7': 'quoted over
            two lines'
  splits:
  - name: train
    num_bytes: 113648310.0
  description: |
    any: text
      - indented
  folded: >-
    words
    and more
- config_name: other
  features:
    - name: labels
      struct:
        -
          name: fine
          dtype: {class_label: {names: [a, 'b, c', "d: e"]}}
configs:
- config_name: plain_text
  data_files:
  - split: train
    path:
    - plain_text/train-*
    - more/train-*
  - split: test
    path: plain_text/test-*
tags: []
---
# Text: not read
"""


def of_library(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    return yaml.load(text)


def as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): as_texts(each) for key, each in value.items()}
    return [as_texts(each) for each in value] if isinstance(value, list) else str(value)


def test_sections_are_read_as_a_yaml_library_reads_them() -> None:
    found: Any = front_matter(CARD, ("dataset_info", "configs"))
    body = CARD.split("---\n")[1]
    infos = as_texts(
        of_library(f"dataset_info{body.split('dataset_info')[1].split('configs:')[0]}")
    )
    configs = as_texts(of_library(f"configs:{body.split('configs:')[1].split('tags:')[0]}"))
    expected = {**infos, **configs}
    for one in (found, expected):  # how lines of a block scalar fold is nobody's concern here
        for name in ("description", "folded"):
            one["dataset_info"][0].pop(name)
    assert found == expected
    assert found["dataset_info"][0]["features"][1]["dtype"]["class_label"]["names"]["6"] == "no"


@pytest.mark.parametrize("text", ["", "# no front matter", "---\nnever: closed\n", "---\n---\n"])
def test_texts_without_front_matter(text: str) -> None:
    assert front_matter(text, ("dataset_info",)) == {}


@pytest.mark.parametrize(
    "section",
    [
        "dataset_info: *alias",
        "dataset_info:\n  features:\n      - a\n    - b",
        "dataset_info: [a, b",
        'dataset_info: "\\q"',
        "dataset_info: {a}",
    ],
)
def test_what_is_not_read_names_its_line(section: str) -> None:
    with pytest.raises(UnreadableFrontMatter, match=r"line \d"):
        front_matter(f"---\n{section}\n---\n", ("dataset_info",))
    assert front_matter(f"---\n{section}\n---\n", ("configs",)) == {}
