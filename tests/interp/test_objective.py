"""Objectives against numbers worked out by hand, and their composition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from interp.attack.losses import cross_entropy, margin, target_likelihood
from interp.layer import Form, LayerPath
from interp.objective import activation
from interp.objective_batch import join


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_losses_are_those_of_scipy(seed: int) -> None:
    logits = drawn(6, 4, seed=seed)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, 6))
    likelihood = log_softmax(logits.numpy(), axis=1)[np.arange(6), labels.numpy()]
    np.testing.assert_allclose(cross_entropy(labels)({"logits": logits}), -likelihood, rtol=1e-12)
    np.testing.assert_allclose(
        target_likelihood(labels)({"logits": logits}), likelihood, rtol=1e-12
    )


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_margin_is_above_zero_exactly_for_what_is_missed(seed: int) -> None:
    logits = drawn(6, 4, seed=seed)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, 6))
    margins = margin(labels)({"logits": logits})
    for row, label in enumerate(labels.tolist()):
        assert (
            margins[row] == max(logits[row, c] for c in range(4) if c != label) - logits[row, label]
        )
    assert ((margins > 0) == (logits.argmax(1) != labels)).all()


def test_activations_are_means_neurons_mean_squares_and_logits() -> None:
    maps, features, logits = drawn(4, 3, 2, 5), drawn(4, 7, seed=1), drawn(4, 6, seed=2)
    seen = {"conv": maps, "fc": features, "logits": logits}
    for texts, expected in [
        (
            ["conv:2", "conv:0", "conv:1", "conv:2"],
            [maps[r, u].mean() for r, u in enumerate([2, 0, 1, 2])],
        ),
        (
            ["conv:2@1,4", "conv:0@0,0"] * 2,
            [maps[0, 2, 1, 4], maps[1, 0, 0, 0], maps[2, 2, 1, 4], maps[3, 0, 0, 0]],
        ),
        (["conv:2@center"] * 4, [maps[r, 2, 1, 2] for r in range(4)]),
        (
            ["conv:1@center", "conv:1", "conv:0@1,1", "fc:2"],
            [maps[0, 1, 1, 2], maps[1, 1].mean(), maps[2, 0, 1, 1], features[3, 2]],
        ),
        (["conv"] * 4, [(maps[r] ** 2).mean() for r in range(4)]),
        (
            ["fc:6", "fc:0", "fc:6", "fc:3"],
            [features[0, 6], features[1, 0], features[2, 6], features[3, 3]],
        ),
        (
            ["logits:5", "logits:0", "logits:1", "logits:2"],
            [logits[0, 5], logits[1, 0], logits[2, 1], logits[3, 2]],
        ),
        (
            ["conv:1", "logits:4", "conv", "conv:1@1,2"],
            [maps[0, 1].mean(), logits[1, 4], (maps[2] ** 2).mean(), maps[3, 1, 1, 2]],
        ),
    ]:
        objective = activation([LayerPath.parse(t, list(seen)) for t in texts])
        torch.testing.assert_close(objective(seen), torch.stack(expected), rtol=1e-12, atol=0)
        assert set(objective.layers) == {t.split(":")[0] for t in texts}


def test_mixed_objectives_pass_gradients_to_their_own_rows_only() -> None:
    maps, logits = drawn(2, 3, 2, 2).requires_grad_(), drawn(2, 4).requires_grad_()
    score = activation([LayerPath("conv", 1), LayerPath("logits", 3)])(
        {"conv": maps, "logits": logits}
    )
    of_maps, of_logits = torch.autograd.grad(score.sum(), (maps, logits))
    expected_maps, expected_logits = torch.zeros(2, 3, 2, 2), torch.zeros(2, 4)
    expected_maps[0, 1], expected_logits[1, 3] = 0.25, 1
    assert torch.equal(of_maps.float(), expected_maps)
    assert torch.equal(of_logits.float(), expected_logits)


def test_composition_is_arithmetic() -> None:
    seen = {"logits": drawn(3, 4), "conv": drawn(3, 2, 2, 2, seed=1)}
    a, b = cross_entropy(torch.tensor([0, 1, 2])), activation([LayerPath("conv", 1)] * 3)
    for composed, expected in [
        (a + b, a(seen) + b(seen)),
        (a - b, a(seen) - b(seen)),
        (2.5 * a, 2.5 * a(seen)),
        (a * 2.5 - b * 0.5 + a, 3.5 * a(seen) - 0.5 * b(seen)),
        (-b, -b(seen)),
    ]:
        torch.testing.assert_close(composed(seen), expected, rtol=1e-12, atol=1e-15)
    assert set((a + b).layers) == {"logits", "conv"}


@pytest.mark.parametrize("index", [slice(1, 3), torch.tensor([3, 0, 0])])
def test_a_choice_of_rows_gives_the_scores_of_those_rows(index: slice | torch.Tensor) -> None:
    seen = {"logits": drawn(4, 4), "conv": drawn(4, 2, 2, 2, seed=1)}
    paths = [
        LayerPath("conv", 1),
        LayerPath("conv"),
        LayerPath("conv", 0, (1, 0)),
        LayerPath("logits", 2),
    ]
    objective = cross_entropy(torch.tensor([0, 1, 2, 3])) - 0.3 * activation(paths)
    chosen = objective.take(index)({name: a[index] for name, a in seen.items()})
    assert torch.equal(chosen, objective(seen)[index])


def test_kin_are_joined_and_others_are_not() -> None:
    seen = {"logits": drawn(5, 4)}
    first, second = cross_entropy(torch.tensor([0, 1])), cross_entropy(torch.tensor([2, 3, 0]))
    assert first.is_batchable_with(second)
    assert not first.is_batchable_with(margin(torch.tensor([0])))
    parts = [first({"logits": seen["logits"][:2]}), second({"logits": seen["logits"][2:]})]
    assert torch.equal(join([first, second])(seen), torch.cat(parts))
    assert activation([LayerPath("a", 1), LayerPath("b")]).is_batchable_with(
        activation([LayerPath("b"), LayerPath("a", 4), LayerPath("a", 5)])
    )
    assert not activation([LayerPath("a", 1)]).is_batchable_with(
        activation([LayerPath("a", 1, (0, 0))])
    )


def test_minus_a_unit_and_its_magnitude_are_of_the_mean_and_of_the_neuron() -> None:
    maps, logits = drawn(6, 3, 2, 5), drawn(6, 4, seed=1)
    texts = [
        "neg(conv:2)",
        "abs(conv:1)",
        "conv:1",
        "abs(conv:0@1,3)",
        "-logits:2",
        "abs(logits:3)",
    ]
    means = maps.mean((2, 3))
    expected = [
        -means[0, 2],
        abs(means[1, 1]),
        means[2, 1],
        abs(maps[3, 0, 1, 3]),
        -logits[4, 2],
        abs(logits[5, 3]),
    ]
    paths = [LayerPath.parse(text, ["conv"]) for text in texts]
    got = activation(paths)({"conv": maps, "logits": logits})
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-12, atol=0)
    assert activation(paths[:1]).is_batchable_with(activation([LayerPath("conv", 0)]))


def test_the_gradient_of_a_magnitude_is_the_sign_times_the_gradient() -> None:
    maps = drawn(8, 3, 2, 2)
    maps[7] = 0  # where it climbs as the unit itself does
    units = [0, 1, 2, 0, 1, 2, 0, 1]

    def gradient(form: Form) -> torch.Tensor:
        x = maps.clone().requires_grad_()
        score = activation([LayerPath("conv", unit, form=form) for unit in units])({"conv": x})
        return torch.autograd.grad(score.sum(), x)[0]

    signs = torch.tensor(
        [1.0 if maps[row, unit].mean() >= 0 else -1.0 for row, unit in enumerate(units)]
    )
    assert {-1.0, 1.0} == set(signs.tolist())
    assert torch.equal(gradient("neg"), -gradient("value"))
    assert torch.equal(gradient("abs"), signs.view(-1, 1, 1, 1) * gradient("value"))
