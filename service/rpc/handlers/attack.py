"""Attacks: from requests to procedures, and from what these find to answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.attack.base import attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.evaluate import AdversarialExamples
from interp.probe import Procedure
from service.imaging import png
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import LIGHT, Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, known, required, within
from service.rpc.wire import attack as wire_attack
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb

Seeds = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack or an EpsilonSearch found; of the latter also each row's minimal epsilon, and
    how many withstood each epsilon.
    """

    attacked: AdversarialExamples
    minimal: list[float]
    withstood: list[int]


class AttackHandler:
    """Answers Attack."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def attack(self, request: pb.AttackRequest, context: Context) -> pb.AttackResponse:
        """One procedure for the whole batch; rows that are fooled leave it."""
        with self._zoo.use(required("model", request.model)) as model:
            count = wire_images.count(request.images)
            within(
                "images (their number)",
                count,
                1,
                max(1, wire_images.MOST_BYTES // wire_images.image_bytes(1, model)),
            )
            labels = wire_attack.classes(request.labels, "labels", count, model)
            targets = wire_attack.classes(request.targets, "targets", count, model)
            prepared = prepare(request, model, count, labels, targets)
            x = await self._compute.decode_images(request.images, model.preprocessing)
            priority = wire_priority.priority(request.priority)
            found = await self._compute.solve(
                context,
                model,
                prepared(x),
                x.nbytes * wire_images.STATE_COPIES,
                priority,
                request.deterministic,
            )
            if request.format != pb.IMAGE_FORMAT_PNG and x.nbytes < LIGHT:
                return _response(request, model, found)
            return await self._compute.run_in_pool(_response, request, model, found)


class Prepared:
    """A checked request that waits for its images."""

    def __init__(self, device: torch.device, curve: dict[str, Any] | None, **settings: Any) -> None:
        self._device, self._curve, self._settings = device, curve, settings

    def __call__(self, x: Tensor) -> Procedure[Found]:
        """The procedure between host and device: copies are made when the engine runs it, not
        before.
        """
        settings: dict[str, Any] = {
            name: value.to(self._device) if isinstance(value, Tensor) else value
            for name, value in self._settings.items()
        }
        labels = settings.pop("labels")
        if self._curve is None:
            found = yield from attack(
                x.to(self._device), labels, settings.pop("method"), **settings
            )
            return Found(found.cpu(), [], [])
        curve = yield from epsilon_curve(x.to(self._device), labels, **self._curve, **settings)
        return Found(curve.attacked.cpu(), curve.minimal.tolist(), curve.withstood.tolist())


def prepare(
    request: pb.AttackRequest,
    model: HostedModel,
    count: int,
    labels: Tensor | None,
    targets: Tensor | None,
    seeds: Seeds | None = None,
) -> Prepared:
    """Check everything but the images. `seeds`: what the rows draw from, where it is not what the
    request says.

    Raises:
        InvalidField, UnknownLayer: a setting is out of range or does not go with the others.
    """
    if labels is not None and targets is not None and bool((labels == targets).any()):
        raise InvalidField("targets", "a target is the image's own label")
    known("format", request.format, pb.ImageFormat.DESCRIPTOR)
    settings: dict[str, Any] = {
        "labels": labels,
        "targets": wire_attack.choice(request) if targets is None else targets,
        "unit": wire_attack.unit(request, model, count),
        "seed": request.seed,
        "first_row": request.first_row,
        "seeds": seeds or wire_attack.seeds(request, count),
        "eight_bit": request.format == pb.IMAGE_FORMAT_PNG,
        "noise_control": request.noise_control,
    }
    if request.WhichOneof("search") == "epsilon_search":
        return Prepared(model.network.device, wire_attack.curve(request, model), **settings)
    method, epsilon, p = wire_attack.method(request, model, count)
    return Prepared(model.network.device, None, method=method, epsilon=epsilon, p=p, **settings)


def _response(request: pb.AttackRequest, model: HostedModel, found: Found) -> pb.AttackResponse:
    attacked = found.attacked
    response = pb.AttackResponse(
        rows=wire_attack.attack_rows(attacked, found.minimal),
        provenance=wire_provenance.provenance(model),
        gradients=attacked.gradients,
        queries=attacked.queries,
        warnings=attacked.warnings,
    )
    count = len(attacked.images)
    for epsilon, robust in zip(request.epsilon_search.epsilons, found.withstood, strict=False):
        response.curve.add(epsilon=epsilon, robust=robust, images=count)
    if request.format == pb.IMAGE_FORMAT_PNG:
        response.pngs.extend(pngs(attacked.images))
    else:
        response.images.CopyFrom(wire_tensors.from_array(attacked.images.numpy()))
    return response


def pngs(images: Tensor) -> list[bytes]:
    """Images (N, C, H, W) of 8-bit levels as PNG files."""
    return [png(image) for image in np.rint(images.numpy() * 255).astype(np.uint8)]
