"""Between the messages of a dossier, its checked settings, and the facts of its page."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from interp.attack.unit_flips import UnitFlips
from interp.layer import Form, LayerPath
from interp.network.ablation import AblationEffect
from service.datasets import samples
from service.models.zoo import HostedModel
from service.rpc.validation import required, within
from service.rpc.wire import units as wire_units
from striate.v1 import dossier_pb2 as pb
from striate.v1 import exemplars_pb2, visualize_pb2

MOST_FLIPS = 16  # units of which the answer says how an attack changes them
EPSILON = 8 / 255


@dataclass(frozen=True)
class DossierSpec:
    """A checked request, but for how pictures are made.

    Attributes:
        path: the unit.
        dataset: name of the data set.
        pictures: of the unit, 1 to 4.
        exemplars: 1 to 36.
        images: of the data set, that ablation and PGD are run on, 1 to 512.
        epsilon: radius of PGD in Linf, in pixel units.
        attack_steps: of PGD.
        missing: sections that are not on the page, each with the reason.
        left_out: the images that the index leaves out, see `service.datasets.samples.summary`.
    """

    path: LayerPath
    dataset: str
    pictures: int
    exemplars: int
    images: int
    epsilon: float
    attack_steps: int
    missing: list[tuple[str, str]] = field(default_factory=list)
    left_out: dict[str, Any] = field(default_factory=lambda: samples.summary(()))

    @property
    def unit(self) -> int:
        """The number of the unit in its layer."""
        assert self.path.unit is not None
        return self.path.unit


def read(request: pb.CompileDossierRequest, model: HostedModel) -> DossierSpec:
    """Read what a dossier is to hold.

    Args:
        request: to read.
        model: whose unit it is.

    Returns:
        The checked request.

    Raises:
        InvalidField: Something is missing or out of range.
        UnknownLayer: The model has no such layer.
    """
    path = wire_units.read_unit(request.unit, "unit", model, positions=False, forms=True)
    wire_units.check_gradient(path.layer, "unit", model)
    return DossierSpec(
        path=path,
        pictures=within("pictures", request.pictures, 1, 4, default=1),
        exemplars=within("exemplars", request.exemplars, 1, 36, default=9),
        images=within("images", request.images, 1, 512, default=64),
        epsilon=within("epsilon", request.epsilon, 1e-6, 1.0, default=EPSILON),
        attack_steps=within("attack_steps", request.attack_steps, 1, 1000, default=10),
        dataset=required("dataset", request.dataset),
    )


def logit_shifts(effect: AblationEffect, model: HostedModel) -> list[pb.LogitShift]:
    """Write how the logits depend on a unit.

    Args:
        effect: of its ablation.
        model: whose classes they are.

    Returns:
        One message a class, largest fall first.
    """
    means, errors = effect.mean.tolist(), effect.standard_error.tolist()
    order = sorted(range(len(means)), key=lambda index: (-means[index], index))
    return [
        pb.LogitShift(index=i, label=model.classes[i], mean=means[i], standard_error=errors[i])
        for i in order
    ]


def unit_flips(flips: UnitFlips, unit: int) -> list[pb.UnitFlip]:
    """Write how an attack changes the units of a layer.

    Args:
        flips: of all units.
        unit: which is among them in any case.

    Returns:
        One message a unit, those first that flip most often: at most 16, and `unit`.
    """
    ranks = {other: rank for rank, other in enumerate(flips.order, start=1)}
    units = flips.order[:MOST_FLIPS]
    if unit not in units:
        units.append(unit)
    return [
        pb.UnitFlip(
            unit=one,
            share=flips.share[one].item(),
            shift=flips.shift[one].item(),
            rank=ranks[one],
        )
        for one in units
    ]


def page_facts(
    response: pb.CompileDossierResponse, spec: DossierSpec, images: int, model: HostedModel
) -> dict[str, Any]:
    """Collect what the page of a dossier shows.

    Args:
        response: with all sections.
        spec: by which it was compiled.
        images: of the data set that ablation and PGD were run on.
        model: whose unit it is.

    Returns:
        The facts, see `service.report.dossier_page`.
    """
    info = next((layer for layer in model.layers if layer.name == spec.path.layer), None)
    shape = model.network.output_shapes[spec.path.layer]
    statistics = plain(response.statistics)
    return {
        "unit": response.unit,
        "form": spec.path.form,
        "this_unit": spec.unit,
        "model": model.name,
        "layer_type": info.type if info else "layer of logits",
        "layer_units": shape[0],
        "provenance": plain(response.provenance),
        "visualizations": [
            visualization_facts(one, spec.path.form) for one in response.visualizations
        ],
        "exemplars": [exemplar_facts(one, len(shape) == 3) for one in response.exemplars],
        "exemplars_by_mean": [exemplar_facts(one, False) for one in response.exemplars_by_mean],
        "facets": [
            {"png": one.visualization.png, "share": one.share, "crops": list(one.crops)}
            for one in response.facets
        ],
        "statistics": statistics | {"images": sum(response.statistics.histogram)},
        "tuning": plain(response.tuning) if response.HasField("tuning") else None,
        "shifts": [plain(one) for one in response.logit_shifts],
        "flips": [plain(one) for one in response.flips],
        "missing": spec.missing,
        "left_out": spec.left_out,
        "epsilon": spec.epsilon,
        "attack_steps": spec.attack_steps,
        "images": images,
        "dataset": spec.dataset,
    }


def visualization_facts(message: visualize_pb2.Visualization, form: Form) -> dict[str, Any]:
    """Collect what the page shows of a picture.

    Args:
        message: with its certificate.
        form: of the unit that it shows.

    Returns:
        Plain values and the PNG file, of "neg" the activations of the unit itself; `ratio`, `rank`
        and `dataset_appearance` are None where they are unknown.
    """
    sign = -1 if form == "neg" else 1
    certificate = message.certificate
    optional = {
        name: getattr(certificate, name) if certificate.HasField(name) else None
        for name in ("ratio", "rank")
    }
    return {
        "png": message.png,
        "dead": message.dead,
        "activation": sign * message.activation,
        "held_out": sign * certificate.held_out,
        "no_ratio": certificate.no_ratio,
        "units": certificate.units,
        "dataset": certificate.dataset,
        "size": (certificate.height, certificate.width),
        "appearance": _measures(certificate.appearance),
        "dataset_appearance": _measures(certificate.dataset_appearance)
        if certificate.HasField("dataset_appearance")
        else None,
        **optional,
    }


def exemplar_facts(message: exemplars_pb2.Exemplar, has_position: bool) -> dict[str, Any]:
    """Collect what the page shows of an exemplar.

    Args:
        message: with its pictures.
        has_position: whether the layer has rows and columns.

    Returns:
        Plain values and PNG files; `where` is empty without a position.
    """
    names = ("image_png", "crop_png", "activation", "name", "label_name")
    where = f"row {message.row}, column {message.column}" if has_position else ""
    return {**{name: getattr(message, name) for name in names}, "where": where}


def plain(message: Message) -> dict[str, Any]:
    """Return the fields of a message as plain values.

    Args:
        message: one that holds no other messages.

    Returns:
        Its fields by name, unset ones too.
    """
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    return {
        name: value if isinstance(value, str | int | float) else list(value)
        for name, value in values.items()
    }


def _measures(message: visualize_pb2.Appearance) -> dict[str, float]:
    """How pictures look, as plain values."""
    return {name: getattr(message, name) for name in ("clipped", "high_frequencies", "saturation")}
