"""Which layers may tell a unit's exemplars apart."""

from service.visualization.facets import candidate_layers


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
