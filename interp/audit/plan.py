"""What a robustness audit tries: threats, attacks, corruptions and augmentations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from interp.attack.base import Method
from interp.audit.conditions import NORMS, condition

# How far augmentations go, in the units of `interp.corruption.augmentation.AUGMENTATIONS`: about as
# far as training commonly takes them.
MAGNITUDES = {
    "rotation": 15.0,
    "translation": 0.1,
    "scaling": 0.2,
    "shear": 10.0,
    "mirroring": 1.0,  # every image
    "cropping": 0.125,
    "noise": 0.05,
    "lighting": 0.3,
    "elastic": 0.02,
}


class Threat(NamedTuple):
    """A norm, `math.inf`, 2 or 1, and the radii that are tried, rising, in pixel units."""

    p: float
    epsilons: tuple[float, ...]


class PlannedAttack(NamedTuple):
    """An attack of an audit, which is made at every epsilon of every threat.

    Attributes:
        label: its column in tables, e.g. "PGD-40"; no other attack of the audit has the same.
        method: how it searches.
    """

    label: str
    method: Method


@dataclass(frozen=True)
class Plan:
    """What an audit tries. With `eight_bit` every image shown to a network, however made, is one of
    8-bit levels.

    Raises:
        ValueError: epsilons that do not rise from above 0, or two columns of one name (see
            `column_names`).
    """

    threats: tuple[Threat, ...]
    attacks: tuple[PlannedAttack, ...] = ()
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    augmentations: tuple[str, ...] = ()
    seed: int = 0
    eight_bit: bool = True

    def __post_init__(self) -> None:
        for threat in self.threats:
            if not threat.epsilons or not all(
                a < b for a, b in zip((0.0, *threat.epsilons), threat.epsilons, strict=False)
            ):
                raise ValueError(f"epsilons: {threat.epsilons} do not rise from above 0")
        names = list(column_names(self))
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"plan: {', '.join(twice)} would stand for two things")

    @property
    def corrupted(self) -> list[tuple[str, int]]:
        """Each corruption at each severity, in the order of `ShardResult.corrupted`."""
        return [(name, severity) for name in self.corruptions for severity in self.severities]


def column_names(plan: Plan) -> Iterator[str]:
    """The columns of a table of all images: "linf:8/255 noise", "linf:8/255 PGD-40", "linf
    minimal_epsilon", "linf found_by", "fog 3", "rotation".
    """
    for p, epsilons in plan.threats:
        for epsilon in epsilons:
            yield from (
                f"{condition(p, epsilon)} {what}"
                for what in ("noise", *(entry.label for entry in plan.attacks))
            )
        yield from (f"{NORMS[p]} minimal_epsilon", f"{NORMS[p]} found_by")
    yield from (f"{name} {severity}" for name, severity in plan.corrupted)
    yield from plan.augmentations
