"""From the name of a layer or unit to its path in a model: parsed once, checked, and resolved."""

from collections.abc import Mapping, Sequence

from interp.layer import LOGITS, LayerPath
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, required, within

Shapes = Mapping[str, Sequence[int]]  # layer -> output shape of one image

WITH_UNITS = (1, 3)  # dimensions of one image's output, of layers that have units
_UNIT_FORMS = "layer:unit, layer:unit@row,column, layer:unit@center, logits:class or logits:name"


def parse_path(text: str, field: str, model: HostedModel, forms: bool = False) -> LayerPath:
    """Read the name of a layer, unit or neuron. Its numbers are checked by `resolve_path`.

    Args:
        text: e.g. "layer3.2", "layer3.2:7", "layer3.2:7@center", "logits:281", "logits:tabby".
        field: the request's field, for errors.
        forms: "neg(...)" and "abs(...)" of a unit will do; else only the unit itself.

    Raises:
        InvalidField: the name is empty, long, or of no such form, or the layer has no units.
        UnknownLayer: the model has no such layer.
    """
    path = _parsed(text, field, model)
    if path.form != "value" and not forms:
        raise InvalidField(
            field,
            f"is {path}, must be the unit itself, {path.plain}: neg(...) and abs(...) are for "
            f"pictures, whole layers, exemplars, facets and dossiers",
        )
    if reason := model.network.unavailable.get(path.layer):
        raise InvalidField(
            field,
            f"layer {path.layer} has no units: {reason}; must name a layer whose output is "
            f"(units,) or (units, rows, columns), see GetModel",
        )
    return path


def parse_module(text: str, field: str, model: HostedModel) -> str:
    """Read the name of a module, whose output need not be units.

    Args:
        text: the name.
        field: of the request, for the error.
        model: the loaded model that is asked for.

    Returns:
        The module's dotted name.

    Raises:
        InvalidField: the name is empty, long, of no such form, or that of a unit or the logits.
        UnknownLayer: the model has no such layer.
    """
    path = _parsed(text, field, model)
    if path.unit is not None or path.layer == LOGITS:
        raise InvalidField(field, f"is {path}, must name a layer inside the network")
    return path.layer


def _parsed(text: str, field: str, model: HostedModel) -> LayerPath:
    name = required(field, text)
    try:
        return LayerPath.parse(name, model.network.layers, model.classes)
    except ValueError as error:
        raise InvalidField(field, str(error)) from error


def resolve_path(path: LayerPath, field: str, shape: Sequence[int]) -> LayerPath:
    """Check a path's numbers, and turn a central position into numbers.

    Args:
        shape: the layer's output for one image, (units, rows, columns) or (units,).

    Raises:
        InvalidField: the layer has no such unit or position.
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
        raise InvalidField(field, "names no class: write logits:CLASS, a number or a name")
    return path


def read_path(text: str, field: str, model: HostedModel, shapes: Shapes | None = None) -> LayerPath:
    """Read and check the name of a layer, unit or neuron.

    Args:
        shapes: the layers' outputs for one image, where it has another size than the model's.

    Returns:
        The path, with its position in numbers.

    Raises:
        InvalidField: the name has a wrong form, or the layer no such unit or position.
        UnknownLayer: the model has no such layer.
    """
    path = parse_path(text, field, model)
    return resolve_path(path, field, (shapes or model.network.output_shapes)[path.layer])


def read_unit(
    text: str, field: str, model: HostedModel, positions: bool = True, forms: bool = False
) -> LayerPath:
    """Read and check the name of a unit or neuron.

    Args:
        positions: a neuron, "layer:unit@row,column", will do; else only a whole unit.
        forms: "neg(...)" and "abs(...)" of it will do; else only the unit itself.

    Raises:
        InvalidField: it is not a unit of the layer.
        UnknownLayer: the model has no such layer.
    """
    path = parse_path(text, field, model, forms)
    if path.unit is None:
        allowed = _UNIT_FORMS if positions else "layer:unit"
        raise InvalidField(field, f"must be of the form {allowed}")
    if not positions and (path.central or path.position is not None):
        raise InvalidField(field, "must be of the form layer:unit, without a position")
    return resolve_path(path, field, model.network.output_shapes[path.layer])


def read_layer(text: str, field: str, model: HostedModel, shapes: Shapes | None = None) -> str:
    """Read and check the name of a layer that has units, or "logits".

    Args:
        shapes: the layers' outputs for one image, where it has another size than the model's.

    Returns:
        The layer's dotted name.

    Raises:
        InvalidField: it is a unit, or the layer has none.
        UnknownLayer: the model has no such layer.
    """
    path = parse_path(text, field, model)
    return check_layer(path, field, (shapes or model.network.output_shapes)[path.layer])


def check_layer(path: LayerPath, field: str, shape: Sequence[int]) -> str:
    """Check that a path is a layer that has units.

    Args:
        path: parsed.
        field: the request's field, for errors.
        shape: the layer's output for one image.

    Returns:
        The layer's dotted name.

    Raises:
        InvalidField: it is a unit, or the layer has none.
    """
    if path.unit is not None:
        raise InvalidField(field, f"is the unit {path}, must name a layer, without a unit")
    unit_count(shape, field)
    return path.layer


def check_gradient(layer: str, field: str, model: HostedModel) -> None:
    """Check that a gradient leads from a layer to the images.

    Args:
        layer: its dotted name, or "logits".
        field: the request's field, for errors.
        model: the loaded model that is asked for.

    Raises:
        InvalidField: the layer carries none.
    """
    if layer in model.network.without_gradient:
        raise InvalidField(
            field,
            f"layer {layer} carries no gradient to the images (it is computed under torch.no_grad, "
            f"in a reentrant checkpoint, or detached), so that nothing can climb it; must be a "
            f"layer that does; exemplars, activations and occlusion need none",
        )


def unit_count(shape: Sequence[int], field: str) -> int:
    """Count the units of a layer.

    Args:
        shape: the layer's output for one image.

    Raises:
        InvalidField: the output is neither (units,) nor (units, rows, columns).
    """
    if len(shape) not in WITH_UNITS:
        raise InvalidField(
            field, "must name a layer whose output is (units,) or (units, rows, columns)"
        )
    return shape[0]
