"""Pictures of units as pages show them: an address, and what the picture is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate_web.names import own

if TYPE_CHECKING:
    from striate import Certificate, Visualization
    from striate.aio import AsyncModel
    from striate_web.memory import Pictures
    from striate_web.visit import Visit

THUMBNAIL = 96  # pixels


@dataclass(frozen=True)
class Portrait:
    """A picture of a unit, without its bytes.

    Attributes:
        unit: The unit's number.
        digest: Of the PNG file, by which `Pictures` has it.
        activation: The objective on the picture.
        dead: Whether no pixel moves the unit: the picture is no evidence of anything.
        certificate: What it is worth.
    """

    unit: int
    digest: str
    activation: float
    dead: bool
    certificate: Certificate | None

    @property
    def source(self) -> str:
        """Address of the picture."""
        return picture_address(self.digest)

    @property
    def thumbnail(self) -> str:
        """Address of the picture, made smaller."""
        return picture_address(self.digest, THUMBNAIL)

    @property
    def ratio(self) -> float | None:
        """The activation over the data set's maximum, where an index knows it."""
        return None if self.certificate is None else self.certificate.ratio


@dataclass(frozen=True)
class Making:
    """How pictures are made: what stands in the query of an address.

    Attributes:
        seed: Picks the start and the views.
        steps: Gradient steps, 0 for the server's default.
        form: What of the unit is shown: its "value", minus it ("neg") or its magnitude ("abs").
    """

    seed: int = 0
    steps: int = 0
    form: Any = "value"

    @staticmethod
    def of(visit: Visit) -> Making:
        """Reads it of an address."""
        return Making(
            visit.number("seed", 0, 0, 2**63 - 1),
            visit.number("steps", 0, 1, 4096),
            visit.choice("form", ("value", "neg", "abs")),
        )

    @property
    def query(self) -> dict[str, object]:
        """What an address says of it: only what differs from the defaults."""
        form = "" if self.form == "value" else self.form
        return {"seed": self.seed or "", "steps": self.steps or "", "form": form}

    @property
    def options(self) -> Any:
        """The options of a call."""
        return {"seed": self.seed, **({"steps": self.steps} if self.steps else {})}

    def objective(self, layer: str, unit: int) -> str:
        """Names what is maximized."""
        name = f"{layer}:{unit}"
        return name if self.form == "value" else f"{self.form}({name})"


def picture_address(digest: str, side: int | None = None) -> str:
    """Makes the address of a picture that `Pictures` has, at most `side` pixels large."""
    return own("pictures", f"{digest}.png" if side is None else f"{digest}-{side}.png")


class Album:
    """The pictures of one layer for one visitor, remembered as long as there is room.

    Args:
        visit: The request.
        net: The network.
        layer: The layer's name as requests call it.
        making: How its pictures are made.
        indexed: Names of the data sets that have an index of the layer, with which certificates
            compare.
    """

    def __init__(
        self, visit: Visit, net: AsyncModel, layer: str, making: Making, indexed: tuple[str, ...]
    ) -> None:
        self._pictures: Pictures = visit.pictures
        self._found = visit.found
        self._net = net
        self._layer = layer
        self._making = making
        self._key = ("portrait", net.info.digest, layer, making, indexed)

    def get(self, unit: int) -> Portrait | None:
        """Finds a unit's picture in memory; None if it is not there."""
        portrait: Portrait | None = self._found.get((*self._key, unit))
        return portrait if portrait and self._pictures.get(portrait.digest) else None

    def put(self, unit: int, found: Visualization) -> Portrait:
        """Keeps a unit's picture."""
        digest = self._pictures.put(found.png)
        portrait = Portrait(unit, digest, found.activation, found.dead, found.certificate)
        self._found.put((*self._key, unit), portrait)
        return portrait

    async def all(self, units: range, priority: Any = "batch") -> AsyncIterator[Portrait]:
        """Gives the pictures of units: first those in memory, then as the server has or makes them.

        Args:
            units: Their numbers.
            priority: Of the work on the server.

        Yields:
            A picture of each.
        """
        missing: list[int] = []
        for unit in units:
            if (known := self.get(unit)) is not None:
                yield known
            else:
                missing.append(unit)
        if not missing:
            return
        span = range(missing[0], missing[-1] + 1)
        options = {**self._making.options, "priority": priority}
        call = self._net.visualize_layer(
            self._layer, units=span, form=self._making.form, timeout=3600, **options
        )
        async with call as pictures:
            async for unit, visualization, _ in pictures:
                portrait = self.put(unit, visualization)
                if unit in missing:
                    yield portrait
