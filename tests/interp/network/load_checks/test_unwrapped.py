"""Modules as training leaves them, against the module inside."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from interp.network.load_checks.unwrapped import unwrapped


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Flatten()))


def in_place() -> nn.Module:
    module = net()
    module.compile()
    module[1].compile()
    return module


def inside() -> nn.Module:
    module = net()
    compiled: Any = torch.compile(module[1])
    module[1] = nn.DataParallel(compiled)
    return module


WRAPPED: dict[str, Callable[[], Any]] = {
    "compiled": lambda: torch.compile(net()),
    "parallel": lambda: nn.DataParallel(net()),
    "both": lambda: torch.compile(nn.DataParallel(net())),
    "in place": in_place,
    "inside": inside,
    "none": net,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_module_inside_is_left(name: str) -> None:
    module = unwrapped(WRAPPED[name]())
    assert [n for n, _ in module.named_modules()] == [n for n, _ in net().named_modules()]
    assert all(part._compiled_call_impl is None for part in module.modules())
    x = torch.rand(2, 1, 5, 5)
    assert torch.equal(module(x), net()(x))
