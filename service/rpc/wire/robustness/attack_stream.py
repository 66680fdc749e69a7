"""From the messages of an attack stream to its settings and the attacks on its images."""

from collections.abc import Sequence
from dataclasses import replace

from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import images as wire_images
from service.rpc.wire.robustness import attack as wire_attack
from service.rpc.wire.robustness import threat_model as wire_threat_model
from striate.v1 import attack_pb2 as pb

MOST_IN_FLIGHT = 1024


def read_settings(first: pb.AttackStreamRequest | None) -> pb.AttackStreamSettings:
    """Read the settings of a stream from its first message.

    Args:
        first: the first message of the stream; None if there was none.

    Returns:
        The settings.

    Raises:
        InvalidField: the message is not one of settings, or has what each image has of its own.
    """
    if first is None or not first.HasField("settings"):
        raise InvalidField("settings", "must be what the first message holds")
    attack = first.settings.attack
    for name in ("images", "row_settings"):
        if attack.HasField(name):
            raise InvalidField(f"settings.attack.{name}", "cannot be given with a stream")
    for name in ("labels", "targets", "first_row"):
        if getattr(attack, name):
            raise InvalidField(
                f"settings.attack.{name}", "cannot be given with a stream: each image has its own"
            )
    return first.settings


def read_in_flight(settings: pb.AttackStreamSettings, default: int) -> int:
    """Read how many images may be unanswered at a time, 1 to 1024.

    Args:
        settings: of the stream.
        default: what zero stands for.

    Raises:
        InvalidField: it is out of range.
    """
    return within("settings.in_flight", settings.in_flight, 1, MOST_IN_FLIGHT, default=default)


def check_image(
    message: pb.AttackStreamImage, attack: pb.AttackRequest, model: HostedModel
) -> None:
    """Check everything of an image but its pixels.

    Args:
        message: the image.
        attack: the stream's settings.
        model: that is attacked.

    Raises:
        InvalidField: it is not one image, or its label, target or epsilon is out of range.
    """
    within("image.image (its number of images)", wire_images.count(message.image), 1, 1)
    for name in ("label", "target"):
        if message.HasField(name):
            within(f"image.{name}", getattr(message, name), 0, model.network.classes - 1)
    both = message.HasField("target") and message.HasField("label")
    if both and message.target == message.label:
        raise InvalidField("image.target", "is the image's own label")
    if message.HasField("epsilon"):
        if attack.WhichOneof("search") == "epsilon_search":
            raise InvalidField("image.epsilon", "cannot be given with epsilon_search")
        p = wire_threat_model.read_norm(attack.norm, "norm")
        wire_threat_model.read_epsilon(message.epsilon, p, "image.epsilon", model)


def read_attack(
    messages: Sequence[pb.AttackStreamImage], attack: pb.AttackRequest, model: HostedModel
) -> wire_attack.AttackSpec:
    """Read the attack on images of a stream that are attacked together.

    Args:
        messages: the images; either all have a label, or none has, and the same for targets.
        attack: the stream's settings.
        model: that is attacked.

    Raises:
        InvalidField: what the images have of their own does not go with the settings.
    """
    request = pb.AttackRequest()
    request.CopyFrom(attack)
    if messages[0].HasField("label"):
        request.labels.extend(message.label for message in messages)
    if messages[0].HasField("target"):
        request.targets.extend(message.target for message in messages)
    if any(message.HasField("epsilon") for message in messages):
        request.row_settings.epsilons.extend(
            message.epsilon if message.HasField("epsilon") else attack.epsilon
            for message in messages
        )
    spec = wire_attack.read_attack(request, model, len(messages))
    return replace(spec, seeds=[(request.seed, message.id) for message in messages])
