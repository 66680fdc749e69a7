"""Every setting of pictures, as callers say it and as it travels."""

from typing import Any

from striate import regularize, space, view
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb

SETTINGS: dict[str, Any] = {
    "steps": 9,
    "learning_rate": 0.5,
    "seed": 2**63,
    "size": 32,
    "transforms": [
        view.Jitter(0.25),
        view.Rotate(90),
        view.Scale(0.5),
        view.Pad(0.125),
        view.Crop(0.5, 0),
        view.Noise(0.75),
        view.Mirror(),
    ],
    "parameterization": space.Maco("photos", images=7, transparency=0),
    "alpha": True,
    "regularizers": [
        regularize.L1(1),
        regularize.L2(2),
        regularize.TotalVariation(3),
        regularize.Blur(0.0625, 5),
        regularize.Clip(0.5, 6),
    ],
    "dataset": "digits",
    "seeds": 4,
    "retries": 0,
    "deterministic": True,
    "priority": "batch",
}
SENT = pb.PictureSettings(
    steps=9,
    learning_rate=0.5,
    seed=2**63,
    size=32,
    transforms=[
        pb.Transform(jitter=0.25),
        pb.Transform(rotate=90),
        pb.Transform(scale=0.5),
        pb.Transform(pad=0.125),
        pb.Transform(crop=pb.CropTransform(side=0.5, deviation=0)),
        pb.Transform(noise=0.75),
        pb.Transform(mirror=0.5),
    ],
    parameterization=pb.Parameterization(
        maco=pb.Maco(dataset="photos", images=7, transparency=0), alpha=True
    ),
    regularizers=[
        pb.Regularizer(l1=1),
        pb.Regularizer(l2=2),
        pb.Regularizer(total_variation=3),
        pb.Regularizer(blur=pb.BlurRegularizer(sigma=0.0625, every=5)),
        pb.Regularizer(clip=pb.ClipRegularizer(share=0.5, every=6)),
    ],
    certification=pb.Certification(dataset="digits", seeds=4, retries=0),
    deterministic=True,
    priority=types_pb2.PRIORITY_BATCH,
)
