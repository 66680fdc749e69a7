"""What shards add up to: against counting out, image by image, and whatever their order and
size.
"""

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from interp.audit.plan import Plan
from interp.audit.statistics import Gate, GateVerdict, anytime
from interp.audit.tally import NetworkGate, Tally
from tests.interp.audit.toys_tally import (
    BARE,
    CLASSES,
    L2,
    LINF,
    NAMES,
    PLAN,
    Case,
    case,
    is_right,
    part,
    tally,
    told,
    withstands,
)

# Counted out.


def exact(successes: int, trials: int) -> dict[str, Any]:
    """A rate with scipy's exact interval."""
    if not trials:
        return {"successes": 0, "trials": 0, "value": None, "low": 0.0, "high": 1.0}
    interval = stats.binomtest(successes, trials).proportion_ci(0.9, "exact")
    value = pytest.approx(successes / trials)
    return {
        "successes": successes,
        "trials": trials,
        "value": value,
        "low": pytest.approx(interval.low),
        "high": pytest.approx(interval.high),
    }


@pytest.mark.parametrize("images", [0, 1, 80])
def test_every_count_is_that_of_counting_image_by_image(images: int) -> None:
    one = case(images, images, gates=False)
    for network, judged in zip(told(tally(one))["networks"], one.judged, strict=True):
        pairs = list(enumerate(one.labels.tolist()))
        assert network["clean"] == exact(sum(is_right(judged, y, i) for i, y in pairs), images)
        assert (network["gradients"], network["queries"]) == (judged.gradients, judged.queries)
        for t, (norm, epsilons) in enumerate((("linf", LINF), ("l2", L2))):
            threat = network["threats"][t]
            assert (threat["norm"], threat["epsilons"]) == (norm, list(epsilons))
            for e in range(len(epsilons)):
                assert threat["noise"][e] == exact(
                    sum(bool(judged.noise[t][e][i]) for i, _ in pairs), images
                )
                assert threat["worst"][e] == exact(
                    sum(withstands(judged, y, i, t, e) for i, y in pairs), images
                )
                for a in range(2):
                    assert threat["attacks"][a]["robust"][e] == exact(
                        sum(withstands(judged, y, i, t, e, [a]) for i, y in pairs), images
                    )
            curve = [
                network["clean"]["successes"],
                *(rate["successes"] for rate in threat["worst"]),
            ]
            assert curve == sorted(curve, reverse=True)
            minimal = sorted(
                0.0
                if not is_right(judged, y, i)
                else next(
                    (x for e, x in enumerate(epsilons) if not withstands(judged, y, i, t, e)),
                    math.inf,
                )
                for i, y in pairs
            )
            for quantile, epsilon in threat["minimal_epsilon"]["quantiles"]:
                expected = (
                    minimal[math.ceil(round(100 * quantile) * images / 100) - 1]
                    if images
                    else math.inf
                )
                assert (math.inf if epsilon is None else epsilon) == expected
            assert (
                threat["minimal_epsilon"]["median"]
                == dict(threat["minimal_epsilon"]["quantiles"])[0.5]
            )
        for index, entry in enumerate(network["classes"]):
            of_class = [(i, y) for i, y in pairs if y == index]
            assert (entry["index"], entry["name"]) == (index, NAMES[index])
            assert entry["clean"] == exact(
                sum(is_right(judged, y, i) for i, y in of_class), len(of_class)
            )
            for t, (name, last) in enumerate((("linf:8/255", 2), ("l2:0.5", 1))):
                hits = sum(withstands(judged, y, i, t, last) for i, y in of_class)
                assert entry["worst"][t] == {"condition": name, "rate": exact(hits, len(of_class))}
        cells = [(cell["name"], cell["severity"]) for cell in network["corruptions"]]
        assert cells == [("fog", 2), ("fog", 5), ("snow", 2), ("snow", 5)]
        right = [sum(bool(x) for x in row) for row in judged.corrupted]
        assert [cell["accuracy"] for cell in network["corruptions"]] == [
            exact(k, images) for k in right
        ]
        assert network["mean_corruption_accuracy"] == (
            pytest.approx(sum(right) / 4 / images) if images else None
        )
        assert network["augmentations"] == [
            {
                "name": "rotation",
                "accuracy": exact(sum(bool(x) for x in judged.augmented[0]), images),
            }
        ]


def test_networks_are_compared_in_pairs_by_the_sign_test() -> None:
    one = case(3, 90, networks=3)
    comparisons = told(tally(one))["comparisons"]
    expected = [
        (f"net{a}", f"net{b}", at)
        for a, b in ((0, 1), (0, 2), (1, 2))
        for at in ("clean", "linf:8/255", "l2:0.5", "corruptions")
    ]
    assert [(c["first"], c["second"], c["condition"]) for c in comparisons] == expected
    for comparison in comparisons:
        first, second = (one.judged[int(comparison[key][-1])] for key in ("first", "second"))
        splits = [0, 0]
        for i, y in enumerate(one.labels.tolist()):
            match comparison["condition"]:
                case "clean":
                    scores = [int(is_right(judged, y, i)) for judged in (first, second)]
                case (
                    "corruptions"
                ):  # of an image's corrupted versions only whose are more often right
                    scores = [int(judged.corrupted[:, i].sum()) for judged in (first, second)]
                case at:
                    threat, level = ((0, 2), (1, 1))[at.startswith("l2")]
                    scores = [
                        int(withstands(judged, y, i, threat, level)) for judged in (first, second)
                    ]
            splits = [splits[0] + (scores[0] > scores[1]), splits[1] + (scores[1] > scores[0])]
        assert [comparison["only_first"], comparison["only_second"]] == splits
        assert comparison["p_value"] == pytest.approx(
            stats.binomtest(splits[0], sum(splits)).pvalue if sum(splits) else 1.0
        )


def test_gates_are_decided_in_the_order_of_the_images() -> None:
    one = case(5, 300)
    total = tally(one)
    for gate, gated in zip(told(total)["gates"], one.gates, strict=True):
        judged = one.judged[gated.network]
        place = {"linf:2/255": (0, 1), "l2:0.5": (1, 1)}.get(gated.condition)
        pairs = enumerate(one.labels.tolist())
        right = [
            withstands(judged, y, i, *place) if place else is_right(judged, y, i) for i, y in pairs
        ]
        decision = gated.gate.decide(right)
        low, high = anytime(sum(right), 300, 0.9)
        exact_ends = exact(sum(right), 300)
        assert gate == {
            "network": f"net{gated.network}",
            "condition": gated.condition,
            "bar": gated.gate.bar,
            "confidence": 0.9,
            "verdict": decision.verdict.name.lower(),
            "decided_after": decision.trials,
            "rate": {
                "successes": sum(right),
                "trials": 300,
                "value": sum(right) / 300,
                "low": float(low),
                "high": float(high),
                "fixed_n": {"low": exact_ends["low"], "high": exact_ends["high"]},
            },
        }
    assert {progress.decision.verdict for progress in total.gate_progress} >= {
        GateVerdict.PASS,
        GateVerdict.FAIL,
    }
    assert total.decided == all(
        progress.decision.verdict is not GateVerdict.OPEN for progress in total.gate_progress
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    images=st.integers(0, 60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    mixed=st.randoms(use_true_random=False),
    plan=st.sampled_from([PLAN, BARE]),
)
def test_neither_order_nor_size_of_the_shards_matters(
    seed: int, images: int, cuts: list[int], mixed: random.Random, plan: Plan
) -> None:
    one = case(seed, images, plan=plan)
    cuts = sorted({min(cut, images) for cut in cuts} - {0, images})
    order = list(range(len(cuts) + 1))
    mixed.shuffle(order)
    whole, pieces = tally(one), tally(one, cuts, order)
    assert json.dumps(told(pieces), allow_nan=False) == json.dumps(told(whole), allow_nan=False)
    assert not any(progress.waiting for progress in pieces.gate_progress)
    assert pieces.gradients == sum(judged.gradients for judged in one.judged)


def test_a_gate_waits_for_the_images_before() -> None:
    one = case(8, 120)
    early = tally(one, [40, 80], [0, 2])
    assert early.images == 80
    for progress, alone in zip(
        early.gate_progress,
        tally(
            Case(one.plan, one.labels[:40], [part(j, slice(0, 40)) for j in one.judged], one.gates)
        ).gate_progress,
        strict=True,
    ):
        assert progress.decision == alone.decision
        assert progress.trials == 40


def test_a_tally_does_not_grow() -> None:
    one = case(9, 64)
    total = Tally(PLAN, CLASSES, 2, one.gates)

    def size() -> int:
        return len(
            json.dumps([vars(sums) for sums in total.sums], default=lambda array: array.tolist())
        )

    for number in range(200):
        total.add(one.judged, one.labels, 64 * number)
        assert not any(progress.waiting for progress in total.gate_progress)
    assert size() < 2000
    assert total.images == 64 * 200


def test_gates_name_conditions_of_the_plan() -> None:
    known = Tally(PLAN, CLASSES, 1, [NetworkGate(0, f"linf:{np.float32(8 / 255)}", Gate(0.5))])
    assert known.gates[0].condition == "linf:8/255"
    for name in ("linf:3/255", "l1:0.5"):
        with pytest.raises(ValueError, match="neither clean nor one of linf:1/255"):
            Tally(PLAN, CLASSES, 1, [NetworkGate(0, name, Gate(0.5))])
