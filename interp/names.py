"""Names that were probably meant by an unknown one."""

import difflib
from collections.abc import Iterable

# characters of an unknown name that are compared and quoted: comparing takes time in proportion
LONGEST = 100


def nearest_names(name: str, known: Iterable[str], cutoff: float = 0.5) -> list[str]:
    """Find the known names that look most like an unknown one.

    Args:
        name: the unknown name, of which the first LONGEST characters count.
        known: all names there are.
        cutoff: the least likeness, from 0 (anything) to 1 (equal), see `difflib`.

    Returns:
        Up to three names, the most alike first.
    """
    return difflib.get_close_matches(name[:LONGEST], list(known), n=3, cutoff=cutoff)
