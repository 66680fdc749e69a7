"""Models and their layers as messages."""

from interp.layer import quoted
from interp.network.describe import LayerInfo
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, required
from striate.v1 import model_pb2


def labels(request: model_pb2.LoadModelRequest) -> tuple[str, ...]:
    """Read the class names that a model is to be loaded with.

    Args:
        request: its lengths are within the limits of the doors.

    Returns:
        The names in the order of the logits; () for those that are known.

    Raises:
        InvalidField: one is empty.
    """
    for number, name in enumerate(request.labels):
        required(f"labels[{number}]", name.strip())
    return tuple(request.labels)


def model_info(model: HostedModel) -> model_pb2.ModelInfo:
    """Write what a loaded model is, and how it takes images.

    Args:
        model: that is loaded.

    Returns:
        The message.
    """
    preprocessing = model.preprocessing
    return model_pb2.ModelInfo(
        name=model.name,
        state=model_pb2.MODEL_STATE_SERVING,
        architecture=model.architecture,
        weights=model.weights,
        digest=model.digest,
        input_height=preprocessing.height,
        input_width=preprocessing.width,
        input_channels=preprocessing.channels,
        mean=preprocessing.mean,
        std=preprocessing.std,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        classes=model.classes,
        parameters=model.parameters,
        memory_bytes=model.memory_bytes,
        warnings=model.warnings,
        license=model.license,
        source=model.source,
    )


def check_deterministic(model: HostedModel, deterministic: bool, field: str) -> None:
    """Refuse to promise equal bytes of a network that does not keep the promise.

    Args:
        deterministic: whether the request asks for it.
        field: the request's field, for errors.

    Raises:
        InvalidField: it is asked for, and the network's answer for an image is not its own.
    """
    if deterministic and model.network.company_doubt:
        raise InvalidField(
            field,
            f"cannot be kept by {model.name}: {model.network.company_doubt}; ask without "
            f"{field}, or mend the network (batch norms with running statistics, no random steps)",
        )


def layer_message(info: LayerInfo) -> model_pb2.Layer:
    """Write the description of a layer.

    Args:
        info: description of the layer.

    Returns:
        The message, its receptive field left out where it is not known.
    """
    message = model_pb2.Layer(
        name=quoted(info.name),
        type=info.type,
        kernel=info.kernel or (),
        stride=info.stride or (),
        padding=info.padding or (),
        dilation=info.dilation or (),
        output_shape=info.output_shape,
        parameters=info.parameters,
        multiply_adds=info.multiply_adds,
        unavailable=info.unavailable,
    )
    field = info.receptive_field
    if field is not None:
        top, left, bottom, right = field.bounds
        message.receptive_field.CopyFrom(
            model_pb2.ReceptiveField(
                height=field.height,
                width=field.width,
                jump_y=field.jump_y,
                jump_x=field.jump_x,
                offset_y=field.offset_y,
                offset_x=field.offset_x,
                is_global=field.is_global,
                top=top,
                left=left,
                bottom=bottom,
                right=right,
            )
        )
    return message
