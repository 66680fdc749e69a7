"""What the pictures are worth: activations on them over the largest on real images, and contact
sheets to look at.
"""

import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.utils import make_grid

from bench.figure import Figure, Figures
from bench.setting import MODEL, Setting, cifar
from interp.feature.settings import PictureSettings
from interp.feature.visualize import VisualizationResult, visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from service.imaging import png

STEPS, BATCH = 128, 8
CIFAR = {"layer2.2": 2.0, "layer3.2": 2.0}  # what the median has to reach in each layer
IMAGENET = {
    "squeezenet1_1": ("features.3", "features.7", "features.12"),
    "bvlc_googlenet": ("conv2", "inception_4a", "inception_4d"),
}
SHALLOW = ("features.3", "conv2")  # whose pictures may be a little harsher
UNITS = 16  # of each of these layers
OUT = Path(__file__).parents[1] / "out" / "bench"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def worth(place: Setting) -> Figures:
    """Of 16 live channels a layer of the CIFAR network and of two ImageNet networks; the ratio of
    the channels' means over positions, on pictures of the network's own size as on photographs.

    Pictures are made as the service makes them where it has an index: what is dead or below the
    maximum is optimized again, twice at most. A ratio is no merit beyond 1: that every live unit
    surpasses the data set's maximum is.
    """
    data = os.environ.get("STRIATE_DATA")
    if not data:
        return {}
    figures: Figures = {}
    images, _ = cifar("test", 10_000)
    units = {"layer2.2": range(0, 32, 2), "layer3.2": range(0, 64, 4)}
    highest = maxima(place.local, list(CIFAR), images)
    for layer, least in CIFAR.items():
        pictures_made = make_pictures(place.local, layer, units[layer], highest[layer], 32)
        figures |= worth_figures(
            f"{MODEL} {layer}", pictures_made, highest[layer][list(units[layer])], least
        )
        lucent_ratio = lucent(place, layer, units[layer]) / highest[layer][list(units[layer])]
        figures[f"{MODEL} {layer}: median of lucent's pictures over the maximum"] = Figure(
            float(lucent_ratio.median())
        )
        figures[f"{MODEL} {layer}: share of lucent's pictures above the maximum"] = Figure(
            float((lucent_ratio > 1).float().mean())
        )
    for name, layers in IMAGENET.items():
        network = hosted(place, name, data)
        highest = maxima(network, layers, samples(data))
        for layer in layers:
            (live,) = (highest[layer] > 0).nonzero(as_tuple=True)
            batch = live[:UNITS].tolist()
            pictures = make_pictures(network, layer, batch, highest[layer], network.shape[1])
            write_sheet(f"{name}-{layer}", torch.cat([p.images for p in pictures]))
            figures |= worth_figures(f"{name} {layer}", pictures, highest[layer][batch])
            figures |= look_figures(f"{name} {layer}", pictures, layer in SHALLOW)
    return figures


def make_pictures(
    network: Network, layer: str, units: Sequence[int], highest: Tensor, size: int
) -> list[VisualizationResult]:
    """Make certified pictures of units of a layer, a batch at a time."""
    found = []
    for low in range(0, len(units), BATCH):
        batch = list(units[low : low + BATCH])
        paths = [LayerPath(layer, unit) for unit in batch]
        settings = PictureSettings((3, size, size), STEPS)
        call = visualize(
            activation(paths),
            [(0, unit) for unit in batch],
            torch.zeros(()),
            settings,
            thresholds=highest[batch],
            units=paths,
        )
        found.append(solve(call, network))
    return found


def worth_figures(
    what: str, pictures: Sequence[VisualizationResult], highest: Tensor, least: float | None = None
) -> Figures:
    """Figures of one layer: without views, and under the held-out views."""
    ratio = torch.cat([p.certificate.activation for p in pictures]) / highest
    held_out = torch.cat([p.certificate.held_out for p in pictures]) / highest
    attempts = torch.cat([p.certificate.attempts for p in pictures])
    first = torch.cat([p.certificate.rank for p in pictures]) == 1
    optimized_again, most = int((attempts > 1).sum()), float(first.float().mean())
    note = (
        f"lowest {ratio.min():.2f}; {optimized_again} optimized again; {most:.0%} are their "
        f"layer's most active unit"
    )
    return {
        f"{what}: median over the maximum": Figure(
            float(ratio.median()), at_least=least, note=note
        ),
        f"{what}: share above the maximum": Figure(float((ratio > 1).float().mean()), at_least=1.0),
        f"{what}: median over the maximum, held-out views": Figure(
            float(held_out.median()), note=f"lowest {held_out.min():.2f}"
        ),
        f"{what}: share above the maximum, held-out views": Figure(
            float((held_out > 1).float().mean())
        ),
    }


def look_figures(what: str, pictures: Sequence[VisualizationResult], shallow: bool) -> Figures:
    """How the pictures of one layer look, in the median."""
    seen = [p.certificate.appearance for p in pictures]
    clipped = torch.cat([one.clipped for one in seen])
    high = torch.cat([one.high_frequencies for one in seen])
    return {
        f"{what}: clipped share, median": Figure(
            float(clipped.median()),
            at_most=0.06 if shallow else 0.03,
            note=f"most {clipped.max():.3f}",
        ),
        f"{what}: high frequencies, median": Figure(
            float(high.median()), at_most=0.2 if shallow else 0.1, note=f"most {high.max():.3f}"
        ),
    }


def maxima(network: Network, layers: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """Per layer the highest mean over positions of every unit on any of the images, (K,)."""
    found = {layer: torch.tensor(-torch.inf) for layer in layers}
    for low in range(0, len(images), 50):
        batch = images[low : low + 50]
        for layer, values in network.activations(batch, layers).items():
            found[layer] = torch.maximum(found[layer], values.flatten(2).mean(2).amax(0))
    return found


def lucent(place: Setting, layer: str, units: Sequence[int]) -> Tensor:
    """Mean activations (K,) of the units on lucent's pictures of them, made by its defaults at the
    network's size.
    """
    render, param = import_module("lucent.optvis.render"), import_module("lucent.optvis.param")
    module, plan = place.published(MODEL)
    preprocessing = plan.preprocessing
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    views = [
        *import_module("lucent.optvis.transform").standard_transforms,
        lambda images: (images - mean) / std,
    ]
    found = []
    for unit in units:
        torch.manual_seed(unit)
        (picture,) = render.render_vis(
            module,
            f"{layer.replace('.', '_')}:{unit}",
            partial(param.image, 32, channels=None),
            transforms=views,
            preprocess=False,
            thresholds=(STEPS,),
            show_image=False,
            progress=False,
            fixed_image_size=32,
        )
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(0, 3, 1, 2))).float()
        found.append(place.local.activations(x, [layer])[layer].flatten(2).mean(2)[0, unit])
    return torch.stack(found)


def hosted(place: Setting, name: str, data: str) -> Network:
    """A network with its real weights; the architecture of BVLC GoogLeNet comes with the data."""
    if name != "bvlc_googlenet":
        return place.hosted(name)
    sys.path.append(data)
    module = import_module("reference_archs").BVLCGoogLeNet()
    module.load_state_dict(load_file(Path(data) / "weights" / f"{name}.safetensors"))
    return Network(module, (3, 224, 224), MEAN, STD)


def samples(data: str) -> Tensor:
    """The ImageNet sample images (N, 3, 224, 224) in [0, 1]: short side 256, centre crop."""
    table = pyarrow.parquet.read_table(
        Path(data) / "imagenet_sample" / "images.parquet", columns=["image"]
    )
    pixels = [
        _cropped(Image.open(io.BytesIO(encoded)).convert("RGB"))
        for encoded in table["image"].to_pylist()
    ]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


def _cropped(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    scale = 256 / min(image.size)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR
    )
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def normalized(images: Tensor) -> Tensor:
    """Images as torchvision's networks of ImageNet take them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def write_sheet(name: str, pictures: Tensor, columns: int = 8, side: int = 112) -> None:
    """Write a contact sheet of pictures (N, 3, H, W) to out/bench, to be looked at."""
    OUT.mkdir(parents=True, exist_ok=True)
    tiles = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
    grid = make_grid(tiles, columns, padding=2, pad_value=1.0)
    (OUT / f"{name}.png").write_bytes(png((grid * 255).round().byte().numpy()))
