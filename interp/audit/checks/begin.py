"""Who hears what an audit checks next."""

from collections.abc import Callable

Begin = Callable[[str], None]  # what is checked, in words; on the thread that runs the procedure
Steps = Callable[[str, int, int], None]  # the same, with its number from 1, and how many there are


def quiet(_: str) -> None:
    """Nobody hears it."""


def silent(_: str, __: int, ___: int) -> None:
    """Nobody hears it."""


def counted(tell: Steps, total: int) -> Begin:
    """Count what begins.

    Args:
        tell: hears of it.
        total: how often something will begin.

    Returns:
        What is to be called.
    """
    begun = 0

    def begin(what: str) -> None:
        nonlocal begun
        begun += 1
        tell(what, begun, total)

    return begin
