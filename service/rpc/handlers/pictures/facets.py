"""FindFacets: the different things that one unit sees."""

from service.models.zoo import ModelZoo
from service.rpc.context import Context
from service.rpc.handlers.pictures.facet_finder import FacetFinder
from service.rpc.validation import required
from striate.v1 import visualize_pb2 as pb


class FacetHandler:
    """Answers FindFacets.

    Args:
        zoo: the models.
        finder: finds facets.
    """

    def __init__(self, zoo: ModelZoo, finder: FacetFinder) -> None:
        self._zoo, self._finder = zoo, finder

    async def find_facets(
        self, request: pb.FindFacetsRequest, context: Context
    ) -> pb.FindFacetsResponse:
        """Find the facets of one unit."""
        with self._zoo.use(required("model", request.model)) as model:
            return await self._finder.find(request, model, context)
