"""One image of a data set, as a network takes it."""

from service.datasets import Dataset, DatasetError
from service.imaging import BadImage, Pixels, Preprocessing, decode


def image(dataset: Dataset, number: int, seen: Preprocessing) -> Pixels:
    """Image `number` cut to size, (C, H, W) uint8. Reads and decodes. Raises DatasetError, which
    names the image.
    """
    (sample,) = dataset.read(number, 1)
    try:
        return seen.apply(decode(sample.image))
    except BadImage as error:
        raise DatasetError(
            f"image {number} ({sample.name!r}) of data set {dataset.name!r} cannot be used: {error}"
        ) from error
