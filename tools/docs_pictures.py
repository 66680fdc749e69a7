"""`make pictures`: draws the pictures of README and docs anew.

The embedded networks' come from the demo's own sections, through a server of its own. Those of
GoogLeNet are a sheet that `python -m bench worth` has left in out/bench, where it was run.
"""

import os
import tempfile
from pathlib import Path

from PIL import Image

import striate
from tools import demo_answers as answers
from tools import demo_figure as figure
from tools import demo_pictures as pictures
from tools.demo import ROOT, server
from tools.demo_stage import Stage

DOCS = ROOT / "docs"
SHEET = ROOT / "out" / "bench" / "bvlc_googlenet-inception_4a.png"


def embedded() -> None:
    """Units and classes of the twins, and what is told about a layer, facets and predictions."""
    data = Path(os.environ.get("STRIATE_DATA", ""))
    has_cifar = (data / "cifar10" / "test.parquet").is_file()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(data if has_cifar else None) as address,
        striate.connect(address, timeout=600) as service,
    ):
        stage = Stage(service, Path(folder), "cifar10-test" if has_cifar else "photo-patches")
        pictures.units(stage)
        pictures.classes(stage)
        for name in ("units.png", "classes.png"):
            Image.open(stage.out / name).save(DOCS / name, optimize=True)
        _, sheet = pictures.layer(stage)
        _, facets = pictures.facets(stage)
        _, rows = answers.attributions(stage)
        figure.compose(sheet, facets, rows).save(DOCS / "interpret.png", optimize=True)


def googlenet() -> None:
    """Channels of a layer of GoogLeNet."""
    Image.open(SHEET).convert("RGB").save(DOCS / "layer.jpg", quality=90, optimize=True)


if __name__ == "__main__":
    if SHEET.is_file():
        googlenet()
    else:
        print("docs/layer.jpg stays as it is: python -m bench worth draws what it is made of")
    embedded()
