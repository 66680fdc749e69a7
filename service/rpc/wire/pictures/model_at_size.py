"""A model for pictures of one size: what the layers and units of a request are checked against."""

from collections.abc import Mapping
from dataclasses import dataclass

from interp.layer import LayerPath
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.wire import units as wire_units


@dataclass(frozen=True, eq=False)
class ModelAtSize:
    """What objectives are checked against: a model, for pictures of one size.

    Attributes:
        model: whose units are shown.
        shapes: layer -> shape of its output for one picture as the network is shown it; at least of
            the layers in `paths`.
        preprocessing: how the model takes images of that size.
        shown: the same of the size at which the network is shown the pictures.
        paths: every layer and unit that the request names, by the field that names it; their
            numbers are not checked yet.
    """

    model: HostedModel
    shapes: wire_units.Shapes
    preprocessing: Preprocessing
    shown: Preprocessing
    paths: Mapping[str, LayerPath]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self.model.preprocessing.height, self.model.preprocessing.width

    def layer(self, field: str) -> str:
        """Check that a field names a layer that has units.

        Args:
            field: one of `paths`.

        Returns:
            The layer's dotted name.

        Raises:
            InvalidField: It names a unit, or the layer has none.
        """
        path = self.paths[field]
        return wire_units.check_layer(path, field, self.shapes[path.layer])

    def path(self, field: str) -> LayerPath:
        """Check that a field names a layer, unit or neuron that there is.

        Args:
            field: one of `paths`.

        Returns:
            It, with its position in numbers.

        Raises:
            InvalidField: A number is out of range.
        """
        path = self.paths[field]
        return wire_units.resolve_path(path, field, self.shapes[path.layer])
