"""Every composite of relevance propagation against zennit's."""

from importlib import import_module
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from interp.attribution.lrp import lrp
from interp.attribution.relevance.composites import COMPOSITES, RuleSettings
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from tests.interp.toys_networks import MEAN, STD, images

pytest.importorskip("zennit", reason="zennit 0.5.1 is not installed")

SETTINGS = RuleSettings(epsilon=1e-3, gamma=0.3, alpha=1.5)
PATH = LayerPath(LOGITS, 2)


class Small(nn.Module):
    """Convolutions with strides, groups and biases, norms after them, both kinds of pools."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, stride=2, groups=2),
            nn.Tanh(),
            nn.AvgPool2d(2, padding=1),
            nn.Conv2d(8, 12, 1, bias=False),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 10),
            nn.ReLU(),
            nn.Linear(10, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


def resnet() -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.resnet18(weights=None, num_classes=4)
    return module


def randomized(module: nn.Module) -> nn.Module:
    """Norms and biases as after training: neither zero nor one."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0  # zennit leaves it in the norm that it has folded away
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            nn.init.uniform_(part.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(part.bias, -0.3, 0.3, generator=generator)
    return module.double().eval()


def composites(low: Tensor, high: Tensor, canonizers: list[Any]) -> dict[str, Any]:
    z, rules, linear = (import_module(f"zennit.{n}") for n in ("composites", "rules", "types"))

    def one_rule(rule: Any, stabilizer: float = 1e-6) -> Any:
        layers = [*z.layer_map_base(stabilizer), (linear.Linear, rule)]
        return z.LayerMapComposite(layer_map=layers, canonizers=canonizers)

    same: Any = {"epsilon": 1e-3, "canonizers": canonizers}
    return {
        "epsilon": one_rule(rules.Epsilon(1e-3), 1e-9),
        "gamma": one_rule(rules.Gamma(0.3)),
        "alpha_beta": one_rule(rules.AlphaBeta(1.5, 0.5)),
        "epsilon_plus": z.EpsilonPlus(**same),
        "epsilon_plus_flat": z.EpsilonPlusFlat(**same),
        "epsilon_gamma_box": z.EpsilonGammaBox(low, high, gamma=0.3, **same),
        "epsilon_alpha2_beta1": z.EpsilonAlpha2Beta1(**same),
        "epsilon_alpha2_beta1_flat": z.EpsilonAlpha2Beta1Flat(**same),
    }


@pytest.mark.parametrize("name", list(COMPOSITES))
@pytest.mark.parametrize("build", [Small, resnet])
def test_composite(build: Any, name: str) -> None:
    x = images(1, size=32)
    network = Network(randomized(build()), (3, 32, 32), MEAN, STD, dtype=torch.float64)
    found = lrp(network, PATH, name, SETTINGS)(x, PATH)
    module = randomized(build())
    canonizer = (
        import_module("zennit.torchvision").ResNetCanonizer()
        if build is resnet
        else import_module("zennit.canonizers").SequentialMergeBatchNorm()
    )
    low, high = (network.normalized(torch.full_like(x, value)) for value in (0.0, 1.0))
    composite = composites(low, high, [canonizer])[name]
    with import_module("zennit.attribution").Gradient(module, composite) as attributor:
        output, expected = attributor(
            network.normalized(x).contiguous(), lambda y: y * (torch.arange(4) == 2)
        )
    torch.testing.assert_close(found.score, output[:, 2].detach())
    error = (found.values - expected).abs().max() / expected.abs().max()
    assert error < 1e-6
