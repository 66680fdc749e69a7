"""A hosted network: pixels in, scores and gradients out, and nothing of the network changed
by it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from interp.layer import LOGITS, UnknownLayer
from interp.network.equivalence import watched
from interp.network.fold import Folded
from interp.network.rectifier import RedirectedRectifiers
from interp.objective import join
from interp.probe import Answer, Probe


class _DeepestLayerReached(Exception):
    """Ends a forward pass whose remaining layers nobody asked for."""


class Network:
    """A classification network of which only the input pixels, in [0, 1], can be moved.

    Args:
        module: maps normalized images (B, C, H, W) to logits (B, classes). It is put into eval
            mode, its parameters take no gradients, and it is moved to `device` and `dtype` in
            channels_last format.
        shape: (C, H, W) of its input.
        mean, std: per input channel; the module is given (pixel - mean) / std.
        fold: passes run on a faster copy of the module (`interp.network.fold`), where such a copy
            is proven to be the same function; but those that ask for what a layer gives to its
            batch norm run on the module. It takes a tenth to a third of the time off a pass, and at
            most as much memory as the module's weights once more. What is answered differs from the
            module's own by rounding alone.

    Attributes:
        layers: dotted names of the modules with a tensor output, in the order in which a forward
            pass finishes them.
        output_shapes: layer -> output shape of one image of `shape`; "logits" too.
        classes: number of logits.

    Raises:
        ValueError: the module does not map one image to a row of logits.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, int, int],
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        fold: bool = True,
    ) -> None:
        self.module = (
            module.eval()
            .requires_grad_(False)
            .to(device, dtype)
            .to(memory_format=torch.channels_last)
        )
        self.shape, self.device, self.dtype = shape, torch.device(device), dtype
        self._mean = torch.tensor(mean, device=device, dtype=dtype).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device, dtype=dtype).view(1, -1, 1, 1)
        self._modules = {name: m for name, m in self.module.named_modules() if name}
        self._calls: dict[str, int] = {}  # how often one forward pass calls a module
        self._overwritten: set[str] = set()  # whose output a later in-place operation changes
        self.output_shapes: dict[str, tuple[int, ...]] = {}
        self._trace()
        self.layers = tuple(name for name in self.output_shapes if name != LOGITS)
        self.classes = self.output_shapes[LOGITS][0]
        self._folded = Folded(self.module, self._examples) if fold else None

    @torch.no_grad()
    def _trace(self) -> None:
        finished: dict[str, tuple[Tensor, int]] = {}

        def note(name: str, output: Any) -> None:
            if isinstance(output, Tensor):
                finished.pop(
                    name, None
                )  # a module that is called again is finished by its last call
                finished[name] = output, output._version
                self._calls[name] = self._calls.get(name, 0) + 1

        with watched(self._modules, note):
            logits = self.module(self.normalized(torch.full((1, *self.shape), 0.5)))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
            raise ValueError("the network does not map one image to one row of logits")
        for name, (output, version) in finished.items():
            self.output_shapes[name] = tuple(output.shape[1:])
            if output._version != version:
                self._overwritten.add(name)
        self.output_shapes[LOGITS] = tuple(logits.shape[1:])

    @property
    def for_logits(self) -> nn.Module:
        """What answers probes for logits alone: the folded copy, which is made at the first use, or
        the module itself.
        """
        return self._answering(set())[0]

    def _answering(self, layers: set[str]) -> tuple[nn.Module, dict[str, nn.Module]]:
        """What gives logits and the outputs of `layers`: the folded copy if it can, or else the
        module; and its parts by name.
        """
        copy = self._folded.copy() if self._folded else None
        return (
            (copy.module, copy.modules)
            if copy and layers <= copy.layers
            else (self.module, self._modules)
        )

    @property
    def weights(self) -> list[Tensor]:
        """The parameters and buffers of the module, and those of its folded copy that are not the
        same.
        """
        return list(
            {
                id(t): t
                for m in (self.module, self.for_logits)
                for t in (*m.parameters(), *m.buffers())
            }.values()
        )

    def _examples(self) -> Tensor:
        """Two images (2, C, H, W) of noise, as the module takes them."""
        return self.normalized(
            torch.rand(2, *self.shape, generator=torch.Generator().manual_seed(0))
        )

    def normalized(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the module takes them, on its device."""
        x = images.to(self.device, self.dtype, memory_format=torch.channels_last)
        return (x - self._mean) / self._std

    def _forward(self, images: Tensor, layers: set[str]) -> dict[str, Tensor]:
        """Activations of `layers` (with "logits" for the output); stops at the deepest one."""
        unknown = layers - self.output_shapes.keys()
        if unknown:
            raise UnknownLayer(min(unknown), self.layers)
        inner = layers - {LOGITS}
        module, modules = self._answering(inner)
        to_come = sum(self._calls[name] for name in inner)
        captured: dict[str, Tensor] = {}

        def note(name: str, output: Any) -> None:
            nonlocal to_come
            captured[name] = output.clone() if name in self._overwritten else output
            to_come -= 1
            if not to_come and LOGITS not in layers:
                raise _DeepestLayerReached

        with suppress(_DeepestLayerReached), watched({name: modules[name] for name in inner}, note):
            captured[LOGITS] = module(self.normalized(images))
        return captured

    @torch.no_grad()
    def activations(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Outputs of `layers` (B, ...) for images (B, C, H, W) in [0, 1], without gradients;
        "logits" is the network's output.

        Raises:
            UnknownLayer: a name is not in `layers`.
        """
        captured = self._forward(images, set(layers))
        return {name: captured[name] for name in layers}

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) in [0, 1], without gradients."""
        return self.activations(images, [LOGITS])[LOGITS]

    @torch.no_grad()
    def logits_with(self, images: Tensor, layer: str, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) in [0, 1] if the output of a layer were
        `change` of it; of its last call, if several.

        Raises:
            UnknownLayer: there is no such layer.
        """
        if layer == LOGITS:
            return change(self.activations(images, [LOGITS])[LOGITS].clone())
        if layer not in self._modules:
            raise UnknownLayer(layer, self.layers)
        calls = 0

        def replace(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
            nonlocal calls
            calls += 1
            return change(output.clone()) if calls == self._calls[layer] else None

        handle = self._modules[layer].register_forward_hook(replace)
        try:
            logits: Tensor = self.module(self.normalized(images))
        finally:
            handle.remove()
        return logits

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        """Answer probes whose images share one shape: all that differentiate alike in one forward
        and backward pass.

        Raises:
            UnknownLayer: a probe names a layer that the network does not have.
        """
        answers: dict[int, Answer] = {}
        policies: dict[tuple[bool, bool], list[int]] = {}
        for number, probe in enumerate(probes):
            policies.setdefault(
                (probe.differentiates, probe.differentiates and probe.redirect), []
            ).append(number)
        for (differentiates, redirected), numbers in policies.items():
            answers.update(
                zip(
                    numbers,
                    self._pass([probes[i] for i in numbers], differentiates, redirected),
                    strict=True,
                )
            )
        return [answers[i] for i in range(len(probes))]

    def _pass(
        self, probes: Sequence[Probe], differentiates: bool, redirected: bool
    ) -> list[Answer]:
        images = [
            p.images.detach().to(self.device, self.dtype) for p in probes
        ]  # some may still be on the host
        x = torch.cat(images).contiguous(memory_format=torch.channels_last)
        x.requires_grad_(differentiates)
        layers = {
            name for p in probes for name in p.layers + (p.objective.layers if p.objective else ())
        }
        if any(p.logits for p in probes):
            layers.add(LOGITS)
        policy: AbstractContextManager[object] = (
            RedirectedRectifiers() if redirected else nullcontext()
        )
        with torch.set_grad_enabled(differentiates), policy:
            activations = self._forward(x, layers)
            scores = (
                _scores(probes, activations)
                if any(p.objective for p in probes)
                else torch.zeros(len(x))
            )
        grad: Tensor | None = None
        if differentiates and scores.requires_grad:
            (grad,) = torch.autograd.grad(scores.sum(), x, allow_unused=True)
        if (
            differentiates and grad is None
        ):  # the score does not hang on the images, whatever the network's reason
            grad = torch.zeros_like(x)
        return _split(probes, activations, scores, grad)


def _scores(probes: Sequence[Probe], activations: dict[str, Tensor]) -> Tensor:
    """One score a row, (B,); zero for rows without objective. Neighbours whose objectives are kin
    are scored in one call.
    """
    parts, low, anything = [], 0, next(iter(activations.values()))
    for kin, group in groupby(
        probes, key=lambda p: p.objective and (p.objective.score, p.objective.layers)
    ):
        run = list(group)
        high = low + sum(len(p.images) for p in run)
        if kin is None:
            parts.append(anything.new_zeros(high - low))
        else:
            objective = join([p.objective for p in run if p.objective])
            parts.append(
                objective({name: activations[name][low:high] for name in objective.layers})
            )
        low = high
    return torch.cat(parts)


def _split(
    probes: Sequence[Probe], activations: dict[str, Tensor], scores: Tensor, grad: Tensor | None
) -> list[Answer]:
    answers, low = [], 0
    detached = {name: a.detach() for name, a in activations.items()}
    for probe in probes:
        rows = slice(low, low + len(probe.images))
        answers.append(
            Answer(
                score=scores.detach()[rows] if probe.objective else None,
                grad=grad[rows] if grad is not None else None,
                logits=detached[LOGITS][rows] if probe.logits else None,
                activations={name: detached[name][rows] for name in probe.layers},
            )
        )
        low = rows.stop
    return answers
