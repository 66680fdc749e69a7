"""Where a result came from, as message."""

from service.models.zoo import HostedModel
from service.rpc.context import VERSION, request_id
from striate.v1 import types_pb2


def provenance(model: HostedModel) -> types_pb2.Provenance:
    """Write where a result came from: the model and its digest, the service's version, and the
    request.

    Args:
        model: that gave the result.

    Returns:
        The message, with the model's warnings.
    """
    return types_pb2.Provenance(
        model=model.name,
        model_digest=model.digest,
        service_version=VERSION,
        request_id=request_id.get(),
        warnings=model_warnings(model),
    )


def model_warnings(model: HostedModel) -> list[str]:
    """Say why the model's answers may not be what they seem, whatever is asked.

    Args:
        model: that is loaded.

    Returns:
        The warnings, at most one.
    """
    doubt = model.network.company_doubt
    return [f"{model.name}: {doubt}"] if doubt else []
