"""From what attacks found to the messages that answer them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from interp.attack.evaluate import AdversarialExamples
from service.imaging import png
from service.models.zoo import HostedModel
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb


@dataclass(frozen=True, eq=False)
class AttackOutcome:
    """What an attack or an epsilon search found, in the host's memory.

    Attributes:
        examples: the images and their evaluation.
        minimal: of an epsilon search each row's minimal epsilon, infinite where there is none;
            otherwise empty.
        withstood: of an epsilon search how many rows withstood each epsilon; otherwise empty.
    """

    examples: AdversarialExamples
    minimal: Sequence[float] = ()
    withstood: Sequence[int] = ()


def response(
    request: pb.AttackRequest, model: HostedModel, outcome: AttackOutcome
) -> pb.AttackResponse:
    """Write the answer to an attack on a batch.

    Args:
        request: says in which format images are answered.
        model: that was attacked.
        outcome: what was found.
    """
    found = outcome.examples
    message = pb.AttackResponse(
        rows=attack_rows(outcome),
        provenance=wire_provenance.provenance(model),
        gradients=found.gradients,
        queries=found.queries,
        warnings=[*wire_provenance.model_warnings(model), *found.warnings],
    )
    epsilons, count = request.epsilon_search.epsilons, len(found.images)
    for epsilon, robust in zip(epsilons, outcome.withstood, strict=False):
        message.curve.add(epsilon=epsilon, robust=robust, images=count)
    if request.format == pb.IMAGE_FORMAT_PNG:
        message.pngs.extend(_pngs(found.images))
    else:
        message.images.CopyFrom(wire_tensors.from_array(found.images.numpy()))
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
    for number, row in enumerate(attack_rows(outcome)):
        attacked = pb.AttackedImage(row=row, png=files[number], warnings=warnings)
        if not as_png:
            image = found.images[number : number + 1]
            attacked.image.CopyFrom(wire_tensors.from_array(image.numpy()))
        answers.append(pb.AttackStreamResponse(id=ids[number], attacked=attacked))
    return answers


def attack_rows(outcome: AttackOutcome) -> list[pb.AttackRow]:
    """Write the evaluation of each image, one message a row.

    Args:
        outcome: of the attack on all images.

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
    return rows


def _pngs(images: Tensor) -> list[bytes]:
    """Images (N, C, H, W) of 8-bit levels as PNG files."""
    return [png(image) for image in np.rint(images.numpy() * 255).astype(np.uint8)]
