"""From the name of a layer or unit to its path in a model."""

from collections.abc import Sequence

from interp.layer import LOGITS, LayerPath
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, required, within


def path(text: str, field: str, model: HostedModel) -> LayerPath:
    """A layer or unit of the model; its name is checked here, its numbers by `check_path`.

    Raises:
        InvalidField: the syntax is wrong.
        UnknownLayer: there is no such layer.
    """
    name = required(field, text)
    try:
        return LayerPath.parse(name, model.network.layers)
    except ValueError as error:
        raise InvalidField(field, str(error)) from error


def check_path(path: LayerPath, field: str, shape: Sequence[int]) -> LayerPath:
    """The path with its position in numbers, if `shape` (units, rows, columns) or (units,) has that
    unit and position; else InvalidField.
    """
    if path.unit is not None:
        within(f"{field} (unit of {path.layer})", path.unit, 0, shape[0] - 1)
    if (path.central or path.position is not None) and len(shape) != 3:
        raise InvalidField(field, f"layer {path.layer} has no rows and columns")
    path = path.resolved(shape)
    if path.position is not None:
        within(f"{field} (row)", path.position[0], 0, shape[1] - 1)
        within(f"{field} (column)", path.position[1], 0, shape[2] - 1)
    if path.unit is None and path.layer == LOGITS:
        raise InvalidField(field, "names no class: write logits:CLASS")
    return path
