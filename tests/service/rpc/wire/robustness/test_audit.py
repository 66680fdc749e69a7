"""Requests for audits are checked at the edge: each field by name and range, and what is left out
is filled in.
"""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from service.audit.spec import AuditProgress, AuditSpec
from service.datasets import Dataset, Source
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.robustness import audit as wire_audit
from service.rpc.wire.robustness import audit_response as wire_response
from striate.v1 import attack_pb2
from striate.v1 import audit_pb2 as pb

L2, L1 = attack_pb2.NORM_L2, attack_pb2.NORM_L1
NAMES = ("ant", "bee", "cat", "dog", "emu")


def model(
    name: str = "one", classes: tuple[str, ...] = NAMES, shape: tuple[int, int, int] = (3, 4, 4)
) -> HostedModel:
    network = SimpleNamespace(shape=shape, classes=len(classes))
    return cast(HostedModel, SimpleNamespace(name=name, network=network, classes=classes))


def data(classes: tuple[str, ...] = NAMES, labels: int = 5, size: int = 100) -> Dataset:
    return Dataset("mine", "memory", Source(size, lambda _: ("", b"", 0), classes, labels))


def read(
    request: pb.AuditRequest, *models: HostedModel, dataset: Dataset | None = None
) -> AuditSpec:
    return wire_audit.read_audit(
        request, models or (model(),), data() if dataset is None else dataset, 8
    )


def threat(*epsilons: float, norm: int = 0) -> pb.ThreatModel:
    return pb.ThreatModel(norm=cast(Any, norm), epsilons=epsilons)


GRID = [threat(0.1, 0.2)]
PGD = attack_pb2.AttackMethod(pgd=attack_pb2.Pgd(steps=7))


def test_defaults() -> None:
    job = read(pb.AuditRequest())
    assert [tuple(t) for t in job.plan.threats] == [
        (math.inf, (1 / 255, 2 / 255, 4 / 255, 8 / 255))
    ]
    assert [entry.label for entry in job.plan.attacks] == ["PGD-40", "APGD-50 margin"]
    assert (job.plan.corruptions, job.plan.augmentations, job.plan.seed, job.plan.eight_bit) == (
        (),
        (),
        0,
        True,
    )
    assert (job.images, job.confidence, job.gates, job.budget, job.shard, job.checked) == (
        100,
        0.95,
        (),
        0,
        64,
        True,
    )
    assert job.classes == (0, 1, 2, 3, 4)


def test_everything_said_is_heard() -> None:
    request = pb.AuditRequest(
        limit=30,
        threats=[threat(0.1, 8 / 255 * 4), threat(0.5, norm=L2), threat(12, norm=L1)],
        attacks=[PGD, attack_pb2.AttackMethod(fgsm=attack_pb2.Fgsm()), PGD],
        corruptions=["fog", "contrast"],
        severities=[5, 1, 5],
        augmentations=["all"],
        seed=2**64 - 1,
        confidence=0.99,
        budget_gradients=10**12,
        float_images=True,
        shard_images=8,
        skip_checks=True,
    )
    job = read(request)
    assert [(t.p, t.epsilons) for t in job.plan.threats] == [
        (math.inf, (0.1, 32 / 255)),
        (2, (0.5,)),
        (1, (12,)),
    ]
    assert [entry.label for entry in job.plan.attacks] == ["PGD-7", "FGSM", "PGD-7 #2"]
    assert (job.plan.corruptions, job.plan.severities) == (("fog", "contrast"), (1, 5))
    assert len(job.plan.augmentations) == 9
    assert (job.images, job.confidence, job.budget, job.shard, job.checked) == (
        30,
        0.99,
        10**12,
        8,
        False,
    )
    assert (job.plan.seed, job.plan.eight_bit) == (2**64 - 1, False)
    assert read(pb.AuditRequest(limit=1000)).images == 100
    assert len(read(pb.AuditRequest(corruptions=["all"])).plan.corrupted) == 15 * 5


def test_gates_name_models_and_conditions() -> None:
    gates = [
        pb.Gate(epsilon=8 / 255, bar=0.3),
        pb.Gate(model="two", bar=0.9),
        pb.Gate(norm=L2, epsilon=0.5, bar=0.1),
    ]
    request = pb.AuditRequest(
        threats=[threat(2 / 255, 8 / 255), threat(0.5, norm=L2)], gates=gates, confidence=0.9
    )
    job = read(request, model("one"), model("two"))
    assert [(g.network, g.condition, g.gate.bar) for g in job.gates] == [
        (0, "linf:8/255", 0.3),
        (1, "linf:8/255", 0.3),
        (1, "clean", 0.9),
        (0, "l2:0.5", 0.1),
        (1, "l2:0.5", 0.1),
    ]
    assert {(g.gate.false_pass, g.gate.false_fail) for g in job.gates} == {(1 - 0.9, 1 - 0.9)}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"threats": [threat()]}, "threats[0].epsilons"),
    ({"threats": [threat(0.2, 0.1)]}, "threats[0].epsilons"),
    ({"threats": [threat(0.1, 0.1)]}, "threats[0].epsilons"),
    ({"threats": [threat(0.1), threat(0.0, 0.1, norm=L2)]}, "threats[1].epsilons[0]"),
    ({"threats": [threat(0.1, 1.1)]}, "threats[0].epsilons[1]"),
    ({"threats": [threat(math.nan)]}, "threats[0].epsilons[0]"),
    ({"threats": [threat(-0.1)]}, "threats[0].epsilons[0]"),
    ({"threats": [threat(7.0, norm=L2)]}, "threats[0].epsilons[0]"),  # sqrt(48) is 6.93
    ({"threats": [threat(48.5, norm=L1)]}, "threats[0].epsilons[0]"),
    ({"threats": [threat(0.1, norm=9)]}, "threats[0].norm"),
    ({"threats": [threat(0.1), threat(0.2)]}, "threats[1].norm"),
    ({"threats": [threat(*(n / 100 for n in range(1, 34)))]}, "threats[0].epsilons"),
    (
        {"threats": [threat(0.1, float(np.nextafter(np.float32(0.1), np.float32(1))))]},
        "threats[0].epsilons",
    ),
    ({"threats": [threat(0.1)] * 9}, "threats"),
    ({"attacks": [PGD] * 17}, "attacks"),
    ({"attacks": [PGD, attack_pb2.AttackMethod()]}, "attacks[1]"),
    (
        {"attacks": [attack_pb2.AttackMethod(pgd=attack_pb2.Pgd(steps=10_001))]},
        "attacks[0].pgd.steps",
    ),
    ({"corruptions": ["fog", "smog"]}, "corruptions[1]"),
    ({"corruptions": ["fog", "all"]}, "corruptions[1]"),
    ({"corruptions": ["fog"], "severities": [1, 6]}, "severities[1]"),
    ({"corruptions": ["fog"], "severities": [0]}, "severities[0]"),
    ({"severities": [1]}, "severities"),
    ({"augmentations": ["x" * 10_000]}, "augmentations[0]"),
    ({"confidence": 0.5}, "confidence"),
    ({"confidence": 1.0}, "confidence"),
    ({"confidence": -0.1}, "confidence"),
    ({"confidence": math.nan}, "confidence"),
    ({"shard_images": 7}, "shard_images"),
    ({"shard_images": 1025}, "shard_images"),
    ({"gates": [pb.Gate()]}, "gates[0].bar"),
    ({"gates": [pb.Gate(bar=0.5), pb.Gate(bar=1)]}, "gates[1].bar"),
    ({"gates": [pb.Gate(bar=math.nan)]}, "gates[0].bar"),
    ({"gates": [pb.Gate(bar=0.5, model="nobody")]}, "gates[0].model"),
    ({"gates": [pb.Gate(bar=0.5, model="n" * 201)]}, "gates[0].model"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, epsilon=0.15)]}, "gates[0].epsilon"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, epsilon=0.1, norm=L2)]}, "gates[0].epsilon"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, epsilon=-0.1)]}, "gates[0].epsilon"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, epsilon=math.nan)]}, "gates[0].epsilon"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, epsilon=math.inf)]}, "gates[0].epsilon"),
    ({"threats": GRID, "gates": [pb.Gate(bar=0.5, norm=cast(Any, 9))]}, "gates[0].norm"),
    ({"gates": [pb.Gate(bar=0.5)] * 65}, "gates"),
]


@pytest.mark.parametrize(("settings", "field"), WRONG)
def test_what_is_wrong_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read(pb.AuditRequest(**settings))
    assert caught.value.field == field


def test_a_reference_for_corruption_errors_is_one_of_the_models_or_another() -> None:
    request = pb.AuditRequest(corruptions=["fog"], mce_reference="two")
    one, two = model("one"), model("two")
    assert wire_audit.read_reference_name(request) == "two"
    assert wire_audit.read_reference_name(pb.AuditRequest()) == ""
    for models, alone in (((one, two), None), ((one,), two)):
        job = wire_audit.read_audit(request, models, data(), 8, two)
        assert (job.mce_reference, job.reference_alone) == (two, alone)
        assert [judged.name for judged, _ in job.judged] == ["one", "two"]
        assert job.judged[1][1].threats == (job.plan.threats if alone is None else ())
    assert read(request).judged[0][1].corruptions == ("fog",)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (model("two", NAMES[:4]), "4 classes"),
        (model("two", NAMES[::-1]), "another order"),
        (model("two", shape=(4, 4, 4)), "4 channels"),
        (model("two", NAMES[:1]), "one class"),
    ],
)
def test_a_reference_has_the_classes_of_the_others(reference: HostedModel, words: str) -> None:
    request = pb.AuditRequest(corruptions=["fog"], mce_reference="two")
    with pytest.raises(InvalidField, match=words) as caught:
        wire_audit.read_audit(request, (model("one"),), data(), 8, reference)
    assert caught.value.field == "mce_reference"


def test_a_reference_needs_corruptions() -> None:
    for request, words in (
        (pb.AuditRequest(mce_reference="two"), "needs corruptions"),
        (pb.AuditRequest(mce_reference="n" * 201, corruptions=["fog"]), "characters"),
    ):
        with pytest.raises(InvalidField, match=words) as caught:
            wire_audit.read_reference_name(request)
        assert caught.value.field == "mce_reference"


@pytest.mark.parametrize(
    ("models", "field"),
    [
        ([], "models"),
        (["a"] * 9, "models"),
        (["a", ""], "models[1]"),
        (["a", "b", "a"], "models[2]"),
        (["n" * 201], "models[0]"),
    ],
)
def test_models_are_named_once_each(models: list[str], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        wire_audit.read_model_names(pb.AuditRequest(models=models))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("models", "dataset", "field", "words"),
    [
        ((model(),), data((), 0), "dataset", "no labels"),
        ((model(),), data(size=0), "dataset", "no images"),
        ((model(), model("two", NAMES[:4])), data(), "models[1]", "'two' has 4 classes, 'one' 5"),
        ((model(), model("two", NAMES[::-1])), data(), "models[1]", "another order"),
        ((model(),), data(("ant", "fly", "cat", "gnu", "emu")), "dataset", "'fly', 'gnu'"),
        ((model(),), data((), 6), "dataset", "0, 1, 2, 3"),
        ((model(shape=(2, 4, 4)),), data(), "models[0]", "2 channels"),
        (
            (model(), model("small", shape=(1, 2, 2))),
            data(),
            "threats[0].epsilons[0]",
            "to 2",
        ),  # sqrt(4), of the smaller one
    ],
)
def test_models_and_data_set_have_to_fit(
    models: tuple[HostedModel, ...], dataset: Dataset, field: str, words: str
) -> None:
    request = pb.AuditRequest(corruptions=["fog"], threats=[threat(2.5, norm=L2)])
    with pytest.raises(InvalidField, match=words) as caught:
        read(request, *models, dataset=dataset)
    assert caught.value.field == field


def test_labels_become_the_classes_of_the_models() -> None:
    job = read(pb.AuditRequest(), model(), model("two"), dataset=data(("Emu", "ant", "cat"), 3))
    assert job.classes == (4, 0, 2)
    assert read(pb.AuditRequest(), dataset=data((), 5)).classes == (0, 1, 2, 3, 4)


def test_labels_of_uploads_without_names_are_numbers_of_classes() -> None:
    sent = replace(data((), 3), uri="upload:0123456789abcdef")
    assert read(pb.AuditRequest(), dataset=sent).classes == (0, 1, 2)
    with pytest.raises(InvalidField, match=r"matches: 5$"):
        read(pb.AuditRequest(), dataset=replace(data((), 6), uri=sent.uri))


def test_progress_and_outcome_as_messages() -> None:
    request = pb.AuditRequest(models=["one"], dataset="mine")
    sent = wire_response.metadata(request, AuditProgress(3, 10, 99, None, "shard 1 of 4"))
    assert (sent.images_done, sent.images_total, sent.gradients, sent.stage) == (
        3,
        10,
        99,
        "shard 1 of 4",
    )
    assert not sent.HasField("seconds_left")
    sent = wire_response.metadata(request, AuditProgress(3, 10, 99, None, "", left_out=7))
    assert (sent.images_done, sent.images_total, sent.images_left_out) == (10, 10, 7)
    assert (
        wire_response.metadata(
            request, replace(AuditProgress(3, 10, 99, None, ""), seconds_left=2.5)
        ).seconds_left
        == 2.5
    )
