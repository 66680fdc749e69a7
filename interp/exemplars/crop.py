"""Which pixels of an image a position of a layer depends on."""


def crop_rectangle(
    position: tuple[int, int],
    offset: tuple[int, int],
    jump: tuple[int, int],
    field: tuple[int, int],
    end: tuple[int, int],
    begin: tuple[int, int] = (0, 0),
) -> tuple[int, int, int, int]:
    """Find the pixels that a position of a layer depends on, inside the image.

    All arguments are (vertical, horizontal). Position (i, j) covers the rows from offset + i *
    jump, `field` many, likewise columns; what lies outside `begin` and `end` is cut off.

    Args:
        position: of the layer's map, from 0.
        offset: first pixel of position (0, 0), negative in the padding.
        jump: pixels from one position to the next.
        field: pixels that a position covers.
        end: the first row and column after those that count, e.g. the image's height and width.
        begin: the first row and column that count.

    Returns:
        (top, left, height, width), at least one pixel: a field wholly in the padding gives the
        nearest one.
    """
    spans = [_span(*axis) for axis in zip(position, offset, jump, field, end, begin, strict=True)]
    (top, height), (left, width) = spans
    return top, left, height, width


def _span(
    position: int, offset: int, jump: int, field: int, end: int, begin: int
) -> tuple[int, int]:
    """First pixel and number of pixels along one side."""
    start = offset + position * jump
    first = min(max(start, begin), end - 1)
    return first, max(min(start + field, end) - first, 1)
