"""Names that were probably meant by an unknown one, and classes by their names."""

import difflib
from collections.abc import Iterable, Sequence

# characters of an unknown name that are compared and quoted: comparing takes time in proportion
LONGEST = 100
_FOLDED = str.maketrans("", "", " -_")


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


def class_index(name: str, classes: Sequence[str]) -> int:
    """Find the class that a name means: exactly, or else without case, blanks, hyphens and
    underscores.

    Args:
        name: e.g. "cat".
        classes: all names, in the order of the logits.

    Returns:
        The index of the class.

    Raises:
        ValueError: no class, or more than one, is called so.
    """
    exact = [place for place, known in enumerate(classes) if known == name]
    alike = [place for place, known in enumerate(classes) if _fold(known) == _fold(name)]
    found = exact or alike
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{name[:LONGEST]!r} names the classes {', '.join(map(str, found))}: use a number"
        )
    nearest = nearest_names(name, classes)
    hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
    raise ValueError(f"no class is called {name[:LONGEST]!r}{hint}")


def _fold(name: str) -> str:
    return name.translate(_FOLDED).casefold()
