"""From what attacks found to the messages that answer them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from interp.attack.evaluate import AdversarialExamples
from interp.attack.unanswered import FOUND, Failure
from interp.audit.conditions import radius
from service.imaging import png
from service.models.zoo import HostedModel
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb

_NoiseField = Literal["noise_prediction", "noise_succeeded", "noise_norm"]
_NOISE: tuple[_NoiseField, ...] = ("noise_prediction", "noise_succeeded", "noise_norm")
NAMED = 5  # images without an outcome, in one warning
_KINDS = {
    Failure.GRADIENT: pb.FAILURE_KIND_GRADIENT,
    Failure.LOGITS: pb.FAILURE_KIND_LOGITS,
    Failure.ACTIVATION: pb.FAILURE_KIND_ACTIVATION,
}


@dataclass(frozen=True, eq=False)
class AttackOutcome:
    """What an attack or an epsilon search found, in the host's memory.

    Attributes:
        examples: the images and their evaluation.
        minimal: of an epsilon search each row's minimal epsilon, infinite where there is none;
            otherwise empty.
        withstood: of an epsilon search how many rows withstood each epsilon; otherwise empty.
        answered: of an epsilon search how many rows were answered at each epsilon; otherwise empty.
        failed_from: of an epsilon search the epsilon at which each row was not answered, infinite
            where it was; otherwise empty.
    """

    examples: AdversarialExamples
    minimal: Sequence[float] = ()
    withstood: Sequence[int] = ()
    answered: Sequence[int] = ()
    failed_from: Sequence[float] = ()


def response(
    request: pb.AttackRequest, model: HostedModel, outcome: AttackOutcome, x: Tensor
) -> pb.AttackResponse:
    """Write the answer to an attack on a batch.

    Args:
        request: says in which format images are answered, and how many clean ones.
        model: that was attacked.
        outcome: what was found.
        x: (N, C, H, W) the clean images in [0, 1].
    """
    found = outcome.examples
    rows = attack_rows(outcome, range(request.first_row, request.first_row + len(found.images)))
    message = pb.AttackResponse(
        rows=rows,
        provenance=wire_provenance.provenance(model),
        gradients=found.gradients,
        queries=found.queries,
        warnings=[*wire_provenance.model_warnings(model), *found.warnings, *_unanswered(rows)],
    )
    points = zip(request.epsilon_search.epsilons, outcome.withstood, outcome.answered, strict=False)
    for epsilon, robust, images in points:
        message.curve.add(epsilon=epsilon, robust=robust, images=images)
    if request.format == pb.IMAGE_FORMAT_PNG:
        message.pngs.extend(_pngs(found.images))
    else:
        message.images.CopyFrom(wire_tensors.from_array(found.images.numpy()))
    if request.clean_images:
        levels = (x[: request.clean_images] * 255).round().byte().contiguous()
        message.clean.CopyFrom(wire_tensors.from_array(levels.numpy()))
    return message


def stream_responses(
    ids: Sequence[int], image_format: int, model: HostedModel, outcome: AttackOutcome
) -> list[pb.AttackStreamResponse]:
    """Write the answers to images of a stream.

    Args:
        ids: the caller's numbers of the images, one a row.
        image_format: a value of `ImageFormat`.
        model: that was attacked.
        outcome: what was found.
    """
    found, as_png = outcome.examples, image_format == pb.IMAGE_FORMAT_PNG
    files = _pngs(found.images) if as_png else [b""] * len(ids)
    warnings = [*wire_provenance.model_warnings(model), *found.warnings]
    answers = []
    for number, row in enumerate(attack_rows(outcome, ids)):
        attacked = pb.AttackedImage(
            row=row, png=files[number], warnings=[*warnings, *_unanswered([row])]
        )
        if not as_png:
            image = found.images[number : number + 1]
            attacked.image.CopyFrom(wire_tensors.from_array(image.numpy()))
        answers.append(pb.AttackStreamResponse(id=ids[number], attacked=attacked))
    return answers


def attack_rows(outcome: AttackOutcome, numbers: Sequence[int]) -> list[pb.AttackRow]:
    """Write the evaluation of each image, one message a row.

    Args:
        outcome: of the attack on all images.
        numbers: by which the caller knows the images.

    Returns:
        The messages, in the order of the images; what was not measured is left unset.
    """
    found = outcome.examples
    columns: dict[str, Tensor | None] = {
        "label": found.label,
        "clean_prediction": found.clean_prediction,
        "prediction": found.prediction,
        "succeeded": found.succeeded,
        "norm": found.norm,
        "target": found.target,
        "clean_activation": found.clean_activation,
        "activation": found.activation,
        "no_freedom": found.fixed,
    }
    if found.control is not None:
        columns["noise_prediction"] = found.control.prediction
        columns["noise_succeeded"] = found.control.succeeded
        columns["noise_norm"] = found.control.norm
    known = {name: column.tolist() for name, column in columns.items() if column is not None}
    rows = [
        pb.AttackRow(**dict(zip(known, values, strict=True)))
        for values in zip(*known.values(), strict=True)
    ]
    for row, epsilon in zip(rows, outcome.minimal, strict=False):
        if epsilon < math.inf:
            row.minimal_epsilon = epsilon
    if found.control is not None:
        unknown = ~found.control.answered | (found.failure != Failure.NONE)
        for number in unknown.nonzero().flatten().tolist():
            for name in _NOISE:
                rows[number].ClearField(name)
    for number in found.failure.nonzero().flatten().tolist():
        rows[number].failure.CopyFrom(_failure(outcome, number, numbers[number]))
    return rows


def _failure(outcome: AttackOutcome, row: int, number: int) -> pb.RowFailure:
    """Why an image has no outcome."""
    found = outcome.examples
    failure, step = Failure(int(found.failure[row])), int(found.failed_at[row])
    message = pb.RowFailure(kind=_KINDS[failure], step=step)
    if outcome.failed_from:
        message.epsilon = outcome.failed_from[row]
    within = f" within {radius(message.epsilon)}" if step and outcome.failed_from else ""
    where = f"at step {step} of the search{within}" if step else "on the clean image"
    message.message = f"image {number}: {FOUND[failure]} {where}"
    return message


def _unanswered(rows: Sequence[pb.AttackRow]) -> list[str]:
    """A warning that names the images without an outcome, if there are any."""
    found = [row.failure.message for row in rows if row.HasField("failure")]
    if not found:
        return []
    more = [f"and {len(found) - NAMED} more"] if len(found) > NAMED else []
    named = "; ".join([*found[:NAMED], *more])
    return [f"{named}: neither fooled nor robust, counted in no accuracy"]


def _pngs(images: Tensor) -> list[bytes]:
    """Images (N, C, H, W) of 8-bit levels as PNG files."""
    return [png(image) for image in np.rint(images.numpy() * 255).astype(np.uint8)]
