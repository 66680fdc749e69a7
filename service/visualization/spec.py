"""What pictures are asked for, as checked values: what each is to raise, and how all of them are
made.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from interp.feature.visualize import Settings
from interp.layer import LayerPath

Part = tuple[str, tuple[float, ...]]  # a named piece of a recipe, and its numbers

# of the picture's size: a CPPN's unit before and after its two activations, and their gradients
_PLANES_A_UNIT = 6


@dataclass(frozen=True, eq=False)
class Towards:
    """A direction (K,) in a layer's space, compared in one of `interp.feature.direction`'s ways, at
    one position or over all.
    """

    layer: str
    vector: Tensor
    comparison: str
    power: float
    position: tuple[int, int] | None

    def __str__(self) -> str:
        at = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return f"{self.comparison.replace('_', '-')}({self.layer}{at})"


@dataclass(frozen=True, eq=False)
class Alike:
    """Being like an image (1, C, H, W) to a layer: "inversion", "caricature" (to a power of the
    cosine) or "style".
    """

    layer: str
    image: Tensor
    kind: str
    power: float

    def __str__(self) -> str:
        return f"{self.kind}({self.layer})"


@dataclass(frozen=True, eq=False)
class Term:
    """A weighted part of a goal."""

    kind: LayerPath | Towards | Alike
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Goal:
    """What one picture is to raise: the sum of its terms."""

    terms: tuple[Term, ...]

    @property
    def path(self) -> LayerPath | None:
        """The layer, unit or neuron, where the goal is that alone."""
        first = self.terms[0]
        return (
            first.kind
            if len(self.terms) == 1 and first.weight == 1 and isinstance(first.kind, LayerPath)
            else None
        )

    @property
    def unit(self) -> LayerPath | None:
        """The unit or neuron, where the goal is its activation alone."""
        return self.path if self.path is not None and self.path.unit is not None else None

    @property
    def layers(self) -> Iterator[str]:
        """Of all terms."""
        return (term.kind.layer for term in self.terms)

    def __str__(self) -> str:
        """In full, e.g. "c3:4 - 0.5 * c5:1"."""
        text = ""
        for number, term in enumerate(self.terms):
            size = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} * "
            sign = (
                ("-" if term.weight < 0 else "")
                if not number
                else (" - " if term.weight < 0 else " + ")
            )
            text += f"{sign}{size}{term.kind}"
        return text


@dataclass(frozen=True)
class Apart:
    """Pictures of one goal are pushed apart in a layer, by a term of this weight."""

    layer: str
    weight: float


@dataclass(frozen=True, eq=False)
class Recipe:
    """How pictures are made, whatever they show.

    Attributes:
        shape: (C, H, W) as the network takes them.
        space: "fourier" (decay), "pixels", "cppn" (depth, width) or "maco" (images, transparency).
        dataset: of maco.
        alpha: transparency is optimized too.
        regularizers, views: in order; views None: the default ones of the space.
        variants: pictures a goal.
        start: (1, C, H, W) or one image a goal.
        indexed: data set of the certificate, "" for the largest index.
        seeds, retries: see `interp.feature.visualize.Trial`.
    """

    shape: tuple[int, int, int]
    steps: int = Settings.steps
    rate: float = Settings.rate
    seed: int = 0
    space: Part = ("fourier", (1.0,))
    dataset: str = ""
    alpha: bool = False
    regularizers: tuple[Part, ...] = ()
    views: tuple[Part, ...] | None = None
    variants: int = 1
    apart: Apart | None = None
    start: Tensor | None = None
    indexed: str = ""
    seeds: int = 0
    retries: int = 2

    @property
    def channels(self) -> int:
        """Of the PNG: 1, 3, or 4 with transparency."""
        return 4 if self.transparent else self.shape[0]

    @property
    def transparent(self) -> bool:
        """Whether the pictures have an alpha channel."""
        return self.alpha or (self.space[0] == "maco" and self.space[1][1] > 0)

    @property
    def content(self) -> object:
        """All that the pixels depend on beside network, goal and start, as JSON values."""
        plain = replace(self, start=None, indexed="", apart=None)
        return [repr(value) for _, value in sorted(vars(plain).items())]

    def planes(self, copies: int) -> int:
        """How many planes (H, W) of float32 the making of one picture holds between ticks, where a
        picture's colour takes `copies`.
        """
        kind, numbers = self.space
        planes = copies * (self.shape[0] + self.alpha)
        if kind == "cppn":
            planes += int(_PLANES_A_UNIT * numbers[0] * numbers[1])
        return planes
