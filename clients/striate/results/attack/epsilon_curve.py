"""Accuracy over epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from striate._formats import notebook
from striate.attacks import EpsilonSearch
from striate.attacks.epsilons import radius
from striate.errors import Internal
from striate.results.attack.result import AttackResult
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_WIDTH, _HEIGHT, _MARGIN = 320, 200, 24  # of the notebook's picture, in pixels


@dataclass(frozen=True, eq=False)
class EpsilonCurve:
    """The accuracy of a network under attack, radius by radius.

    Attributes:
        epsilons: (E,) the radii, rising, in pixel units of [0, 1].
        robust_accuracy: (E,) share of the answered images that withstand each of them, 0 to 1,
            falling while all are answered; NaN where none is.
        answered: (E,) images that were answered at each of them: all but those of `attack.failures`
            from their epsilon on.
        attack: Everything else that an attack returns.
    """

    epsilons: NDArray[np.float64]
    robust_accuracy: NDArray[np.float64]
    answered: NDArray[np.int64]
    attack: AttackResult = field(repr=False)

    @staticmethod
    def read(
        responses: Sequence[pb.AttackResponse], result: AttackResult, search: EpsilonSearch
    ) -> EpsilonCurve:
        """Joins the curves of the parts of one request.

        Args:
            responses: The responses, in the order of the images.
            result: All that they say of the images.
            search: The search that was asked for.

        Raises:
            Internal: The server's curves are not over the radii or not over the images.
        """
        import numpy as np

        if any(len(response.curve) != len(search.epsilons) for response in responses):
            raise Internal(f"the server sent no curve over {len(search.epsilons)} epsilons")
        counts = np.array(
            [[(point.robust, point.images) for point in one.curve] for one in responses],
            np.float64,
        ).sum(axis=0)  # (E, 2)
        robust, answered = counts.T
        least = len(result) - len(result.failures)
        if not ((least <= answered) & (answered <= len(result))).all():
            raise Internal(f"the server's curve is not over the {len(result)} images")
        shares = np.where(answered, robust / np.maximum(answered, 1), np.nan)
        epsilons = np.array(search.epsilons, np.float64)
        return EpsilonCurve(epsilons, shares, answered.astype(np.int64), result)

    @property
    def minimal_epsilons(self) -> NDArray[np.float64]:
        """The least radius at which an image was found that fools, (N,): 0 if the clean one does,
        NaN if none does.
        """
        assert self.attack.minimal_epsilons is not None  # as of every EpsilonSearch
        return self.attack.minimal_epsilons

    @property
    def images(self) -> NDArray[np.float32]:
        """The adversarial images, (N, C, H, W) in [0, 1]."""
        return self.attack.images

    @property
    def image(self) -> Image:
        """The first 64 adversarial images in one picture (PIL)."""
        return self.attack.image

    def summary(self) -> dict[str, Any]:
        """The curve, rates, settings and rows as plain values for JSON, without pixels."""
        return {
            "epsilons": self.epsilons.tolist(),
            "curve": [None if share != share else share for share in self.robust_accuracy.tolist()],
            "answered": self.answered.tolist(),
            **self.attack.summary(),
        }

    def __len__(self) -> int:
        return len(self.epsilons)

    def _repr_html_(self) -> str:
        return self._svg() + notebook.table(*self.table())

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The curve as a table: its header, and a row a radius. Where images have no outcome a
        column says how many were answered.
        """
        rows = [
            (
                radius(epsilon),
                "" if share != share else f"{share:.1%}",
                f"{count} of {len(self.attack)}",
            )
            for epsilon, share, count in zip(
                self.epsilons, self.robust_accuracy, self.answered.tolist(), strict=True
            )
        ]
        width = 3 if self.attack.failures else 2
        header = ("epsilon", "robust accuracy", "answered")
        return header[:width], [row[:width] for row in rows]

    def _svg(self) -> str:
        """The curve as SVG, from the clean accuracy at 0 to the last epsilon."""
        xs, ys = [0.0, *self.epsilons], [self.attack.clean_accuracy, *self.robust_accuracy]
        across, down = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
        scale = across / (xs[-1] or 1)
        line = " ".join(
            f"{_MARGIN + x * scale:.1f},{_MARGIN + (1 - y) * down:.1f}"
            for x, y in zip(xs, ys, strict=True)
            if y == y  # NaN: nothing is known there
        )
        frame = (
            f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{across}" height="{down}" '
            'fill="none" stroke="#bbb"/>'
        )
        words = (
            f'<text x="{_MARGIN}" y="16">robust accuracy, 0 to 100%</text>'
            f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">epsilon, 0 to '
            f"{radius(xs[-1])}</text>"
        )
        return (
            f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
            f'font-size="12">{frame}'
            f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>{words}</svg>'
        )
