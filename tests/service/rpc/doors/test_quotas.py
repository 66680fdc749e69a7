"""What requests count as."""

import pytest

from service.auth.identity import EVERYONE, Identity, Role
from service.auth.quota import Quota, QuotaExceeded, RateExceeded
from service.auth.usage import Meter
from service.rpc.doors.quotas import Quotas, rows_of
from striate.v1 import attack_pb2, interpret_pb2, model_pb2, types_pb2, visualize_pb2

ANN = Identity("ann", Role.COMPUTE, quota=Quota(requests_per_second=1, rows_in_flight=4))
CLASSIFY = "/striate.v1.InterpretService/Classify"


def images(count: int) -> types_pb2.ImageBatch:
    return types_pb2.ImageBatch(encoded=[b"x"] * count)


def test_images_and_pictures_are_counted() -> None:
    tensor = types_pb2.ImageBatch(tensor=types_pb2.Tensor(shape=[7, 3, 8, 8]))
    assert rows_of(interpret_pb2.ClassifyRequest(images=images(3))) == 3
    assert rows_of(attack_pb2.AttackRequest(images=tensor)) == 7
    assert rows_of(visualize_pb2.VisualizeRequest(objectives=["a:1", "a:2"], variants=3)) == 6
    assert rows_of(visualize_pb2.VisualizeRequest(objectives=["a:1"], start=images(1))) == 2
    assert rows_of(model_pb2.GetModelRequest(model="m")) == 0


def test_a_caller_with_a_name_is_held_to_their_quota() -> None:
    meter = Meter(lambda: 0.0)
    quotas = Quotas(meter)
    quotas.request(CLASSIFY, ANN)
    with pytest.raises(RateExceeded):
        quotas.request(CLASSIFY, ANN)
    with quotas.rows(ANN, interpret_pb2.ClassifyRequest(images=images(4))):
        with (
            pytest.raises(QuotaExceeded),
            quotas.rows(ANN, interpret_pb2.ClassifyRequest(images=images(1))),
        ):
            raise AssertionError("let in")
        with quotas.rows(ANN, object()):  # a stream of requests
            pass
    for _ in range(100):
        quotas.request(CLASSIFY, EVERYONE)
        quotas.request("/grpc.health.v1.Health/Check", ANN)
        quotas.request("/google.longrunning.Operations/WaitOperation", ANN)
        quotas.request("/striate.v1.UsageService/GetUsage", ANN)
    assert meter.usage("ann").requests == 1
