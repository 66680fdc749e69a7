"""Which classes of an audit's models are the labels of its data set."""

from collections.abc import Mapping, Sequence

from service.datasets import Dataset, class_indices
from service.datasets.uploads import UPLOADED
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.robustness.wrong_class import require_wrong_class


def match_classes(models: Mapping[str, HostedModel], dataset: Dataset) -> tuple[int, ...]:
    """Find out which class of the models each label of the data set is.

    Args:
        models: by the fields that name them; all have to have the same classes in the same order.
        dataset: has to have labels and images.

    Returns:
        One class a label.

    Raises:
        InvalidField: models or data set are of the wrong kind, or a label is no class.
    """
    if not dataset.labelled:
        hint = f"; {dataset.source.unlabelled}" if dataset.source.unlabelled else ""
        raise InvalidField(
            "dataset", f"{dataset.name!r} has no labels: an audit needs to know what is right{hint}"
        )
    if not len(dataset):
        raise InvalidField("dataset", f"{dataset.name!r} has no images")
    first, known = next(iter(models.values())), list[int]()
    for field, model in models.items():
        require_wrong_class(model, field)
        if model.network.classes != first.network.classes:
            counts = (
                f"{model.name!r} has {model.network.classes} classes, {first.name!r} "
                f"{first.network.classes}"
            )
            raise InvalidField(field, f"{counts}: networks that are compared need the same")
        found = _indices(dataset, model)
        if -1 in found:
            raise InvalidField("dataset", _unmatched(dataset, model, found))
        if known and found != known:
            raise InvalidField(
                field,
                f"{model.name!r} has its classes in another order than {first.name!r}",
            )
        known = found
    return tuple(known)


def _indices(dataset: Dataset, model: HostedModel) -> list[int]:
    """For each label the class of a model, or -1: by name, or for a caller's own images without
    names by number, as in an attack.
    """
    if not dataset.classes and dataset.uri.startswith(UPLOADED):
        return [
            label if label < model.network.classes else -1 for label in range(dataset.label_count)
        ]
    return class_indices(dataset.classes, model.classes, dataset.label_count)


def _unmatched(dataset: Dataset, model: HostedModel, found: Sequence[int]) -> str:
    missing = [label for label, index in enumerate(found) if index < 0]
    shown = ", ".join(
        repr(dataset.classes[label]) if dataset.classes else str(label) for label in missing[:5]
    )
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    way = "" if dataset.uri.startswith(UPLOADED) else "; other names are given by ?classes=FILE"
    return (
        f"{dataset.name!r} has labels that no one class of {model.name!r} matches: "
        f"{shown}{more}{way}"
    )
