"""How pictures are made, whatever they show: one value that all pictures of a request share."""

from dataclasses import dataclass

from torch import Tensor

from interp.ascent import Transform
from interp.feature.alpha import OpacityPenalty, RandomBackground, with_alpha
from interp.feature.operator import Operator, OperatorChain
from interp.feature.params.base import Parameterization, ParameterizationSpec
from interp.feature.params.fourier import FourierSpec
from interp.feature.penalty import Penalty, PenaltySum
from interp.feature.transform import Compose, Resize

_FOURIER = FourierSpec()


@dataclass(frozen=True)
class PictureSettings:
    """How pictures are made. All of it goes into the keys under which pictures are kept.

    Args:
        shape: (C, H, W) of the pictures.
        steps: gradient steps, at least 1.
        learning_rate: Adam's, above 0.
        seed: picks the starts and the random views, 0 to 2^64 - 1.
        parameterization: which variables are optimized.
        alpha: also optimize an alpha channel, over random backgrounds.
        penalties: terms that are climbed with the score.
        operators: what pictures go through after each step, in order.
        transforms: random views, in order; () for none, None for those of the parameterization.
        further_seeds: optimizations from further seeds, whose activations are reported.
        retries: how often a picture that failed is optimized again, see
            `interp.feature.retries.Candidates.failed`.
        input_size: (height, width) of the network's input, at which a smaller picture is shown to
            the network while it is optimized and when it is measured; None: at its own size.
    """

    shape: tuple[int, int, int]
    steps: int = 256
    learning_rate: float = 0.1
    seed: int = 0
    parameterization: ParameterizationSpec = _FOURIER
    alpha: bool = False
    penalties: tuple[Penalty, ...] = ()
    operators: tuple[Operator, ...] = ()
    transforms: tuple[Transform, ...] | None = None
    further_seeds: int = 0
    retries: int = 2
    input_size: tuple[int, int] | None = None

    @property
    def transparent(self) -> bool:
        """Whether the pictures have an alpha channel, optimized or of accumulated gradients."""
        return self.alpha or self.parameterization.attention_percentile is not None

    @property
    def shown_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network is shown."""
        channels, height, width = self.shape
        own = self.input_size
        if own is None or height > own[0] or width > own[1]:
            return self.shape
        return channels, *own

    def shown(self, images: Tensor) -> Tensor:
        """Return opaque pictures (B, C, H, W) as the network is shown them, see `shown_shape`."""
        return images if self.shown_shape == self.shape else self._resize(images, ())

    @property
    def _resize(self) -> Resize:
        return Resize(*self.shown_shape[1:])

    def build(self, like: Tensor) -> Parameterization:
        """Make the parameterization.

        Args:
            like: a tensor of the network's dtype and device.

        Returns:
            One of pictures (C, H, W), or (C + 1, H, W) where alpha is optimized.
        """
        if self.alpha:
            return with_alpha(self.parameterization, self.shape, like)
        return self.parameterization.build(self.shape, like)

    @property
    def transform(self) -> Transform:
        """The random views of what the network is shown as one transform, which lays pictures with
        alpha over backgrounds first.
        """
        transforms = self.transforms
        if transforms is None:
            transforms = self.parameterization.transforms
        if self.shown_shape != self.shape:
            transforms = (self._resize, *transforms)
        if self.alpha:
            transforms = (RandomBackground(), *transforms)
        return transforms[0] if len(transforms) == 1 else Compose(transforms)

    @property
    def penalty(self) -> Penalty | None:
        """The sum of all penalties, that of being opaque included; None for none."""
        penalties = self.penalties
        if self.alpha:
            penalties = (*penalties, OpacityPenalty())
        return PenaltySum(penalties) if penalties else None

    @property
    def operator(self) -> Operator | None:
        """All operators, one after the other; None for none."""
        return OperatorChain(self.operators) if self.operators else None
