"""Attacks are checked at the edge: each setting by its range, and whether the settings go
together.
"""

import math
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from interp.attack.base import Method, attack
from interp.attack.goal import least_likely
from interp.probe import solve
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire import attack as wire_attack
from service.rpc.wire import attack_methods as wire_methods
from striate.v1 import attack_pb2 as pb
from striate.v1 import audit_pb2
from tests.interp.toys_networks import images, tricky

NETWORK = tricky(size=4)  # 5 classes
MODEL = cast(HostedModel, SimpleNamespace(name="tricky", network=NETWORK))
PAIR = cast(
    HostedModel, SimpleNamespace(name="pair", network=SimpleNamespace(shape=(1, 4, 4), classes=2))
)
FGSM, PGD, APGD = (
    partial(pb.Fgsm, epsilon=0.1),
    partial(pb.Pgd, epsilon=0.1),
    partial(pb.Apgd, epsilon=0.1),
)
Rows = pb.RowSettings


def read(request: pb.AttackRequest, count: int = 2, model: HostedModel = MODEL) -> dict[str, Any]:
    """Everything that `wire_attack` reads of a request."""
    found: dict[str, Any] = {
        "choice": wire_attack.choice(request),
        "unit": wire_attack.unit(request, model, count),
    }
    found["seeds"] = wire_attack.seeds(request, count)
    if request.WhichOneof("method") == "epsilon_search":
        return {**found, "curve": wire_attack.curve(request, model)}
    return {**found, "method": wire_attack.method(request, model, count)}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "method"),
        ({"fgsm": pb.Fgsm()}, "fgsm.epsilon"),
        ({"fgsm": pb.Fgsm(epsilon=1.5)}, "fgsm.epsilon"),
        ({"fgsm": FGSM(norm=cast(Any, 9))}, "fgsm.norm"),
        ({"fgsm": FGSM(loss=cast(Any, 9))}, "fgsm.loss"),
        ({"fgsm": FGSM(keep=cast(Any, 9))}, "fgsm.keep"),
        ({"pgd": PGD(keep=cast(Any, 9))}, "pgd.keep"),
        ({"pgd": pb.Pgd(epsilon=math.nan)}, "pgd.epsilon"),
        ({"pgd": pb.Pgd(epsilon=7.0, norm=pb.NORM_L2)}, "pgd.epsilon"),  # sqrt(48) is 6.93
        ({"pgd": pb.Pgd(epsilon=48.5, norm=pb.NORM_L1)}, "pgd.epsilon"),
        ({"pgd": PGD(steps=10_001)}, "pgd.steps"),
        ({"pgd": PGD(step=-0.1)}, "pgd.step"),
        ({"pgd": PGD(step=math.inf)}, "pgd.step"),
        ({"pgd": PGD(restarts=101)}, "pgd.restarts"),
        ({"pgd": PGD(restarts=2, random_start=False)}, "pgd.restarts"),
        ({"pgd": PGD(decay=-1)}, "pgd.decay"),
        ({"apgd": APGD(steps=10_001)}, "apgd.steps"),
        ({"apgd": APGD(target_classes=1001)}, "apgd.target_classes"),
        ({"fab": pb.Fab(epsilon=0.1, target_classes=1001)}, "fab.target_classes"),
        ({"square": pb.Square(epsilon=0.1, queries=100_001)}, "square.queries"),
        ({"auto_attack": pb.AutoAttack()}, "auto_attack.epsilon"),
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
        ({"auto_attack": pb.AutoAttack(epsilon=0.1), "unit": pb.UnitGoal(unit="stem:0")}, "unit"),
        ({"apgd": APGD(target_classes=2), "unit": pb.UnitGoal(unit="stem:0")}, "unit"),
        ({"epsilon_search": pb.EpsilonSearch()}, "epsilon_search.epsilons"),
        ({"epsilon_search": pb.EpsilonSearch(epsilons=[0.2, 0.1])}, "epsilon_search.epsilons"),
        ({"epsilon_search": pb.EpsilonSearch(epsilons=[0.2, 1.2])}, "epsilon_search.epsilons[1]"),
        (
            {"epsilon_search": pb.EpsilonSearch(epsilons=[0.1], bisections=21)},
            "epsilon_search.bisections",
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
        read(pb.AttackRequest(**settings))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("settings", "least"),
    [({}, 3), ({"targets": [0, 1]}, 4), ({"target_choice": pb.TARGET_CHOICE_LEAST_LIKELY}, 4)],
)
def test_the_dlr_loss_needs_classes(settings: dict[str, Any], least: int) -> None:
    with pytest.raises(InvalidField, match=f"at least {least} classes; 'pair' has 2"):
        read(pb.AttackRequest(pgd=PGD(loss=pb.LOSS_DLR), **settings), model=PAIR)


def test_defaults_are_those_that_the_contract_states() -> None:
    found = read(pb.AttackRequest(pgd=pb.Pgd(epsilon=0.25)))
    assert (found["method"].epsilon, found["method"].p) == (0.25, math.inf)
    expected = {
        "steps": 40,
        "step": 2.5 * 0.25 / 40,
        "random_start": True,
        "keep_best": True,
        "stop_when_fooled": True,
    }
    assert found["method"].settings == {
        **expected,
        "restarts": 1,
        "decay": None,
        "loss": "cross-entropy",
    }
    assert found["choice"] is found["unit"] is found["seeds"] is None
    assert read(pb.AttackRequest(apgd=APGD()))["method"].settings == {
        "steps": 100,
        "loss": "cross-entropy",
        "restarts": 1,
    }
    assert read(pb.AttackRequest(apgd=APGD(target_classes=3)))["method"].name == "apgd-t"
    assert read(pb.AttackRequest(fab=pb.Fab(epsilon=0.1)))["method"].settings == {
        "steps": 100,
        "target_classes": 9,
    }
    square = read(pb.AttackRequest(square=pb.Square(epsilon=0.1)))["method"]
    assert square.settings == {"queries": 5000, "loss": "margin", "restarts": 1}
    curve = read(
        pb.AttackRequest(epsilon_search=pb.EpsilonSearch(epsilons=[0.25, 0.5], norm=pb.NORM_L1))
    )["curve"]
    assert (
        curve["epsilons"],
        curve["p"],
        curve["steps"],
        curve["bisections"],
        curve["random_start"],
    ) == ([0.25, 0.5], 1, 10, 0, False)
    assert (
        read(pb.AttackRequest(pgd=PGD(), target_choice=pb.TARGET_CHOICE_LEAST_LIKELY))["choice"]
        is least_likely
    )


def test_rows_get_their_own_settings() -> None:
    x, labels = images(3, 4), torch.tensor([0, 1, 2])
    rows = Rows(
        epsilons=[0.125, 0.25, 0.0],
        step_sizes=[0.0625, 0.03125, 1.0],
        steps=[3, 7, 2],
        seeds=[5, 6, 7],
    )
    found = read(pb.AttackRequest(pgd=pb.Pgd(), row_settings=rows), 3)
    together = solve(attack(x, labels, found["method"], seeds=found["seeds"]), NETWORK)
    for row in range(3):
        one = pb.Pgd(epsilon=rows.epsilons[row], step=rows.step_sizes[row], steps=rows.steps[row])
        method: Method = read(pb.AttackRequest(pgd=one), 1)["method"]
        alone = solve(
            attack(x[row : row + 1], labels[row : row + 1], method, seed=rows.seeds[row]), NETWORK
        )
        torch.testing.assert_close(alone.images[0], together.images[row], rtol=0, atol=1e-9)


def test_an_audits_attacks_take_epsilon_and_norm_from_elsewhere() -> None:
    entry = wire_methods.entry(audit_pb2.AuditAttack(pgd=pb.Pgd(steps=7)), "attacks[0]", MODEL)
    assert (entry.name, entry.label, entry.settings["step"]) == (
        "pgd",
        "PGD-7",
        "2.5 epsilon / steps",
    )
    labels = {
        "PGD-40": audit_pb2.AuditAttack(pgd=pb.Pgd()),
        "PGD-40 decay 1 margin x5": audit_pb2.AuditAttack(
            pgd=pb.Pgd(decay=1, loss=pb.LOSS_MARGIN, restarts=5)
        ),
        "FGSM": audit_pb2.AuditAttack(fgsm=pb.Fgsm()),
        "APGD-T-20": audit_pb2.AuditAttack(apgd=pb.Apgd(steps=20, target_classes=2)),
        "Square-100": audit_pb2.AuditAttack(square=pb.Square(queries=100)),
        "AutoAttack": audit_pb2.AuditAttack(auto_attack=pb.AutoAttack()),
    }
    assert [
        wire_methods.entry(message, "attacks[0]", MODEL).label for message in labels.values()
    ] == list(labels)
    assert entry.method(0.25, 2).settings["step"] == 2.5 * 0.25 / 7
    for message in (pb.Pgd(epsilon=0.1), pb.Pgd(norm=pb.NORM_L2)):
        with pytest.raises(InvalidField) as refused:
            wire_methods.entry(audit_pb2.AuditAttack(pgd=message), "attacks[0]", MODEL)
        assert refused.value.field == "attacks[0].pgd"
    with pytest.raises(InvalidField, match="is required"):
        wire_methods.entry(audit_pb2.AuditAttack(), "attacks[1]", MODEL)
