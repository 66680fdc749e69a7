"""A caller may send a name of megabytes: comparing and quoting the whole would hold up the
server.
"""

from pathlib import Path
from typing import Any

import pytest

from service.datasets import Datasets, UnknownDataset
from service.models.zoo import ModelZoo, UnknownModel, UnknownWeights


def refuse(call: Any) -> Any:
    return pytest.fail("nothing is to run")


def test_models_and_weights() -> None:
    zoo, name = ModelZoo(None, {}, refuse), "resnet" + "x" * 100_000
    for ask in (zoo.load, zoo.get, zoo.unload):
        with pytest.raises(UnknownModel) as caught:
            ask(name)
        assert caught.value.name == name[:100]
        assert len(str(caught.value)) < 500
    with pytest.raises(UnknownWeights) as refused:
        zoo.load("lenet5", name)
    assert len(str(refused.value)) < 500


def test_data_sets(tmp_path: Path) -> None:
    name = "digits" + "x" * 100_000
    with pytest.raises(UnknownDataset) as caught:
        Datasets({}, tmp_path).get(name)
    assert caught.value.name == name[:100]
    assert len(str(caught.value)) < 500
