"""A batch that goes in parts gives what it gives whole."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import images
from tests.client.fakes.fakes_server import CLASSES, SHAPE, Fake, adversarial, favourite

RNG = np.random.default_rng(1)
LEVELS = RNG.integers(0, 256, (21, 4, 5, 3), dtype=np.uint8)
FLOATS = RNG.random((21, *SHAPE)).astype(np.float32)
LABELS = [int(label) for label in RNG.integers(0, len(CLASSES), 21)]


def files() -> list[bytes]:
    found = []
    for image in LEVELS:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def shrink(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """Makes messages small."""
    monkeypatch.setattr(images.batch, "_BUDGET", budget)


@pytest.mark.parametrize("given", [LEVELS, FLOATS, files()], ids=["uint8", "float", "files"])
@pytest.mark.parametrize("form", ["float32", "png"])
def test_attack_in_parts_equals_whole(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch, given: Any, form: Any
) -> None:
    def attack() -> striate.AttackResult:
        return net.attack(
            given, LABELS, striate.PGD(), targets=1, seed=5, noise_control=True, format=form
        )

    whole = attack()
    shrink(monkeypatch, 8 * (4 * 5 * 3 * 4 + 64))
    parts = attack()
    requests = fake.requests("Attack")
    assert [request.first_row for request in requests] == [0, 0, 8, 16]
    assert [list(request.labels) for request in requests] == [
        LABELS,
        LABELS[:8],
        LABELS[8:16],
        LABELS[16:],
    ]
    assert [len(request.targets) for request in requests] == [21, 8, 8, 5]
    for name in (
        "images",
        "labels",
        "clean_predictions",
        "predictions",
        "succeeded",
        "norms",
        "noise_succeeded",
        "noise_predictions",
    ):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.pngs == whole.pngs
    assert parts.gradients == whole.gradients == 210
    np.testing.assert_array_equal(
        whole.images, np.stack([adversarial(5, row) for row in range(21)])
    )


def test_classify_in_parts_equals_whole(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = net.classify(LEVELS, k=3)
    shrink(
        monkeypatch, 8 * len(CLASSES) * (10 + 16)
    )  # the replies are what is large: 16 bytes and a name a prediction
    assert net.classify(LEVELS, k=3) == whole
    assert [p.index for p in (row[0] for row in whole)] == [
        favourite(image.tobytes()) for image in LEVELS
    ]
    assert len(fake.requests("Classify")) == 4


def test_parts_share_a_request_id(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(
        monkeypatch, 8 * len(CLASSES) * (10 + 16)
    )  # the replies are what is large: 16 bytes and a name a prediction
    result = net.classify(LEVELS)
    ids = [str(seen.metadata["x-request-id"]) for seen in fake.calls if seen.method == "Classify"]
    assert ids == [f"{result.provenance.request_id}.{number}" for number in range(3)]


def test_a_model_that_changes_between_parts_is_noticed(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(
        monkeypatch, 8 * len(CLASSES) * (10 + 16)
    )  # the replies are what is large: 16 bytes and a name a prediction
    fake.digests.extend(["aa" * 32, "bb" * 32, "bb" * 32])
    with pytest.raises(striate.FailedPrecondition, match="loaded anew"):
        net.classify(LEVELS)


def test_replies_too_are_kept_small(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few bytes go out and many come back."""
    shrink(monkeypatch, 8 * (4 * 5 * 3 * 4 + 64))
    net.attack(LEVELS[:, :1, :1], None, striate.FGSM())
    assert [len(request.images.tensor.data) for request in fake.requests("Attack")] == [24, 24, 15]


def test_a_batch_above_the_real_limit_travels(fake: Fake, net: striate.Model) -> None:
    found = net.classify([bytes([row]) * (5 * 2**20) for row in range(16)])  # 80 MiB
    assert [row[0].index for row in found] == [
        favourite(bytes([row]) * (5 * 2**20)) for row in range(16)
    ]
    assert [len(request.images.encoded) for request in fake.requests("Classify")] == [8, 8]


def test_a_server_that_forgets_rows_is_noticed(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.client.fakes.fakes_servicers.rows_of", lambda batch: [b"only one"])
    with pytest.raises(striate.Internal, match="1 results for 21 rows"):
        net.classify(LEVELS)
