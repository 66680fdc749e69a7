"""Networks of timm's registry: as they are named, made, loaded and refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo, create_transform, resolve_data_config
from torch import Tensor, nn

from service.config import ModelTable
from service.models.blueprint import RANDOM, UnknownModel
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from tests.conftest import ROOT
from tests.service.models.bundles.test_bundles import answer, exported
from tests.service.models.sources.test_huggingface import zoo

FEATURES = "convnextv2_atto.fcmae"  # published without a classifier


def drawn(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """A network of timm's whose norms do something, too, in double precision."""
    torch.manual_seed(seed)
    module: nn.Module = timm.create_model(name, **options)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return module.eval()


def logits_and_gradient(module: nn.Module, size: int) -> tuple[Tensor, Tensor]:
    """What a network makes of two images, in double precision: max pools have no ties there."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64)
    logits = module.double().eval()(images.requires_grad_())
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    return logits.detach(), gradient


def assert_same(own: nn.Module, theirs: nn.Module, size: int) -> None:
    for found, expected in zip(
        logits_and_gradient(own, size), logits_and_gradient(theirs, size), strict=True
    ):
        assert float(expected.abs().max()) > 0
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet.r160_in1k", 160), ("test_vit.r160_in1k", 160), ("regnetx_002", 96)],
)
def test_logits_and_gradients_are_timms(name: str, size: int, suffix: str, tmp_path: Path) -> None:
    module, path = drawn(name), tmp_path / f"timm.{name}{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": module.state_dict(), "epoch": 3}, path)
    else:
        save_file(module.state_dict(), path)
    plan = Catalogue(tmp_path, {}).blueprint(f"timm.{name}")
    assert (plan.weights, plan.architecture) == (path.name, f"timm:{name.split('.')[0]}")
    assert_same(plan.build(), module, size)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet18.a1_in1k", "convnext_tiny.in12k", "inception_v3.tf_in1k"]
)
def test_images_and_labels_are_what_timm_evaluates_with(name: str) -> None:
    plan = Catalogue(None, {}).blueprint(f"timm.{name}", RANDOM)
    cfg = timm.get_pretrained_cfg(name)
    config = resolve_data_config(pretrained_cfg=cfg.to_dict())
    pixels = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = create_transform(**config, normalize=False)(image)
    np.testing.assert_array_equal(plan.preprocessing.apply(image), expected.numpy())
    assert (plan.preprocessing.mean, plan.preprocessing.std) == (config["mean"], config["std"])
    subset = {1000: "imagenet-1k", 11821: "imagenet-12k"}[cfg.num_classes]
    info = ImageNetInfo(subset)
    assert plan.classes == tuple(map(info.index_to_description, range(cfg.num_classes)))
    assert not plan.doubts


def test_every_name_of_the_registry_can_be_planned_or_says_why_not() -> None:
    names = timm.list_models(include_tags=True)
    assert len(names) > 1000
    for name in names:
        cfg = timm.get_pretrained_cfg(name)
        catalogue = Catalogue(None, {})
        assert catalogue.knows(f"timm.{name}")
        if cfg.num_classes == 0:
            with pytest.raises(ModelError, match="gives features and no logits of classes"):
                catalogue.blueprint(f"timm.{name}")
        elif not cfg.has_weights:
            with pytest.raises(ModelError, match=r"publishes no weights.*load it as random"):
                catalogue.blueprint(f"timm.{name}")
        else:
            plan = catalogue.blueprint(f"timm.{name}")
            assert plan.weights in (cfg.hf_hub_id, Path(cfg.url or "").name)
            assert len(plan.classes) in (0, cfg.num_classes)
            doubts = " ".join(plan.doubts)
            assert ("crop_mode" in doubts) == (cfg.crop_mode != "center"), name
            assert ("its short side" not in doubts) or "squeezes" in doubts or "border" in doubts
            assert ("embedding" in doubts) == (not plan.classes), name


def test_what_timm_does_in_another_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = timm.get_pretrained_cfg("resnet18")
    cfg.crop_mode, cfg.interpolation, cfg.crop_pct = "border", "random", 1.0
    monkeypatch.setattr("timm.models.get_pretrained_cfg", lambda *_, **__: cfg)
    plan = Catalogue(None, {}).blueprint("timm.resnet18", RANDOM)
    assert len(plan.doubts) == 2
    assert "'random'; here bicubic does" in plan.doubts[0]
    assert "into a border" in plan.doubts[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet19", "there is no model 'timm:resnet19'; did you mean timm:resnet"),
        ("timm:resnet18.nobody", "no weights 'nobody'; it has timm:resnet18.a1_in1k"),
        ("timm:a/b", "timm:NAME names a network of timm's"),
        ("timm:..", "timm:NAME names a network of timm's"),
        ("timm:hf-hub:a/b", "timm:NAME names a network of timm's"),
    ],
)
def test_unknown_names_are_told_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        zoo(None).load(name, RANDOM)
    assert message in str(caught.value)


def test_networks_are_hosted_under_their_names(tmp_path: Path) -> None:
    host = zoo(None)
    model = host.load("timm:test_resnet.r160_in1k", RANDOM)
    assert (model.name, model.weights) == ("timm.test_resnet.r160_in1k", RANDOM)
    assert host.load("timm.test_resnet.r160_in1k", RANDOM) is model
    assert host.get("timm.test_resnet.r160_in1k") is model
    assert len(model.classes) == 1000
    assert model.classes[0].startswith("tench")


def test_a_deprecated_name_is_the_network_that_timm_maps_it_to() -> None:
    old = Catalogue(None, {}).blueprint("timm.tv_resnet34")
    assert old.weights == "timm/resnet34.tv_in1k"


def test_a_name_without_a_tag_takes_the_file_of_its_default_tag(tmp_path: Path) -> None:
    save_file(
        drawn("test_resnet").state_dict(), tmp_path / "timm.test_resnet.r160_in1k.safetensors"
    )
    plan = Catalogue(tmp_path, {}).blueprint("timm.test_resnet")
    assert plan.weights == "timm.test_resnet.r160_in1k.safetensors"


def test_a_file_tells_its_number_of_classes(tmp_path: Path) -> None:
    module = drawn("test_resnet", num_classes=7)
    save_file(module.state_dict(), tmp_path / "timm.test_resnet.safetensors")
    model = zoo(tmp_path).load("timm:test_resnet")
    assert model.classes == tuple(f"class {i}" for i in range(7))
    assert any("7 classes where timm:test_resnet's own are 1000" in w for w in model.warnings)


def test_features_are_refused_unless_a_file_brings_a_classifier(tmp_path: Path) -> None:
    refused = "gives features and no logits of classes"
    for weights in ("", RANDOM):
        with pytest.raises(ModelError, match=refused):
            Catalogue(None, {}).blueprint(f"timm.{FEATURES}", weights)
    module = drawn(FEATURES, num_classes=5)
    save_file(module.state_dict(), tmp_path / f"timm.{FEATURES}.safetensors")
    built = Catalogue(tmp_path, {}).blueprint(f"timm.{FEATURES}").build()
    assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in module.parameters())


def test_a_table_overrides_what_timm_tells(tmp_path: Path) -> None:
    table = ModelTable(
        source="timm:test_vit.r160_in1k",
        size=(128, 128),
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 1.0, 1.0),
        labels=("a", "b", "c"),
    )
    model = zoo(None, {"mine": table}).load("mine", RANDOM)
    assert model.preprocessing.shape == (3, 128, 128)
    assert model.preprocessing.mean == (0.1, 0.2, 0.3)
    assert model.classes == ("a", "b", "c")
    gray = ModelTable(
        source="timm:test_resnet",
        size=(64, 64),
        channels=1,
        mean=(0.5,),
        std=(0.5,),
        labels=("a", "b"),
    )
    assert zoo(None, {"mine": gray}).load("mine", RANDOM).network.shape == (1, 64, 64)


def test_published_weights_are_mended_as_timm_mends_them(tmp_path: Path) -> None:
    """Of another image size, and of gray images: as `create_model(..., pretrained=True)` does."""
    module = drawn("test_vit.r160_in1k")
    path = tmp_path / "own.safetensors"
    save_file(module.state_dict(), path)
    table = ModelTable(source="timm:test_vit.r160_in1k", weights=path, size=(128, 128))
    built = Catalogue(None, {"mine": table}).blueprint("mine").build()
    expected = timm.create_model(
        "test_vit.r160_in1k",
        pretrained=True,
        img_size=128,
        pretrained_cfg_overlay={"file": str(path)},
    )
    assert_same(built, expected, 128)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file(drawn("test_vit").state_dict(), tmp_path / "timm.test_resnet.safetensors")
    plan = Catalogue(tmp_path, {}).blueprint("timm.test_resnet")
    with pytest.raises(ModelError, match=r"unexpected keys.*missing.*timm's vision transformers"):
        plan.build()


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_resnet"])
def test_a_bundle_is_the_same_network_elsewhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    torch.save(drawn(name, num_classes=3).state_dict(), path)
    labels = ("a", "b", "c")
    table = ModelTable(source=f"timm:{name}", weights=path, size=(128, 128), labels=labels)
    model = zoo(None, {"mine": table}).load("mine")
    carried = exported(model, tmp_path)
    other = zoo(None, {"there": ModelTable(source=f"bundle:{carried}")}).load("there")
    assert (other.digest, other.classes) == (model.digest, labels)
    for one, there in zip(answer(model), answer(other), strict=True):
        assert torch.equal(one, there)


def test_license_and_source_are_those_of_the_weights(tmp_path: Path) -> None:
    plan = Catalogue(tmp_path, {}).blueprint("timm.resnet18.a1_in1k")
    assert plan.license == "apache-2.0"
    hub = "https://huggingface.co/timm/resnet18.a1_in1k"
    assert plan.source == f"{hub}, {timm.get_pretrained_cfg('resnet18').origin_url}"
    for weights in (RANDOM, ""):
        (tmp_path / "timm.resnet18.a1_in1k.pth").touch()  # the user's own
        plan = Catalogue(tmp_path, {}).blueprint("timm.resnet18.a1_in1k", weights)
        assert (plan.license, plan.source) == ("", "")


def test_timm_is_imported_when_it_is_asked_for_only() -> None:
    code = (
        "import sys; from service.models.catalogue import Catalogue; c = Catalogue(None, {}); "
        "c.knows('timm.resnet18'); c.blueprint('resnet18'); assert 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
