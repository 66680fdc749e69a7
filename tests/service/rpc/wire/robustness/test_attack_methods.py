"""Methods are read by one reader a message and made by the registry; an attack that is added to
both is known everywhere.
"""

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from interp.active_rows import ActiveRows
from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.base import Method, attack, method_label
from interp.attack.goal import Goal
from interp.attack.registry import ATTACKS
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.shard import audit_shard as audit_shard
from interp.probe import Procedure, solve
from interp.seeds import Generators
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire.robustness.attack_methods import (
    READERS,
    Settings,
    Target,
    method_names,
    read_method,
)
from striate.v1 import attack_pb2 as pb
from tests.interp.toys_networks import images, tricky

NETWORK = tricky(size=4)  # 5 classes
MODEL = cast(HostedModel, SimpleNamespace(name="tricky", network=NETWORK, classes=()))


def read(**method: Any) -> Method:
    return read_method(pb.AttackMethod(**method), "method", Target(MODEL))


def test_the_contract_the_registry_and_the_readers_have_the_same_attacks() -> None:
    fields = [field.name for field in pb.AttackMethod.DESCRIPTOR.fields]
    assert list(ATTACKS) == list(READERS) == fields


def test_an_attack_is_required() -> None:
    with pytest.raises(InvalidField, match="fgsm, pgd, apgd, fab, square") as caught:
        read_method(pb.AttackMethod(), "attacks[1]", Target(MODEL))
    assert caught.value.field == "attacks[1]"


@pytest.mark.parametrize(
    ("method", "label"),
    [
        ({"pgd": pb.Pgd()}, "PGD-40"),
        ({"pgd": pb.Pgd(decay=1, loss=pb.LOSS_MARGIN, restarts=5)}, "PGD-40 decay 1 margin x5"),
        ({"pgd": pb.Pgd(random_start=False, steps=7)}, "PGD-7 from x"),
        ({"fgsm": pb.Fgsm()}, "FGSM"),
        ({"fgsm": pb.Fgsm(loss=pb.LOSS_DLR)}, "FGSM dlr"),
        ({"apgd": pb.Apgd(restarts=2)}, "APGD-100 x2"),
        ({"apgd": pb.Apgd(steps=20, target_classes=2)}, "APGD-T-20"),
        ({"fab": pb.Fab()}, "FAB-T-100"),
        ({"square": pb.Square(queries=100)}, "Square-100"),
        ({"square": pb.Square(loss=pb.LOSS_CROSS_ENTROPY)}, "Square-5000 cross-entropy"),
        ({"auto_attack": pb.AutoAttack()}, "AutoAttack"),
    ],
)
def test_labels_tell_the_attacks_of_an_audit_apart(method: dict[str, Any], label: str) -> None:
    assert read(**method).label == label


# A toy attack, added as docs/adding/attack.md says: a method, a row of the registry, a message, a
# reader.


def corner(share: float = 1.0) -> Method:
    """Go straight to a corner of the ball, without a look at the network."""

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        yield from ()
        signs = torch.stack(
            [torch.from_numpy(g.choice([-1.0, 1.0], ball.x[0].shape)) for g in rows]
        )
        images = ball.image(ball.project(ball.x + share * ball.eps * signs.to(ball.x)))
        return AscentResult(images, ActiveRows(len(images), images.device).moved, None, 0)

    return Method(search, "corner", {"share": share}, method_label("Corner", f"{share:g}"))


def read_corner(message: Any, field: str, target: Target) -> Settings:
    return {"share": within(f"{field}.share", message.share, 0.0, 1.0, default=1.0)}


def contract_with_corner() -> type[Message]:
    """AttackMethod as it would be with a message Corner { double share = 1; } more."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "toy.proto", "toy"
    pool = descriptor_pool.DescriptorPool()
    fields = pb.AttackMethod.DESCRIPTOR.fields
    kept = {"AttackMethod", *(kind.name for field in fields if (kind := field.message_type))}
    messages = [message for message in file.message_type if message.name in kept]
    del file.message_type[:], file.dependency[:]
    file.message_type.extend(messages)
    for message in file.message_type:
        for own in (one for one in message.field if one.type_name):
            own.type_name = own.type_name.replace(".striate.v1.", ".toy.")
    share = file.message_type.add(name="Corner").field.add(name="share", number=1)
    share.type, share.label = share.TYPE_DOUBLE, share.LABEL_OPTIONAL
    method = next(message for message in file.message_type if message.name == "AttackMethod")
    added = method.field.add(name="corner", number=1000, type_name=".toy.Corner", oneof_index=0)
    added.type, added.label = added.TYPE_MESSAGE, added.LABEL_OPTIONAL
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("toy.AttackMethod"))


def test_an_attack_is_added_through_the_registries_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, Any], ATTACKS), "corner", corner)
    monkeypatch.setitem(READERS, "corner", read_corner)
    message = cast(Any, contract_with_corner()(corner={"share": 0.5}))
    assert method_names().endswith(" or corner")
    method = read_method(message, "method", Target(MODEL))
    assert (method.name, method.label) == ("corner", "Corner-0.5")

    x, labels = images(6, 4), NETWORK.logits(images(6, 4)).argmax(1)
    found = solve(attack(x, labels, method, epsilon=0.1), NETWORK)
    assert (found.norm <= 0.05 + 1e-9).all()

    plan = Plan((Threat(math.inf, (0.1,)),), (PlannedAttack(method.label, method),))
    assert solve(audit_shard(x, labels, plan, 0), NETWORK).fooled_at[0].shape == (1, 6)

    message.corner.share = 2
    with pytest.raises(InvalidField) as refused:
        read_method(message, "attacks[0]", Target(MODEL))
    assert refused.value.field == "attacks[0].corner.share"
