"""The attacks as the command line spells them, which follow from the registry of attacks."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from types import ModuleType

import pytest

from striate import attacks
from striate._cli.robustness import attack_options
from striate._cli.robustness.attack_options import ATTACK, METHODS, parse
from striate.attacks import ATTACKS, Attack, NormName


@dataclass(frozen=True)
class Toy(Attack):
    """A toy.

    Attributes:
        stride: How far it goes, None for far.
    """

    epsilon: float = 8 / 255
    norm: NormName = "linf"
    stride: float | None = None


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as it is read where the registry holds one more attack."""
    monkeypatch.setattr(attacks, "ATTACKS", {**ATTACKS, "toy": Toy})
    yield importlib.reload(attack_options)
    monkeypatch.undo()
    importlib.reload(attack_options)


def test_every_attack_and_every_setting_is_known() -> None:
    assert {kind for kind, _ in METHODS.values()} == set(ATTACKS.values())
    settings = {one.name for kind in ATTACKS.values() for one in fields(kind)}
    assert set(ATTACK.parameters) == settings | {"method"}


def test_an_attack_is_added_through_the_registry_alone(with_toy: ModuleType) -> None:
    assert with_toy.parse("toy:stride=1/4") == Toy(stride=0.25)
    options = with_toy.ATTACK.parameters
    (option,) = options["stride"].annotation.__metadata__
    assert option.help == "How far it goes. For toy: far."
    chosen = dict.fromkeys(options) | {"method": "toy", "epsilon": 0.1, "norm": "l2"}
    assert with_toy.ATTACK.read(**chosen) == Toy(0.1, "l2")


def test_the_help_tells_whose_a_setting_is_and_its_defaults() -> None:
    def text(name: str) -> str:
        (option,) = ATTACK.parameters[name].annotation.__metadata__
        return str(option.help)

    assert text("steps") == "Gradient steps, 1 to 10000. For pgd: 40; apgd, fab: 100."
    assert text("keep").endswith("For fgsm: last; pgd: best.")
    assert text("random_start").endswith("For pgd: yes.")


def test_settings_are_parsed() -> None:
    attack = parse(
        "pgd:steps=100, "
        "restarts=5,random-start=yes,stop-when-fooled=no,step=2/255,loss=dlr,keep=last,decay=1"
    )
    assert attack == attacks.PGD(
        steps=100,
        restarts=5,
        random_start=True,
        stop_when_fooled=False,
        step=2 / 255,
        loss="dlr",
        keep="last",
        decay=1.0,
    )
    assert parse("apgd-t:steps=50") == attacks.APGD(steps=50, target_classes=9)
