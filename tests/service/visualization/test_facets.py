"""A unit's exemplars, and which layers may tell them apart."""

import io

import numpy as np
import pytest
from PIL import Image

from service.datasets import Dataset, DatasetError, Source
from service.imaging import Preprocessing
from service.visualization.facets import candidate_layers, read_exemplars

SEEN = Preprocessing(1, 4, 4, 4, "bilinear", (0.5,), (0.25,))


def one_colour(index: int) -> tuple[str, bytes, int | None]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), index, np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    return f"n{index}", data[:40] if index in (5, 7) else data, None


def test_the_layer_before_is_neither_inside_nor_around() -> None:
    layers = ("stem", "a.conv", "a.relu", "a", "b.conv", "b.flat", "b", "drop", "fc")
    shapes = dict.fromkeys(layers, (4, 2, 2)) | {"fc": (3,), "drop": (4,), "b.flat": (2, 2)}
    assert candidate_layers("b.conv", layers, shapes) == ("a", "a.relu", "a.conv", "stem")
    assert candidate_layers("a", layers, shapes) == ("stem",)
    assert candidate_layers("stem", layers, shapes) == ()
    assert candidate_layers("logits", layers, shapes) == (
        "fc",
        "drop",
        "b",
        "b.conv",
        "a",
        "a.relu",
        "a.conv",
        "stem",
    )


def test_exemplars_that_cannot_be_used_are_named_or_left_out() -> None:
    data, boxes = Dataset("d", "memory", Source(9, one_colour)), [(0, 0, n, n) for n in range(1, 5)]
    with pytest.raises(DatasetError, match=r"image 5 \('n5'\) of data set 'd'.*on_error=skip at"):
        read_exemplars(data, [2, 5, 8, 7], boxes, SEEN)
    skipping = data.skipping_bad()
    found = read_exemplars(skipping, [2, 5, 8, 7], boxes, SEEN)
    assert (list(found.ids), list(found.boxes)) == ([2, 8], [(0, 0, 1, 1), (0, 0, 3, 3)])
    assert (found.images[:, 0, 0, 0] * 255).tolist() == [2, 8]
    with pytest.raises(DatasetError, match="1 of the unit's exemplars in data set 'd' can be used"):
        read_exemplars(skipping, [2, 5, 7], boxes[:3], SEEN)
