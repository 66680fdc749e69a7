"""Which pixels of an image a position of a layer depends on."""


def crop_rectangle(
    position: tuple[int, int],
    offset: tuple[int, int],
    jump: tuple[int, int],
    field: tuple[int, int],
    image: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Find the pixels that a position of a layer depends on, inside the image.

    All arguments are (vertical, horizontal). Position (i, j) covers the rows from offset + i *
    jump, `field` many, likewise columns; what lies outside `image` is cut off.

    Args:
        position: of the layer's map, from 0.
        offset: first pixel of position (0, 0), negative in the padding.
        jump: pixels from one position to the next.
        field: pixels that a position covers.
        image: height and width of the image in pixels.

    Returns:
        (top, left, height, width), at least one pixel: a field wholly in the padding gives the
        nearest one.
    """
    spans = [_span(*axis) for axis in zip(position, offset, jump, field, image, strict=True)]
    (top, height), (left, width) = spans
    return top, left, height, width


def _span(position: int, offset: int, jump: int, field: int, extent: int) -> tuple[int, int]:
    """First pixel and number of pixels along one side."""
    start = offset + position * jump
    first = min(max(start, 0), extent - 1)
    return first, max(min(start + field, extent) - first, 1)
