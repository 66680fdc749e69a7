"""VisualizeLayer: every unit of a layer."""

from service.handlers.base import Interpreter


class LayerHandlers(Interpreter):
    """VisualizeLayer."""
