"""From a finished picture, and how it compares with a data set, to messages."""

from service.visualization.cache import Picture
from service.visualization.comparison import DatasetComparison, Uncompared
from striate.v1 import visualize_pb2 as pb

Comparison = DatasetComparison | Uncompared | None


def visualization(
    objective: str, picture: Picture, comparison: Comparison, variant: int = 0
) -> pb.Visualization:
    """Write a picture with its certificate.

    Args:
        objective: in full, with the layer's dotted name.
        picture: finished.
        comparison: with a data set; None where no index knows it.
        variant: which of its objective's variants it is, from 0.

    Returns:
        The message.
    """
    return pb.Visualization(
        objective=objective,
        png=picture.png,
        activation=picture.activation,
        dead=picture.dead,
        certificate=certificate(picture, comparison),
        variant=variant,
    )


def certificate(picture: Picture, comparison: Comparison) -> pb.Certificate:
    """Write what a picture is worth.

    Args:
        picture: finished.
        comparison: with a data set, or why there is none; None where no index knows it. Without
            one its fields are unset.

    Returns:
        The message.
    """
    message = pb.Certificate(
        activation=picture.activation,
        held_out=picture.held_out,
        held_out_minimum=picture.held_out_minimum,
        rank=picture.rank or None,
        units=picture.units,
        seed_activations=picture.seed_activations,
        attempts=picture.attempts,
        seed=picture.seed,
        learning_rate=picture.learning_rate,
        contrast=picture.contrast,
        height=picture.height,
        width=picture.width,
        appearance=pb.Appearance(
            clipped=picture.clipped,
            high_frequencies=picture.high_frequencies,
            saturation=picture.saturation,
        ),
    )
    if isinstance(comparison, Uncompared):
        message.no_ratio = comparison.reason
    elif comparison is not None:
        indexed = pb.Certificate(
            dataset_maximum=comparison.maximum,
            ratio=comparison.ratio,
            held_out_ratio=comparison.held_out_ratio,
            percentile=comparison.percentile,
            dataset=comparison.dataset,
            images=comparison.images,
            relative_rank=comparison.relative_rank,
            no_ratio=comparison.no_ratio,
        )
        message.MergeFrom(indexed)
        if comparison.look is not None:
            clipped, high_frequencies, saturation = comparison.look
            message.dataset_appearance.CopyFrom(
                pb.Appearance(
                    clipped=clipped, high_frequencies=high_frequencies, saturation=saturation
                )
            )
    return message
