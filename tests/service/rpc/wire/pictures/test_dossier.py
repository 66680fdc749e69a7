"""What a dossier says of exemplars, and of the units that an attack changes."""

import torch

from interp.attack.unit_flips import UnitFlips
from service.rpc.wire.pictures import dossier as wire_dossier
from striate.v1 import exemplars_pb2


def test_the_corner_is_a_place_too() -> None:
    corner = exemplars_pb2.Exemplar(row=0, column=0)
    assert wire_dossier.exemplar_facts(corner, has_position=True)["where"] == "row 0, column 0"
    assert wire_dossier.exemplar_facts(corner, has_position=False)["where"] == ""


def test_the_unit_itself_is_among_the_flips_with_its_rank() -> None:
    share = torch.linspace(1, 0, 20)
    flips = UnitFlips(share, torch.zeros(20))
    found = wire_dossier.unit_flips(flips, 18)
    assert [one.unit for one in found] == [*range(16), 18]
    assert [one.rank for one in found] == [*range(1, 17), 19]
    assert [one.unit for one in wire_dossier.unit_flips(flips, 3)] == list(range(16))
