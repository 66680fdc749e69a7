"""What a hosted network answers, against plain autograd on plain functions; and that it leaves no
trace.
"""

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from interp.attack.losses import cross_entropy, margin
from interp.layer import LayerPath, UnknownLayer
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Answer, Probe
from tests.interp.toys_networks import images, passing, plain, raw, tricky

LAYERS = ("stem.0", "stem.1", "stem.2", "stem", "act", "twice", "down", "norm", "head")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}

dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def close(actual: Tensor | None, expected: Tensor, dtype: torch.dtype = torch.float64) -> None:
    assert actual is not None
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=TOLERANCE[dtype] * max(1.0, float(expected.abs().max()))
    )


def objectives(rows: int) -> list[Objective]:
    units = [
        activation([LayerPath(layer, row % 3) for row in range(rows)])
        for layer in (*LAYERS, "logits")
    ]
    labels = torch.arange(rows) % 5
    whole = activation([LayerPath("twice")] * rows)
    mixed = activation(
        [
            LayerPath.parse(("stem.0:1", "down:2@1,3", "logits:0", "act")[row % 4], LAYERS)
            for row in range(rows)
        ]
    )
    return [
        *units,
        whole,
        mixed,
        cross_entropy(labels),
        margin(labels),
        cross_entropy(labels) - 0.1 * whole,
    ]


def test_layers_are_listed_in_the_order_in_which_they_finish() -> None:
    network = tricky()
    assert network.layers == LAYERS
    assert network.classes == 5
    with torch.no_grad():
        assert network.output_shapes == {
            name: a.shape[1:] for name, a in plain(raw(network), images(1)).items()
        }


@dtypes
def test_activations_are_those_before_anything_overwrites_them(dtype: torch.dtype) -> None:
    network, x = tricky(dtype), images(5, dtype=dtype)
    expected = plain(raw(network), x)
    seen = network.activations(x, [*LAYERS, "logits"])
    assert list(seen) == [*LAYERS, "logits"]
    for name, value in seen.items():
        close(value, expected[name], dtype)
        assert not value.requires_grad
        close(
            network.activations(x, [name])[name], expected[name], dtype
        )  # where the forward pass stops behind it
    close(network.logits(x), expected["logits"], dtype)


@dtypes
@pytest.mark.parametrize("number", range(len(objectives(1))))
def test_scores_and_gradients_are_those_of_plain_autograd(number: int, dtype: torch.dtype) -> None:
    network, x = tricky(dtype), images(4, dtype=dtype)
    objective = objectives(4)[number]
    (answer,) = network.answer([Probe(x, objective, logits=True, layers=("norm", "stem.0"))])
    point = x.clone().requires_grad_()
    seen = plain(raw(network), point)
    score = objective(seen)
    (grad,) = torch.autograd.grad(score.sum(), point)
    assert grad.abs().amax((1, 2, 3)).min() > 0  # or the comparison would say nothing
    close(answer.score, score.detach(), dtype)
    close(answer.grad, grad, dtype)
    close(answer.logits, seen["logits"].detach(), dtype)
    assert set(answer.activations) == {"norm", "stem.0"}
    for name, value in answer.activations.items():
        close(value, seen[name].detach(), dtype)
    for tensor in (answer.score, answer.grad, answer.logits, *answer.activations.values()):
        assert tensor is not None
        assert not tensor.requires_grad


class Row(nn.Module):
    """Layers in a row that count their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4)))
        self.head = nn.Linear(3, 2)
        self.calls: list[str] = []
        for name, module in self.named_modules():
            if not list(module.children()):
                module.register_forward_pre_hook(lambda _, __, name=name: self.calls.append(name))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("layers", "logits", "last"),
    [
        (["body.0"], False, "body.0"),
        (["body.2", "body.1"], False, "body.2"),
        (["body"], False, "body.3"),
        (["body.0"], True, "head"),
        (["logits"], False, "head"),
    ],
)
def test_the_forward_pass_ends_at_the_deepest_layer_that_is_asked_for(
    layers: list[str], logits: bool, last: str
) -> None:
    module = Row()
    network = Network(module, (3, 4, 4), [0.5] * 3, [0.5] * 3)
    x, order = images(4, 4, torch.float32), ["body.0", "body.1", "body.2", "body.3", "head"]
    expected = order[: order.index(last) + 1]
    forward_only = Probe(x[:1], logits=logits, layers=tuple(layers))
    objective = activation([LayerPath(layers[row % len(layers)], 1) for row in range(3)])
    climbing = Probe(x[1:], objective, logits=logits)
    for probe in (forward_only, climbing):
        module.calls.clear()
        (answer,) = network.answer([probe])
        assert module.calls == expected
        assert (answer.logits is not None) is logits


def test_modules_that_never_run_or_give_no_tensor_are_no_layers() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.pair, self.head = nn.Conv2d(3, 1, 1), Pair(), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.pair(x)[0])  # type: ignore[no-any-return]

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean((2, 3)), x

    network = Network(Odd(), (3, 4, 4), [0.0] * 3, [1.0] * 3)
    assert network.layers == ("head",)
    with pytest.raises(UnknownLayer):
        network.activations(images(1, 4), ["unused"])


def probes_of_all_kinds() -> list[Probe]:
    rows = [2, 1, 3, 1, 2, 1, 2]
    xs = torch.split(images(sum(rows)), rows)
    return [
        Probe(xs[0], cross_entropy(torch.tensor([0, 4]))),
        Probe(xs[1], activation([LayerPath("stem.0", 3)]), logits=True),
        Probe(xs[2], cross_entropy(torch.tensor([1, 2, 3])), layers=("act", "head")),
        Probe(xs[3], margin(torch.tensor([2])), gradient=False),
        Probe(xs[4], layers=("twice",), logits=True),
        Probe(
            xs[5], activation([LayerPath("norm")]) - cross_entropy(torch.tensor([1])), redirect=True
        ),
        Probe(xs[6], activation([LayerPath("stem.0", 1), LayerPath("stem.0", 5)])),
    ]


def parts(answer: Answer) -> Mapping[str, Tensor]:
    values = {
        "score": answer.score,
        "grad": answer.grad,
        "logits": answer.logits,
        **answer.activations,
    }
    return {name: value for name, value in values.items() if value is not None}


def test_company_does_not_change_an_answer() -> None:
    network, probes = tricky(), probes_of_all_kinds()
    for together, probe in zip(network.answer(probes), probes, strict=True):
        (alone,) = network.answer([probe])
        assert parts(together).keys() == parts(alone).keys()
        for name, value in parts(alone).items():
            close(parts(together)[name], value)


def test_all_that_differentiates_shares_one_pass() -> None:
    network, sizes = tricky(), list[int]()
    handle = passing(network, sizes)
    network.answer(probes_of_all_kinds())
    handle.remove()
    assert sorted(sizes) == [1, 3, 8]  # redirected, forward only, and the others


def test_nothing_is_left_behind() -> None:
    network = tricky()
    module, before = network.module, copy.deepcopy(network.module.state_dict())
    hooks = [len(m._forward_hooks) for m in module.modules()]

    def fails(_: Mapping[str, Tensor]) -> Tensor:
        raise ZeroDivisionError("on purpose")

    network.answer(probes_of_all_kinds())
    network.activations(images(2), ["stem"])
    with pytest.raises(ZeroDivisionError):
        network.answer([Probe(images(2), Objective(("twice", "logits"), fails))])
    with pytest.raises(UnknownLayer, match="twic") as caught:
        network.answer([Probe(images(2), activation([LayerPath("twic", 0)] * 2))])
    assert caught.value.nearest == ["twice"]
    with pytest.raises(RuntimeError):
        network.answer([Probe(images(2)[:, :2], layers=("down",))])
    assert [len(m._forward_hooks) for m in module.modules()] == hooks == [0] * len(hooks)
    assert all(p.grad is None and not p.requires_grad for p in module.parameters())
    assert not any(m.training for m in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.is_grad_enabled()


def test_images_are_not_touched() -> None:
    network, x = tricky(), images(2)
    kept = x.clone().requires_grad_()
    network.answer([Probe(kept, cross_entropy(torch.tensor([0, 1])))])
    assert torch.equal(kept, x)
    assert kept.grad is None


def test_a_wider_picture_than_the_network_was_traced_at() -> None:
    network, x = tricky(), images(2, size=14)
    objective = activation([LayerPath("down", 1, (6, 6)), LayerPath("twice", 2)])
    (answer,) = network.answer([Probe(x, objective)])
    point = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(objective(plain(raw(network), point)).sum(), point)
    close(answer.grad, grad)


@pytest.mark.parametrize("module", [nn.Conv2d(3, 2, 1), nn.Identity(), nn.Flatten(0)])
def test_what_gives_no_row_of_logits_is_refused(module: nn.Module) -> None:
    with pytest.raises(ValueError, match="one row of logits"):
        Network(module, (3, 4, 4), [0.0] * 3, [1.0] * 3)
