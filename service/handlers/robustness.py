"""RobustnessService."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.ascent import Procedure
from interp.attack import Attacked, Method, attack
from service import wire, wire_attack
from service.errors import InvalidField
from service.handlers.base import LIGHT, House
from service.images import png
from service.manners import Context
from striate.v1 import attack_pb2, robustness_pb2_grpc


class RobustnessHandlers(robustness_pb2_grpc.RobustnessServiceServicer):
    """Attack."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def Attack(self, request: attack_pb2.AttackRequest, context: Context) -> attack_pb2.AttackResponse:
        """One procedure for the whole batch; rows that are fooled leave it."""
        as_png = request.format == attack_pb2.IMAGE_FORMAT_PNG
        with self._house.model(request.model) as model:
            method = wire_attack.method(request, model)
            most = max(1, wire.MOST_BYTES // wire.image_bytes(1, model))
            wire.within("images (their number)", wire.count(request.images), 1, most)
            x = await self._house.images(request.images, model.preprocessing)
            labels = wire_attack.classes(request.labels, "labels", len(x), model)
            targets = wire_attack.classes(request.targets, "targets", len(x), model)
            if labels is not None and targets is not None and bool((labels == targets).any()):
                raise InvalidField("targets", "a target is the image's own label")
            procedure = _attack(
                model.network.device,
                x,
                labels,
                method,
                targets=targets,
                seed=request.seed,
                first_row=request.first_row,
                eight_bit=as_png,
                noise_control=request.noise_control,
            )
            priority = wire.priority(request.priority)
            found = await self._house.solve(context, model, procedure, x.nbytes * wire.STATE_COPIES, priority, request.deterministic)
            response = attack_pb2.AttackResponse(
                rows=wire_attack.attack_rows(found), provenance=wire.provenance(model), gradients=found.gradients
            )
            if not as_png and found.images.nbytes < LIGHT:
                _add_images(response, found, as_png)
            else:
                await self._house.aside(_add_images, response, found, as_png)
            return response


def _attack(
    device: torch.device, x: Tensor, labels: Tensor | None, method: Method, *, targets: Tensor | None, **settings: Any
) -> Procedure[Attacked]:
    """`attack` between host and device: both copies are made when the engine runs this, not before."""
    on_device = [t if t is None else t.to(device) for t in (labels, targets)]
    found = yield from attack(x.to(device), on_device[0], method, targets=on_device[1], **settings)
    return found.cpu()


def _add_images(response: attack_pb2.AttackResponse, found: Attacked, as_png: bool) -> None:
    images = found.images.numpy()
    if as_png:
        response.pngs.extend(png(image) for image in np.rint(images * 255).astype(np.uint8))
    else:
        response.images.CopyFrom(wire.tensor(images))
