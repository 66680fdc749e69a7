"""Grad-CAM by its formula, and the layers whose maps it can take."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from interp.attribution.grad_cam import check_layer, grad_cam
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.guided_grad_cam import guided_grad_cam
from interp.attribution.result import MethodNotApplicable
from interp.layer import LayerPath
from tests.interp.attribution.toys_attribution import (
    CLASS,
    Unit,
    agree,
)
from tests.interp.toys_networks import images, tricky


@pytest.mark.parametrize("layer", ["down", "twice", "stem.0"])
def test_grad_cam_by_its_formula(layer: str) -> None:
    network, x = tricky(), images(1)
    unit = Unit(network, CLASS)
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        seen.append(output)
        return output.clone()

    part = dict(network.module.named_modules())[layer]
    handle = part.register_forward_hook(keep)
    score = unit(x.clone().requires_grad_())
    handle.remove()
    (grad,) = torch.autograd.grad(score.sum(), seen[-1])
    expected = (grad.mean((2, 3), keepdim=True) * seen[-1]).sum(1, keepdim=True).clamp_min(0)
    found = grad_cam(network, CLASS, layer)(x, CLASS)
    assert expected.max() > 0
    agree(found.values, F.interpolate(expected, (8, 8), mode="bilinear", align_corners=False))
    agree(found.score, score)
    if layer == "down":
        same = LayerGradCam(unit, part).attribute(x, relu_attributions=True)
        agree(found.values, LayerAttribution.interpolate(same, (8, 8), "bilinear"))
    fine = guided_backprop(network, CLASS)(x, CLASS).values
    agree(guided_grad_cam(network, CLASS, layer)(x, CLASS).values, fine * found.values)


def test_layers_of_grad_cam() -> None:
    network = tricky()
    assert check_layer(network, CLASS, "") == "norm"
    assert check_layer(network, CLASS, "stem") == "stem"
    assert check_layer(network, LayerPath("twice", 1), "") == "act"
    with pytest.raises(ValueError, match="not computed from"):
        check_layer(network, LayerPath("twice", 1), "down")
    with pytest.raises(MethodNotApplicable, match="no layer with rows and columns"):
        check_layer(network, LayerPath("stem.0", 1), "")
