"""Certificates against numbers computed by hand, and tries again where a picture is not
worth much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.feature.certificate import measure, measure_layers, unit_rank
from interp.feature.diversity import diversity, scaled_diversity
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.retries import RestartProgress, restart_seed
from interp.feature.settings import PictureSettings
from interp.feature.transform import HELD_OUT_VIEWS, held_out_view
from interp.feature.visualize import VisualizationResult, visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Probe, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images, linear, tricky

LIKE = torch.zeros((), dtype=torch.float64)
QUICK = PictureSettings((3, 8, 8), steps=8, learning_rate=0.1)


class Gated(nn.Module):
    """Unit 0 is the mean of red where that is above a half, else 0, with no gradient whatever one
    does; unit 1 is the mean of green.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        red, green = x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))
        return self.units(torch.stack([red * (red > 0.5), green], 1))  # type: ignore[no-any-return]


def gated() -> Network:
    return Network(Gated(), (3, 8, 8), [0.0] * 3, [1.0] * 3, dtype=torch.float64)


def starts_open(seed: int) -> bool:
    """Whether the first picture of row 0 lets unit 0 live."""
    space = Fourier((3, 8, 8), LIKE)
    return space.image(space.start(generators(seed, 0, 1)))[0, 0].mean().item() > 0.5


def seed_of(*opens: bool) -> int:
    """The first seed whose tries begin open or shut as said."""
    return next(
        seed
        for seed in range(1000)
        if [starts_open(restart_seed(seed, n)) for n in range(len(opens))] == list(opens)
    )


def draw(
    network: Network | Counting,
    units: Sequence[LayerPath],
    rows: Sequence[tuple[int, int]],
    **options: Any,
) -> VisualizationResult:
    changed = {name: options.pop(name) for name in ("retries", "further_seeds") if name in options}
    settings = replace(options.pop("settings", QUICK), **changed)
    return solve(
        visualize(activation(units), rows, LIKE, settings, units=units, **options), network
    )


def scores(network: Network, x: Tensor, objective: Objective) -> Tensor:
    (answer,) = network.answer([Probe(x, objective, gradient=False)])
    assert answer.score is not None
    return answer.score


def test_the_certificate_of_a_linear_network_is_computed_by_hand() -> None:
    weight = torch.randn(
        5, 3 * 8 * 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    network = linear(weight, torch.arange(5.0), (3, 8, 8))
    found = draw(network, [LayerPath("logits", 3), LayerPath("logits", 0)], [(0, 0), (0, 1)])
    certificate = found.certificate
    for row, unit in enumerate((3, 0)):
        picture = found.images[row : row + 1]
        values = (weight @ picture.flatten() + torch.arange(5)).tolist()
        views = [
            (weight[unit] @ held_out_view(picture, number).flatten()).item() + unit
            for number in range(16)
        ]
        assert certificate.activation[row].item() == pytest.approx(values[unit], rel=1e-12)
        assert certificate.held_out[row].item() == pytest.approx(sum(views) / 16, rel=1e-12)
        assert certificate.held_out_minimum[row].item() == pytest.approx(min(views), rel=1e-12)
        assert certificate.rank[row].item() == 1 + sorted(values, reverse=True).index(values[unit])
        assert certificate.units[row].item() == 5
        in_layer = certificate.layer_activations[row]
        assert in_layer is not None
        assert in_layer.tolist() == pytest.approx(values, rel=1e-12)
    assert torch.equal(found.activation, certificate.activation)
    assert certificate.attempts.tolist() == [1, 1]
    assert certificate.seeds == [0, 0]
    assert certificate.learning_rates.tolist() == [0.1, 0.1]
    assert certificate.seed_activations.shape == (2, 0)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_however_views_share_probes_they_are_measured_one_by_one(rows: int) -> None:
    network, x = tricky(), images(rows)
    objective = activation([LayerPath("down", row % 12) for row in range(rows)])
    counting = Counting(network)
    found = solve(measure(x, objective), counting)
    views = torch.stack(
        [scores(network, held_out_view(x, number), objective) for number in range(HELD_OUT_VIEWS)]
    )
    torch.testing.assert_close(found.activation, scores(network, x, objective), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.held_out, views.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.held_out_minimum, views.amin(0), rtol=0, atol=1e-12)
    assert sum(len(p.images) for p in counting.probes) == 17 * rows
    assert max(len(p.images) for p in counting.probes) <= min(64, 8 * rows)
    assert not any(p.differentiates for p in counting.probes)


def test_a_place_in_the_layer_is_by_the_same_functional() -> None:
    network, x = tricky(), images(5)
    middle = LayerPath("stem", 3, central=True)
    units = [
        LayerPath("down", 3),
        LayerPath("stem", 2, (1, 6)),
        LayerPath("logits", 4),
        middle,
        LayerPath("down"),
    ]
    maps = network.activations(x, ["down", "stem", "logits"])
    found = solve(measure_layers(x, units), network)
    expected = [
        maps["down"][0].mean((1, 2)),
        maps["stem"][1, :, 1, 6],
        maps["logits"][2],
        maps["stem"][3, :, 4, 4],
    ]
    for values, wanted, unit in zip(found, expected, (3, 2, 4, 3), strict=False):
        assert values is not None
        torch.testing.assert_close(values, wanted, rtol=0, atol=1e-12)
        assert unit_rank(values, unit) == 1 + sum(other > wanted[unit] for other in wanted.tolist())
    assert found[4] is None
    assert (
        unit_rank(torch.zeros(6), 2) == 6
    )  # a unit in a layer that is shut is not the first of it


def test_the_layer_of_a_central_neuron_is_measured_at_the_centre() -> None:
    network, x = tricky(), images(1)
    stem = network.activations(x, ["stem"])["stem"]
    (values,) = solve(measure_layers(x, [LayerPath("stem", 2, central=True)]), network)
    assert values is not None
    assert torch.equal(values, stem[0, :, stem.shape[2] // 2, stem.shape[3] // 2])


def test_without_one_unit_the_rank_is_unknown() -> None:
    network = tricky()
    found = solve(
        visualize(activation([LayerPath("down", 1)] * 2), [(0, 0), (0, 1)], LIKE, QUICK), network
    )
    assert found.certificate.rank.tolist() == found.certificate.units.tolist() == [0, 0]
    assert found.certificate.layer_activations == [None, None]


def test_a_unit_that_is_dead_from_one_seed_is_found_from_the_next() -> None:
    seed, units = seed_of(False, False, True), [LayerPath("units", 0), LayerPath("units", 1)]
    rows = [(seed, 0), (seed, 1)]
    settings = PictureSettings((3, 8, 8), steps=30, learning_rate=0.1, transforms=())
    once = draw(gated(), units, rows, settings=settings, retries=1)
    assert once.dead.tolist() == [True, False]
    assert once.activation[0] == 0
    assert once.certificate.attempts.tolist() == [2, 1]
    found = draw(gated(), units, rows, settings=settings)
    assert not found.dead.any()
    assert found.activation[0] > 0.55
    assert found.certificate.attempts.tolist() == [3, 1]
    assert found.certificate.seeds == [restart_seed(seed, 2), seed]
    assert found.certificate.learning_rates.tolist() == [0.05, 0.1]
    anew = PictureSettings(
        (3, 8, 8), steps=30, learning_rate=found.certificate.learning_rates[0].item(), transforms=()
    )
    again = draw(gated(), units[:1], [(found.certificate.seeds[0], 0)], settings=anew, retries=0)
    torch.testing.assert_close(again.images[0], found.images[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_what_stays_below_the_bar_is_tried_exactly_as_often_as_was_said(retries: int) -> None:
    counting, units = Counting(tricky()), [LayerPath("down", unit) for unit in range(3)]
    bar = torch.tensor([math.nan, 1e9, -1e9], dtype=torch.float64)
    found = draw(counting, units, [(5, row) for row in range(3)], retries=retries, thresholds=bar)
    assert found.certificate.attempts.tolist() == [1, 1 + retries, 1]
    told = [p.progress for p in counting.probes if isinstance(p.progress, RestartProgress)]
    assert [(t.number, t.step, t.rows) for t in told] == [
        (attempt, step, (0, 1, 2) if attempt == 1 else (1,))
        for attempt in range(1, retries + 2)
        for step in range(1, 9)
    ]
    assert all(len(t.preview()) == len(t.rows) for t in told)


def test_of_all_tries_the_one_that_holds_out_best_is_returned() -> None:
    network, unit = tricky(), LayerPath("down", 2)
    bar = torch.tensor([1e9], dtype=torch.float64)
    found = draw(network, [unit], [(7, 0)], retries=2, thresholds=bar)
    tries = []
    for number, factor in enumerate((1, 2, 0.5)):
        settings = PictureSettings((3, 8, 8), steps=8, learning_rate=0.1 * factor)
        tries.append(
            draw(
                network,
                [unit],
                [(restart_seed(7, number), 0)],
                settings=settings,
                retries=0,
            )
        )
    best = max(tries, key=lambda each: each.certificate.held_out.item())
    torch.testing.assert_close(found.images, best.images, rtol=0, atol=1e-12)
    assert found.certificate.seeds == best.certificate.seeds
    assert torch.equal(found.certificate.learning_rates, best.certificate.learning_rates)
    assert found.certificate.attempts.item() == 3


def test_a_unit_that_was_brought_down_to_0_is_not_tried_again() -> None:
    settings = PictureSettings((3, 8, 8), steps=30, learning_rate=0.3, transforms=())
    seed = seed_of(True)
    for sign, attempts in ((-1.0, 1), (1.0, 3)):
        objective = sign * activation([LayerPath("units", 0)])
        rows = [(seed if sign < 0 else seed_of(False, False, False), 0)]
        found = solve(visualize(objective, rows, LIKE, settings), gated())
        assert found.activation.item() == 0
        assert found.certificate.attempts.item() == attempts


def test_further_seeds_are_reported_and_change_nothing_else() -> None:
    network, units, rows = (
        tricky(),
        [LayerPath("down", 1), LayerPath("stem", 4)],
        [(3, 0), (2**64 - 1, 1)],
    )
    plain, spread = (draw(network, units, rows, further_seeds=seeds) for seeds in (0, 2))
    assert torch.equal(plain.images, spread.images)
    assert spread.certificate.seed_activations.shape == (2, 2)
    assert spread.certificate.attempts.tolist() == [1, 1]
    assert len({spread.activation[0].item(), *spread.certificate.seed_activations[0].tolist()}) == 3
    assert all(0 <= restart_seed(seed, n) < 2**64 for seed in (0, 2**64 - 1) for n in range(20))


def test_pictures_and_certificates_do_not_depend_on_the_company() -> None:
    network, bar = tricky(), torch.tensor([1e9, math.nan, 0.0, 1e9], dtype=torch.float64)
    units = [
        LayerPath("down", 3),
        LayerPath("stem", 1),
        LayerPath("logits", 2),
        LayerPath("down", 0, (1, 1)),
    ]
    rows = [(1, 9), (1, 4), (2, 4), (0, 0)]
    together = draw(network, units, rows, further_seeds=1, retries=1, thresholds=bar)
    for row in range(4):
        part = slice(row, row + 1)
        alone = draw(
            network, units[part], rows[part], further_seeds=1, retries=1, thresholds=bar[part]
        )
        torch.testing.assert_close(alone.images, together.images[part], rtol=0, atol=1e-9)
        for name in (
            "activation",
            "held_out",
            "held_out_minimum",
            "rank",
            "units",
            "seed_activations",
            "attempts",
            "learning_rates",
        ):
            of_one, of_all = (
                getattr(alone.certificate, name),
                getattr(together.certificate, name)[part],
            )
            torch.testing.assert_close(of_one, of_all, rtol=0, atol=1e-9)
        assert alone.certificate.seeds == together.certificate.seeds[part]


def test_coupled_pictures_are_tried_again_with_their_group_and_never_split() -> None:
    counting, groups = Counting(tricky()), torch.tensor([0, 1, 0, 1])
    objective = activation([LayerPath("down", 3)] * 4) + diversity("stem", groups)
    bar = torch.tensor([math.nan, math.nan, 1e9, math.nan], dtype=torch.float64)
    found = solve(
        visualize(
            objective,
            [(0, row) for row in range(4)],
            LIKE,
            replace(QUICK, retries=1),
            thresholds=bar,
        ),
        counting,
    )
    assert found.certificate.attempts.tolist() == [2, 1, 2, 1]
    assert not any(p.splittable for p in counting.probes)
    assert {len(p.images) for p in counting.probes} == {4, 2}
    alone = objective.take(torch.tensor([0, 2]))
    pair = solve(
        visualize(alone, [(0, 0), (0, 2)], LIKE, replace(QUICK, retries=1), thresholds=bar[[0, 2]]),
        tricky(),
    )
    torch.testing.assert_close(pair.images, found.images[[0, 2]], rtol=0, atol=1e-9)


def test_what_is_climbed_beside_is_not_measured_and_cannot_hide_a_dead_unit() -> None:
    network, groups = gated(), torch.tensor([0, 0])
    units = [LayerPath("units", 0), LayerPath("units", 1)]
    seed, settings = (
        seed_of(False),
        PictureSettings((3, 8, 8), steps=1, learning_rate=1e-4, transforms=()),
    )
    for auxiliary in (
        diversity("units", groups),
        scaled_diversity(activation(units), "units", groups),
    ):
        found = draw(
            network,
            units,
            [(seed, 0), (seed, 1)],
            settings=settings,
            auxiliary=auxiliary,
            retries=0,
        )
        torch.testing.assert_close(
            found.activation, scores(network, found.images, activation(units)), rtol=0, atol=1e-12
        )
        assert found.dead.tolist() == [True, False]


def test_pictures_with_alpha_are_measured_over_gray() -> None:
    network, unit = tricky(), LayerPath("down", 1)
    settings = PictureSettings((3, 8, 8), steps=8, alpha=True, transforms=())
    found = draw(network, [unit], [(0, 0)], settings=settings)
    assert found.images.shape == (1, 4, 8, 8)
    colour, alpha = found.images[:, :3], found.images[:, 3:]
    laid = alpha * colour + (1 - alpha) * 0.5
    assert alpha.min() < 0.9
    torch.testing.assert_close(
        found.activation, scores(network, laid, activation([unit])), rtol=0, atol=1e-12
    )


@dataclass(frozen=True)
class Attentive(FourierSpec):
    """Fourier spectra that return accumulated gradients as an alpha channel."""

    percentile: float = 90.0

    @property
    def attention_percentile(self) -> float:
        return self.percentile


def test_attention_becomes_an_alpha_channel_beside_the_picture_that_was_measured() -> None:
    network, unit = tricky(), LayerPath("down", 1, (1, 1))
    plain = draw(
        network, [unit], [(0, 0)], settings=PictureSettings((3, 8, 8), steps=8, transforms=())
    )
    for percentile in (100.0, 75.0):
        settings = PictureSettings(
            (3, 8, 8), steps=8, parameterization=Attentive(percentile=percentile), transforms=()
        )
        found = draw(network, [unit], [(0, 0)], settings=settings)
        assert torch.equal(found.images[:, :3], plain.images)
        assert torch.equal(found.activation, plain.activation)
        alpha = found.images[0, 3]
        assert (alpha[:7, :7] > 0).any()
        assert not alpha[7].any()  # outside the unit's receptive field no pixel was ever pulled
        assert ((alpha >= 0) & (alpha <= 1)).all()
        assert (alpha == 1).sum() == (1 if percentile == 100 else 16)


def test_pictures_begin_at_an_image() -> None:
    network, photos = tricky(), images(2)
    settings = PictureSettings((3, 8, 8), steps=1, learning_rate=1e-6, transforms=())
    found = draw(
        network, [LayerPath("down", 1)] * 2, [(0, 0), (0, 1)], settings=settings, init_images=photos
    )
    assert (found.images - photos).abs().mean() < 0.05
    bar = torch.tensor(
        [math.nan, 1e9], dtype=torch.float64
    )  # a try again begins at the row's own image
    again = draw(
        network,
        [LayerPath("down", 1)] * 2,
        [(0, 0), (0, 1)],
        settings=settings,
        thresholds=bar,
        init_images=photos,
    )
    assert (again.images - photos).abs().mean() < 0.05
