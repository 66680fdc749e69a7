"""Facets: the several things that a unit sees, told apart by what the layer before it makes of
them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_FACETS = 8
# Below this the exemplars are one cloud: clouds drawn at random in 32 or more dimensions reach up
# to 0.15.
MIN_SILHOUETTE = 0.15
_STARTS = 10  # of k-means, the best of which counts


@dataclass(frozen=True, eq=False)
class Clustering:
    """The facets of a unit's exemplars.

    Attributes:
        labels: (N,) int64, the facet of every exemplar, from 0 for the largest.
        silhouette: the mean silhouette (Rousseeuw 1987), -1 to 1; 0 for one facet.
    """

    labels: NDArray[np.int64]
    silhouette: float

    @property
    def number(self) -> int:
        """The number of facets."""
        return int(self.labels.max()) + 1


def cluster(features: NDArray[np.floating], facets: int = 0, seed: int = 0) -> Clustering:
    """Cluster exemplars by k-means on features brought to unit length (Nguyen, Yosinski & Clune
    2016, "multifaceted feature visualization").

    Facets of one size are numbered in the order of their first exemplars.

    Args:
        features: (N, D) of N exemplars, N at least 1.
        facets: their number, at most N; 0 takes the number from 2 to `MAX_FACETS` with the highest
            mean silhouette, or 1 if no clustering reaches `MIN_SILHOUETTE`.
        seed: of k-means, for which the result is always the same.

    Returns:
        The facet of every exemplar.

    Raises:
        ValueError: There are fewer different exemplars than facets, or a feature is not finite.
    """
    points = np.asarray(features, np.float64)
    if not np.isfinite(points).all():
        raise ValueError("features must be finite")
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    points = points / np.where(lengths > 0, lengths, 1)
    different = len(np.unique(points, axis=0))
    if facets > different:
        raise ValueError(f"{different} different exemplars cannot make {facets} facets")
    if facets:
        return _clustering(points, facets, seed)
    most = min(MAX_FACETS, different, len(points) - 1)
    clusterings = [_clustering(points, number, seed) for number in range(2, most + 1)]
    best = max(clusterings, key=lambda each: each.silhouette, default=None)
    if best is not None and best.silhouette >= MIN_SILHOUETTE:
        return best
    return _clustering(points, 1, seed)


def _clustering(points: NDArray[np.float64], number: int, seed: int) -> Clustering:
    """The clustering of points (N, D) into a number of facets."""
    if number == 1:
        return Clustering(np.zeros(len(points), np.int64), 0.0)
    from sklearn.cluster import KMeans  # scikit-learn takes a second to import
    from sklearn.metrics import silhouette_score

    clusters = KMeans(number, n_init=_STARTS, random_state=seed).fit_predict(points)
    _, first, inverse, counts = np.unique(
        clusters, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))  # largest first
    labels = np.argsort(order)[inverse].astype(np.int64)
    silhouette = float(silhouette_score(points, labels)) if number < len(points) else 0.0
    return Clustering(labels, silhouette)
