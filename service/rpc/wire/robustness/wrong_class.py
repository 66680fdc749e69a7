"""What attacks and audits on classes ask of every network: that there is a wrong class."""

from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField


def require_wrong_class(model: HostedModel, field: str) -> None:
    """Refuse networks of a single class, on which no attack on classes has anything to find.

    Args:
        model: that would be attacked.
        field: the model's field in the request, for errors.

    Raises:
        InvalidField: the network has one output alone.
    """
    if model.network.classes < 2:
        raise InvalidField(
            field,
            f"{model.name!r} has one class: there is nothing to take it for; attack a unit "
            f"('logits:0'), or give it two labels in its settings table "
            f'(labels = ["no", "yes"]), which makes it a network of the two logits (0, z)',
        )
