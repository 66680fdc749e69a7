"""What pictures are to show, as checked values: composed objectives, and a whole request for
pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from interp.feature.settings import PictureSettings
from interp.layer import Form, LayerPath, quoted

_OPPOSITE: dict[Form, Form] = {"value": "neg", "neg": "value"}


@dataclass(frozen=True, eq=False)
class DirectionObjective:
    """A direction in a layer's space, see `interp.feature.direction`.

    Attributes:
        layer: of K units.
        vector: (K,) float32, finite and not 0.
        comparison: "dot", "cosine" or "dot_cosine".
        power: of the cosine in "dot_cosine".
        position: (row, column) of the layer's map; None for the mean over all positions.
    """

    layer: str
    vector: Tensor
    comparison: str
    power: float
    position: tuple[int, int] | None

    def __str__(self) -> str:
        at = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return f"{self.comparison.replace('_', '-')}({quoted(self.layer)}{at})"


@dataclass(frozen=True, eq=False)
class LikenessObjective:
    """Being like an image to a layer, see `interp.feature.likeness`.

    Attributes:
        layer: whose activations are compared.
        image: (1, C, H, W) in [0, 1].
        kind: "inversion", "caricature" or "style".
        power: of the cosine in "caricature".
    """

    layer: str
    image: Tensor
    kind: str
    power: float

    def __str__(self) -> str:
        return f"{self.kind}({quoted(self.layer)})"


@dataclass(frozen=True, eq=False)
class Term:
    """A weighted part of a composed objective; a path stands for its activation."""

    kind: LayerPath | DirectionObjective | LikenessObjective
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class ComposedObjective:
    """What one picture is to raise: the sum of its terms, at least one."""

    terms: tuple[Term, ...]

    @property
    def path(self) -> LayerPath | None:
        """The layer, unit or neuron, where the objective is its activation alone, minus it, or its
        magnitude.
        """
        first = self.terms[0]
        if len(self.terms) != 1 or not isinstance(first.kind, LayerPath):
            return None
        if first.weight == 1:
            return first.kind
        is_unit = first.kind.unit is not None
        if first.weight == -1 and is_unit and first.kind.form in _OPPOSITE:
            return replace(first.kind, form=_OPPOSITE[first.kind.form])
        return None

    @property
    def unit(self) -> LayerPath | None:
        """The unit or neuron, where the objective is its activation alone, minus it, or its
        magnitude.
        """
        path = self.path
        return path if path is not None and path.unit is not None else None

    @property
    def layers(self) -> Iterator[str]:
        """The layers of all terms."""
        return (term.kind.layer for term in self.terms)

    def __str__(self) -> str:
        """The objective in full, e.g. "c3:4 - 0.5 * c5:1"; minus one unit is "neg(c3:4)"."""
        if self.path is not None:
            return str(self.path)
        text = ""
        for number, term in enumerate(self.terms):
            factor = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} * "
            minus, plus = ("-", "") if not number else (" - ", " + ")
            text += f"{minus if term.weight < 0 else plus}{factor}{term.kind}"
        return text


def unit_objective(path: LayerPath) -> ComposedObjective:
    """Make the objective that is one activation alone.

    Args:
        path: a layer, unit or neuron.

    Returns:
        The objective.
    """
    return ComposedObjective((Term(path),))


@dataclass(frozen=True)
class Diversity:
    """Pictures of one objective are pushed apart.

    Attributes:
        layer: in which they are to differ.
        weight: see `interp.feature.diversity.scaled_diversity`.
    """

    layer: str
    weight: float


@dataclass(frozen=True, eq=False)
class PictureRequest:
    """What pictures are to show, and how they are made.

    Attributes:
        objectives: one a picture; variants of the same objective lie side by side.
        settings: how all of them are made.
        rows: one a picture, the number of the row under the settings' seed that it draws its
            randomness from; None: 0, 1, 2 and so on.
        variants: pictures of each objective.
        diversity: how variants are pushed apart; None: they are not.
        init_images: (1, C, H, W) for all, or one image of each objective, in [0, 1], to start at;
            None for noise.
    """

    objectives: Sequence[ComposedObjective]
    settings: PictureSettings
    rows: Sequence[int] | None = None
    variants: int = 1
    diversity: Diversity | None = None
    init_images: Tensor | None = None

    @property
    def seeded_rows(self) -> list[tuple[int, int]]:
        """(seed, row) of each picture."""
        rows = range(len(self.objectives)) if self.rows is None else self.rows
        return [(self.settings.seed, row) for row in rows]
