"""Attribute: how much every pixel has to do with a class or a unit."""

from service.handlers.base import Interpreter


class AttributionHandlers(Interpreter):
    """Attribute."""
