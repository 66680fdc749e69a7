"""The pictures of a whole layer, unit by unit as they finish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from striate._formats import notebook, pictures
from striate._formats.files import file_name, write_picture
from striate.errors import Cancelled, Internal, invalid
from striate.provenance import Provenance
from striate.results.visualization import Visualization
from striate.v1 import visualize_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType

    from PIL.Image import Image

    from striate._rpc.response_stream import ResponseStream


class UnitPicture(NamedTuple):
    """A unit whose picture is finished.

    Attributes:
        unit: The unit's number, from 0.
        visualization: Its picture.
        cached: The server had kept it from an earlier request.
    """

    unit: int
    visualization: Visualization
    cached: bool


class LayerPictures:
    """The pictures of a layer's units, as they finish.

    Iterating yields a UnitPicture as each unit finishes, and again those that came before; the work
    starts with the first. `close()`, the end of a `with` block and Ctrl-C while waiting stop it on
    the server, which keeps what is finished: asking again goes on from there. While iterating it
    raises what the call does, e.g. LayerNotFound.

    Attributes:
        layer: Name of the layer as it was asked for.
        found: The units so far, in the order in which they came.
        total: Units in all, 0 before the first.
        provenance: Where the pictures came from, None before the first.
        form: What of every unit is shown: its "value", minus it ("neg") or its magnitude ("abs").
    """

    def __init__(
        self,
        layer: str,
        events: ResponseStream[pb.VisualizeLayerResponse] | None,
        sheet: bool,
        form: Literal["value", "neg", "abs"] = "value",
    ) -> None:
        self.layer = layer
        self.form = form
        self.found: list[UnitPicture] = []
        self.total = 0
        self.provenance: Provenance | None = None
        self._events = events
        self._wants_sheet = sheet
        self._sheet: pb.ContactSheet | None = None
        self._finished = False
        self._closed = False

    def __iter__(self) -> Iterator[UnitPicture]:
        index = 0
        while index < len(self.found) or self._advance():
            yield self.found[index]
            index += 1

    def all(self) -> list[UnitPicture]:
        """Waits for the last unit, and returns every unit in order."""
        return sorted(self, key=lambda picture: picture.unit)

    @property
    def sheet(self) -> Image:
        """All units as tiles of one picture (PIL), in rows of `columns`; waits for the last.

        Raises:
            InvalidArgument: The sheet was not asked for; likewise the properties below.
        """
        return pictures.decode(self.sheet_png)

    @property
    def sheet_png(self) -> bytes:
        """The sheet as a PNG file."""
        return self._contact_sheet().png

    @property
    def columns(self) -> int:
        """Number of tiles in a row of the sheet."""
        return self._contact_sheet().columns

    @property
    def tile(self) -> int:
        """Height and width of a tile of the sheet in pixels, with its margin."""
        return self._contact_sheet().tile

    @property
    def units(self) -> tuple[int, ...]:
        """The units in the order of the sheet's tiles."""
        return tuple(self._contact_sheet().units)

    def save(self, folder: str | Path) -> list[Path]:
        """Saves a PNG file for each unit as it finishes, then sheet.png if it was asked for.

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The paths of the files.

        Raises:
            OSError: A file cannot be written.
        """
        paths = [save_unit(picture, folder) for picture in self]
        return [*paths, self.save_sheet(Path(folder) / "sheet.png")] if self._wants_sheet else paths

    def save_sheet(self, path: str | Path) -> Path:
        """Saves the sheet.

        Args:
            path: Where to; the sheet takes the format of the ending, PNG without one.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
            InvalidArgument: The sheet was not asked for, or the path's ending is no known picture
                format.
        """
        return write_picture(self.sheet_png, path)

    def close(self) -> None:
        """Stops the work on the server; any thread may, also while another waits for a unit."""
        self._closed = True
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> LayerPictures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "all" if self._finished else f"{len(self.found)} of {self.total or '?'}"
        form = "" if self.form == "value" else f", form={self.form!r}"
        return f"LayerPictures({self.layer!r}, {state} units{form})"

    def _repr_html_(self) -> str:
        if self._sheet is not None:
            return notebook.figure(self._sheet.png, repr(self))
        return "".join(picture.visualization._repr_html_() for picture in self.found)

    def _contact_sheet(self) -> pb.ContactSheet:
        if not self._wants_sheet:
            raise invalid("sheet", "was not asked for")
        while self._sheet is None:
            self._advance()
        return self._sheet

    def _advance(self) -> bool:
        """Reads messages up to the next unit; False at the end."""
        if self._finished:
            return False
        for event in self._events or ():  # none where `take` is told
            if self.take(event):
                return True
        self.check_end()
        self._finished = True
        return False

    def take(self, event: pb.VisualizeLayerResponse) -> bool:
        """Notes what the server says next.

        Args:
            event: The server's message.

        Returns:
            Whether it brought a unit, the last of `found`.
        """
        self.total = event.units_total
        if event.HasField("provenance"):
            self.provenance = Provenance.read(event.provenance)
        if event.HasField("sheet"):
            self._sheet = event.sheet
        elif event.HasField("picture"):
            self.found.append(self._read(event.picture))
        return event.HasField("picture")

    def check_end(self) -> None:
        """Checks that all has come, when the server has nothing more to say.

        Raises:
            Internal: The server has ended before its time.
            Cancelled: The caller has closed the stream.
        """
        if self._closed:
            raise Cancelled(
                f"the pictures of {self.layer} were closed at {len(self.found)} of "
                f"{self.total or '?'} units: ask again"
            )
        if len(self.found) != self.total or (self._wants_sheet and self._sheet is None):
            raise Internal(
                f"the server ended {self.layer} after {len(self.found)} of {self.total} units"
            )

    def _read(self, message: pb.UnitPicture) -> UnitPicture:
        provenance = self.provenance or Provenance("", "", "", "")
        return UnitPicture(
            message.unit, Visualization.read(message.visualization, provenance), message.cached
        )


def save_unit(picture: UnitPicture, folder: str | Path) -> Path:
    """Saves one unit's picture as a PNG file, named by its objective.

    Args:
        picture: The unit.
        folder: Where to; it is made if it is missing.

    Returns:
        The file's path.
    """
    return picture.visualization.save(
        Path(folder) / f"{file_name(picture.visualization.objective)}.png"
    )
