"""Attacks are checked at the edge: each setting by its range, and whether the settings go
together.
"""

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from interp.attack.base import Method, attack
from interp.attack.goal import CROSS_ENTROPY, least_likely
from interp.probe import solve
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.robustness import attack as wire_attack
from service.rpc.wire.robustness.attack import AttackSpec, EpsilonSearch
from striate.v1 import attack_pb2 as pb
from tests.interp.toys_networks import images, tricky

NETWORK = tricky(size=4)  # 5 classes
MODEL = cast(HostedModel, SimpleNamespace(name="tricky", network=NETWORK, classes=()))
PAIR = cast(
    HostedModel, SimpleNamespace(name="pair", network=SimpleNamespace(shape=(1, 4, 4), classes=2))
)
FGSM, PGD, APGD = pb.Fgsm, pb.Pgd, pb.Apgd
Rows = pb.RowSettings
METHODS = pb.AttackMethod.DESCRIPTOR.fields_by_name


def attack_request(**fields: Any) -> pb.AttackRequest:
    """A request whose methods are told apart by their names, by default at epsilon 0.1."""
    method = {name: fields.pop(name) for name in list(fields) if name in METHODS}
    if method:
        fields = {"epsilon": 0.1, "method": pb.AttackMethod(**method), **fields}
    return pb.AttackRequest(**fields)


def read(request: pb.AttackRequest, count: int = 2, model: HostedModel = MODEL) -> AttackSpec:
    return wire_attack.read_attack(request, model, count)


def method_of(request: pb.AttackRequest) -> Method:
    search = read(request).search
    assert isinstance(search, Method)
    return search


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "method"),
        ({"method": pb.AttackMethod(fgsm=FGSM())}, "epsilon"),
        ({"method": pb.AttackMethod(), "epsilon": 0.1}, "method"),
        ({"fgsm": FGSM(), "epsilon": 1.5}, "epsilon"),
        ({"fgsm": FGSM(), "norm": cast(Any, 9)}, "norm"),
        ({"fgsm": FGSM(loss=cast(Any, 9))}, "method.fgsm.loss"),
        ({"fgsm": FGSM(keep=cast(Any, 9))}, "method.fgsm.keep"),
        ({"pgd": PGD(keep=cast(Any, 9))}, "method.pgd.keep"),
        ({"pgd": PGD(), "epsilon": math.nan}, "epsilon"),
        ({"pgd": PGD(), "epsilon": 7.0, "norm": pb.NORM_L2}, "epsilon"),  # sqrt(48) is 6.93
        ({"pgd": PGD(), "epsilon": 48.5, "norm": pb.NORM_L1}, "epsilon"),
        ({"pgd": PGD(steps=10_001)}, "method.pgd.steps"),
        ({"pgd": PGD(step=-0.1)}, "method.pgd.step"),
        ({"pgd": PGD(step=math.inf)}, "method.pgd.step"),
        ({"pgd": PGD(restarts=101)}, "method.pgd.restarts"),
        ({"pgd": PGD(restarts=2, random_start=False)}, "method.pgd.restarts"),
        ({"pgd": PGD(decay=-1)}, "method.pgd.decay"),
        ({"apgd": APGD(steps=10_001)}, "method.apgd.steps"),
        ({"apgd": APGD(target_classes=1001)}, "method.apgd.target_classes"),
        ({"fab": pb.Fab(target_classes=1001)}, "method.fab.target_classes"),
        ({"square": pb.Square(queries=100_001)}, "method.square.queries"),
        ({"method": pb.AttackMethod(auto_attack=pb.AutoAttack())}, "epsilon"),
        (
            {"epsilon_search": pb.EpsilonSearch(epsilons=[0.1]), "epsilon": 0.1},
            "epsilon",
        ),
        ({"fgsm": FGSM(), "row_settings": Rows(epsilons=[0.1])}, "row_settings.epsilons"),
        ({"fgsm": FGSM(), "row_settings": Rows(epsilons=[0.1, 1.1])}, "row_settings.epsilons[1]"),
        ({"fgsm": FGSM(), "row_settings": Rows(steps=[1, 1])}, "row_settings.steps"),
        ({"pgd": PGD(), "row_settings": Rows(steps=[1, 0])}, "row_settings.steps[1]"),
        ({"pgd": PGD(), "row_settings": Rows(step_sizes=[-1, 0])}, "row_settings.step_sizes[0]"),
        ({"pgd": PGD(), "row_settings": Rows(step_sizes=[1])}, "row_settings.step_sizes"),
        ({"pgd": PGD(), "row_settings": Rows(seeds=[1])}, "row_settings.seeds"),
        ({"pgd": PGD(), "target_choice": 9}, "target_choice"),
        (
            {"pgd": PGD(), "targets": [0, 1], "target_choice": pb.TARGET_CHOICE_RANDOM},
            "target_choice",
        ),
        ({"pgd": PGD(), "targets": [0, 1], "unit": pb.UnitGoal(unit="stem:0")}, "unit"),
        ({"pgd": PGD(), "unit": pb.UnitGoal(unit="stem")}, "unit.unit"),
        ({"pgd": PGD(), "unit": pb.UnitGoal(unit="stem:8")}, "unit.unit (unit of stem)"),
        ({"pgd": PGD(), "unit": pb.UnitGoal(unit="stem:0@4,0")}, "unit.unit (row)"),
        ({"pgd": PGD(), "unit": pb.UnitGoal(unit="stem:0", level=math.nan)}, "unit.level"),
        ({"auto_attack": pb.AutoAttack(), "unit": pb.UnitGoal(unit="stem:0")}, "unit"),
        ({"apgd": APGD(target_classes=2), "unit": pb.UnitGoal(unit="stem:0")}, "unit"),
        ({"epsilon_search": pb.EpsilonSearch()}, "epsilon_search.epsilons"),
        ({"epsilon_search": pb.EpsilonSearch(epsilons=[0.2, 0.1])}, "epsilon_search.epsilons"),
        ({"epsilon_search": pb.EpsilonSearch(epsilons=[0.2, 1.2])}, "epsilon_search.epsilons[1]"),
        (
            {"epsilon_search": pb.EpsilonSearch(epsilons=[0.1], bisections=21)},
            "epsilon_search.bisections",
        ),
        (
            {"epsilon_search": pb.EpsilonSearch(epsilons=[0.1], fab_steps=10_001)},
            "epsilon_search.fab_steps",
        ),
        (
            {
                "epsilon_search": pb.EpsilonSearch(epsilons=[0.1], fab_steps=1),
                "unit": pb.UnitGoal(unit="stem:0"),
            },
            "epsilon_search.fab_steps",
        ),
        (
            {
                "epsilon_search": pb.EpsilonSearch(epsilons=[0.1]),
                "row_settings": Rows(epsilons=[0.1, 0.2]),
            },
            "row_settings.epsilons",
        ),
    ],
)
def test_what_is_out_of_range_or_does_not_fit_is_named(
    settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        read(attack_request(**settings))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("settings", "least"),
    [({}, 3), ({"targets": [0, 1]}, 4), ({"target_choice": pb.TARGET_CHOICE_LEAST_LIKELY}, 4)],
)
def test_the_dlr_loss_needs_classes(settings: dict[str, Any], least: int) -> None:
    with pytest.raises(InvalidField, match=f"at least {least} classes; 'pair' has 2"):
        read(attack_request(pgd=PGD(loss=pb.LOSS_DLR), **settings), model=PAIR)


def test_defaults_are_those_that_the_contract_states() -> None:
    found = read(attack_request(pgd=pb.Pgd(), epsilon=0.25))
    assert (found.epsilon, found.p, found.seed, found.first_row) == (0.25, math.inf, 0, 0)
    for given in (found.labels, found.targets, found.unit, found.seeds):
        assert given is None
    assert not found.eight_bit
    assert not found.noise_control
    assert method_of(attack_request(pgd=pb.Pgd())).settings == {
        "steps": 40,
        "step": "2.5 epsilon / steps",
        "random_start": True,
        "keep_best": True,
        "stop_when_fooled": True,
        "restarts": 1,
        "decay": None,
        "loss": "cross-entropy",
    }
    assert method_of(attack_request(apgd=APGD())).settings == {
        "steps": 100,
        "loss": "cross-entropy",
        "restarts": 1,
    }
    assert method_of(attack_request(apgd=APGD(target_classes=3))).name == "apgd-t"
    assert method_of(attack_request(fab=pb.Fab())).settings == {"steps": 100, "target_classes": 9}
    square = method_of(attack_request(square=pb.Square()))
    assert square.settings == {"queries": 5000, "loss": "margin", "restarts": 1}
    search = pb.EpsilonSearch(epsilons=[0.25, 0.5])
    curve = read(attack_request(epsilon_search=search, norm=pb.NORM_L1))
    assert curve.search == EpsilonSearch((0.25, 0.5), 10, 0, 0, False, CROSS_ENTROPY)
    assert (curve.epsilon, curve.p) == (None, 1)
    choice = attack_request(pgd=PGD(), target_choice=pb.TARGET_CHOICE_LEAST_LIKELY)
    assert read(choice).targets is least_likely


def test_rows_get_their_own_settings() -> None:
    x, labels = images(3, 4), torch.tensor([0, 1, 2])
    rows = Rows(
        epsilons=[0.125, 0.25, 0.0],
        step_sizes=[0.0625, 0.03125, 1.0],
        steps=[3, 7, 2],
        seeds=[5, 6, 7],
    )
    found = read(attack_request(pgd=pb.Pgd(), row_settings=rows), 3)
    assert isinstance(found.search, Method)
    assert found.epsilon is not None
    together = solve(
        attack(x, labels, found.search, epsilon=found.epsilon, seeds=found.seeds), NETWORK
    )
    for row in range(3):
        one = pb.Pgd(step=rows.step_sizes[row], steps=rows.steps[row])
        method = method_of(attack_request(pgd=one, epsilon=rows.epsilons[row]))
        part, epsilon = slice(row, row + 1), rows.epsilons[row]
        alone = solve(
            attack(x[part], labels[part], method, epsilon=epsilon, seed=rows.seeds[row]), NETWORK
        )
        torch.testing.assert_close(alone.images[0], together.images[row], rtol=0, atol=1e-9)


def test_labels_are_classes_one_an_image() -> None:
    for labels, field in (([0, 5], "labels[1]"), ([0], "labels")):
        with pytest.raises(InvalidField) as refused:
            read(attack_request(pgd=PGD(), labels=labels))
        assert refused.value.field == field


ONE = cast(
    HostedModel,
    SimpleNamespace(name="one", network=SimpleNamespace(shape=(1, 4, 4), classes=1)),
)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    "choice",
    [
        pb.TARGET_CHOICE_UNSPECIFIED,
        pb.TARGET_CHOICE_RANDOM,
        pb.TARGET_CHOICE_LEAST_LIKELY,
    ],
)
def test_a_network_of_one_class_has_no_wrong_class_to_find(
    method: str, choice: pb.TargetChoice
) -> None:
    request = attack_request(target_choice=choice)
    request.epsilon = 0.1
    getattr(request.method, method).SetInParent()
    with pytest.raises(InvalidField, match="'one' has one class: there is nothing to take it for"):
        read(request, model=ONE)


def test_a_curve_of_a_network_of_one_class_has_no_wrong_class_to_find() -> None:
    request = pb.AttackRequest(epsilon_search=pb.EpsilonSearch(epsilons=[0.1]))
    with pytest.raises(InvalidField, match="one class"):
        read(request, model=ONE)
