"""Read by another: does a network for which a picture of a class was not made name the class?

Every maker's pictures are read by all other networks, at their own sizes, from 8-bit PNG files. How
they look is told beside that, and what lucent's pictures of the same classes come to, which are
made once and kept in out/bench/recognisable.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.setting import Setting
from bench.worth import MEAN, OUT, STD, hosted, normalized, write_sheet
from interp.feature.appearance import appearance
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.probe import solve
from service.imaging import png

NETWORKS = ("squeezenet1_1", "mobilenet_v2", "bvlc_googlenet")
# Nothing was tuned on the first eight.
CLASSES = (7, 88, 281, 387, 555, 717, 779, 852, 1, 130, 292, 309, 417, 471, 817, 950)
SEEDS, STEPS, BATCH, TOP = (0, 1), 128, 8, 5
KEPT = OUT / "recognisable"


def recognisable(place: Setting) -> Figures:
    """The top-5 shares of each maker's class pictures by each judge, and over all of them; of the
    first `place.rows` classes.
    """
    data = os.environ.get("STRIATE_DATA")
    if not data:
        return {}
    classes = CLASSES[: place.rows]
    networks = {name: hosted(place, name, data) for name in NETWORKS}
    makers = {name: half(hosted(place, name, data)) for name in NETWORKS}
    figures: Figures = {}
    shares = []
    for maker, network in makers.items():
        made = [as_seen(draw(network, classes, seed)) for seed in SEEDS]
        write_sheet(f"recognisable-{maker}", torch.cat(made), columns=len(classes))
        read = [readings(networks, maker, classes, pictures) for pictures in made]
        shares += [one.value for figures_of in read for one in figures_of.values()]
        figures |= {f"{maker}: {what}": one for what, one in merged(read).items()}
        figures |= looks(maker, torch.cat(made))
        theirs = kept(f"lucent-{maker}", classes, partial(lucent, networks[maker]))
        write_sheet(f"recognisable-lucent-{maker}", theirs, columns=len(classes))
        for what, one in readings(networks, maker, classes, theirs).items():
            figures[f"{maker}, lucent's: {what}"] = one
    figures["class pictures: top-5 share over all makers and judges"] = Figure(
        float(np.mean(shares)), at_least=0.85
    )
    return figures


class _Half(nn.Module):
    """A module in bfloat16 where that is safe, whose logits are float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = self.module(x)
        return logits.float()


def half(network: Network) -> Network:
    """A network whose passes take half the time on CPUs with avx512_bf16; it makes pictures, and
    reads none.
    """
    return Network(_Half(network.module), network.shape, MEAN, STD, fold=False)


def draw(network: Network, classes: Sequence[int], seed: int) -> Tensor:
    """Pictures (classes, 3, H, W) of classes, by the default settings."""
    settings = PictureSettings(network.shape, STEPS, seed=seed, retries=0)
    paths = [LayerPath(LOGITS, number) for number in classes]
    parts = [paths[low : low + BATCH] for low in range(0, len(paths), BATCH)]
    found = [solve(visualize_units(part, torch.zeros(()), settings), network) for part in parts]
    return torch.cat([one.images for one in found])


def lucent(network: Network, classes: Sequence[int]) -> Tensor:
    """The same by lucent's defaults, at the network's size and in as many steps."""
    render, param = import_module("lucent.optvis.render"), import_module("lucent.optvis.param")
    size = network.shape[1]
    views = [*import_module("lucent.optvis.transform").standard_transforms, normalized]
    found = []
    for number in classes:
        torch.manual_seed(number)
        (picture,) = render.render_vis(
            network.module,
            f"labels:{number}",
            partial(param.image, size),
            transforms=views,
            preprocess=False,
            thresholds=(STEPS,),
            show_image=False,
            progress=False,
            fixed_image_size=size,
        )
        found.append(torch.from_numpy(picture.transpose(0, 3, 1, 2).copy()).float())
    return torch.cat(found)


def kept(name: str, classes: Sequence[int], make: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Pictures (classes, 3, H, W), read from PNG files where they were made before."""
    paths = {number: KEPT / f"{name}-{number}.png" for number in classes}
    missing = [number for number, path in paths.items() if not path.exists()]
    if missing:
        KEPT.mkdir(parents=True, exist_ok=True)
        for number, picture in zip(missing, make(missing), strict=True):
            paths[number].write_bytes(png((picture * 255).round().byte().numpy()))
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths.values()])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def as_seen(pictures: Tensor) -> Tensor:
    """Pictures as their 8-bit files have them."""
    return (pictures * 255).round() / 255


def readings(
    networks: dict[str, Network], maker: str, classes: Sequence[int], pictures: Tensor
) -> Figures:
    """By each other network the share of pictures whose class is among its first five."""
    wanted = torch.tensor(classes)[:, None]
    figures: Figures = {}
    for judge, network in networks.items():
        if judge == maker:
            continue
        shown = F.interpolate(
            pictures, network.shape[1:], mode="bilinear", align_corners=False, antialias=True
        )
        logits = torch.cat([network.logits(part) for part in torch.split(shown, BATCH)])
        seen = (logits.topk(TOP).indices == wanted).any(1).float().mean()
        certainty = logits.log_softmax(1).gather(1, wanted).mean()
        figures[f"top-5 share by {judge}"] = Figure(
            float(seen), note=f"mean log-probability {certainty:.2f}"
        )
    return figures


def merged(read: Sequence[Figures]) -> Figures:
    """The mean of each figure over seeds."""
    return {
        what: Figure(
            float(np.mean([figures[what].value for figures in read])),
            note="; ".join(figures[what].note for figures in read),
        )
        for what in read[0]
    }


def looks(maker: str, pictures: Tensor) -> Figures:
    """How the pictures look, in the median."""
    seen = appearance(pictures)
    return {
        f"{maker}: clipped share, median of classes": Figure(
            float(seen.clipped.median()), at_most=0.03, note=f"most {seen.clipped.max():.3f}"
        ),
        f"{maker}: high frequencies, median of classes": Figure(
            float(seen.high_frequencies.median()),
            at_most=0.1,
            note=f"most {seen.high_frequencies.max():.3f}",
        ),
        f"{maker}: saturation, median of classes": Figure(float(seen.saturation.median())),
    }
