"""The logits are found in whatever a network returns, or what it returns is named."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.network.load_checks.outputs import find_logits
from interp.network.network import Network
from tests.interp.toys_networks import MEAN, STD

Named = namedtuple("Named", "logits aux_logits")  # as torchvision's googlenet returns
Plain = namedtuple("Plain", "first second")


class ModelOutput(OrderedDict[str, Any]):
    """As transformers has it: a table whose entries are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


@dataclass
class Result:
    logits: Tensor
    features: Tensor


class Returning(nn.Module):
    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.head, self.pack = nn.Linear(6, 5), pack

    def forward(self, x: Tensor) -> Any:
        maps = self.norm(self.conv(x))
        return self.pack(self.head(maps.mean((2, 3))), maps)


ACCEPTED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a tensor": lambda z, _: z,
    "(B, C, 1, 1)": lambda z, _: z[:, :, None, None],
    "a tuple of one": lambda z, _: (z,),
    "a tuple with maps": lambda z, maps: (z, maps),
    "a tuple with None": lambda z, _: (z, None),
    "maps before the logits": lambda z, maps: (maps, z),
    "a list of one": lambda z, _: [z],
    "a list with maps": lambda z, maps: [z, maps],
    "logits of a table": lambda z, maps: {"features": maps.mean((2, 3)), "logits": z},
    "out of a table": lambda z, maps: OrderedDict(out=z, aux=z * 2),
    "the only entry": lambda z, maps: {"prediction": z, "maps": maps},
    "a table in a tuple": lambda z, maps: ({"logits": z[:, :, None, None]}, maps),
    "a ModelOutput": lambda z, maps: ModelOutput(loss=None, logits=z, hidden_states=(maps,)),
    "a named tuple": lambda z, _: Named(z, z * 2),
    "a data class": lambda z, maps: Result(z, maps),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    module = Returning(ACCEPTED[name]).eval()
    x = torch.rand(2, 3, 8, 8)
    network = Network(module, (3, 8, 8), MEAN, STD)
    plain = Returning(ACCEPTED["a tensor"]).eval()
    expected = Network(plain, (3, 8, 8), MEAN, STD, fold=False).logits(x)
    torch.testing.assert_close(network.logits(x), expected)
    assert network.layers == ("conv", "norm", "head")
    assert network.classes == 5
    assert network.doubts == []
    assert type(module) is Returning, "the user's own object is as it was"


REFUSED: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "maps": (lambda z, maps: maps, r"it returns a tensor \(3, 6, 6, 6\)"),
    "two in a list": (lambda z, _: [z, z], r"list of 2 \(a tensor \(3, 5\), a tensor \(3, 5\)\)"),
    "two in a table": (
        lambda z, _: {"a": z, "b": z},
        r"dict of 2 \('a': a tensor \(3, 5\), 'b': a tensor \(3, 5\)\)",
    ),
    "out is a map": (lambda z, maps: {"out": maps, "aux": z}, r"'out': a tensor \(3, 6, 6, 6\)"),
    "classes": (lambda z, _: z.argmax(1), r"a int64 tensor \(3,\)"),
    "nothing": (lambda z, _: None, "NoneType"),
    "no entry": (lambda z, _: (), "tuple of 0"),
    "one row": (lambda z, _: z[:1], r"of 3 images it returns a tensor \(1, 5\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    pack, found = REFUSED[name]
    with pytest.raises(ValueError, match=found) as caught:
        Network(Returning(pack), (3, 8, 8), MEAN, STD)
    assert "return one tensor (3, classes), or name it 'logits'" in str(caught.value)


def test_a_choice_among_several_is_told() -> None:
    network = Network(Returning(lambda z, maps: Plain(z, maps.mean((2, 3)))), (3, 8, 8), MEAN, STD)
    (doubt,) = network.doubts
    assert "output[0] of the network is taken for the logits" in doubt
    assert "a tensor (1, 6) at [1]" in doubt
    assert network.classes == 5


def test_one_class_is_no_axis_of_length_one() -> None:
    path = find_logits(torch.zeros(4, 1, 1, 1), 4)
    assert path.of(torch.zeros(4, 1, 1, 1)).shape == (4, 1)
    assert find_logits(torch.zeros(4, 1), 4).of(torch.zeros(4, 1)).shape == (4, 1)
