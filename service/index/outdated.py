"""Indexes in the format of another version of the service, which cannot be read any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.index.files import FORMAT
from service.index.types import build_command


@dataclass(frozen=True)
class OutdatedIndex:
    """An index of a layer that is there, but has to be built again. Its text says so."""

    model: str
    digest: str
    dataset: str
    layer: str
    format: int

    @staticmethod
    def of(about: Mapping[str, Any] | None) -> "OutdatedIndex | None":
        """Read the description of an index.

        Args:
            about: the description; None where there is none.

        Returns:
            The index; None where the description is of none, or of one in today's format.
        """
        names = ("model", "digest", "dataset", "layer")
        if about is None or not isinstance(about.get("format"), int) or about["format"] == FORMAT:
            return None
        if not all(isinstance(about.get(name), str) for name in names):
            return None
        return OutdatedIndex(**{name: about[name] for name in (*names, "format")})

    def is_of(self, model: str, layer: str) -> bool:
        """Tell whether it is of a layer of a model.

        Args:
            model: its name.
            layer: its dotted name.
        """
        return (self.model, self.layer) == (model, layer)

    def __str__(self) -> str:
        command = build_command(self.model, self.dataset, self.layer)
        return (
            f"the index of model {self.model!r}, data set {self.dataset!r} and layer "
            f"{self.layer!r} was built by another version of Striate, in format {self.format}, "
            f"and this one reads format {FORMAT}: build it again: {command}"
        )
