"""What is asked of an import beside the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.config import ModelTable


@dataclass(frozen=True)
class ImportRequest:
    """What the command line says of the network in a file.

    Attributes:
        architecture: its name; None: it is found by the tensors.
        given: the keys of a settings table that were given: size, mean, labels, license, ...
        trust_pickle: pickled objects may be unpickled, in a process without network.
        scratch: a folder for temporary files, removed in the end.
    """

    architecture: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    trust_pickle: bool = False
    scratch: Path = Path()

    def table(self, **found: Any) -> ModelTable:
        """Describe the network as a settings table does.

        Args:
            found: keys that the file itself tells; those that were given go before them.

        Returns:
            The table.

        Raises:
            ValidationError: a value is wrong.
        """
        return ModelTable.model_validate({**found, **self.given})


@dataclass(frozen=True)
class FileKind:
    """A kind of file in which networks are kept.

    Attributes:
        name: for messages, such as "an ONNX graph".
        fits: whether a path is of that kind; reads little of it.
        table: the settings table by which its network is hosted; raises ModelError.
    """

    name: str
    fits: Callable[[Path], bool]
    table: Callable[[Path, ImportRequest], ModelTable]
