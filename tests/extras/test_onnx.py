"""ONNX files as torch writes them, in both ways: logits and gradients are those of the network that
was exported, and of onnxruntime.
"""

import contextlib
import io
import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from service.config import ModelTable
from service.models.checkpoints import ModelError
from service.models.importer.command import main
from service.models.sources import onnx_graph
from service.models.zoo import HostedModel
from tests.service.models.bundles.test_bundles import answer, exported, zoo
from tests.service.models.importer.test_import import network

SIZE = 64


def written(
    module: nn.Module, folder: Path, *, dynamo: bool = True, batch: int | None = None
) -> Path:
    """A module exported for any number of images, or for a fixed one."""
    path = folder / "net.onnx"
    images = torch.rand(batch or 2, 3, SIZE, SIZE)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if dynamo:
            dims = None if batch else ({0: torch.export.Dim("batch")},)
            torch.onnx.export(
                module,
                (images,),
                path,
                dynamo=True,
                external_data=False,
                dynamic_shapes=dims,
                verbose=False,
            )
        else:
            axes = None if batch else {"images": {0: "batch"}}
            torch.onnx.export(
                module, (images,), path, dynamo=False, input_names=["images"], dynamic_axes=axes
            )
    return path


def hosted(path: Path, **more: object) -> HostedModel:
    return zoo(None, mine=ModelTable(source=f"onnx:{path}", **more)).load("mine")


def double(module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and input gradients in float64, in which no two values of a pool tie by rounding."""
    images = images.double().requires_grad_()
    logits = module.double()(images)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    return logits.detach(), gradient


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121"])
def test_logits_and_gradients_are_those_of_the_exported_network(
    name: str, dynamo: bool, tmp_path: Path
) -> None:
    module = network(7, name)
    path = written(module, tmp_path, dynamo=dynamo)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    (theirs,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    graph = onnx_graph.read(path.read_bytes(), path.name)
    ours = onnx_graph.build(graph.data)
    torch.testing.assert_close(ours(images), torch.from_numpy(theirs), rtol=0, atol=1e-5)
    for one, other in zip(double(ours, images), double(module, images), strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_it_is_hosted_imported_and_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = network(7)
    path = written(module, tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\nf\ng\n")
    options = ["--mean", "0.4,0.5,0.6", "--std", "0.2,0.3,0.25", "--labels", str(labels)]
    assert main([str(path), "--out", str(tmp_path / "out"), *options]) == 0
    assert f"onnx, images of 3 x {SIZE} x {SIZE}" in capsys.readouterr().out
    bundle = tmp_path / "out" / "net.striate"
    model = zoo(None, mine=ModelTable(source=f"bundle:{bundle}")).load("mine")
    assert model.classes == tuple("abcdefg")
    ours, gradient = answer(model)
    mean, std = (
        torch.tensor(v).view(-1, 1, 1) for v in (model.preprocessing.mean, model.preprocessing.std)
    )
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours, module((images - mean) / std).detach(), rtol=0, atol=1e-4)
    assert gradient.abs().max() > 0
    again = exported(model, tmp_path, "again")
    assert again.read_bytes() == bundle.read_bytes()


def test_a_graph_whose_bytes_were_altered_is_refused(tmp_path: Path) -> None:
    model = hosted(written(network(7), tmp_path))
    path = exported(model, tmp_path)
    data = bytearray(path.read_bytes())
    graph = onnx.load_from_string(model.recipe.graph)  # type: ignore[union-attr]
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data)).raw_data
    place = data.find(weights[:64])
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError):
        zoo(None, mine=ModelTable(source=f"bundle:{path}")).load("mine")


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
def test_a_graph_for_one_image_takes_any_number(dynamo: bool, tmp_path: Path) -> None:
    module = network(7)
    model = hosted(written(module, tmp_path, dynamo=dynamo, batch=1))
    assert any("was exported for a batch of 1" in warning for warning in model.warnings)
    images = torch.rand(3, 3, SIZE, SIZE)
    torch.testing.assert_close(model.network.module(images), module(images), rtol=0, atol=1e-4)


def test_a_softmax_at_the_end_is_cut_off(tmp_path: Path) -> None:
    module = network(7)
    model = hosted(written(nn.Sequential(module, nn.Softmax(1)), tmp_path))
    assert any("ended in a softmax" in warning for warning in model.warnings)
    images = torch.rand(3, 3, SIZE, SIZE)
    torch.testing.assert_close(model.network.module(images), module(images), rtol=0, atol=1e-4)


def graph_of(
    nodes: list[onnx.NodeProto],
    shape: tuple[int | str, ...] = ("N", 3, 8, 8),
    kind: int = TensorProto.FLOAT,
    **more: object,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, **more)
    return bytes(model.SerializeToString())


FLATTEN = helper.make_node("Flatten", ["x"], ["y"])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no graph at all", "is no ONNX file"),
        (b"", "is no ONNX file"),
        (graph_of([FLATTEN], ("N", 8, 8, 3)), "rows and columns seem to come first"),
        (graph_of([FLATTEN], ("N", 3, 8)), "takes 3 axes"),
        (graph_of([FLATTEN], kind=TensorProto.FLOAT16), "float32"),
        (graph_of([helper.make_node("If", ["x"], ["y"])]), "has the node If"),
        (graph_of([helper.make_node("Flatten", ["x"], ["y"], domain="mine")]), "of mine"),
        (
            graph_of(
                [FLATTEN],
                functions=[
                    helper.make_function("f", "F", ["a"], ["b"], [], [helper.make_opsetid("", 20)])
                ],
            ),
            "functions of its own",
        ),
    ],
)
def test_what_is_no_plain_network_of_images_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        onnx_graph.read(data, "net.onnx")


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = written(network(7), tmp_path)
    apart = tmp_path / "apart.onnx"
    onnx.save_model(onnx.load(path), apart, save_as_external_data=True, location="weights.bin")
    with pytest.raises(ModelError, match="in another file"):
        onnx_graph.read(apart.read_bytes(), "apart.onnx")


def test_a_node_that_cannot_be_turned_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(graph_of([helper.make_node("StringNormalizer", ["x"], ["y"])]))
    with pytest.raises(ModelError, match="StringNormalizer"):
        hosted(path)


def test_a_graph_in_training_mode_is_refused() -> None:
    names = ["x", "s", "b", "m", "v"]
    norm = helper.make_node("BatchNormalization", names, ["y", "m2", "v2"], training_mode=1)
    data = onnx.load_from_string(graph_of([norm]))
    for name in names[1:]:
        data.graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [3], [1.0] * 3))
    with pytest.raises(ModelError, match="in training mode"):
        onnx_graph.read(data.SerializeToString(), "net.onnx")


def test_a_size_that_the_graph_does_not_tell_must_be_given(tmp_path: Path) -> None:
    path = tmp_path / "any.onnx"
    pool = helper.make_node("GlobalAveragePool", ["x"], ["p"])
    data = graph_of([pool, helper.make_node("Flatten", ["p"], ["y"])], ("N", 3, "h", "w"))
    path.write_bytes(data)
    with pytest.raises(ModelError, match="say which"):
        hosted(path)
    assert hosted(path, size=(16, 16)).preprocessing.shape == (3, 16, 16)


def test_units_are_seen_and_explained(tmp_path: Path) -> None:
    model = hosted(written(network(7), tmp_path))
    maps = [info for info in model.layers if not info.unavailable and len(info.output_shape) == 3]
    assert len(maps) > 20
