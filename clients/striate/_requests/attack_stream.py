"""The images of a stream of attacks, as messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate._rpc.checks import number
from striate.errors import BadImage, StriateError, invalid
from striate.images import as_batch, is_single
from striate.images.labels import Label, as_indices
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    from striate.images import One

    OptionalLabel = Label | None
    Items = Iterable[
        One
        | tuple[One, OptionalLabel]
        | tuple[One, OptionalLabel, OptionalLabel]
        | tuple[One, OptionalLabel, OptionalLabel, float | None]
    ]


def check_items(items: object) -> None:
    """Checks that something can be gone through as the images of a stream.

    Raises:
        InvalidArgument: It is one image, or cannot be gone through.
    """
    one = is_single(items) and not hasattr(items, "__array__")
    if one or not (hasattr(items, "__iter__") or hasattr(items, "__getitem__")):
        raise invalid("images", f"must be an iterable of images, is {type(items).__name__}")


@dataclass(frozen=True)
class ItemEncoder:
    """Turns the items of a stream into messages.

    Attributes:
        classes: Names of the model's classes.
        first_id: Number of the first image.
        target: Class that images without a target of their own should be taken for, or None.
    """

    classes: tuple[str, ...]
    first_id: int
    target: int | None

    def message(self, image_id: int, item: object) -> pb.AttackStreamImage:
        """Makes the message of one image.

        Args:
            image_id: Number of the image.
            item: The image, or (image, label, target, epsilon) or the first few of these.

        Returns:
            The message.

        Raises:
            StriateError: Whatever is wrong with the image.
        """
        try:
            return self._message(image_id, item)
        except StriateError:
            raise
        # files, decoders and arrays fail in many ways, and each is a fault of this one image
        except Exception as error:
            raise BadImage(f"image {image_id}: {error}", reason="BAD_IMAGE") from error

    def _message(self, image_id: int, item: object) -> pb.AttackStreamImage:
        image, label, target, epsilon = _fields(item)
        batch = as_batch(image)
        if len(batch) != 1:
            raise invalid("image", f"must be one image, are {len(batch)}")
        batch.spans(0)  # refuses one that no message holds
        message = pb.AttackStreamImage(id=image_id, image=batch.message(range(1)))
        for field, value in (
            ("label", label),
            ("target", self.target if target is None else target),
        ):
            if value is not None:
                setattr(message, field, *as_indices(value, 1, self.classes, field))
        if epsilon is not None:
            message.epsilon = number("epsilon", epsilon)
        return message


def _fields(item: object) -> tuple[Any, Any, Any, Any]:
    """(image, label, target, epsilon), filled up with None."""
    given = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(given) <= 4:
        raise invalid(
            "image",
            f"must be an image or (image, label, target, epsilon), is a tuple of {len(given)}",
        )
    image, label, target, epsilon = (*given, None, None, None)[:4]
    return image, label, target, epsilon
