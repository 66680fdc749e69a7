"""A hosted network: pixels in, scores and gradients out, and nothing of the network changed
by it.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interp.layer import LOGITS, UnknownLayer
from interp.network.backward import ReentrantCheckpoint, forward_with_gradients, gradient
from interp.network.channel_axis import read_layouts
from interp.network.folding.folded_copy import FoldedCopy
from interp.network.hooks import forward_hooks
from interp.network.load_checks.batch_axis import layers_of_other_axes
from interp.network.load_checks.company import company_doubt
from interp.network.load_checks.gradient_flow import layers_without_gradient
from interp.network.load_checks.layer_trace import layer_modules, trace_layers
from interp.network.load_checks.memory_format import choose_memory_format
from interp.network.load_checks.outputs import returning_logits
from interp.network.probe_batch import layers_of, scores_of, split_answers
from interp.network.rectifier import RedirectedRectifiers
from interp.network.shared_copy import shared_copy
from interp.network.symbolic_trace import ALONE, Turn
from interp.probe import Answer, Probe


class _DeepestLayerReached(Exception):
    """Ends a forward pass whose remaining layers nobody asked for."""


class Network:
    """A classification network of which only the input pixels, in [0, 1], can be moved.

    Attributes:
        module: the module as it is hosted.
        shape: (C, H, W) of its input.
        device, dtype: where and in which precision it runs.
        memory_format: of images and weights, see `interp.network.load_checks.memory_format`.
        layers: dotted names of the modules with a tensor output, in the order in which a forward
            pass finishes them.
        output_shapes: layer -> output shape of one image of `shape`; "logits" too. Maps are
            (units, rows, columns), also of layers that compute them with channels last: their
            outputs are presented that way wherever the network gives or takes some.
        layouts: the order of axes in which layers compute their maps.
        unavailable: layer -> why there are no units in its output to ask for, a clause.
        classes: number of logits.
        doubts: sentences about what the network's answers might not be.
        turn: as given.
        company_doubt: why an image's answer depends on what shares its pass; "" if it does not.
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
        turn: Turn = ALONE,
    ) -> None:
        """Host a module, and find its layers by a forward pass.

        Args:
            module: maps normalized images (B, C, H, W) to logits (B, classes), or to something in
                which `interp.network.load_checks.outputs` finds them. It is put into eval mode, its
                parameters take no gradients, and it is moved to `device` and `dtype`, in
                channels_last format where that is the same function.
            shape: (C, H, W) of its input.
            mean, std: per input channel; the module is given (pixel - mean) / std.
            device, dtype: where and in which precision it runs.
            fold: run passes on a faster copy of the module (`interp.network.folding`), where such
                a copy is shown to be the same function; but those that ask for what a layer gives
                to its batch norm run on the module. It takes a tenth to a third of the time off a
                pass, and at most as much memory as the module's weights once more. What is answered
                differs from the module's own by rounding alone.
            turn: held while the module is traced, which one thread of a process may do at a time;
                see `interp.network.symbolic_trace`.

        Raises:
            ValueError: the module does not map each image to a row of logits.
        """
        module = module.eval().requires_grad_(False).to(device, dtype)
        self.shape, self.device, self.dtype = shape, torch.device(device), dtype
        self._mean = torch.tensor(mean, device=device, dtype=dtype).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device, dtype=dtype).view(1, -1, 1, 1)
        parts = layer_modules(module)
        images = (self._images() - self._mean) / self._std
        self.memory_format, together = choose_memory_format(module, parts, images)
        images = images.contiguous(memory_format=self.memory_format)
        image = images[-1:].contiguous(memory_format=self.memory_format)
        alone = trace_layers(module, parts, image)
        self.company_doubt = company_doubt(module, parts, images, alone, together)
        self.doubts = [d for d in (self.company_doubt, alone.path.doubt) if d]
        self.module = returning_logits(module, alone.path)
        self._modules = layer_modules(self.module)
        self._calls, self._overwritten = alone.calls, alone.overwritten
        self.layouts = read_layouts(self.module, self._modules, image)
        self.unavailable = self.layouts.unavailable | layers_of_other_axes(alone, together)
        self.layers = tuple(name for name in alone.shapes if name != LOGITS)
        self.output_shapes = {
            name: self.layouts.shape(name, alone.shapes[name][1:]) for name in self.layers
        }
        self.output_shapes[LOGITS] = tuple(alone.logits.shape[1:])
        self.classes = self.output_shapes[LOGITS][0]
        self.turn = turn
        self._accumulates = False  # gradients, as reentrant checkpoints need it
        self._folded = FoldedCopy(self.module, self._examples, turn) if fold else None

    @property
    def for_logits(self) -> nn.Module:
        """The module that answers probes for logits alone: the folded copy, which is made at the
        first use, or the hosted module itself.
        """
        return self._module_for(set())[0]

    def replica(self) -> "Network":
        """Return a network of its own modules, which have the very same tensors: passes and hooks
        on it may run beside those on this one, in another thread.

        Returns:
            The replica, which runs passes on the module as it is.
        """
        twin = copy.copy(self)
        twin.module = shared_copy(self.module)
        twin._modules, twin._folded = layer_modules(twin.module), None
        return twin

    def _module_for(self, layers: set[str]) -> tuple[nn.Module, dict[str, nn.Module]]:
        """What gives logits and the outputs of `layers`: the folded copy if it can, or else the
        module; and its parts by name.
        """
        copy = self._folded.get() if self._folded else None
        if copy and layers <= copy.layers:
            return copy.module, copy.modules
        return self.module, self._modules

    @property
    def weights(self) -> list[Tensor]:
        """The parameters and buffers of the module, and those of its folded copy that are not the
        same.
        """
        modules = (self.module, self.for_logits)
        tensors = (t for m in modules for t in (*m.parameters(), *m.buffers()))
        return list({id(t): t for t in tensors}.values())

    def _images(self) -> Tensor:
        """Three images (3, C, H, W) in [0, 1] that have nothing in common: noise, white, noise."""
        images = torch.rand(3, *self.shape, generator=torch.Generator().manual_seed(0))
        images[1] = 1
        return images.to(self.device, self.dtype)

    def _examples(self) -> Tensor:
        """Two images (2, C, H, W) of noise, as the module takes them."""
        noise = torch.rand(2, *self.shape, generator=torch.Generator().manual_seed(0))
        return self.normalized(noise)

    def normalized(self, images: Tensor) -> Tensor:
        """Normalize images as the module takes them.

        Args:
            images: (B, C, H, W) in [0, 1], on any device.

        Returns:
            (B, C, H, W) on the module's device, in its dtype and memory format.
        """
        x = images.to(self.device, self.dtype).contiguous(memory_format=self.memory_format)
        return (x - self._mean) / self._std

    def _forward(self, images: Tensor, layers: set[str]) -> dict[str, Tensor]:
        """Activations of `layers` (with "logits" for the output); stops at the deepest one."""
        unknown = layers - self.output_shapes.keys()
        if unknown:
            raise UnknownLayer(min(unknown), self.layers)
        inner = layers - {LOGITS}
        module, modules = self._module_for(inner)
        to_come = sum(self._calls[name] for name in inner)
        captured: dict[str, Tensor] = {}

        def keep(name: str, output: Any) -> None:
            nonlocal to_come
            kept = output.clone() if name in self._overwritten else output
            captured[name] = self.layouts[name].present(kept)
            to_come -= 1
            if not to_come and LOGITS not in layers:
                raise _DeepestLayerReached

        hooks = forward_hooks({name: modules[name] for name in inner}, keep)
        with suppress(_DeepestLayerReached), hooks:
            captured[LOGITS] = module(self.normalized(images))
        return captured

    @torch.no_grad()
    def activations(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Compute the outputs of some layers, without gradients.

        Args:
            images: (B, C, H, W) in [0, 1].
            layers: dotted names; "logits" is the network's output.

        Returns:
            layer -> (B, ...).

        Raises:
            UnknownLayer: a name is not in `layers` of the network.
        """
        captured = self._forward(images, set(layers))
        return {name: captured[name] for name in layers}

    def logits(self, images: Tensor) -> Tensor:
        """Compute logits, without gradients.

        Args:
            images: (B, C, H, W) in [0, 1].

        Returns:
            (B, classes).
        """
        return self.activations(images, [LOGITS])[LOGITS]

    def carries_gradients(self, images: Tensor) -> bool:
        """Whether the logits are connected to the images (B, C, H, W) by a graph of gradients."""
        x = images.to(self.device, self.dtype).detach().requires_grad_()
        with torch.enable_grad():
            return self._forward(x, {LOGITS})[LOGITS].requires_grad

    @cached_property
    def without_gradient(self) -> frozenset[str]:
        """The layers, "logits" too, that no gradient leads back from to the images; found by one
        pass, at the first use.
        """
        return layers_without_gradient(self.module, self._modules, self._examples()[:1])

    @torch.no_grad()
    def logits_with(self, images: Tensor, layer: str, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute the logits that follow from a changed output of a layer.

        Args:
            images: (B, C, H, W) in [0, 1].
            layer: dotted name, or "logits". If a pass calls it several times, its last output is
                changed.
            change: maps the output (B, ...), a copy that it may overwrite, to another one.

        Returns:
            (B, classes).

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
            if calls < self._calls[layer]:
                return None
            layout = self.layouts[layer]
            return layout.restore(change(layout.present(output.clone())))

        handle = self._modules[layer].register_forward_hook(replace)
        try:
            logits: Tensor = self.module(self.normalized(images))
        finally:
            handle.remove()
        return logits

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        """Answer probes: all that differentiate alike in one forward and backward pass.

        Args:
            probes: whose images share one shape.

        Returns:
            one answer a probe, in order.

        Raises:
            UnknownLayer: a probe names a layer that the network does not have.
        """
        answers: dict[int, Answer] = {}
        policies: dict[tuple[bool, bool], list[int]] = {}
        for number, probe in enumerate(probes):
            policy = (probe.differentiates, probe.differentiates and probe.redirect)
            policies.setdefault(policy, []).append(number)
        for (differentiates, redirected), numbers in policies.items():
            results = self._pass([probes[i] for i in numbers], differentiates, redirected)
            answers.update(zip(numbers, results, strict=True))
        return [answers[i] for i in range(len(probes))]

    def _pass(
        self, probes: Sequence[Probe], differentiates: bool, redirected: bool
    ) -> list[Answer]:
        """Answer probes of one backward policy."""
        # some images may still be on the host
        images = [p.images.detach().to(self.device, self.dtype) for p in probes]
        x = torch.cat(images).contiguous(memory_format=self.memory_format)
        x.requires_grad_(differentiates)
        policy: AbstractContextManager[object] = (
            RedirectedRectifiers() if redirected else nullcontext()
        )
        with torch.set_grad_enabled(differentiates), policy:
            with forward_with_gradients() if differentiates else nullcontext():
                activations = self._forward(x, layers_of(probes))
            scores = torch.zeros(len(x))
            if any(p.objective for p in probes):
                scores = scores_of(probes, activations)
        grad: Tensor | None = None
        if differentiates and scores.requires_grad:
            try:
                grad = gradient(scores, x, self._accumulates)
            except ReentrantCheckpoint:
                self._accumulates = True
                return self._pass(probes, differentiates, redirected)
        if differentiates and grad is None:
            # the score does not depend on the images, whatever the network's reason
            grad = torch.zeros_like(x)
        return split_answers(probes, activations, scores, grad)
