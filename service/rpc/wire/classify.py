"""Classify's request as values, and its predictions as messages."""

from collections.abc import Sequence

from torch import Tensor

from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from striate.v1 import interpret_pb2 as pb

DEFAULT_CLASSES = 5  # of each image
MOST_PREDICTIONS = 500_000  # of all images together


def read_class_count(request: pb.ClassifyRequest, model: HostedModel) -> int:
    """Read how many of an image's most probable classes are wanted: at most as many as there are.

    Args:
        request: as it was sent.
        model: the loaded model that is asked for.

    Returns:
        The number of classes.

    Raises:
        InvalidField: there are no images or too many, or one answer cannot hold all predictions.
    """
    k = min(request.k or DEFAULT_CLASSES, model.network.classes)
    if wire_images.count(request.images) * k > MOST_PREDICTIONS:
        raise InvalidField(
            "k", f"{k} classes of each image are more than one answer can hold; ask for fewer"
        )
    return k


def classifications(
    probabilities: Tensor, indices: Tensor, classes: Sequence[str]
) -> list[pb.Classification]:
    """Write the most probable classes of images.

    Args:
        probabilities: (N, k), the highest first.
        indices: (N, k), the classes that they belong to.
        classes: the names of the model's classes.

    Returns:
        One message an image.
    """
    return [
        pb.Classification(
            predictions=[
                pb.Prediction(index=i, label=classes[i], probability=p)
                for p, i in zip(row, row_indices, strict=True)
            ]
        )
        for row, row_indices in zip(probabilities.tolist(), indices.tolist(), strict=True)
    ]
