"""What an attack is asked for: what all images share, and what they have one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from striate._requests.attack_method import set_search, target_choice, unit_goal
from striate._requests.priority import PriorityName, priority_value
from striate._rpc.checks import choice, listed, number, seed_value, whole
from striate.errors import invalid
from striate.images.labels import Labels, as_indices
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    from striate.attacks import Attack, Drive, EpsilonSearch, Silence

FormatName = Literal["float32", "png"]

_FORMATS: dict[str, pb.ImageFormat.ValueType] = {
    "float32": pb.IMAGE_FORMAT_FLOAT32,
    "png": pb.IMAGE_FORMAT_PNG,
}


@dataclass(frozen=True)
class AttackSettings:
    """What holds for every image of a request or a stream.

    Attributes:
        targets: Classes that the images should be taken for, "random", "least-likely" or None.
        unit: The unit to attack instead of the class, or None.
        seed: Seed of random starts, random targets and noise.
        noise_control: Also try random noise of equal norm.
        format: "float32" or "png".
        deterministic: The bytes do not depend on what else the server does.
        priority: "interactive", "batch", or None for the call's default.
    """

    targets: object
    unit: Silence | Drive | None
    seed: int
    noise_control: bool
    format: FormatName
    deterministic: bool
    priority: PriorityName | None

    def message(
        self, model: str, attack: Attack | EpsilonSearch, classes: Sequence[str]
    ) -> pb.AttackRequest:
        """Makes the request without its images.

        Args:
            model: Name of the model.
            attack: The attack or search.
            classes: Names of the model's classes.

        Returns:
            The request.

        Raises:
            InvalidArgument: A setting is out of its range, or a unit is given with targets.
        """
        chosen = target_choice(self.targets, classes)
        if self.unit is not None and self.targets is not None:
            raise invalid("unit", "must not be given with targets")
        request = pb.AttackRequest(
            model=model,
            seed=seed_value("seed", self.seed),
            format=choice("format", self.format, _FORMATS),
            noise_control=self.noise_control,
            deterministic=self.deterministic,
            priority=priority_value(self.priority),
            target_choice=chosen,
            unit=unit_goal(self.unit),
        )
        set_search(request, attack)
        return request


@dataclass(frozen=True)
class ImageSettings:
    """The settings that images have one by one, as callers give them; None for those of all.

    Attributes:
        epsilons: Radius of each image's ball.
        step_sizes: PGD's step size of each image.
        steps: PGD's gradient steps of each image.
        seeds: Seed of each image.
    """

    epsilons: Iterable[float] | None = None
    step_sizes: Iterable[float] | None = None
    steps: Iterable[int] | None = None
    seeds: Iterable[int] | None = None


@dataclass(frozen=True)
class RowValues:
    """The lists of a request that have one entry an image; each may be empty."""

    labels: list[int]
    targets: list[int]
    epsilons: list[float]
    step_sizes: list[float]
    steps: list[int]
    seeds: list[int]

    @staticmethod
    def read(
        count: int,
        classes: Sequence[str],
        labels: Labels | None,
        targets: Labels | None,
        settings: ImageSettings,
    ) -> RowValues:
        """Checks the lists.

        Args:
            count: Number of images.
            classes: Names of the model's classes.
            labels: The true class of each image, one for all, or None.
            targets: The class that each image should be taken for, one for all, a word, or None.
            settings: The settings that images have one by one.

        Returns:
            The lists.

        Raises:
            InvalidArgument: A list has another length, or a value is out of its range; the error
                names the list and the row.
        """
        is_choice = target_choice(targets, classes)
        return RowValues(
            labels=as_indices(labels, count, classes, "labels"),
            targets=[] if is_choice else as_indices(targets, count, classes, "targets"),
            epsilons=_each("epsilons", settings.epsilons, count, number),
            step_sizes=_each("step_sizes", settings.step_sizes, count, number),
            steps=_each("steps", settings.steps, count, _steps),
            seeds=_each("seeds", settings.seeds, count, seed_value),
        )

    def message(self, rows: range) -> pb.AttackRequest:
        """Makes the request of some rows, with nothing but their values.

        Args:
            rows: Consecutive rows.

        Returns:
            The request.
        """
        cut = {one.name: getattr(self, one.name)[rows.start : rows.stop] for one in fields(self)}
        request = pb.AttackRequest(
            labels=cut.pop("labels"), targets=cut.pop("targets"), first_row=rows.start
        )
        if any(cut.values()):
            request.row_settings.CopyFrom(pb.RowSettings(**cut))
        return request


def _steps(field: str, value: object) -> int:
    return whole(field, value, 1, 10_000)


def _each(
    field: str, values: Iterable[Any] | None, count: int, check: Callable[[str, Any], Any]
) -> list[Any]:
    """The values of a list, checked; [] for None."""
    if values is None:
        return []
    given = listed(field, values, f"one an image, {count}")
    found = [check(f"{field}[{row}]", value) for row, value in enumerate(given)]
    if len(found) != count:
        raise invalid(field, f"must be one an image, {count}; are {len(found)}")
    return found
