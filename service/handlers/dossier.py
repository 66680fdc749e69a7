"""CompileDossier: one unit on one page."""

from service.handlers.base import Interpreter


class DossierHandlers(Interpreter):
    """CompileDossier."""
