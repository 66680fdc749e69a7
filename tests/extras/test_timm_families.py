"""One network of each family of timm's, with random weights, through everything that is asked of a
hosted network; and attributions against the same network out of torch's own modules.
"""

import copy
from typing import Any

import pytest
import timm
import torch
from captum.attr import DeepLift, GuidedBackprop
from timm.layers import BatchNormAct2d, freeze_batch_norm_2d
from torch import Tensor, nn

from interp.attack.losses import cross_entropy
from interp.attribution.deep_lift import deep_lift
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.lrp import lrp
from interp.attribution.result import MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe
from service.config import ModelTable
from service.models.zoo import HostedModel
from tests.extras.test_timm_networks import drawn
from tests.service.models.sources.test_huggingface import zoo

CLASS, SHAPE = LayerPath(LOGITS, 1), (3, 32, 32)
GATES = "a product of two activations"
NORMS = "a norm by statistics of the image itself"
# name, pixels -> why LRP and DeepLift do not apply; "" where they do
FAMILIES: dict[tuple[str, int], str] = {
    ("regnetx_002", 64): "",
    ("darknet17", 64): "",
    ("resnetblur18", 64): "",
    ("res2net50_26w_4s", 64): "",
    ("mobilenetv2_100", 64): "",
    ("repvgg_a0", 64): "",
    ("nf_resnet26", 64): "",
    ("tf_mobilenetv3_small_minimal_100", 64): "",
    ("regnety_002", 64): GATES,
    ("mobilenetv3_small_100", 64): GATES,
    ("ghostnet_100", 64): GATES,
    ("convnext_atto", 64): NORMS,
    ("coatnet_pico_rw_224", 64): NORMS,
    ("vit_tiny_patch16_224", 64): NORMS,
    ("mixer_s32_224", 64): NORMS,
}


def load(name: str, size: int) -> HostedModel:
    table = ModelTable(source=f"timm:{name}", size=(size, size))
    return zoo(None, {"mine": table}).load("mine", "random")


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_a_family_is_described_attacked_pictured_and_explained(name: str, size: int) -> None:
    model = load(name, size)
    network, refused = model.network, FAMILIES[name, size]
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    assert network.logits(x).shape == (1, 1000)
    (answer,) = network.answer([Probe(x, cross_entropy(torch.tensor([5])))])
    assert answer.grad is not None
    assert float(answer.grad.abs().max()) > 0
    maps = [n for n in model.layers if len(n.output_shape) == 3 and not n.unavailable]
    (answer,) = network.answer([Probe(x, activation([LayerPath(maps[len(maps) // 2].name, 0)]))])
    assert answer.grad is not None
    assert torch.isfinite(answer.grad).all()
    methods: tuple[Any, ...] = (lrp, deep_lift)
    for method in methods:
        if refused:
            with pytest.raises(MethodNotApplicable, match=refused):
                method(network, CLASS)
            continue
        found = method(network, CLASS)(x, CLASS)
        assert found.delta is not None
        assert float(found.values.abs().max()) > 0
        if method is deep_lift:
            assert abs(float(found.delta)) < 1e-3 * float(found.values.abs().sum())


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mixer_s32_224", "levit_128s"])
def test_tokens_are_no_maps(name: str) -> None:
    """No layer behind the patches has units: tokens have no rows and columns."""
    model = load(name, 224 if name.startswith("levit") else 64)
    units = [n.name for n in model.layers if not n.unavailable and len(n.output_shape) == 3]
    assert units
    assert all(n.startswith(("patch_embed", "stem")) for n in units)
    tokens = [n for n in model.layers if n.name.startswith(("blocks.", "stages."))]
    assert len(tokens) > 50
    assert all(n.unavailable for n in tokens)


def plain(module: nn.Module) -> nn.Module:
    """The same network with torch's own norms and rectifiers, each apart and out of place."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, BatchNormAct2d):
                norm: Any = nn.BatchNorm2d(part.num_features, part.eps)
                norm.load_state_dict(part.state_dict())
                setattr(parent, name, nn.Sequential(norm, part.act).train(part.training))
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    return module.to(next(module.parameters()))


def hosted(module: nn.Module) -> Network:
    return Network(module.double(), SHAPE, [0.4] * 3, [0.3] * 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("regnetx_002", False), ("regnetx_002", True), ("mobilenetv2_100", False)],
)
def test_attributions_are_those_of_the_network_out_of_torchs_modules(
    name: str, frozen: bool
) -> None:
    module = drawn(name).double()
    expected = hosted(plain(module))
    own = hosted(freeze_batch_norm_2d(module) if frozen else module)
    assert any("BatchNormAct2d" in type(m).__name__ for m in own.module.modules())
    x = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def close(found: Tensor, wanted: Tensor) -> None:
        scale = wanted.abs().max()
        assert float(scale) > 0
        assert float((found - wanted).abs().max() / scale) < 1e-5

    close(deep_lift(own, CLASS)(x, CLASS).values, deep_lift(expected, CLASS)(x, CLASS).values)
    for composite in ("epsilon", "gamma", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"):
        found, wanted = (lrp(n, CLASS, composite)(x, CLASS).values for n in (own, expected))
        close(found, wanted)


def test_equal_to_captum_on_torchs_modules() -> None:
    module = drawn("regnetx_002").double()
    own, x = hosted(module), torch.rand(1, *SHAPE, dtype=torch.float64)
    z = own.normalized(x).detach().requires_grad_()
    guided = GuidedBackprop(plain(own.module)).attribute(z, target=1).detach() / 0.3
    found = guided_backprop(own, CLASS)(x, CLASS).values
    assert float((found - guided).abs().max()) < 1e-8 * float(guided.abs().max())
    (gradient,) = torch.autograd.grad(own.module(z)[:, 1].sum(), z)
    relevance = lrp(own, CLASS)(x, CLASS).values
    wanted = (gradient * z).detach()  # the epsilon rule in a network of rectifiers
    assert float((relevance - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    start = own.normalized(torch.zeros_like(x))
    values = DeepLift(plain(own.module)).attribute(z, start, target=1).detach()
    found = deep_lift(own, CLASS)(x, CLASS).values
    assert float((found - values).abs().max()) < 1e-5 * float(values.abs().max())


def test_the_faster_copy_has_none_of_timms_norms_behind_convolutions() -> None:
    network = load("regnetx_002", 64).network
    assert network.for_logits is not network.module
    assert not any(isinstance(m, BatchNormAct2d) for m in network.for_logits.modules())
    assert isinstance(timm.create_model("regnetx_002").stem.bn, BatchNormAct2d)
