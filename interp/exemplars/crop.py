"""Which pixels of an image a position of a layer depends on."""


def crop_rectangle(
    position: tuple[int, int],
    offset: tuple[int, int],
    jump: tuple[int, int],
    field: tuple[int, int],
    image: tuple[int, int],
) -> tuple[int, int, int, int]:
    """The pixels that a position of a layer depends on, inside the image: (top, left, height,
    width).

    All arguments are (vertical, horizontal). Position (i, j) covers the rows from offset + i *
    jump, `field` many, likewise columns; what lies outside `image` is cut off. A field wholly in
    the padding gives the nearest pixel.
    """
    spans = [_span(*axis) for axis in zip(position, offset, jump, field, image, strict=True)]
    (top, height), (left, width) = spans
    return top, left, height, width


def _span(position: int, offset: int, jump: int, field: int, extent: int) -> tuple[int, int]:
    start = offset + position * jump
    first = min(max(start, 0), extent - 1)
    return first, max(min(start + field, extent) - first, 1)
