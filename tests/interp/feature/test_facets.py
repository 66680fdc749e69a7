"""Facets: planted ones are found, a cloud is one, and nothing depends on chance."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from interp.feature.facets import MAX_FACETS, MIN_SILHOUETTE, cluster


def planted(sizes: list[int], units: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features around one direction a facet, of lengths from 0.1 to 10, in a random order; and
    their facets.
    """
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.exponential(size=(len(sizes), units))
    features = (centres[truth] + 0.3 * rng.normal(size=(len(truth), units))).clip(0)
    return features * np.exp(rng.uniform(-2.3, 2.3, (len(truth), 1))), truth


@pytest.mark.parametrize("sizes", [[9, 5], [12, 8, 5], [4, 4, 4, 4], [10, 9, 8, 7, 6]])
def test_planted_facets_are_found_whatever_the_lengths(sizes: list[int]) -> None:
    features, truth = planted(sizes)
    found = cluster(features)
    assert found.number == len(sizes)
    assert adjusted_rand_score(truth, found.labels) == 1
    assert np.bincount(found.labels).tolist() == sorted(sizes, reverse=True)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert found.silhouette == pytest.approx(silhouette_score(unit, truth), abs=1e-12)


def test_one_cloud_is_one_facet() -> None:
    for seed in range(3):
        found = cluster(1 + 0.3 * np.random.default_rng(seed).normal(size=(32, 64)))
        assert found.number == 1
        assert found.silhouette == 0
        assert not found.labels.any()


def test_a_number_that_is_asked_for_is_given() -> None:
    features, _ = planted([9, 5])
    for facets in (1, 2, 3, MAX_FACETS):
        found = cluster(features, facets)
        assert found.number == facets
        assert len(np.unique(found.labels)) == facets
        assert (np.diff(np.bincount(found.labels)) <= 0).all()
    assert cluster(features, 3).silhouette < cluster(features, 2).silhouette


def test_clustering_is_repeatable() -> None:
    features = np.random.default_rng(0).exponential(size=(40, 16))
    first, again = cluster(features, 5, seed=3), cluster(features, 5, seed=3)
    assert np.array_equal(first.labels, again.labels)
    assert first.silhouette == again.silhouette


def test_few_and_equal_exemplars() -> None:
    assert cluster(np.ones((1, 4))).labels.tolist() == [0]
    assert cluster(np.ones((2, 4))).number == 1
    assert (
        cluster(np.ones((6, 4)) * np.arange(1, 7)[:, None]).number == 1
    )  # one direction, many lengths
    assert cluster(np.zeros((3, 4))).number == 1
    two = cluster(np.eye(2).repeat(3, 0))
    assert two.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert two.silhouette == 1 > MIN_SILHOUETTE
    with pytest.raises(ValueError, match="2 different exemplars cannot make 3"):
        cluster(np.eye(2).repeat(3, 0), 3)
    with pytest.raises(ValueError, match="finite"):
        cluster(np.full((3, 2), np.nan))
