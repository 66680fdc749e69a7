"""What an attack is asked for: the settings that all images share, and those of the images' own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from striate._requests.attack_methods import Drive, Silence, set_search, target_choice, unit_goal
from striate._rpc.checks import choice, number, whole
from striate.attacks import Attack, EpsilonSearch
from striate.errors import invalid
from striate.labels import Labels, as_indices
from striate.v1 import attack_pb2 as pb
from striate.v1 import types_pb2

PriorityName = Literal["interactive", "batch"]
FormatName = Literal["float32", "png"]

PRIORITIES: dict[str | None, types_pb2.Priority.ValueType] = {
    None: types_pb2.PRIORITY_UNSPECIFIED,
    "interactive": types_pb2.PRIORITY_INTERACTIVE,
    "batch": types_pb2.PRIORITY_BATCH,
}
_FORMATS: dict[str, pb.ImageFormat.ValueType] = {
    "float32": pb.IMAGE_FORMAT_FLOAT32,
    "png": pb.IMAGE_FORMAT_PNG,
}
SEEDS = 2**64 - 1  # the largest seed


@dataclass(frozen=True)
class Settings:
    """What holds for every image of a request or a stream, as callers say it; see Model.attack."""

    targets: object
    unit: Silence | Drive | None
    seed: int
    noise_control: bool
    format: str
    deterministic: bool
    priority: str | None

    def message(
        self, model: str, attack: Attack | EpsilonSearch, classes: Sequence[str]
    ) -> pb.AttackRequest:
        """The request without its images. Raises InvalidArgument."""
        chosen = target_choice(self.targets, classes)
        if self.unit is not None and self.targets is not None:
            raise invalid("unit", "must not be given with targets")
        request = pb.AttackRequest(
            model=model,
            seed=whole("seed", self.seed, 0, SEEDS),
            format=choice("format", self.format, _FORMATS),
            noise_control=self.noise_control,
            deterministic=self.deterministic,
            priority=choice("priority", self.priority, PRIORITIES),
            target_choice=chosen,
            unit=unit_goal(self.unit),
        )
        set_search(request, attack)
        return request


@dataclass(frozen=True)
class Rows:
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
        *,
        labels: Labels | None,
        targets: Labels | None,
        epsilons: Iterable[float] | None = None,
        step_sizes: Iterable[float] | None = None,
        steps: Iterable[int] | None = None,
        seeds: Iterable[int] | None = None,
    ) -> Rows:
        """Checks the lists of `count` images. Raises InvalidArgument, naming the list and
        the row.
        """
        return Rows(
            labels=as_indices(labels, count, classes, "labels"),
            targets=[]
            if target_choice(targets, classes)
            else as_indices(targets, count, classes, "targets"),
            epsilons=_each("epsilons", epsilons, count, number),
            step_sizes=_each("step_sizes", step_sizes, count, number),
            steps=_each("steps", steps, count, lambda field, value: whole(field, value, 1, 10_000)),
            seeds=_each("seeds", seeds, count, lambda field, value: whole(field, value, 0, SEEDS)),
        )

    def part(self, rows: range) -> pb.AttackRequest:
        """The entries of some consecutive rows, as the part of a request."""
        cut = {one.name: getattr(self, one.name)[rows.start : rows.stop] for one in fields(self)}
        request = pb.AttackRequest(
            labels=cut.pop("labels"), targets=cut.pop("targets"), first_row=rows.start
        )
        if any(cut.values()):
            request.row_settings.CopyFrom(pb.RowSettings(**cut))
        return request


def _each(
    field: str, values: Iterable[Any] | None, count: int, check: Callable[[str, Any], Any]
) -> list[Any]:
    if values is None:
        return []
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise invalid(field, f"must be one an image, {count}, is {values!r}")
    found = [check(f"{field}[{row}]", value) for row, value in enumerate(values)]
    if len(found) != count:
        raise invalid(field, f"must be one an image, {count}; are {len(found)}")
    return found
