"""The networks for small images against the papers' formulas, over their own state dicts."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.architectures import (
    PreActResNet18,
    SamePaddingWideResNet,
    SmallImageResNet,
    WideResNet,
)

State = dict[str, Tensor]
DOUBLE = torch.float64


def norm(s: State, name: str, x: Tensor) -> Tensor:
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"])


def conv(s: State, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, s[f"{name}.weight"], stride=stride, padding=padding)


def last(s: State, name: str, x: Tensor) -> Tensor:
    return x.mean((2, 3)) @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def wide(s: State, x: Tensor, blocks: int) -> Tensor:
    x = conv(s, "conv1", x, 1, 1)
    for group in (1, 2, 3):
        for block in range(blocks):
            at = f"block{group}.layer.{block}"
            stride = 2 if group > 1 and block == 0 else 1
            a = norm(s, f"{at}.bn1", x).relu()
            y = norm(s, f"{at}.bn2", conv(s, f"{at}.conv1", a, stride, 1)).relu()
            y = conv(s, f"{at}.conv2", y, 1, 1)
            is_wider = f"{at}.convShortcut.weight" in s
            x = y + (conv(s, f"{at}.convShortcut", a, stride) if is_wider else x)
    return last(s, "fc", norm(s, "bn1", x).relu())


def same_padding(s: State, x: Tensor, blocks: int) -> Tensor:
    x = conv(s, "init_conv", x, 1, 1)
    for group in range(3):
        for block in range(blocks):
            at = f"layer.{group}.block.{block}"
            stride = 2 if group and block == 0 else 1
            a = F.silu(norm(s, f"{at}.batchnorm_0", x))
            # TensorFlow's rule: what is needed in all, the smaller half before
            rows = a.shape[2]
            needed = max((-(-rows // stride) - 1) * stride + 3 - rows, 0)
            before, behind = needed // 2, needed - needed // 2
            padded = F.pad(a, (before, behind, before, behind))
            y = F.silu(norm(s, f"{at}.batchnorm_1", conv(s, f"{at}.conv_0", padded, stride)))
            y = conv(s, f"{at}.conv_1", y, 1, 1)
            is_wider = f"{at}.shortcut.weight" in s
            x = y + (conv(s, f"{at}.shortcut", a, stride) if is_wider else x)
    return last(s, "logits", F.silu(norm(s, "batchnorm", x)))


def preact(s: State, x: Tensor, raw: bool) -> Tensor:
    x = conv(s, "conv1", x, 1, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            a = norm(s, f"{at}.bn1", x).relu()
            y = norm(s, f"{at}.bn2", conv(s, f"{at}.conv1", a, stride, 1)).relu()
            y = conv(s, f"{at}.conv2", y, 1, 1)
            is_wider = f"{at}.shortcut.0.weight" in s
            x = y + (conv(s, f"{at}.shortcut.0", x if raw else a, stride) if is_wider else x)
    return last(s, "linear", norm(s, "bn", x).relu() if "bn.weight" in s else x)


def resnet(s: State, x: Tensor, blocks: tuple[int, ...]) -> Tensor:
    x = norm(s, "bn1", conv(s, "conv1", x, 1, 1)).relu()
    for stage, number in enumerate(blocks, 1):
        for block in range(number):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = x
            kernels = [1, 3, 1] if f"{at}.conv3.weight" in s else [3, 3]
            strided = 1 if len(kernels) == 3 else 0
            for place, kernel in enumerate(kernels):
                step = stride if place == strided else 1
                y = conv(s, f"{at}.conv{place + 1}", y, step, kernel // 2)
                y = norm(s, f"{at}.bn{place + 1}", y)
                y = y.relu() if place < len(kernels) - 1 else y
            if f"{at}.shortcut.0.weight" in s:
                x = norm(s, f"{at}.shortcut.1", conv(s, f"{at}.shortcut.0", x, stride))
            x = (y + x).relu()
    return last(s, "linear", x)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[State, Tensor], Tensor]]] = {
    "wide": (lambda: WideResNet(16, 2), lambda s, x: wide(s, x, 2)),
    "same padding": (lambda: SamePaddingWideResNet(16, 2), lambda s, x: same_padding(s, x, 2)),
    "preact": (PreActResNet18, lambda s, x: preact(s, x, False)),
    "preact, no norm": (lambda: PreActResNet18(last_norm=False), lambda s, x: preact(s, x, False)),
    "preact, raw": (
        lambda: PreActResNet18(last_norm=False, raw_shortcut=True),
        lambda s, x: preact(s, x, True),
    ),
    "resnet18": (lambda: SmallImageResNet(18), lambda s, x: resnet(s, x, (2, 2, 2, 2))),
    "resnet50": (lambda: SmallImageResNet(50), lambda s, x: resnet(s, x, (3, 4, 6, 3))),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients_are_those_of_the_formula(case: str) -> None:
    build, formula = CASES[case]
    torch.manual_seed(0)
    module = build()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    module = module.eval().to(DOUBLE)
    x = torch.rand(2, 3, 32, 32, dtype=DOUBLE).requires_grad_()
    ours, theirs = module(x), formula(module.state_dict(), x)
    (gradient,) = torch.autograd.grad(ours.square().sum(), x)
    (expected,) = torch.autograd.grad(theirs.square().sum(), x)
    assert expected.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("make", [WideResNet, SamePaddingWideResNet])
def test_a_depth_that_there_is_none_of_is_refused(make: Callable[..., nn.Module]) -> None:
    with pytest.raises(ValueError, match="depth 27 is not 6n"):
        make(27, 2)
