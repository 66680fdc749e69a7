"""GetActivations: the feature maps of a layer."""

from service.handlers.base import Interpreter


class ActivationHandlers(Interpreter):
    """GetActivations."""
