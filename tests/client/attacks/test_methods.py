"""The attacks as values, and all that a request says about them."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

import striate
from striate import images
from striate._requests.attack_method import attack_method
from striate.attacks import ATTACKS
from striate.v1 import attack_pb2 as pb
from tests.client.fakes.fakes_server import CLASSES, SHAPE, Fake, adversarial

IMAGES = np.random.default_rng(4).integers(0, 256, (21, 4, 5, 3), dtype=np.uint8)


def sent(fake: Fake, net: striate.Model, attack: Any, **options: Any) -> pb.AttackRequest:
    net.attack(IMAGES[:2], None, attack, **options)
    request: pb.AttackRequest = fake.requests("Attack")[-1]
    return request


@pytest.mark.parametrize(
    ("attack", "field", "values"),
    [
        (striate.FGSM(norm="l1", loss="dlr"), "fgsm", {"loss": "LOSS_DLR"}),
        (
            striate.PGD(steps=7, loss="margin", restarts=3, decay=0.5, step=0.0),
            "pgd",
            {
                "steps": 7,
                "loss": "LOSS_MARGIN",
                "restarts": 3,
                "decay": 0.5,
                "step": 0.0,
            }
            | {"randomStart": True, "stopWhenFooled": True},
        ),
        (striate.APGD(), "apgd", {"steps": 100, "restarts": 1}),
        (
            striate.APGD(norm="l2", steps=50, loss="cross-entropy", restarts=2, target_classes=9),
            "apgd",
            {
                "steps": 50,
                "loss": "LOSS_CROSS_ENTROPY",
                "restarts": 2,
                "targetClasses": 9,
            },
        ),
        (striate.FAB(), "fab", {"steps": 100, "targetClasses": 9}),
        (striate.Square(queries=10), "square", {"queries": 10, "restarts": 1}),
        (
            striate.Square(loss="margin", restarts=2),
            "square",
            {"restarts": 2, "loss": "LOSS_MARGIN"},
        ),
        (striate.AutoAttack(norm="l2"), "auto_attack", {}),
    ],
)
def test_attacks_travel_whole_beside_their_ball(
    fake: Fake, net: striate.Model, attack: Any, field: str, values: dict[str, Any]
) -> None:
    request = sent(fake, net, attack)
    assert (request.epsilon, pb.Norm.Name(request.norm)) == (
        attack.epsilon,
        f"NORM_{attack.norm.upper()}",
    )
    assert request.method.WhichOneof("method") == field
    told = MessageToDict(getattr(request.method, field))
    assert values.items() <= told.items()
    if isinstance(attack, striate.APGD | striate.FAB | striate.AutoAttack):
        assert told.keys() == values.keys(), "what is not set stays unset"


def test_audits_leave_the_ball_out(fake: Fake, service: striate.Service) -> None:
    kinds: Any = ATTACKS.values()
    attacks = [kind(epsilon=0.5, norm="l2") for kind in kinds]
    service.audit("tiny", "digits", attacks=attacks)
    (request,) = fake.requests("Audit")
    assert list(request.attacks) == [attack_method(kind(), "") for kind in ATTACKS.values()]


def test_the_registry_holds_every_attack_of_the_contract() -> None:
    assert list(ATTACKS) == [field.name for field in pb.AttackMethod.DESCRIPTOR.fields]
    kinds: dict[Any, Any] = {
        getattr(pb.AttackMethod(), name).DESCRIPTOR: kind for name, kind in ATTACKS.items()
    } | {pb.EpsilonSearch.DESCRIPTOR: striate.EpsilonSearch}
    for message, kind in kinds.items():
        settings = {field.name for field in dataclasses.fields(kind)} - {"epsilon", "norm"}
        assert settings == set(message.fields_by_name), kind
        assert getattr(striate, kind.__name__) is kind


def test_names_of_losses_and_norms_are_the_contracts() -> None:
    losses = {
        None: "LOSS_UNSPECIFIED",
        "cross-entropy": "LOSS_CROSS_ENTROPY",
        "margin": "LOSS_MARGIN",
        "dlr": "LOSS_DLR",
    }
    for loss, name in losses.items():
        assert pb.Loss.Name(attack_method(striate.PGD(loss=loss), "").pgd.loss) == name  # type: ignore[arg-type]


def test_numbers_of_other_libraries_become_pythons_own() -> None:
    foreign: dict[str, Any] = {
        "epsilon": np.float32(0.5),
        "step": np.float64(0.25),
        "steps": np.int64(3),
        "random_start": np.bool_(False),
    }
    attack = striate.PGD(**foreign)
    assert {
        name: type(value)
        for name, value in vars(attack).items()
        if value is not None and name not in ("norm",)
    } == {
        "epsilon": float,
        "step": float,
        "steps": int,
        "random_start": bool,
        "stop_when_fooled": bool,
        "restarts": int,
    }
    assert attack == striate.PGD(epsilon=0.5, step=0.25, steps=3, random_start=False)
    assert hash(attack) == hash(dataclasses.replace(attack))


@pytest.mark.parametrize(
    ("make", "field", "words"),
    [
        (lambda: striate.FGSM(epsilon=8), "epsilon", "divide by 255"),
        (lambda: striate.FGSM(epsilon=300.0), "epsilon", "0 to 1"),
        (lambda: striate.FGSM(epsilon="8/255"), "epsilon", "8/255"),  # type: ignore[arg-type]
        (lambda: striate.FGSM(epsilon=-1e-9), "epsilon", "0 to 1"),
        (lambda: striate.PGD(epsilon=math.inf, norm="l2"), "epsilon", "finite"),
        (lambda: striate.PGD(epsilon=math.nan, norm="l1"), "epsilon", "finite"),
        (lambda: striate.PGD(epsilon=None), "epsilon", "None"),  # type: ignore[arg-type]
        (lambda: striate.PGD(steps=10_001), "steps", "1 to 10000"),
        (lambda: striate.PGD(steps=2.0), "steps", "whole number"),  # type: ignore[arg-type]
        (lambda: striate.PGD(step=math.inf), "step", "finite"),
        (lambda: striate.PGD(restarts=0), "restarts", "1 to 100"),
        (lambda: striate.PGD(restarts=101), "restarts", "1 to 100"),
        (lambda: striate.PGD(restarts=2, random_start=False), "restarts", "random_start"),
        (lambda: striate.PGD(decay=-0.1), "decay", "0 to 10"),
        (lambda: striate.PGD(decay=10.1), "decay", "0 to 10"),
        (lambda: striate.PGD(loss="hinge"), "loss", "'margin'"),  # type: ignore[arg-type]
        (lambda: striate.APGD(target_classes=1001), "target_classes", "0 to 1000"),
        (lambda: striate.APGD(steps=0), "steps", "1 to 10000"),
        (lambda: striate.FAB(target_classes=0), "target_classes", "1 to 1000"),
        (lambda: striate.Square(queries=0), "queries", "1 to 100000"),
        (lambda: striate.AutoAttack(norm="linfty"), "norm", "'linf'"),  # type: ignore[arg-type]
        (lambda: striate.EpsilonSearch(), "epsilons", "1 to 64"),
        (lambda: striate.EpsilonSearch(tuple(n / 255 for n in range(65))), "epsilons", "are 65"),
        (lambda: striate.EpsilonSearch((0.1, 0.1)), "epsilons", "rise"),
        (lambda: striate.EpsilonSearch((0.1, 2.0)), "epsilons[1]", "divide by 255"),
        (lambda: striate.EpsilonSearch((0.1,), bisections=21), "bisections", "0 to 20"),
        (lambda: striate.EpsilonSearch((0.1,), fab_steps=10_001), "fab_steps", "0 to 10000"),
        (lambda: striate.EpsilonSearch(0.1), "epsilons", "radii"),  # type: ignore[arg-type]
        (lambda: striate.Silence("stem"), "unit", "layer:unit"),
        (lambda: striate.Silence(""), "unit", "layer:unit"),
        (lambda: striate.Drive(7), "unit", "layer:unit"),  # type: ignore[arg-type]
        (lambda: striate.Drive("stem:1", level=math.nan), "level", "finite"),
        (
            lambda: attack_method(striate.EpsilonSearch((0.1,)), "attacks[3]"),  # type: ignore[arg-type]
            "attacks[3]",
            "EpsilonSearch",
        ),
        (lambda: attack_method("pgd", "attacks[0]"), "attacks[0]", "is str"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make: Any, field: str, words: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make()
    assert list(caught.value.fields) == [field]
    assert words in str(caught.value)


def test_large_balls_of_other_norms_are_fine() -> None:
    assert striate.PGD(epsilon=12, norm="l1").epsilon == 12.0
    assert striate.FGSM(epsilon=0).epsilon == 0.0
    assert striate.FGSM(epsilon=1).epsilon == 1.0


def test_targets(fake: Fake, net: striate.Model) -> None:
    for word, value in (("random", 1), ("least-likely", 2)):
        request = sent(fake, net, striate.FGSM(), targets=word)
        assert (request.target_choice, list(request.targets)) == (value, [])
    request = sent(fake, net, striate.FGSM(), targets=["sports_car", 3])
    assert (request.target_choice, list(request.targets)) == (0, [1, 3])
    with pytest.raises(striate.InvalidArgument, match="no class is called 'most-likely'"):
        net.attack(IMAGES, targets="most-likely")
    result = net.attack(IMAGES, "cat", targets="least-likely")
    np.testing.assert_array_equal(result.targets, [3] * 21)
    np.testing.assert_array_equal(result.predictions == result.targets, result.succeeded)
    assert net.attack(IMAGES, "cat").targets is None


def test_units(fake: Fake, net: striate.Model) -> None:
    unit = sent(fake, net, striate.PGD(), unit=striate.Silence("stem:1@2,3")).unit
    assert (unit.unit, unit.drive, unit.HasField("level")) == ("stem:1@2,3", False, False)
    unit = sent(fake, net, striate.PGD(), unit=striate.Drive("logits:2", level=-1)).unit
    assert (unit.unit, unit.drive, unit.level) == ("logits:2", True, -1)
    result = net.attack(IMAGES, unit=striate.Drive("stem:1"))
    np.testing.assert_array_equal(result.clean_activations, np.arange(21))
    np.testing.assert_array_equal(result.activations, -np.arange(21))
    assert net.attack(IMAGES).activations is None
    for options in ({"targets": 1, "unit": striate.Drive("stem:1")}, {"unit": "stem:1"}):
        with pytest.raises(striate.InvalidArgument) as caught:
            net.attack(IMAGES, **options)
        assert list(caught.value.fields) == ["unit"]


def test_settings_of_the_images_own_are_split_with_them(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: dict[str, Any] = {
        "epsilons": np.linspace(0, 0.2, 21, dtype=np.float32),
        "step_sizes": [row / 100 for row in range(21)],
        "steps": range(1, 22),
        "seeds": (2**64 - 1 - row for row in range(21)),
    }
    labels, targets = [row % 4 for row in range(21)], [(row + 1) % 4 for row in range(21)]
    monkeypatch.setattr(images.batch, "_BUDGET", 8 * (4 * 5 * 3 * 4 + 64))
    result = net.attack(IMAGES, labels, striate.PGD(), targets=targets, format="png", **own)
    parts = fake.requests("Attack")
    assert [part.first_row for part in parts] == [0, 8, 16]
    settings = [part.row_settings for part in parts]
    joined = {name: [value for part in settings for value in getattr(part, name)] for name in own}
    assert [[len(getattr(part, name)) for part in settings] for name in own] == [[8, 8, 5]] * 4
    np.testing.assert_array_equal(joined["epsilons"], own["epsilons"])
    np.testing.assert_array_equal(joined["step_sizes"], own["step_sizes"])
    assert joined["steps"] == list(range(1, 22))
    assert joined["seeds"] == [2**64 - 1 - row for row in range(21)]
    assert [value for part in parts for value in part.targets] == targets
    np.testing.assert_array_equal(
        result.images, np.stack([adversarial(2**64 - 1 - row, 0) for row in range(21)])
    )
    np.testing.assert_array_equal(result.norms, own["epsilons"])
    np.testing.assert_array_equal(result.no_freedom, own["epsilons"] < 1 / 255)


def test_without_own_settings_none_are_sent(fake: Fake, net: striate.Model) -> None:
    request = sent(fake, net, striate.PGD())
    assert {field.name for field, _ in request.ListFields()} == {
        *("model", "images", "norm", "epsilon", "method", "format")
    }


@pytest.mark.parametrize(
    ("own", "field"),
    [
        ({"epsilons": [0.1] * 20}, "epsilons"),
        ({"epsilons": 0.1}, "epsilons"),
        ({"epsilons": [0.1] * 20 + [-1]}, "epsilons[20]"),
        ({"epsilons": [math.nan] * 21}, "epsilons[0]"),
        ({"step_sizes": [0.1] * 22}, "step_sizes"),
        ({"step_sizes": ["1/255"] * 21}, "step_sizes[0]"),
        ({"steps": [1, 0] + [1] * 19}, "steps[1]"),
        ({"steps": [1.5] * 21}, "steps[0]"),
        ({"seeds": [2**64] * 21}, "seeds[0]"),
        ({"seeds": "1" * 21}, "seeds"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_settings_of_the_images_own_are_checked(
    net: striate.Model, own: dict[str, Any], field: str
) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        net.attack(IMAGES, None, striate.PGD(), **own)
    assert list(caught.value.fields) == [field]


def test_queries_are_summed_over_parts(net: striate.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", 8 * (4 * 5 * 3 * 4 + 64))
    assert net.attack(IMAGES, None, striate.Square(queries=30)).queries == 30 * 21
    assert net.attack(IMAGES, None, striate.PGD()).queries == 0


def test_warnings_are_issued_once_a_call(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", 8 * (4 * 5 * 3 * 4 + 64))
    fake.warnings = ["outputs are probabilities", "no freedom"]
    calls: list[Any] = [
        lambda: net.attack(IMAGES),
        lambda: net.epsilon_curve(IMAGES, epsilons=[0.1]).attack,
    ]
    for call in calls:
        with pytest.warns(striate.StriateWarning) as caught:
            result = call()
        assert [str(warning.message) for warning in caught] == fake.warnings
        assert {warning.filename for warning in caught} == {__file__}
        assert result.warnings == tuple(fake.warnings)
        assert result.summary()["warnings"] == fake.warnings


def test_shapes_of_the_fake() -> None:
    """Guards the tests above: every class can be a target of every other."""
    assert (len(CLASSES), SHAPE) == (4, (3, 4, 5))
