"""AttackStream against a real server: each image as if it were alone, bad ones by themselves, and
never more than there is room for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import striate
from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.network.architectures import LeNet5
from interp.network.network import Network
from interp.probe import solve
from interp.rows import Chunks
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb
from striate.v1 import robustness_pb2_grpc, types_pb2
from tests.toys_server import Server

NAME = "digits-lenet5"
WEIGHTS = Path(__file__).parents[2] / "service" / "models" / "weights"
PGD = pb.AttackMethod(pgd=pb.Pgd(steps=8))
SECONDS = 120.0


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[robustness_pb2_grpc.RobustnessServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield robustness_pb2_grpc.RobustnessServiceStub(channel)


@pytest.fixture(scope="module")
def pixels(server: Server) -> torch.Tensor:
    with striate.connect(server.target, timeout=SECONDS) as service:
        return (
            torch.from_numpy(
                np.stack(
                    [
                        np.asarray(s.image.convert("L"))
                        for s in service.samples("digits", first=40, count=40)
                    ]
                )
            ).float()[:, None]
            / 255
        )


def settings(**more: Any) -> pb.AttackStreamRequest:
    in_flight = more.pop("in_flight", 0)
    plain = {"model": NAME, "method": PGD, "epsilon": 0.125, "seed": 3}
    attack_ = pb.AttackRequest(**{**plain, **more})
    return pb.AttackStreamRequest(
        settings=pb.AttackStreamSettings(attack=attack_, in_flight=in_flight)
    )


def image(number: int, x: torch.Tensor, **more: Any) -> pb.AttackStreamRequest:
    batch = types_pb2.ImageBatch(tensor=wire_tensors.from_array(x[None].numpy()))
    return pb.AttackStreamRequest(image=pb.AttackStreamImage(id=number, image=batch, **more))


def answers(
    stub: robustness_pb2_grpc.RobustnessServiceStub, requests: Iterator[pb.AttackStreamRequest]
) -> dict[int, pb.AttackStreamResponse]:
    found: dict[int, pb.AttackStreamResponse] = {}
    for response in stub.AttackStream(requests, timeout=SECONDS):
        assert response.id not in found
        found[response.id] = response
    return found


def test_each_image_is_answered_as_if_it_were_alone(
    stub: robustness_pb2_grpc.RobustnessServiceStub, pixels: torch.Tensor
) -> None:
    network = Network(LeNet5(), (1, 32, 32), (0.5,), (0.5,))
    network.module.load_state_dict(load_file(WEIGHTS / f"{NAME}.safetensors"))
    labels = network.logits(pixels).argmax(1)
    own: dict[int, dict[str, Any]] = {
        7: {"epsilon": 0.0625},
        8: {"label": 3},
        9: {"label": int(labels[9]), "target": (int(labels[9]) + 1) % 10},
    }
    ids = [1000 - n for n in range(len(pixels))]
    requests = iter(
        [
            settings(deterministic=True),
            *(image(ids[n], x, **own.get(n, {})) for n, x in enumerate(pixels)),
        ]
    )
    found = answers(stub, requests)
    assert sorted(found) == sorted(ids)
    for n, x in enumerate(pixels):
        more = own.get(n, {})
        label = torch.tensor([more["label"]]) if "label" in more else None
        target = torch.tensor([more["target"]]) if "target" in more else None
        method = pgd(steps=8)
        expected = solve(
            attack(
                x[None],
                label,
                method,
                epsilon=float(more.get("epsilon", 0.125)),
                targets=target,
                seed=3,
                first_row=ids[n],
            ),
            Chunks(network, 8),
        )
        assert found[ids[n]].WhichOneof("outcome") == "attacked", found[ids[n]].error
        row, answered = found[ids[n]].attacked.row, found[ids[n]].attacked
        assert row.label == more.get("label", int(labels[n])), n
        assert row.succeeded == bool(expected.succeeded)
        assert row.norm == pytest.approx(float(expected.norm), abs=1e-5)
        assert np.allclose(
            wire_tensors.to_array(answered.image, "image")[0], expected.images[0].numpy(), atol=1e-4
        )


def test_a_bad_image_is_one_bad_row(
    stub: robustness_pb2_grpc.RobustnessServiceStub, pixels: torch.Tensor
) -> None:
    bad = [
        pb.AttackStreamRequest(
            image=pb.AttackStreamImage(id=100, image=types_pb2.ImageBatch(encoded=[b"no image"]))
        ),
        image(101, pixels[0] + 1),
        image(102, pixels[0], label=10),
        image(103, pixels[0], label=3, target=3),
        image(104, pixels[0], epsilon=1.5),
        pb.AttackStreamRequest(image=pb.AttackStreamImage(id=105)),
        image(106, torch.cat([pixels[0], pixels[0]])),
    ]
    good = [image(n, x) for n, x in enumerate(pixels[:5])]
    found = answers(
        stub,
        iter(
            [settings(format=pb.IMAGE_FORMAT_PNG), bad[0], good[0], *bad[1:4], *good[1:], *bad[4:]]
        ),
    )
    assert {n for n, answer in found.items() if answer.WhichOneof("outcome") == "error"} == set(
        range(100, 107)
    )
    for n in range(100, 107):
        assert found[n].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert found[n].error.message
    assert "image.label" in found[102].error.message
    assert "image.epsilon" in found[104].error.message
    assert all(found[n].attacked.png.startswith(b"\x89PNG") for n in range(5))


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (pb.AttackStreamRequest(), "settings"),
        (settings(model="none"), "none"),
        (settings(epsilon=None), "epsilon"),
        (settings(labels=[1]), "settings.attack.labels"),
        (settings(first_row=1), "settings.attack.first_row"),
        (settings(row_settings=pb.RowSettings(seeds=[1])), "settings.attack.row_settings"),
        (settings(in_flight=1025), "settings.in_flight"),
    ],
)
def test_wrong_settings_end_the_call(
    stub: robustness_pb2_grpc.RobustnessServiceStub, first: pb.AttackStreamRequest, text: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        answers(stub, iter([first]))
    assert text in str(refused.value)


def test_no_images_are_no_answers(stub: robustness_pb2_grpc.RobustnessServiceStub) -> None:
    assert answers(stub, iter([settings()])) == {}
    with pytest.raises(grpc.RpcError, match="settings"):
        answers(stub, iter([]))
    with pytest.raises(grpc.RpcError, match="every message but the first"):
        answers(stub, iter([settings(), settings()]))
