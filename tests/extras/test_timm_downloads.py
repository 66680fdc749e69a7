"""Published weights of timm's networks, from a hub on loopback: kept, verified, and refused."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from tests.extras.test_timm_networks import drawn
from tests.extras.toys_hub import hub

NAME = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def _plain_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)


def load(weights: Path, name: str = NAME) -> nn.Module:
    return Catalogue(weights, {}).blueprint(f"timm.{name}").build().eval()


def ask(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub's library ask another hub."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_downloaded_network_is_the_one_that_was_published(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, weights = tmp_path / "published", tmp_path / "weights"
    published.mkdir()
    module = drawn(NAME)
    if file.endswith(".bin"):
        torch.save(module.state_dict(), published / file)
    else:
        save_file(module.state_dict(), published / file)
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with hub(published, f"timm/{NAME}") as endpoint, torch.no_grad():
        ask(endpoint, monkeypatch)
        torch.testing.assert_close(load(weights)(images), module(images), rtol=0, atol=1e-5)

    # Nobody answers any more: what is kept serves, also under the name without a tag.
    load(weights, "test_resnet")
    (kept,) = weights.rglob(file)
    blob = kept.resolve()
    assert weights in blob.parents
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    if file.endswith(".bin"):
        with pytest.raises(ModelError, match=f"{file} of timm:{NAME} was .* but is damaged"):
            load(weights)


def test_a_hub_that_has_nothing_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(tmp_path, "nobody/else") as endpoint:
        ask(endpoint, monkeypatch)
        with pytest.raises(ModelError, match=rf"model\.safetensors of timm:{NAME} cannot be down"):
            load(tmp_path / "weights")


def test_pickled_objects_of_a_download_are_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "published"
    published.mkdir()
    torch.save({"state_dict": drawn(NAME)}, published / "pytorch_model.bin")
    with hub(published, f"timm/{NAME}") as endpoint:
        ask(endpoint, monkeypatch)
        with pytest.raises(ModelError, match="others than plain tensors are never unpickled"):
            load(tmp_path / "weights")
