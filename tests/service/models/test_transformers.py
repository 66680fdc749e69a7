"""torchvision's transformers by name: what needs no maps works, and tokens are refused by name."""

import pytest
import torch

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.attribution.saliency import saliency
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from service.models.architectures import architecture
from service.models.zoo import ModelZoo
from service.rpc.validation import InvalidField
from service.rpc.wire.units import parse_path
from tests.service.models.test_networks import at_once


@pytest.mark.parametrize(
    ("name", "with_units", "tokens"),
    [
        ("vit_b_32", "conv_proj", "encoder.layers.encoder_layer_3"),
        ("swin_t", "features.1.0.mlp.0", ""),
    ],
)
def test_a_transformer_loads_by_name(name: str, with_units: str, tokens: str) -> None:
    zoo = ModelZoo(None, {}, at_once)
    model = zoo.load(name, "random")
    assert (model.architecture, len(model.classes)) == (name, 1000)
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    logits = model.network.logits(x)
    assert logits.shape == (2, 1000)
    method = pgd(step=0.01, steps=2)
    found = solve(attack(x, logits.argmax(1), method, epsilon=0.03), model.network)
    assert (found.images - x).abs().max() <= 0.03 + 1e-6
    assert (found.images - x).abs().max() > 0.009
    paths = [LayerPath("logits", 3)] * 2
    assert solve(saliency(x, activation(paths)), model.network).values.abs().sum() > 0
    assert parse_path(f"{with_units}:3", "unit", model).unit == 3
    assert not model.network.without_gradient
    if tokens:
        with pytest.raises(InvalidField, match=f"layer {tokens} has no units: "):
            parse_path(f"{tokens}:3", "unit", model)
    zoo.unload(name)


def test_weights_of_another_size_are_left_out() -> None:
    known = architecture("vit_b_16")
    assert known is not None
    assert "IMAGENET1K_SWAG_LINEAR_V1" in known.others
    assert "IMAGENET1K_SWAG_E2E_V1" not in known.others
    huge = architecture("vit_h_14")
    assert huge is not None
    assert huge.published.preprocessing.height == 518
