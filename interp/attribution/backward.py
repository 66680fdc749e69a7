"""Attributions with hooks inside the network: captum's methods, on a private copy that is rewritten
so that they are right.

Each function takes a network and a unit, makes the copy, and returns what explains that unit, or
another one of the same layer, for one image at a time: some of captum's methods would let the rows
of a batch leak into each other. All of this is for the thread that runs the network.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from captum.attr import LRP, DeepLift, GuidedBackprop, LayerGradCam
from torch import Tensor

from interp.attribution import treatable
from interp.attribution.copies import Watched
from interp.attribution.result import Attributed, Explain
from interp.attribution.scored import rewritten, target
from interp.layer import LayerPath
from interp.network.network import Network


def guided_backprop(network: Network, path: LayerPath) -> Explain:
    """The gradient with its negative part dropped at every rectifier (Springenberg et al. 2015,
    section 3.4).

    Raises:
        Unexplainable: the network has no rectifiers, or might hide some.
    """
    scored = rewritten(network, path, "guided backprop", treatable.for_guided_backprop)
    method = GuidedBackprop(scored)

    def explain(x: Tensor, path: LayerPath) -> Attributed:
        images = network.normalized(x)
        with _quiet():
            grad = method.attribute(images, target=target(path))
        scale = network.normalized(torch.ones_like(x)) - network.normalized(
            torch.zeros_like(x)
        )  # 1 / std
        return Attributed(grad.detach() * scale, _score(scored(images), target(path)))

    return explain


def deep_lift(network: Network, path: LayerPath, baseline: float = 0.0) -> Explain:
    """Differences from a baseline, by the rescale rule (Shrikumar et al. 2017, section 3.5.1).

    Overlapping max pools share out what they gain window by window.

    Args:
        baseline: pixel value in [0, 1]; 0 is black, not the gray that a normalized 0 would be.

    Raises:
        Unexplainable: a step is neither linear nor of one input and one output.
    """
    scored = rewritten(network, path, "DeepLift", treatable.for_deep_lift)
    method = DeepLift(scored)

    def explain(x: Tensor, path: LayerPath) -> Attributed:
        images, start = network.normalized(x), network.normalized(torch.full_like(x, baseline))
        with _quiet():
            values = method.attribute(images, start, target=target(path)).detach()
        score, before = (_score(scored(z), target(path)) for z in (images, start))
        return Attributed(values, score, _sums(values) - (score - before).double())

    return explain


def lrp(network: Network, path: LayerPath) -> Explain:
    """Layer-wise relevance propagation by the epsilon rule, epsilon 1e-9 (Bach et al. 2015,
    equation 58).

    Batch norms are folded into the convolutions before them. A pixel's relevance is that of its
    normalized value. What biases take up is missing from the sum.

    Raises:
        Unexplainable: there is no rule for some step.
    """
    scored = rewritten(network, path, "LRP", treatable.for_lrp, fuse=True)
    method = _EpsilonLRP(scored)

    def explain(x: Tensor, path: LayerPath) -> Attributed:
        images = network.normalized(x)
        with _quiet():
            values = method.attribute(images, target=target(path)).detach()
        score = _score(scored(images), target(path))
        return Attributed(values, score, _sums(values) - score.double())

    return explain


def grad_cam(network: Network, path: LayerPath, layer: str) -> Explain:
    """A layer's maps, weighted by their mean gradients, added up and rectified (Selvaraju et al.
    2017, equations 1 and 2).

    Args:
        layer: one of `interp.attribution.sources(network, path)`.

    Returns:
        what gives values (1, 1, H, W), drawn up to the image's size bilinearly.
    """
    watched = Watched(network, path)

    def explain(x: Tensor, path: LayerPath) -> Attributed:
        watched.path = path
        images = x.to(network.device, network.dtype)
        maps = (
            LayerGradCam(watched, watched.layers[layer])
            .attribute(images, relu_attributions=True)
            .detach()
        )
        values = F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)
        return Attributed(values, watched(images).detach()[:, 0])

    return explain


def guided_grad_cam(network: Network, path: LayerPath, layer: str) -> Explain:
    """Guided backprop times Grad-CAM (Selvaraju et al. 2017, section 3.2). Raises Unexplainable as
    `guided_backprop` does.
    """
    fine, coarse = guided_backprop(network, path), grad_cam(network, path, layer)

    def explain(x: Tensor, path: LayerPath) -> Attributed:
        found = fine(x, path)
        return Attributed(found.values * coarse(x, path).values, found.score)

    return explain


class _EpsilonLRP(LRP):  # type: ignore[misc] # captum has no types
    """captum's, which writes all weights back although the epsilon rule changes none; here they are
    the hosted network's.
    """

    def _restore_state(self) -> None:
        pass


@torch.no_grad()
def _score(outputs: Tensor, place: tuple[int, ...]) -> Tensor:
    unit, *position = place
    picked = outputs.detach()[:, unit]
    return picked[:, position[0], position[1]] if position else picked


def _sums(values: Tensor) -> Tensor:
    return values.double().sum((1, 2, 3))


@contextmanager
def _quiet() -> Iterator[None]:
    """captum warns that it sets hooks; on a copy nobody minds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
