"""Where weights come from when not from a download: the weights folder and settings tables; loaded
strictly.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import DenseNet121_Weights, ShuffleNet_V2_X0_5_Weights
from torchvision.transforms import v2

from interp.network.architectures import CifarResNet
from service.config import ModelTable
from service.models import checkpoints
from service.models.architectures import architecture
from service.models.initialization import Uninitialized
from service.models.state_dicts import tables
from service.models.zoo import ModelError, ModelZoo

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
MEMBER = ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state: dict[str, Tensor] = torchvision.models.shufflenet_v2_x0_5().state_dict()
    return state


def hosted_state(zoo: ModelZoo, name: str, weights: str = "") -> dict[str, Tensor]:
    state: dict[str, Tensor] = zoo.load(name, weights).network.module.state_dict()
    return state


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_weights_folder_goes_first_and_safetensors_before_pth(
    state: dict[str, Tensor],
    tmp_path: Path,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MEMBER.value, "url", "http://127.0.0.1:1/network-01234567.pth")
    other = {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }
    torch.save(other, tmp_path / "shufflenet_v2_x0_5.pth")
    assert_equal(hosted_state(ModelZoo(tmp_path, {}, run), "shufflenet_v2_x0_5"), other)
    save_file(state, tmp_path / "shufflenet_v2_x0_5.safetensors")
    zoo = ModelZoo(tmp_path, {}, run)
    assert_equal(hosted_state(zoo, "shufflenet_v2_x0_5"), state)
    assert zoo.get("shufflenet_v2_x0_5").weights == "shufflenet_v2_x0_5.safetensors"
    with pytest.raises(
        ModelError, match="cannot be downloaded"
    ):  # a name asks for the published weights
        ModelZoo(tmp_path, {}, run).load("shufflenet_v2_x0_5", MEMBER.name)


def test_loading_is_strict(tmp_path: Path, run: Callable[..., Any]) -> None:
    good = CifarResNet(20).state_dict()
    path = tmp_path / "cifar_resnet20.safetensors"

    def told(state: dict[str, Tensor]) -> str:
        save_file(state, path)
        with pytest.raises(ModelError) as caught:
            ModelZoo(tmp_path, {}, run).load("cifar_resnet20")
        return str(caught.value)

    assert "1 missing (linear.bias)" in told({k: v for k, v in good.items() if k != "linear.bias"})
    assert "2 unexpected (extra, more)" in told(
        good | {"extra": torch.zeros(1), "more": torch.zeros(1)}
    )
    assert "size mismatch for linear.weight" in told(good | {"linear.weight": torch.zeros(100, 64)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cifar_resnet20\.safetensors cannot be read"):
        ModelZoo(tmp_path, {}, run).load("cifar_resnet20")
    path.unlink()
    with pytest.raises(
        ModelError, match=r"put cifar_resnet20\.safetensors into the weights folder"
    ):
        ModelZoo(tmp_path, {}, run).load("cifar_resnet20")


def test_checkpoints_of_training_scripts(tmp_path: Path, run: Callable[..., Any]) -> None:
    good = CifarResNet(20).state_dict()
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in good.items()}},
        tmp_path / "cifar_resnet20.pth",
    )
    assert_equal(hosted_state(ModelZoo(tmp_path, {}, run), "cifar_resnet20"), good)


def test_densenet_is_renamed_as_torchvision_does(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    published = torchvision.models.densenet121().state_dict()
    old = {}
    for name, tensor in published.items():
        for part in ("norm", "conv"):
            for number in "12":
                if "denselayer" in name:
                    name = name.replace(f".{part}{number}.", f".{part}.{number}.")
        old[name] = tensor
    assert sum(".norm.1." in name for name in old) > 50
    with Uninitialized():
        oracle, ours = torchvision.models.densenet121(), torchvision.models.densenet121()
    monkeypatch.setattr(
        DenseNet121_Weights,
        "get_state_dict",
        lambda *_, **__: {k: v for k, v in old.items() if "num_batches" not in k},
    )
    torchvision.models.densenet._load_state_dict(
        oracle, DenseNet121_Weights.IMAGENET1K_V1, progress=False
    )
    state_dict = {k: v for k, v in old.items() if "num_batches" not in k}
    checkpoints.load(ours, list(tables(state_dict)), "old")
    assert_equal(ours.state_dict(), oracle.state_dict())
    assert_equal(
        ours.state_dict(),
        {k: v if "num_batches" not in k else torch.tensor(0) for k, v in published.items()},
    )


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_heads_that_only_training_uses_are_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module and its weights are those that torchvision's own builder makes of a published
    file.
    """
    weights = torchvision.models.get_model_weights(name).DEFAULT
    with Uninitialized():
        published = torchvision.models.get_model(
            name, aux_logits=True, init_weights=False
        ).state_dict()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in published.items():
        if tensor.ndim > 1:
            bound = (6 / tensor[0].numel()) ** 0.5
            tensor.uniform_(-bound, bound, generator=generator)
        elif key.endswith((".weight", ".bias", "running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=generator)
    with Uninitialized():
        monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: dict(published))
        oracle = torchvision.models.get_model(name, weights=weights).eval()
        known = architecture(name)
        assert known is not None
        ours = known.build(None).eval()
    checkpoints.load(ours, list(tables(published)), "published")
    assert any(".conv" in key and key.startswith(("aux", "Aux")) for key in published)
    assert not any(key.startswith(("aux", "Aux")) for key in ours.state_dict())
    x = torch.rand(1, 3, 96, 96, generator=generator)
    with torch.no_grad():
        logits = ours(x)
        assert 0 < float(logits.std()) < 1e6
        assert torch.equal(logits, oracle(x)[0] if isinstance(oracle(x), tuple) else oracle(x))


def test_a_file_of_bare_tensors_loads_into_a_versioned_module() -> None:
    """mnasnet asks which version of itself wrote a file; safetensors do not say."""
    module = torchvision.models.mnasnet0_5()
    state = {
        name: tensor.clone()
        for name, tensor in torchvision.models.mnasnet0_5().state_dict().items()
    }
    checkpoints.load(module, list(tables(state)), "bare")
    assert_equal(module.state_dict(), state)


def test_everything_is_taken_from_torchvisions_enum() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    assert len(names) > 70
    for name in names:
        known = architecture(name)
        assert known is not None
        weights = torchvision.models.get_model_weights(name)
        one_size = weights.DEFAULT.transforms().crop_size if name.startswith("vit_") else None
        assert set(known.others) == {
            m
            for m in weights.__members__
            if weights[m].meta["categories"]
            and one_size in (None, weights[m].transforms().crop_size)  # its positions are learnt
        }
        assert weights.DEFAULT.name in known.others
        assert known.published.name == weights.DEFAULT.name
        for member, published in ((weights[m], known.others[m]()) for m in known.others):
            seen, transform = published.preprocessing, member.transforms()
            assert published.name == member.name
            assert published.classes == tuple(member.meta["categories"])
            assert ([seen.height], [seen.width], [seen.resize]) == (
                transform.crop_size,
                transform.crop_size,
                transform.resize_size,
            )
            assert (list(seen.mean), list(seen.std)) == (transform.mean, transform.std)
            assert v2.InterpolationMode(seen.interpolation) == transform.interpolation


def test_preprocessing_equals_the_enums_transform() -> None:
    pixels = torch.randint(
        0, 256, (3, 301, 417), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    for name in ("squeezenet1_1", "resnet50", "efficientnet_b0"):
        known = architecture(name)
        assert known is not None
        seen = known.published.preprocessing
        mean, std = torch.tensor(seen.mean).view(-1, 1, 1), torch.tensor(seen.std).view(-1, 1, 1)
        ours = (torch.from_numpy(seen.apply(image)).float() / 255 - mean) / std
        torch.testing.assert_close(
            ours, torchvision.models.get_model_weights(name).DEFAULT.transforms()(image)
        )


def test_inceptionv1_gives_the_logits_of_lucents_softmax(run: Callable[..., Any]) -> None:
    from lucent.modelzoo.inceptionv1 import InceptionV1

    model = ModelZoo(None, {}, run).load("inceptionv1", "random")
    with Uninitialized():
        oracle = InceptionV1(pretrained=False, redirected_ReLU=False).eval()
    oracle.load_state_dict(model.network.module.state_dict())
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = oracle(x * 255 - 117)  # lucent's own preprocessing
    assert model.network.classes == 1008
    assert (model.classes[0], model.classes[1007]) == ("class 0", "class 1007")
    torch.testing.assert_close(model.network.logits(x).softmax(1), expected, rtol=1e-3, atol=1e-6)


def test_an_architecture_with_ones_own_weights_and_labels(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    torch.manual_seed(0)
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict()
    save_file(state, tmp_path / "flowers.safetensors")
    (tmp_path / "names.txt").write_text("rose\ntulip\n\n lily \n")
    options: dict[str, Any] = {
        "architecture": "shufflenet_v2_x0_5",
        "weights": tmp_path / "flowers.safetensors",
    }
    tables = {
        "flowers": options
        | {
            "labels": tmp_path / "names.txt",
            "size": (64, 96),
            "mean": (0.1, 0.2, 0.3),
            "interpolation": "bicubic",
        },
        "short": options | {"labels": ("rose", "tulip")},
        "unnamed": options,
        "nofile": options | {"labels": tmp_path / "absent.txt"},
        "nowhere": {"architecture": "shufflenet_v9"},
    }
    zoo = ModelZoo(None, {name: ModelTable(**table) for name, table in tables.items()}, run)
    assert_equal(hosted_state(zoo, "flowers"), state)
    model = zoo.get("flowers")
    assert (model.architecture, model.weights, model.classes) == (
        "shufflenet_v2_x0_5",
        "flowers.safetensors",
        ("rose", "tulip", "lily"),
    )
    seen = model.preprocessing
    assert (seen.shape, seen.resize, seen.mean, seen.std, seen.interpolation) == (
        (3, 64, 96),
        96,
        (0.1, 0.2, 0.3),
        tuple(STD),
        "bicubic",
    )
    unnamed = zoo.load("unnamed")  # the number comes from the last layer's weights
    assert unnamed.classes == ("class 0", "class 1", "class 2")
    assert any(
        "has 3 classes where shufflenet_v2_x0_5's own are 1000" in w for w in unnamed.warnings
    )
    for name, told in {
        "short": "flowers.safetensors has 3 classes.*fc.weight.*, but 2 labels are given",
        "nofile": "models.nofile.labels",
        "nowhere": "no architecture",
    }.items():
        with pytest.raises((ModelError, LookupError), match=told):
            zoo.load(name)


def test_a_factory_whose_labels_do_not_fit(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ModuleType("own_networks")
    own.make = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_networks", own)
    table = ModelTable(
        factory="own_networks:make", size=(8, 8), mean=(0.5,), std=(0.5,), labels=("a", "b")
    )
    with pytest.raises(ModelError, match="mine has 5 classes, but 2 labels are given"):
        ModelZoo(None, {"mine": table}, run).load("mine")
