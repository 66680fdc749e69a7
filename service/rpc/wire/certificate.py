"""From a finished picture, and where it stands beside a data set, to the message."""

from service.visualization.cache import Picture
from service.visualization.comparison import Standing
from striate.v1 import visualize_pb2 as pb


def visualization(
    objective: str, picture: Picture, standing: Standing | None, variant: int = 0
) -> pb.Visualization:
    """A picture with its certificate."""
    return pb.Visualization(
        objective=objective,
        png=picture.png,
        activation=picture.activation,
        dead=picture.dead,
        certificate=certificate(picture, standing),
        variant=variant,
    )


def certificate(picture: Picture, standing: Standing | None) -> pb.Certificate:
    """What a picture is worth; what only an index knows is left out without one."""
    message = pb.Certificate(
        activation=picture.activation,
        held_out=picture.held_out,
        held_out_minimum=picture.held_out_minimum,
        rank=picture.rank or None,
        units=picture.units,
        seed_activations=picture.seed_activations,
        attempts=picture.attempts,
        seed=picture.seed,
        learning_rate=picture.rate,
    )
    if standing is not None:
        known = pb.Certificate(
            dataset_maximum=standing.maximum,
            ratio=standing.ratio,
            held_out_ratio=standing.held_out_ratio,
            percentile=standing.percentile,
            dataset=standing.dataset,
            images=standing.images,
            relative_rank=standing.relative_rank,
        )
        message.MergeFrom(known)
    return message
