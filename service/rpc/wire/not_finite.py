"""Which of a request's images it is on which a network gives no numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from interp.attack.unanswered import finite_rows
from service.engine.job import NotFinite

_WHAT = "the network gives values that are infinite or not numbers on it"


class ImageNotFinite(NotFinite):
    """A network gives no numbers on an image of the request.

    Attributes:
        field: the image, such as "images[3]".
        description: what is wrong with it.
    """

    def __init__(self, row: int, field: str = "") -> None:
        self.field, self.description = field or f"images[{row}]", _WHAT
        super().__init__(f"{self.field}: {self.description}", row)


@contextmanager
def naming_image(first: int = 0, field: str = "") -> Iterator[None]:
    """Name the image of the request in errors about a row that a network was asked about.

    Args:
        first: the number in the request of what is row 0 inside.
        field: of the request, where it holds one image; "" for a row of "images".

    Raises:
        ImageNotFinite: in the place of a `NotFinite` that knows its row.
    """
    try:
        yield
    except NotFinite as error:
        if error.row is None:
            raise
        raise ImageNotFinite(first + error.row, field) from error


def check_rows(*values: Tensor | None) -> None:
    """Check that what was found of each image are numbers.

    Args:
        values: (B, ...) each; None for what was not asked for.

    Raises:
        ImageNotFinite: those of an image are not, the first of which it names.
    """
    for value in values:
        if value is not None and not (sound := finite_rows(value)).all():
            raise ImageNotFinite(int((~sound).nonzero()[0]))
