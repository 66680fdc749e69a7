"""Train the embedded networks: `python -m tools.train_embedded NETWORK`, NETWORK in digits-lenet5,
cifar10-plain, cifar10-robust.

One thread, seeded, so that the same machine gives the same weights. The CIFAR networks read
`$STRIATE_DATA/cifar10/train.parquet`. The weights go to service/models/weights/NETWORK.safetensors;
`tools/model_card.py` measures them. About 20 to 40 minutes for a CIFAR network on one core, a
minute for the digits.
"""

import argparse
import io
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from interp.network.architectures import CifarTwin, LeNet5
from service.datasets import digits as embedded_digits
from service.datasets import held_out_digits

WEIGHTS = Path(__file__).parents[1] / "service" / "models" / "weights"
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Augment = Callable[[Tensor], Tensor]


def cifar(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) of `$STRIATE_DATA/cifar10/<split>.parquet`."""
    table = pyarrow.parquet.read_table(
        Path(os.environ["STRIATE_DATA"]) / "cifar10" / f"{split}.parquet"
    )
    decoded = [
        np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in table["image"].to_pylist()
    ]
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous(), torch.tensor(
        table["label"].to_pylist()
    )


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's digits as train and held-out (images (N, 1, 32, 32) uint8, labels): every
    fifth image is held out.
    """
    images, labels = embedded_digits()
    held_out = torch.from_numpy(held_out_digits(len(labels)))
    return images[~held_out], labels[~held_out], images[held_out], labels[held_out]


def crop_and_flip(x: Tensor) -> Tensor:
    """Random 4-pixel shifts and horizontal flips, per image; x (B, C, 32, 32)."""
    batch, _, height, width = x.shape
    padded = F.pad(x, (4, 4, 4, 4))
    rows = torch.randint(0, 9, (batch, 1, 1)) + torch.arange(height).view(1, -1, 1)
    columns = torch.randint(0, 9, (batch, 1, 1)) + torch.arange(width).view(1, 1, -1)
    flip = torch.rand(batch, 1, 1) < 0.5
    columns = torch.where(flip, columns.flip(2), columns)
    index = torch.arange(batch).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[index, rows, columns].permute(0, 3, 1, 2)


def shift_and_turn(x: Tensor) -> Tensor:
    """Random shifts up to 2 px, turns up to 10 degrees and scales within 10%, per image; x (B, 1,
    32, 32).
    """
    batch = len(x)
    angle = (torch.rand(batch) * 2 - 1) * math.radians(10)
    scale = 1 + (torch.rand(batch) * 2 - 1) * 0.1
    shift = (torch.rand(batch, 2) * 2 - 1) * (2 / 16)
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale, -angle.sin() * scale, shift[:, 0]], 1),
            torch.stack([angle.sin() * scale, angle.cos() * scale, shift[:, 1]], 1),
        ],
        1,
    )  # (B, 2, 3)
    return F.grid_sample(
        x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
    )


def plain_loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy on the images as they are."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
    return F.cross_entropy(logits.float(), y)


def margin_loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean of the largest other logit minus the label's."""
    with torch.autocast("cpu", torch.bfloat16):
        logits: Tensor = net(x).float()
    others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    return (others - logits.gather(1, y[:, None]).squeeze(1)).mean()


def noisy_fgsm_loss(
    net: nn.Module, x: Tensor, y: Tensor, climbed: Loss = plain_loss, eps: float = 8 / 255
) -> Tensor:
    """Cross-entropy after N-FGSM (de Jorge et al. 2022, algorithm 1) up `climbed`: noise of 2 eps,
    one step of eps, no projection.
    """
    noisy = (x + (torch.rand_like(x) * 2 - 1) * 2 * eps).requires_grad_()
    (grad,) = torch.autograd.grad(climbed(net, noisy, y), noisy)
    return plain_loss(net, (noisy + eps * grad.sign()).detach(), y)


class Normalized(nn.Module):
    """`net` on images in [0, 1]: subtracts the mean and divides by the standard deviation first."""

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.mean, self.std = (
            torch.tensor(mean).view(1, -1, 1, 1),
            torch.tensor(std).view(1, -1, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.net((x - self.mean) / self.std))


def fit(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Loss,
    augment: Augment,
    epochs: int,
    rate: float,
) -> None:
    """SGD with Nesterov momentum 0.9, weight decay 5e-4 and a one-cycle rate, batches of 128;
    `images` uint8.
    """
    batch = 128
    steps = len(images) // batch
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]  # biases and batch norm: no weight decay
    groups = [{"params": matrices, "weight_decay": 5e-4}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * steps, pct_start=0.25
    )
    for epoch in range(epochs):
        started, total = time.monotonic(), 0.0
        net.train()
        for index in torch.randperm(len(images))[: steps * batch].view(steps, batch):
            x = augment(images[index].float() / 255).to(memory_format=torch.channels_last)
            value = loss(net, x, labels[index])
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
            schedule.step()
            total += value.item()
        print(
            f"epoch {epoch + 1}/{epochs}: loss {total / steps:.4f}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of correct predictions in eval mode; `images` uint8."""
    batches = zip(torch.split(images, 500), torch.split(labels, 500), strict=True)
    return sum(int((net(x.float() / 255).argmax(1) == y).sum()) for x, y in batches) / len(labels)


def main() -> None:
    """Train one network and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=["digits-lenet5", "cifar10-plain", "cifar10-robust"])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.network == "digits-lenet5":
        images, labels, test_images, test_labels = digits()
        net: nn.Module = LeNet5()
        model = Normalized(net, (0.5,), (0.5,))
        fit(model, images, labels, plain_loss, shift_and_turn, args.epochs or 60, rate=0.05)
    else:
        images, labels = cifar("train")
        test_images, test_labels = cifar("test")
        net = CifarTwin()
        model = Normalized(net, CIFAR_MEAN, CIFAR_STD).to(memory_format=torch.channels_last)
        robust = args.network == "cifar10-robust"
        loss = noisy_fgsm_loss if robust else plain_loss
        fit(
            model,
            images,
            labels,
            loss,
            crop_and_flip,
            args.epochs or (16 if robust else 30),
            rate=0.2,
        )
        if robust:  # cross-entropy alone leaves images on which the margin climbs where it does not
            torch.manual_seed(1)
            fit(
                model,
                images,
                labels,
                partial(noisy_fgsm_loss, climbed=margin_loss),
                crop_and_flip,
                args.epochs or 2,
                rate=0.05,
            )
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()},
        args.out / f"{args.network}.safetensors",
    )
    print(
        f"{args.network}: {accuracy(model, test_images, test_labels):.2%} on "
        f"{len(test_labels)} test images",
        flush=True,
    )


if __name__ == "__main__":
    main()
