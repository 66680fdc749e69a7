"""Mean, variance and active share of a stream, which merge: in double precision, by the parallel
update of Chan et al. (1979).
"""

from dataclasses import dataclass

from torch import Tensor

from interp.exemplars.activation_summary import ActivationSummary


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean, variance and active share of each of U units, over images and positions.

    Merging is commutative to the bit, and associative to about 1e-15 of the values: the mean is a
    weighted mean, and squares are of deviations, so that nothing is lost to cancellation.

    Attributes:
        images: how many.
        positions: of a unit's map on each image.
        mean: (U,) float64.
        squares: (U,) float64, the sum of squared deviations from it.
        active: (U,) int64, the number of images and positions above 0.
    """

    images: int
    positions: int
    mean: Tensor
    squares: Tensor
    active: Tensor

    @staticmethod
    def of(summary: ActivationSummary) -> "Moments":
        """Compute the moments of the images of a summary, at least one.

        Args:
            summary: of the activations of a layer.

        Returns:
            The moments.
        """
        means = summary.mean.double()
        mean = means.mean(0)
        between = summary.positions * (means - mean).square().sum(0)
        squares = summary.spread.double().sum(0) + between
        active = summary.active.long().sum(0)
        return Moments(len(means), summary.positions, mean, squares, active)

    @property
    def count(self) -> int:
        """Images times positions."""
        return self.images * self.positions

    @property
    def variance(self) -> Tensor:
        """(U,) float64, of the population."""
        return self.squares / self.count

    @property
    def active_share(self) -> Tensor:
        """(U,) float64, the share of images and positions above 0."""
        return self.active.double() / self.count

    def merge(self, other: "Moments") -> "Moments":
        """Compute the moments of two streams together.

        Args:
            other: of the same layer, on other images.

        Returns:
            The moments of both.

        Raises:
            ValueError: they are of other units or maps.
        """
        if self.mean.shape != other.mean.shape or self.positions != other.positions:
            raise ValueError("moments of different layers cannot be merged")
        images = self.images + other.images
        mean = (self.mean * self.images + other.mean * other.images) / images
        between = (self.mean - other.mean).square() * (
            self.positions * self.images * other.images / images
        )
        return Moments(
            images,
            self.positions,
            mean,
            self.squares + other.squares + between,
            self.active + other.active,
        )


def sparsity(maxima: Tensor) -> Tensor:
    """Compute 1 - mean^2 / mean square of maxima (Vinje & Gallant, Science 2000, without the factor
    that scales this to 1).

    Args:
        maxima: (U, N) of each unit and image; negative ones count as 0.

    Returns:
        (U,) float64 in [0, 1]: 0 for a unit equally active everywhere, and for one that is never
        above 0; 1 - 1/N for one that is active on a single image.
    """
    x = maxima.double().clamp(min=0)
    peak = x.amax(1, keepdim=True)
    x = x / peak.where(peak > 0, 1)  # so that no square vanishes
    square = x.square().mean(1)
    return (1 - x.mean(1).square() / square.where(square > 0, 1)).where(square > 0, 0).clamp(0, 1)
