"""FindFacets: the different things that one unit sees."""

from service.handlers.base import Interpreter


class FacetHandlers(Interpreter):
    """FindFacets."""
