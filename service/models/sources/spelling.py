"""What was probably meant by the name of a network that no source has."""

import difflib
import re
from collections.abc import Iterable

_SPELLINGS = {  # in lower case, as people write them -> the prefix
    "timm": "timm",
    "pytorch-image-models": "timm",
    "hf": "hf",
    "hf-hub": "hf",
    "huggingface": "hf",
    "hugging-face": "hf",
    "hugging_face": "hf",
    "bundle": "bundle",
    "torchvision": "",  # its networks go without one
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9_][\w.-]*")
_LIKENESS = 0.7  # of difflib: "tim" and "bundel" count, "models" does not


def meant(name: str, known: Iterable[str]) -> str | None:
    """Guess how a name would be written that is none.

    Args:
        name: as a caller gave it, such as "tim:resnet18", "HF:org/repo" or "org/repo".
        known: names without a source.

    Returns:
        Such as "timm:resnet18"; None where nothing is likely.
    """
    word, separator, rest = name.partition(":")
    if not separator:
        if _REPOSITORY.fullmatch(name) is None:
            return None
        word, _, rest = name.partition("/")
        if word.lower() not in _SPELLINGS:
            return f"hf:{name}"
    near = difflib.get_close_matches(word.lower()[:40], _SPELLINGS, n=1, cutoff=_LIKENESS)
    if not near or not rest:
        return rest if rest in set(known) else None
    prefix = _SPELLINGS[near[0]]
    return f"{prefix}:{rest}" if prefix else rest
