"""Hugging Face's ResNets: folders written here from torchvision's networks, with the names of
tensors put together from what transformers' modules are called.
"""

import json
import sys
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from service.config import ModelTable
from service.imaging import Preprocessing
from service.models.blueprint import UnknownModel, UnknownWeights
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.zoo import ModelZoo

SHAPES: dict[str, dict[str, Any]] = {
    "resnet18": {
        "layer_type": "basic",
        "depths": [2, 2, 2, 2],
        "hidden_sizes": [64, 128, 256, 512],
    },
    "resnet50": {
        "layer_type": "bottleneck",
        "depths": [3, 4, 6, 3],
        "hidden_sizes": [256, 512, 1024, 2048],
    },
}
IMAGES: dict[str, Any] = {
    "image_processor_type": "ConvNextImageProcessor",
    "crop_pct": 0.875,
    "size": {"shortest_edge": 64},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.25],
    "resample": 3,
}
LABELS = ("rose", "tulip", "daisy")


def random_network(name: str, classes: int = len(LABELS)) -> nn.Module:
    """A network whose batch norms do something, too."""
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(part.weight, 0.5, 1.0)
    return module.eval()


def theirs(module: nn.Module) -> dict[str, Tensor]:
    """The tensors under the names of transformers: a ResNetConvLayer has `convolution` and
    `normalization`, a block a Sequential `layer` of those and a `shortcut`.
    """
    found = {}
    for name, tensor in module.state_dict().items():
        parts = name.split(".")
        if parts[0] == "fc":
            where = ["classifier", "1"]
        elif parts[0] in ("conv1", "bn1"):
            kind = "convolution" if parts[0] == "conv1" else "normalization"
            where = ["resnet", "embedder", "embedder", kind]
        else:
            stage, block, part = int(parts[0][-1]) - 1, parts[1], parts[2]
            where = ["resnet", "encoder", "stages", str(stage), "layers", block]
            if part == "downsample":
                where += ["shortcut", ("convolution", "normalization")[int(parts[3])]]
            else:
                kind = "convolution" if part.startswith("conv") else "normalization"
                where += ["layer", str(int(part[-1]) - 1), kind]
        found[".".join([*where, parts[-1]])] = tensor
    return found


def write(
    folder: Path,
    name: str = "resnet18",
    config: dict[str, Any] | None = None,
    images: dict[str, Any] | None = None,
    classes: int = len(LABELS),
) -> nn.Module:
    """Write a folder as `save_pretrained` does; values of None are left out."""
    module = random_network(name, classes)
    named = {str(i): label for i, label in enumerate(LABELS)}
    whole: dict[str, Any] = {
        "architectures": ["ResNetForImageClassification"],
        "model_type": "resnet",
        "id2label": named,
        **SHAPES[name],
        **(config or {}),
    }
    seen = {**IMAGES, **(images or {})}
    folder.mkdir(parents=True, exist_ok=True)
    for file, values in (("config.json", whole), ("preprocessor_config.json", seen)):
        kept = {key: value for key, value in values.items() if value is not None}
        (folder / file).write_text(json.dumps(kept))
    save_file(theirs(module), folder / "model.safetensors", {"format": "pt"})
    return module


def catalogue(source: str, weights_dir: Path | None = None, **more: Any) -> Catalogue:
    return Catalogue(weights_dir, {"mine": ModelTable(source=source, **more)})


def zoo(weights_dir: Path | None, tables: dict[str, ModelTable] | None = None) -> ModelZoo:
    def run(call: Any) -> Any:
        done: Future[Any] = Future()
        done.set_result(call())
        return done

    return ModelZoo(weights_dir, tables or {}, run)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_gradients_are_torchvisions_to_the_bit(name: str, tmp_path: Path) -> None:
    module = write(tmp_path, name)
    plan = catalogue(f"hf:{tmp_path}").blueprint("mine")
    own, expected = (
        torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        for _ in range(2)
    )
    logits, wanted = plan.build().eval()(own), module(expected)
    logits[:, 0].sum().backward()
    wanted[:, 0].sum().backward()
    assert torch.equal(logits, wanted)
    assert own.grad is not None
    assert expected.grad is not None
    assert torch.equal(own.grad, expected.grad)
    assert float(own.grad.abs().max()) > 0


def test_preprocessing_and_labels_are_the_folders(tmp_path: Path) -> None:
    write(tmp_path)
    plan = catalogue(f"hf:{tmp_path}").blueprint("mine")
    # ConvNextImageProcessor: the short side to 64 / 0.875, truncated, then the centre.
    assert plan.preprocessing == Preprocessing(
        3, 64, 64, 73, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    )
    assert (plan.classes, plan.labelled, plan.weights) == (LABELS, True, "model.safetensors")
    assert plan.architecture == "ResNetForImageClassification"
    own = catalogue(f"hf:{tmp_path}", labels=("a", "b", "c"), size=96).blueprint("mine")
    assert own.classes == ("a", "b", "c")
    assert own.preprocessing.shape == (3, 96, 96)


@pytest.mark.parametrize(
    ("images", "extents", "odd"),
    [
        ({"size": {"shortest_edge": 384}}, (384, 384, 384), True),  # ConvNext's crops no more
        ({"size": 224}, (224, 224, 256), False),
        (
            {
                "image_processor_type": "BitImageProcessor",
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 192},
            },
            (224, 192, 256),
            False,
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 64}},
            (64, 64, 64),
            True,
        ),
        ({"image_processor_type": None, "feature_extractor_type": "ViT", "size": 32}, (32,) * 3, 1),
    ],
)
def test_forms_of_size(
    images: dict[str, Any], extents: tuple[int, int, int], odd: bool, tmp_path: Path
) -> None:
    write(tmp_path, images=images)
    plan = catalogue(f"hf:{tmp_path}").blueprint("mine")
    seen = plan.preprocessing
    assert (seen.height, seen.width, seen.resize) == extents
    assert bool(plan.doubts) == bool(odd)


def test_without_normalization_mean_is_zero_and_std_one(tmp_path: Path) -> None:
    write(tmp_path, images={"do_normalize": False, "image_mean": None, "resample": 2})
    seen = catalogue(f"hf:{tmp_path}").blueprint("mine").preprocessing
    assert (seen.mean, seen.std, seen.interpolation) == ((0.0,) * 3, (1.0,) * 3, "bilinear")


def test_a_repository_in_the_weights_folder_is_hosted_under_a_name_without_signs(
    tmp_path: Path,
) -> None:
    module = write(tmp_path / "hf.micro-soft.resnet-1.8")
    models = zoo(tmp_path)
    hosted = models.load("hf:micro-soft/resnet-1.8")
    assert hosted.name == "hf.micro-soft.resnet-1.8"
    assert hosted.classes == LABELS
    assert models.load(hosted.name) is hosted
    assert models.get(hosted.name) is hosted
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(IMAGES[key]).view(-1, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        wanted = module((images - mean) / std)
        logits = hosted.network.module((images - mean) / std)
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)
    models.unload(hosted.name)
    with pytest.raises(UnknownModel, match=r"'hf\.micro-soft\.resnet-1\.8' is not loaded"):
        models.get(hosted.name)
    with pytest.raises(UnknownWeights, match="it has default, random"):
        models.load(hosted.name, "IMAGENET1K_V1")
    assert models.load(hosted.name, "random").weights == "random"


def test_a_revision_of_a_repository_is_a_network_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "hf.a.b", "resnet18")
    write(tmp_path / "hf.a.b@v1.0", "resnet50")
    models = zoo(tmp_path)
    pinned, main = models.load("hf:a/b@v1.0"), models.load("hf:a/b")
    assert (pinned.name, main.name) == ("hf.a.b@v1.0", "hf.a.b")
    assert pinned.digest != main.digest
    assert models.load(pinned.name) is pinned
    assert pinned.source == "https://huggingface.co/a/b/tree/v1.0"
    assert main.source == "https://huggingface.co/a/b"
    for name in ("hf:a/b@", "hf:a/b@x/y", "hf:a/b@-x", "hf:a/b@v1@v2", "hf:a/b@" + "x" * 97):
        with pytest.raises(UnknownModel, match="REVISION a branch, tag or commit"):
            models.load(name)


def test_the_number_of_classes_is_that_of_the_last_layer(tmp_path: Path) -> None:
    write(tmp_path, config={"id2label": None, "num_labels": None}, classes=5)
    loaded = zoo(None, {"mine": ModelTable(source=f"hf:{tmp_path}")}).load("mine")
    assert loaded.classes == tuple(f"class {i}" for i in range(5))
    write(tmp_path, classes=5)
    with pytest.raises(ModelError, match="mine has 5 classes, but 3 labels are given"):
        zoo(None, {"mine": ModelTable(source=f"hf:{tmp_path}")}).load("mine")


def test_a_file_of_weights_beside_the_source_goes_first(tmp_path: Path) -> None:
    write(tmp_path)
    tensors = {name: tensor.clone() for name, tensor in theirs(random_network("resnet18")).items()}
    tensors["classifier.1.bias"] += 1
    save_file(tensors, tmp_path / "tuned.safetensors")
    own = catalogue(f"hf:{tmp_path}", weights=tmp_path / "tuned.safetensors").blueprint("mine")
    assert own.weights == "tuned.safetensors"
    assert torch.equal(own.build().state_dict()["fc.bias"], tensors["classifier.1.bias"])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"architectures": ["ConvNextForImageClassification"]},
            "is a ConvNextForImageClassification, .* `factory`",
        ),
        ({"architectures": None}, "is a resnet, and of Hugging Face's"),
        ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck is True, and only"),
        ({"hidden_act": "gelu"}, "hidden_act is gelu"),
        ({"hidden_sizes": [64, 128, 256, 500]}, r"hidden_sizes is \(64, 128, 256, 500\)"),
        ({"depths": [2, 2]}, "depths must be 4"),
        ({"depths": [2, 2, 2, 10**9]}, "depths.3: Input should be less than or equal to 256"),
        ({"layer_type": "wide"}, "layer_type 'wide' is neither basic nor bottleneck"),
        ({"id2label": {"1": "a", "2": "b"}}, "the keys of id2label must be 0 to 1"),
        ({"id2label": {"x": "a"}}, "id2label.x"),
        ({"num_labels": 10**9}, "num_labels: Input should be less than"),
        ({"depths": [1, 2, 2, 2]}, "unexpected"),
    ],
)
def test_what_cannot_be_hosted_is_told(config: dict[str, Any], told: str, tmp_path: Path) -> None:
    write(tmp_path, config=config)
    with pytest.raises(ModelError, match=told):
        catalogue(f"hf:{tmp_path}").blueprint("mine").build()


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ({"resample": 1}, r"resample 1 is none of 0 \(nearest\)"),
        ({"do_rescale": False}, "rescaled by 1/255"),
        ({"rescale_factor": 1.0}, "rescaled by 1/255"),
        ({"do_resize": False}, "do_resize must be true"),
        ({"image_mean": None}, "image_mean and image_std are missing"),
        ({"image_std": [0.2, 0, 0.2]}, r"image_std\.1: Input should be greater than 0"),
        ({"image_mean": [0.5]}, "image_mean: "),
        ({"size": None}, "size: Field required"),
        ({"size": {"longest_edge": 3}}, "size has neither shortest_edge nor height and width"),
        ({"size": 10**6}, "size"),
        (
            {"image_processor_type": "BitImageProcessor", "crop_size": 65},
            "crop_size must not be larger than size",
        ),
    ],
)
def test_images_that_cannot_be_taken_are_told(
    images: dict[str, Any], told: str, tmp_path: Path
) -> None:
    write(tmp_path, images=images)
    with pytest.raises(ModelError, match=told):
        catalogue(f"hf:{tmp_path}").blueprint("mine")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("config.json", "`save_pretrained` of transformers"),
        ("preprocessor_config.json", "copy that of the network"),
        ("model.safetensors", "pickled weights are not read"),
    ],
)
def test_missing_and_damaged_files_are_told(file: str, told: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / file).write_bytes(b"[1, 2")
    with pytest.raises(ModelError, match=rf"{file}.* cannot be read"):
        catalogue(f"hf:{tmp_path}").blueprint("mine").build()
    (tmp_path / file).unlink()
    with pytest.raises(ModelError, match=f"has no {file}; .*{told}"):
        catalogue(f"hf:{tmp_path}").blueprint("mine").build()


@pytest.mark.parametrize("name", ["hf:/etc", "hf:../x", "hf:a", "hf:a/../b", "hf:a/b/c", "hf:"])
def test_callers_name_repositories_alone(name: str, tmp_path: Path) -> None:
    write(tmp_path / "hf.a.b")
    with pytest.raises(UnknownModel, match="hf:ORGANIZATION/REPOSITORY names a repository"):
        zoo(tmp_path).load(name)
    with pytest.raises(UnknownModel, match="there is no model"):
        zoo(tmp_path).load(name.replace("hf:", "hf.") + "/..")


def test_an_unknown_source_of_a_table_is_told() -> None:
    with pytest.raises(ModelError, match=r"models\.mine\.source 'hub:a/b' names no source; hf:ORG"):
        catalogue("hub:a/b").blueprint("mine")
    with pytest.raises(ModelError, match="hf:resnet is no name of a network; hf:ORG"):
        catalogue("hf:resnet").blueprint("mine")


def test_without_the_hubs_library_the_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"\.\[hf\].* folder hf\.a\.b of the weights"):
        zoo(tmp_path).load("hf:a/b")


def test_files_come_from_the_hub_the_weights_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, asked = tmp_path / "hub", list[tuple[str, str, Path]]()
    write(kept)

    def download(
        repository: str, file: str, cache_dir: Path, *, local_files_only: bool = False
    ) -> str:
        if local_files_only:
            raise OSError("nothing is cached")
        asked.append((repository, file, cache_dir))
        if not (kept / file).exists():
            raise OSError("\n404: Entry Not Found\nmore")
        return str(kept / file)

    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert zoo(tmp_path).load("hf:a/b").name == "hf.a.b"
    assert asked == [
        ("a/b", file, tmp_path / "huggingface")
        for file in ("config.json", "preprocessor_config.json", "model.safetensors")
    ]
    (kept / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"downloaded: OSError: 404: Entry Not Found$"):
        zoo(tmp_path).load("hf:a/b")
    asked.clear()
    write(kept, config={"architectures": ["ViTForImageClassification"]})
    with pytest.raises(ModelError, match="ViTForImageClassification"):
        zoo(tmp_path).load("hf:a/b")
    assert [file for _, file, _ in asked] == ["config.json"]  # refused before the large download
