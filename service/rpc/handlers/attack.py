"""Attack: one procedure for a batch of images."""

from typing import Any

import torch
from torch import Tensor

from interp.attack.base import Method, attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.layer import LOGITS
from interp.probe import Procedure
from service.engine.job import Least
from service.models.zoo import ModelZoo
from service.process.tracing import step
from service.rpc.compute import LIGHT, Compute
from service.rpc.context import Context
from service.rpc.validation import required, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import models as wire_models
from service.rpc.wire import priority as wire_priority
from service.rpc.wire.robustness import attack as wire_attack
from service.rpc.wire.robustness import attack_response as wire_response
from striate.v1 import attack_pb2 as pb

# What may make a row leave its attack early, as one does that is wrong from the start.
_LEAVING = {"labels", "targets", "target_choice", "row_settings", "unit"}
MOST_CLEAN = 64  # clean images of a reply


class AttackHandler:
    """Answers Attack.

    Args:
        zoo: the models.
        compute: where images are decoded and attacks are computed.
    """

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def attack(self, request: pb.AttackRequest, context: Context) -> pb.AttackResponse:
        """Attack a batch by one procedure; rows that are fooled leave it.

        Args:
            request: images, a model and an attack.
            context: of the call.
        """
        with self._zoo.use(required("model", request.model)) as model:
            count = wire_images.count(request.images)
            most = max(1, wire_images.MOST_BYTES // wire_images.image_bytes(1, model))
            within("images (their number)", count, 1, most)
            within("clean_images", request.clean_images, 0, MOST_CLEAN)
            spec = wire_attack.read_attack(request, model, count)
            wire_models.check_deterministic(model, request.deterministic, "deterministic")
            x = await self._compute.decode_images(request.images, model.preprocessing)
            outcome = await self._compute.solve(
                context,
                model,
                solve_attack(spec, x, model.network.device),
                x.nbytes * wire_images.STATE_COPIES,
                wire_priority.priority(request.priority),
                request.deterministic,
                least=_least(request, x),
            )
            if request.format != pb.IMAGE_FORMAT_PNG and x.nbytes < LIGHT:
                with step("encode"):
                    return wire_response.response(request, model, outcome, x)
            return await self._compute.encode(wire_response.response, request, model, outcome, x)


def _least(request: pb.AttackRequest, x: Tensor) -> Least | None:
    """What an attack on images (N, C, H, W) asks of the device at the least; None where some of
    them may leave it early.
    """
    pgd = request.method.pgd
    stops = pgd.stop_when_fooled if pgd.HasField("stop_when_fooled") else True
    said = {descriptor.name for descriptor, _ in request.ListFields()}
    if request.method.WhichOneof("method") != "pgd" or stops or not pgd.steps or said & _LEAVING:
        return None
    return Least(len(x), pgd.steps, frozenset([LOGITS]), tuple(x.shape[1:]))


def solve_attack(
    spec: wire_attack.AttackSpec, x: Tensor, device: torch.device
) -> Procedure[wire_response.AttackOutcome]:
    """Attack images between host and device: copies are made when the engine runs this, not before.

    Args:
        spec: a checked attack on as many images.
        x: (N, C, H, W) float32 in [0, 1], in the host's memory.
        device: the model's.

    Returns:
        A procedure whose result is what was found, in the host's memory.
    """

    def moved(value: Any) -> Any:
        return value.to(device) if isinstance(value, Tensor) else value

    settings: dict[str, Any] = {
        "targets": moved(spec.targets),
        "unit": spec.unit,
        "seed": spec.seed,
        "first_row": spec.first_row,
        "seeds": spec.seeds,
        "eight_bit": spec.eight_bit,
        "noise_control": spec.noise_control,
        "p": spec.p,
    }
    x, labels, search = x.to(device), moved(spec.labels), spec.search
    if isinstance(search, Method):
        found = yield from attack(x, labels, search, epsilon=moved(spec.epsilon), **settings)
        return wire_response.AttackOutcome(found.cpu())
    curve = yield from epsilon_curve(
        x,
        labels,
        search.epsilons,
        steps=search.steps,
        bisections=search.bisections,
        fab_steps=search.fab_steps,
        random_start=search.random_start,
        loss=search.loss,
        **settings,
    )
    return wire_response.AttackOutcome(
        curve.attacked.cpu(),
        curve.minimal.tolist(),
        curve.withstood.tolist(),
        curve.answered.tolist(),
        curve.failed_from.tolist(),
    )
