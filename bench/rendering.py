"""Feature visualization against lucent's and against a bare loop: seconds for 8 channels of
googlenet, round by round.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.figure import Figure, Figures
from bench.setting import Setting
from bench.timing import ratio, seconds
from interp.ascent import Ascent, ascend
from interp.feature.optimization import PictureProblem
from interp.feature.params.fourier import Fourier
from interp.feature.settings import PictureSettings
from interp.feature.spatial import RandomAffine
from interp.feature.visualize import visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from interp.seeds import generators
from interp.step import adam
from service.imaging import Preprocessing
from service.models.blueprint import RANDOM
from service.models.catalogue import Catalogue
from service.models.initialization import randomize

LAYER, CHANNELS, SIZE, STEPS, RATE = "inception4a", range(8), 128, 64, 0.1
WARM = 2  # steps of each before the first round


def rendering(place: Setting, steps: int = STEPS, repeats: int = 2) -> Figures:
    """8 pictures of 128 px in 64 steps, with random weights: the optimization itself, and once with
    the certificate of each picture.

    lucent makes its pictures one by one, as its `render_vis` does by default (at 224 px) and at
    their own size, and as one batch at their own size. The bare loop knows how to stop at the layer
    and no more: it draws the very same kind of picture and of view, in PyTorch's default memory
    format.
    """
    network, module, preprocessing = googlenet()
    calls: dict[str, Callable[[int], object]] = {
        "ours": partial(ours, network),
        "ours, certified": partial(certified, network),
        "plainer": partial(plainer, network),
        "bare loop": partial(bare, module, preprocessing),
        "lucent, batch": partial(lucent_batch, module),
        "lucent, looped at its own size": partial(lucent_looped, module, SIZE),
        "lucent, looped": partial(lucent_looped, module, None),
    }
    for call in calls.values():
        call(WARM)
    rounds = [
        {name: seconds(partial(call, steps)) for name, call in calls.items()}
        for _ in range(repeats)
    ]
    times = {name: [one[name] for one in rounds] for name in calls}
    what = f"{len(CHANNELS)} pictures of {LAYER}, {SIZE} px, {steps} steps"
    best = min(
        (name for name in times if name.startswith("lucent")), key=lambda name: sum(times[name])
    )
    return {
        f"{what}, lucent's default loop over ours in time": Figure(
            ratio(times, "lucent, looped", "ours"), at_least=7
        ),
        f"{what}, lucent's best over ours in time": Figure(
            ratio(times, best, "ours"), at_least=2.5, note=best
        ),
        f"{what}, lucent's loop at {SIZE} px over ours in time": Figure(
            ratio(times, "lucent, looped at its own size", "ours")
        ),
        f"{what}, a bare truncated Adam loop over ours in time": Figure(
            ratio(times, "bare loop", "ours"), at_least=0.9
        ),
        f"{what}, ours with certificates over ours without in time": Figure(
            ratio(times, "ours, certified", "ours")
        ),
        f"{what}, ours over the recipe of the first versions in time": Figure(
            ratio(times, "ours", "plainer"), at_most=1.2
        ),
        f"{what}, ours in seconds": Figure(min(times["ours"])),
    }


def googlenet() -> tuple[Network, nn.Module, Preprocessing]:
    """Random weights: as hosted, and the plain module with the normalization of its input in it."""
    plan = Catalogue(None, {}).blueprint("googlenet", RANDOM)
    preprocessing = plan.preprocessing
    hosted, plain = plan.build(), plan.build()
    for module in (hosted, plain):
        randomize(module, preprocessing.shape, preprocessing.mean, preprocessing.std)
        module.eval()
    return (
        Network(hosted, preprocessing.shape, preprocessing.mean, preprocessing.std),
        plain,
        preprocessing,
    )


def ours(network: Network, steps: int) -> Tensor:
    """The climb of `interp.feature.visualize`, through `solve`."""
    rows = [(0, channel) for channel in CHANNELS]
    objective = activation([LayerPath(LAYER, channel) for channel in CHANNELS])
    settings = PictureSettings((3, SIZE, SIZE), steps, RATE)
    problem = PictureProblem(objective, rows, torch.zeros(()), settings, None, None)
    climb = problem.ascent(torch.arange(len(rows)), RATE)
    return solve(ascend(climb, generators(0, 0, len(rows))), network).images


def plainer(network: Network, steps: int) -> Tensor:
    """The climb of the first versions: plain Adam at one rate, the spectrum of photographs, any
    contrast, narrow views.
    """
    climb = Ascent(
        Fourier((3, SIZE, SIZE), torch.zeros(()), decay=1.0, contrast=math.inf),
        activation([LayerPath(LAYER, channel) for channel in CHANNELS]),
        adam(RATE, relative=True),
        steps,
        RandomAffine(0.03, 6.0, (0.94, 1.06)),
        redirect=True,
    )
    return solve(ascend(climb, generators(0, 0, len(CHANNELS))), network).images


def certified(network: Network, steps: int) -> Tensor:
    """What the service does for every picture: the climb, held-out views, the unit's place in its
    layer, without retries.
    """
    paths = [LayerPath(LAYER, channel) for channel in CHANNELS]
    rows = [(0, channel) for channel in CHANNELS]
    settings = PictureSettings((3, SIZE, SIZE), steps, RATE, retries=0)
    return solve(
        visualize(activation(paths), rows, torch.zeros(()), settings, units=paths),
        network,
    ).images


class _LayerReached(Exception):
    """Ends a forward pass at the layer that is looked at."""


def bare(module: nn.Module, preprocessing: Preprocessing, steps: int) -> Tensor:
    """A climb as one writes it down: spectra, one view, the forward pass up to the layer, Adam."""
    frequency = torch.hypot(
        torch.fft.fftfreq(SIZE)[:, None], torch.fft.rfftfreq(SIZE)[None]
    ).clamp_min(1 / SIZE)
    scale, colour = (
        SIZE / frequency[..., None],
        torch.tensor([[0.56, 0.19, 0.04], [0.58, 0.0, -0.11], [0.58, -0.19, 0.06]]),
    )
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    z = (torch.randn(len(CHANNELS), 3, SIZE, SIZE // 2 + 1, 2) * 0.5).requires_grad_()
    adam, outputs = torch.optim.Adam([z], RATE), list[Tensor]()

    def keep_output(_: nn.Module, __: Any, output: Tensor) -> None:
        outputs.append(output)
        raise _LayerReached

    handle = module.get_submodule(LAYER).register_forward_hook(keep_output)
    for _ in range(steps):
        with suppress(_LayerReached):
            module((random_views(picture(z, scale, colour)) - mean) / std)
        loss = -torch.stack(
            [outputs[-1][row, channel].mean() for row, channel in enumerate(CHANNELS)]
        ).sum()
        (z.grad,) = torch.autograd.grad(loss, z)
        adam.step()
        outputs.clear()
    handle.remove()
    return picture(z.detach(), scale, colour)


def picture(z: Tensor, scale: Tensor, colour: Tensor) -> Tensor:
    """Spectra (B, 3, H, W // 2 + 1, 2) as pictures (B, 3, H, W) in (0, 1)."""
    plane = torch.fft.irfft2(torch.view_as_complex(z * scale), s=(SIZE, SIZE)) / 4
    return torch.einsum("rc,bchw->brhw", colour, plane).sigmoid()


def random_views(images: Tensor) -> Tensor:
    """Random views with the amounts of `RandomAffine`."""
    amounts = torch.rand(len(images), 4) * 2 - 1
    angle, zoom = amounts[:, 0] * 0.1, 1 + amounts[:, 1] * 0.06
    cos, sin, shift = angle.cos() / zoom, angle.sin() / zoom, amounts[:, 2:] * 0.06
    matrix = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    return (
        F.grid_sample(
            images - 0.5,
            F.affine_grid(matrix, list(images.shape), align_corners=False),
            align_corners=False,
        )
        + 0.5
    )


def lucent_looped(module: nn.Module, size: int | None, steps: int) -> list[Any]:
    """lucent, one channel after the other, resized to `size`, or to 224 px where that is None."""
    return [_render(module, f"{LAYER}:{channel}", 1, steps, size) for channel in CHANNELS]


def lucent_batch(module: nn.Module, steps: int) -> Any:
    """lucent, all channels as one batch at their own size."""
    objectives = import_module("lucent.optvis.objectives")
    return _render(
        module,
        sum(objectives.channel(LAYER, channel, batch=row) for row, channel in enumerate(CHANNELS)),
        len(CHANNELS),
        steps,
        SIZE,
    )


def _render(module: nn.Module, objective: Any, batch: int, steps: int, size: int | None) -> Any:
    optvis = {name: import_module(f"lucent.optvis.{name}") for name in ("param", "render")}
    return optvis["render"].render_vis(
        module,
        objective,
        partial(optvis["param"].image, SIZE, batch=batch),
        thresholds=(steps,),
        fixed_image_size=size,
        progress=False,
        show_image=False,
    )
