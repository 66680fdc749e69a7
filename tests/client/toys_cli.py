"""The command line against the fake server, and options of pictures with the message they give."""

import json
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from striate._cli.main import app
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_server import Fake, png

PICTURE_OPTIONS = shlex.split(
    """
    --steps 9 --learning-rate 0.5 --seed 3 --size 32 --space maco=12,80 --spectrum-dataset photos
    --alpha --l1 1 --l2 2 --tv 3 --blur 0.0625,5 --clip 1/2 --dataset digits --seeds 4 --retries 0
    --transform jitter=0.25 --transform rotate=90 --transform scale=0.5 --transform pad=1/8
    --transform crop=0.5,0 --transform noise=0.75 --transform mirror --deterministic
    """
)
PICTURE_SETTINGS = pb.PictureSettings(
    steps=9,
    learning_rate=0.5,
    seed=3,
    size=32,
    parameterization=pb.Parameterization(
        maco=pb.Maco(dataset="photos", images=12, transparency=80), alpha=True
    ),
    deterministic=True,
    regularizers=[
        pb.Regularizer(l1=1),
        pb.Regularizer(l2=2),
        pb.Regularizer(total_variation=3),
        pb.Regularizer(blur=pb.BlurRegularizer(sigma=0.0625, every=5)),
        pb.Regularizer(clip=pb.ClipRegularizer(share=0.5)),
    ],
    certification=pb.Certification(dataset="digits", seeds=4, retries=0),
    transforms=[
        pb.Transform(jitter=0.25),
        pb.Transform(rotate=90),
        pb.Transform(scale=0.5),
        pb.Transform(pad=0.125),
        pb.Transform(crop=pb.CropTransform(side=0.5, deviation=0)),
        pb.Transform(noise=0.75),
        pb.Transform(mirror=0.5),
    ],
)


class Cli:
    """Runs commands against the fake server."""

    def __init__(self, fake: Fake, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        self.pictures = [folder / f"{name}.png" for name in "abcd"]
        for value, path in enumerate(self.pictures):
            path.write_bytes(png(4, 5, value))

    def run(self, *words: object) -> Any:
        return CliRunner().invoke(app, [*map(str, words), "--server", self.fake.target])

    def json(self, *words: object, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)
