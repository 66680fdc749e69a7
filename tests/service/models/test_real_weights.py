"""Published weights on real images: what the zoo hosts computes what its source computes."""

import importlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.transforms import v2

from service.config import ModelTable
from service.models.initialization import Uninitialized
from service.models.zoo import ModelZoo

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def samples(data: Path, count: int) -> tuple[list[Image.Image], Tensor]:
    table = pyarrow.parquet.read_table(data / "imagenet_sample" / "images.parquet")
    chosen = range(0, len(table), len(table) // count)
    images = [Image.open(io.BytesIO(table["image"][i].as_py())).convert("RGB") for i in chosen]
    return images, torch.tensor([table["label"][i].as_py() for i in chosen])


FACTORIES = """
import importlib.util, os, torchvision
from pathlib import Path
from safetensors.torch import load_file

data = Path(os.environ["STRIATE_DATA"])
spec = importlib.util.spec_from_file_location("reference_archs", data / "reference_archs.py")
archs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(archs)
bvlc_googlenet = archs.BVLCGoogLeNet

def mobilenet():
    module = torchvision.models.mobilenet_v2()
    module.load_state_dict(load_file(data / "weights" / "mobilenet_v2.safetensors"))
    return archs.tf_same_padding(module)
"""


def test_networks_of_ones_own(
    data_dir: Path, tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """BVLC's GoogLeNet and TensorFlow's mobilenet_v2, through tables of the settings, on
    photographs.
    """
    (tmp_path / "striate_test_factories.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]))
    table: dict[str, Any] = {"mean": MEAN, "std": STD, "size": 224, "resize": 256, "labels": labels}
    tables = {
        "bvlc": table
        | {
            "factory": "striate_test_factories:bvlc_googlenet",
            "weights": data_dir / "weights" / "bvlc_googlenet.safetensors",
        },
        "tf": table | {"factory": "striate_test_factories:mobilenet"},
    }
    zoo = ModelZoo(None, {name: ModelTable(**t) for name, t in tables.items()}, run)
    images, labels_of_images = samples(data_dir, 20)
    transform = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    for name, weights in (("bvlc", "bvlc_googlenet.safetensors"), ("tf", "factory")):
        model = zoo.load(name)
        assert (model.architecture, model.weights) == (tables[name]["factory"], weights)
        x = (
            torch.stack([torch.from_numpy(model.preprocessing.apply(i)) for i in images]).float()
            / 255
        )
        logits = model.network.logits(x)
        assert (
            logits.argmax(1) == labels_of_images
        ).float().mean() >= 0.6  # 75.6% and 78.8% of all
        factories = importlib.import_module("striate_test_factories")
        oracle = factories.bvlc_googlenet() if name == "bvlc" else factories.mobilenet()
        if name == "bvlc":
            oracle.load_state_dict(load_file(data_dir / "weights" / "bvlc_googlenet.safetensors"))
        with torch.no_grad():
            expected = oracle.eval()(torch.stack([transform(i) for i in images[:4]]))
        torch.testing.assert_close(logits[:4], expected, rtol=1e-3, atol=1e-3)


def test_published_networks_from_the_weights_folder(
    data_dir: Path, run: Callable[..., Any]
) -> None:
    zoo = ModelZoo(data_dir / "weights", {}, run)
    model = zoo.load("squeezenet1_1")
    assert model.weights == "squeezenet1_1.safetensors"
    images, labels = samples(data_dir, 50)
    x = torch.stack([torch.from_numpy(model.preprocessing.apply(i)) for i in images]).float() / 255
    right = int((model.network.logits(x).argmax(1) == labels).sum())
    with Uninitialized():
        oracle = torchvision.models.squeezenet1_1()
    oracle.load_state_dict(load_file(data_dir / "weights" / "squeezenet1_1.safetensors"))
    transform = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.no_grad():
        expected = oracle.eval()(torch.stack([transform(i) for i in images]))
    assert right == int((expected.argmax(1) == labels).sum())
    assert right >= 24  # 62.6% of all


def test_the_cifar_resnet_on_lossless_images(data_dir: Path, run: Callable[..., Any]) -> None:
    """Published: 91.73% of these 846 images, of which every eighth is taken here."""
    model = ModelZoo(data_dir / "weights", {}, run).load("cifar_resnet20")
    table = pyarrow.parquet.read_table(data_dir / "cifar10" / "lossless.parquet")
    chosen = range(0, len(table), 8)
    images = [Image.open(io.BytesIO(table["image"][i].as_py())) for i in chosen]
    x = torch.stack([torch.from_numpy(model.preprocessing.apply(i)) for i in images]).float() / 255
    right = model.network.logits(x).argmax(1) == torch.tensor(
        [table["label"][i].as_py() for i in chosen]
    )
    assert 0.85 <= float(right.float().mean()) <= 0.98
