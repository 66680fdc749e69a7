"""What keeps fields of one message from contradicting each other: without it nearly all requests
that descriptors alone suggest are refused at the door, and nothing behind it is tried.
"""

from collections.abc import Callable, Mapping
from typing import Any


def _attack(message: Any) -> None:
    if message.HasField("epsilon_search"):
        message.ClearField("epsilon")
        message.epsilon_search.epsilons[:] = [0.01, 0.02]
    _clear(message, "labels", "targets", "row_settings", "unit")


def _settings(message: Any) -> None:
    _clear(message.attack, "images", "first_row", "clean_images")


def _attribution(message: Any) -> None:
    message.method = message.method or 1
    for field, _ in message.ListFields():
        if field.name not in ("model", "images", "method", "seed", "deterministic"):
            message.ClearField(field.name)


def _audit(message: Any) -> None:
    message.models[:] = ["digits-lenet5"]
    message.dataset = "digits"
    message.limit = 4
    _clear(message, "mce_reference", "severities", "gates", "threats")


def _upload(message: Any) -> None:
    count = len(message.images.encoded) or next(iter(message.images.tensor.shape), 0)
    del message.labels[:]
    message.labels.extend([0] * count)
    message.ClearField("classes")


def _picture(message: Any) -> None:
    _clear(message, "composed", "diversity", "start")


def _clear(message: Any, *names: str) -> None:
    for name in names:
        message.ClearField(name)


# By the full name of the message, what is changed in it.
SENSE: Mapping[str, Callable[[Any], None]] = {
    "striate.v1.AttackRequest": _attack,
    "striate.v1.AttackStreamSettings": _settings,
    "striate.v1.AttributeRequest": _attribution,
    "striate.v1.AuditRequest": _audit,
    "striate.v1.UploadDatasetRequest": _upload,
    "striate.v1.VisualizeRequest": _picture,
}
SENSIBLE = 0.6  # how often
