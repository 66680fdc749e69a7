"""Every kind of parameterization in the contract has a reader, and goes by its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from interp.feature.params.base import ParameterizationSpec
from interp.feature.params.pixels import Pixels
from interp.feature.settings import PictureSettings
from interp.feature.visualize import visualize_units
from interp.layer import LayerPath
from interp.probe import solve
from service.rpc.wire.pictures import parameterizations as wire_parameterizations
from service.rpc.wire.pictures import settings as wire_settings
from striate.v1 import visualize_pb2 as pb
from tests.interp.toys_networks import tricky

KINDS = [field.name for field in pb.Parameterization.DESCRIPTOR.oneofs_by_name["kind"].fields]


def of_kind(kind: str) -> pb.Parameterization:
    message = pb.Parameterization()
    getattr(message, kind).SetInParent()
    if kind == "maco":
        message.maco.dataset = "d"
    return message


def test_the_registry_has_the_kinds_of_the_contract() -> None:
    assert sorted(wire_parameterizations.READERS) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_goes_by_the_name_of_its_kind(kind: str) -> None:
    assert wire_parameterizations.read(of_kind(kind), "p").name == kind


def test_the_default_is_that_of_the_contract() -> None:
    default = wire_parameterizations.read(pb.Parameterization(), "p")
    assert default == wire_parameterizations.read(of_kind("fourier"), "p")
    assert default == PictureSettings((3, 8, 8)).parameterization


@dataclass(frozen=True)
class Striped(ParameterizationSpec):
    """A toy: one row of pixels, repeated down the picture."""

    name: ClassVar[str] = "striped"
    encodes: ClassVar[bool] = False

    def build(self, shape: tuple[int, int, int], like: Tensor) -> "Stripes":
        return Stripes((shape[0], 1, shape[2]), like, height=shape[1])


@dataclass(frozen=True)
class Stripes(Pixels):
    height: int = 1

    def image(self, z: Tensor) -> Tensor:
        return z.sigmoid().expand(-1, -1, self.height, -1)


def test_a_parameterization_is_added_by_a_row_of_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readers: Mapping[str, Any] = {"pixels": lambda message, field: Striped()}
    monkeypatch.setattr(wire_parameterizations, "READERS", readers)
    message = pb.PictureSettings(steps=4, parameterization=of_kind("pixels"))
    made = wire_settings.read(message, (3, 8, 8), (8, 8))
    network = tricky()
    like = torch.zeros((), dtype=torch.float64)
    found = solve(visualize_units([LayerPath("down", 3)], like, made), network)
    assert torch.equal(found.images, found.images[:, :, :1].expand_as(found.images))
    assert found.images.std() > 0
