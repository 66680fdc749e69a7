"""From a PictureSettings message to how pictures are made: parameterization, regularizers, random
views, retries. It is the field `settings` of every request that has one.
"""

from dataclasses import replace

from interp.feature.settings import PictureSettings
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import above, short, within
from service.rpc.wire.pictures import parameterizations as wire_parameterizations
from service.rpc.wire.pictures import regularizers as wire_regularizers
from service.rpc.wire.pictures import transforms as wire_transforms
from striate.v1 import visualize_pb2 as pb

FIELD = "settings"


def read(
    message: pb.PictureSettings,
    shape: tuple[int, int, int],
    input_size: tuple[int, int],
    learning_rate: float = PictureSettings.learning_rate,
) -> PictureSettings:
    """Read how pictures are made.

    Args:
        message: of the request.
        shape: (C, H, W) of the pictures, see `preprocessing`.
        input_size: (height, width) of the network's input.
        learning_rate: the default.

    Returns:
        The settings; of MACO without the spectrum, which takes reading a data set.

    Raises:
        InvalidField: Something is out of range, or does not go with the rest.
    """
    parameterization = wire_parameterizations.read(
        message.parameterization, f"{FIELD}.parameterization"
    )
    penalties, operators = wire_regularizers.read(
        message.regularizers, f"{FIELD}.regularizers", parameterization
    )
    certification, at = message.certification, f"{FIELD}.certification"
    retries = PictureSettings.retries
    if certification.HasField("retries"):
        retries = within(f"{at}.retries", certification.retries, 0, 8)
    return PictureSettings(
        shape,
        steps=within(f"{FIELD}.steps", message.steps, 1, 4096, default=PictureSettings.steps),
        learning_rate=above(
            f"{FIELD}.learning_rate", message.learning_rate, 1.0, default=learning_rate
        ),
        seed=message.seed,
        parameterization=parameterization,
        alpha=message.parameterization.alpha,
        penalties=penalties,
        operators=operators,
        transforms=wire_transforms.read(message, FIELD),
        further_seeds=within(f"{at}.seeds", certification.seeds, 0, 16),
        retries=retries,
        input_size=input_size,
    )


def index_dataset(message: pb.PictureSettings) -> str:
    """Read with which data set pictures are compared.

    Args:
        message: of the request.

    Returns:
        Its name; "" for the one whose index has the most images.

    Raises:
        InvalidField: The name is too long.
    """
    return short(f"{FIELD}.certification.dataset", message.certification.dataset)


def preprocessing(message: pb.PictureSettings, model: HostedModel) -> Preprocessing:
    """Read how the model takes images that have the size of the pictures.

    Args:
        message: of the request.
        model: whose units are shown.

    Returns:
        The model's own preprocessing, or one for that size, which crops the same share of an image.

    Raises:
        InvalidField: The size is out of range.
    """
    own = model.preprocessing
    if not message.size:
        return own
    size = within(f"{FIELD}.size", message.size, 16, 1024)
    resize = max(size, round(own.resize * size / max(own.height, own.width)))
    return replace(own, height=size, width=size, resize=resize)
