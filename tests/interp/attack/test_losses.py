"""The difference of logits ratio and its targeted form, against their definition row by row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.attack.losses import DLR_SPREAD, dlr, dlr_targeted, margin
from interp.objective import Objective
from interp.objective_batch import join
from interp.probe import Probe
from tests.interp.toys_networks import images, linear, tricky


def expected_dlr(row: list[float], label: int) -> float:
    ranked = sorted(row, reverse=True)
    other = max(v for c, v in enumerate(row) if c != label)
    return -(row[label] - other) / max(ranked[0] - ranked[2], DLR_SPREAD)


def expected_targeted(row: list[float], label: int, target: int) -> float:
    ranked = sorted(row, reverse=True)
    return -(row[label] - row[target]) / max(ranked[0] - (ranked[2] + ranked[3]) / 2, DLR_SPREAD)


def drawn(seed: int, classes: int, ties: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, few of which differ if `ties`, labels, and targets that are not the labels."""
    rng = np.random.default_rng(seed)
    logits = (
        rng.integers(0, 3, (12, classes)).astype(float) if ties else rng.normal(0, 5, (12, classes))
    )
    labels = rng.integers(0, classes, 12)
    return (
        torch.from_numpy(logits),
        torch.from_numpy(labels),
        torch.from_numpy((labels + rng.integers(1, classes, 12)) % classes),
    )


@pytest.mark.parametrize("ties", [False, True])
@settings(deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(4, 12))
def test_losses_are_those_of_the_paper(ties: bool, seed: int, classes: int) -> None:
    logits, labels, targets = drawn(seed, classes, ties)
    rows = logits.tolist()
    seen = {"logits": logits}
    expected = [expected_dlr(row, y) for row, y in zip(rows, labels.tolist(), strict=True)]
    np.testing.assert_allclose(dlr(labels)(seen), expected, rtol=1e-12)
    expected = [
        expected_targeted(row, y, t)
        for row, y, t in zip(rows, labels.tolist(), targets.tolist(), strict=True)
    ]
    np.testing.assert_allclose(dlr_targeted(labels, targets)(seen), expected, rtol=1e-12)


def test_numbers_worked_out_by_hand() -> None:
    logits = torch.tensor(
        [[5.0, 3.0, 1.0, 0.0], [5.0, 3.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0], [4.0, 4.0, 2.0, 0.0]]
    )
    seen = {"logits": logits}
    assert dlr(torch.tensor([0, 2, 1, 0]))(seen).tolist() == [-0.5, 1.0, 0.0, 0.0]
    found = dlr_targeted(torch.tensor([0, 1, 1, 0]), torch.tensor([1, 0, 2, 3]))(seen)
    np.testing.assert_allclose(found, [-2 / 4.5, 2 / 4.5, 0.0, -4 / 3], rtol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_neither_scale_nor_shift_of_logits_matters(seed: int, scale: float, shift: float) -> None:
    logits, labels, targets = drawn(seed, 5, ties=False)
    other = {"logits": scale * logits + shift}
    for loss in (dlr(labels), dlr_targeted(labels, targets)):
        torch.testing.assert_close(loss(other), loss({"logits": logits}), rtol=1e-6, atol=1e-8)


def test_above_zero_is_what_is_missed() -> None:
    logits, labels, _ = drawn(3, 6, ties=False)
    scores = dlr(labels)({"logits": logits})
    assert torch.equal(scores > 0, logits.argmax(1) != labels)
    assert (scores >= -1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_give_finite_scores_and_gradients(dtype: torch.dtype) -> None:
    logits = torch.tensor(
        [[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0, 0.0], [2.0, 1.0, 1.0, 1.0, 1.0]],
        dtype=dtype,
    ).requires_grad_()
    labels, targets = torch.tensor([0, 3, 0]), torch.tensor([1, 0, 2])
    for loss in (dlr(labels), dlr_targeted(labels, targets)):
        score = loss({"logits": logits})
        (grad,) = torch.autograd.grad(score.sum(), logits)
        assert score.isfinite().all()
        assert grad.isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    logits, labels, targets = drawn(5, 7, ties=False)
    for loss in (dlr(labels), dlr_targeted(labels, targets)):
        assert torch.autograd.gradcheck(
            lambda v, loss=loss: loss({"logits": v}), logits.clone().requires_grad_()
        )


@pytest.mark.parametrize(
    ("loss", "least"),
    [(dlr(torch.tensor([0])), 3), (dlr_targeted(torch.tensor([0]), torch.tensor([1])), 4)],
)
def test_too_few_classes_are_refused(loss: Objective, least: int) -> None:
    loss({"logits": torch.randn(1, least)})
    with pytest.raises(ValueError, match=f"at least {least} classes; this one has {least - 1}"):
        loss({"logits": torch.randn(1, least - 1)})
    small = linear(
        torch.randn(least - 1, 12, dtype=torch.float64), torch.zeros(least - 1), (3, 2, 2)
    )
    with pytest.raises(ValueError, match="classes"):
        small.answer([Probe(images(1, size=2), loss)])


def test_rows_are_taken_joined_and_answered_as_their_own() -> None:
    logits, labels, targets = drawn(1, 5, ties=False)
    index = torch.tensor([7, 0, 3])
    for loss in (dlr(labels), dlr_targeted(labels, targets)):
        scores = loss({"logits": logits})
        assert torch.equal(loss.take(index)({"logits": logits[index]}), scores[index])
        parts = [loss.take(slice(0, 5)), loss.take(slice(5, 12))]
        assert parts[0].is_batchable_with(parts[1])
        assert torch.equal(join(parts)({"logits": logits}), scores)
    assert not dlr(labels).is_batchable_with(margin(labels))
    assert not dlr(labels).is_batchable_with(dlr_targeted(labels, targets))
    network, x = tricky(), images(4)
    answers = network.answer(
        [Probe(x[:1], dlr(torch.tensor([0]))), Probe(x[1:], dlr(torch.tensor([1, 2, 3])))]
    )
    found = torch.cat([a.score for a in answers if a.score is not None])
    torch.testing.assert_close(
        found, dlr(torch.arange(4))({"logits": network.logits(x)}), rtol=1e-12, atol=0
    )
