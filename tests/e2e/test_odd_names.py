"""Layers and classes with names of any characters, through a real server and the command line: what
the table of layers shows may be typed everywhere.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import striate
from striate._cli.main import app
from tests.toys_server import start, stop

pytestmark = pytest.mark.slow  # a server of its own

CLASSES = ["cat", "sea lion", "jack-o'-lantern", 'the "7"', "a:b@c*"]
ODD = ['"block a:1"', '"b@2*[0]"', '"it\'s ""c"""', '"-x"']
NETWORK = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        parts = {"block a:1": nn.Conv2d(3, 6, 3, padding=1), "b@2*[0]": nn.ReLU(),
                 'it\\'s "c"': nn.Conv2d(6, 6, 3, stride=2), "-x": nn.ReLU()}
        for name, part in parts.items():
            self.add_module(name, part)
        self.names = list(parts)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return self.head(x.mean((2, 3)))

def build():
    return Odd().eval()
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_network.py").write_text(NETWORK)
    (folder / "striate.toml").write_text(
        '[models.odd]\nfactory = "odd_network:build"\nsize = 16\nmean = [0.5, 0.5, 0.5]\n'
        f"std = [0.5, 0.5, 0.5]\nlabels = {json.dumps(CLASSES)}\n"
    )
    for label, colour in enumerate(("red", "green", "blue")):
        (folder / "images" / f"class{label}").mkdir(parents=True)
        for number in range(4):
            picture = Image.effect_noise((16, 16), 40 + 30 * number).convert("RGB")
            picture.paste(colour, (label, number, 8 + number, 9))
            picture.save(folder / "images" / f"class{label}" / f"{number}.png")
    flags = "--settings", str(folder / "striate.toml"), "--model", "odd"
    data = "--dataset", f"few=imagefolder:{folder / 'images'}"
    process = start(folder, *flags, *data, environment={"PYTHONPATH": str(folder)})
    try:
        yield process.wait_until_it_serves()
    finally:
        stop(process)


@pytest.fixture(scope="module")
def net(target: str) -> Iterator[striate.Model]:
    with striate.connect(target, timeout=120) as service:
        service.build_index("odd", dataset="few", layers=[*ODD, "logits"]).wait()
        yield service.model("odd")


def test_the_table_shows_names_as_they_are_typed(net: striate.Model) -> None:
    names = [layer.name for layer in net.layers]
    assert set(ODD) <= set(names)
    image = np.zeros((16, 16, 3), np.uint8)
    for name in ODD:
        assert net.activations(image, name, 2).layer == name
        picture = net.visualize(f"{name}:3 - 0.5*{name}:2@1,1", steps=2, size=16)
        assert picture.objective == f"{name}:3 - 0.5 * {name}:2@1,1"
        assert getattr(net.statistics(f"{name}:3", dataset="few"), "unit", "") == f"{name}:3"
        assert len(net.exemplars(f"{name}:3", k=2, dataset="few")) == 2
        attacked = net.attack([image], 0, striate.PGD(steps=2), unit=striate.Drive(f"{name}:3"))
        assert len(attacked) == 1
        assert net.attribute(image, "saliency", unit=f"{name}:3").objectives == (f"{name}:3",)
    assert net.attribute(image, "grad-cam", layer=ODD[1]).layer == ODD[1]
    assert net.filters(ODD[0]).layer == ODD[0]
    assert net.tuning(ODD[2], orientations=4, phases=2).layer == ODD[2]
    with net.visualize_layer(ODD[3], steps=2, size=16) as pictures:
        assert [one.visualization.objective for one in pictures] == [
            f"{ODD[3]}:{unit}" for unit in range(6)
        ]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("cat", 0),
        ("Sea_Lion", 1),
        ("'sea lion'", 1),
        ("jack-o'-lantern", 2),
        ('"the ""7"""', 3),
        ('"a:b@c*"', 4),
    ],
)
def test_a_class_goes_by_its_name_wherever_by_its_number(
    net: striate.Model, name: str, number: int
) -> None:
    by_name, by_number = f"logits:{name}", f"logits:{number}"
    image = np.full((16, 16, 3), 90, np.uint8)
    image[4:9, 3:12] = (200, 30, 90)
    pictures = net.visualize([by_name, f"2*{by_number}"], steps=3, size=16, seed=1)
    assert pictures[0].objective == by_number
    np.testing.assert_allclose(
        net.attribute(image, "saliency", unit=by_name).values,
        net.attribute(image, "saliency", unit=by_number).values,
    )
    told = [net.statistics(text, dataset="few") for text in (by_name, by_number)]
    assert [getattr(one, "unit", "") for one in told] == [by_number] * 2
    found = [net.exemplars(text, k=3, dataset="few") for text in (by_name, by_number)]
    assert [one.id for one in found[0]] == [one.id for one in found[1]]
    attacks = [
        net.attack([image], 0, striate.FGSM(), unit=striate.Silence(text)).images
        for text in (by_name, by_number)
    ]
    np.testing.assert_array_equal(attacks[0], attacks[1])


def test_facets_and_dossiers_know_odd_names(net: striate.Model) -> None:
    for unit in (f"{ODD[1]}:2", "logits:'sea lion'"):
        dossier = net.dossier(unit, dataset="few", steps=2, size=16)
        assert dossier.unit in (unit, "logits:1")
        facets = net.facets(unit, dataset="few", facets=2, by_layer=ODD[0], steps=2, size=16)
        assert facets.by_layer == ODD[0]


def test_the_command_line_takes_the_same_names(
    target: str, net: striate.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["--server", target, *words])
        assert result.exit_code == 0, result.output
        return result.output

    listed = json.loads(run("layers", "odd", "--json"))["layers"]
    assert set(ODD) <= {layer["name"] for layer in listed}
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), "gray").save("a.png")
    run("visualize", "odd", f"{ODD[0]}:1 + caricature({ODD[2]},a.png)", "--steps", "2")
    run("visualize", "odd", f"{ODD[2]}:0-1", "--steps", "2", "--size", "16")
    run("visualize", "odd", "logits:'sea lion'", "--steps", "2", "--size", "16")
    run("activations", "odd", "a.png", ODD[1])
    run("statistics", "odd", f"{ODD[2]}:1", "--dataset", "few")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("block a:1", "names with spaces in double quotes"),
        ('"block a:2":1', 'did you mean "block a:1"'),
        ("logits:dog", "no class is called 'dog'"),
        ("head:cat", "must be layer, layer:unit"),
    ],
)
def test_refusals_tell_the_way_on(net: striate.Model, text: str, words: str) -> None:
    with pytest.raises(striate.StriateError, match=words):
        net.visualize(text, steps=2)
