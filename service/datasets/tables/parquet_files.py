"""Which parquet files a data set is made of: those of a glob, or of a folder as Hugging Face lays
it out, with several splits and configurations.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from service.datasets.base import DatasetError
from service.datasets.fingerprint import matching_files
from service.datasets.tables.hugging_face import Card, find_card

_SHARD = re.compile(r"(.+?)-\d{3,}-of-\d{3,}(-[0-9a-f]+)?")  # the stem of a file of a split
_SPLITS = {  # what names a split in the names of files and folders
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def find_files(pattern: str, split: str, config: str) -> tuple[list[str], Card | None, str]:
    """Find the files of a data set.

    Args:
        pattern: a glob, or a folder for all parquet files below it.
        split: only the files of this split; empty: those of the only one, or of all that a glob
            matches.
        config: only the files of this configuration; empty: the card's default.

    Returns:
        The paths, sorted; the data set's card, if it has one; the configuration, if it is known.

    Raises:
        DatasetError: there is no such file, or one has to choose a split or a configuration.
    """
    folder = os.path.isdir(os.path.expanduser(pattern))
    paths = _below(Path(pattern).expanduser()) if folder else matching_files(pattern)
    if not paths:
        raise DatasetError(
            f"{pattern!r} holds no parquet file" if folder else f"no file matches {pattern!r}"
        )
    common = Path(os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]))
    card = find_card(common)
    places = {path: _place(path, card, common) for path in paths}
    configs = sorted({place[0] for place in places.values()} - {""})
    if folder and not config and len(configs) > 1:
        config = card.default if card is not None and card.default in configs else ""
        if not config:
            raise _choose("config", "configurations", configs)
    if config:
        paths = _those(
            paths, [path for path in paths if places[path][0] == config], "config", configs
        )
    splits = sorted({places[path][1] for path in paths} - {""})
    if split:
        wanted = _SPLITS.get(split, split)
        chosen = [
            path for path in paths if wanted in (places[path][1], _SPLITS.get(places[path][1]))
        ]
        return _those(paths, chosen, "split", splits), card, config or _only(configs)
    if folder and len(splits) > 1:
        raise _choose("split", "splits", splits)
    return paths, card, config or _only(configs)


def _below(folder: Path) -> list[str]:
    return sorted(
        str(path)
        for path in folder.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _place(path: str, card: Card | None, common: Path) -> tuple[str, str]:
    """(configuration, split) of a file; empty where unknown."""
    absolute = Path(os.path.abspath(path))
    config, split = card.place(absolute) if card is not None else ("", "")
    folders = absolute.relative_to(common).parts[:-1]
    return config, split or _split(absolute.stem, folders)


def _split(stem: str, folders: Iterable[str]) -> str:
    words = [word for name in (stem, *folders) for word in re.split(r"[^A-Za-z0-9]+", name)]
    known = next((_SPLITS[word.lower()] for word in words if word.lower() in _SPLITS), "")
    shard = _SHARD.fullmatch(stem)
    return known or (shard[1] if shard else "")


def _those(paths: list[str], chosen: list[str], option: str, known: list[str]) -> list[str]:
    if not chosen:
        raise DatasetError(
            f"none of the {len(paths)} files is of that {option}; there are: "
            f"{', '.join(known) or 'none that their names tell'}"
        )
    return chosen


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _choose(option: str, what: str, names: list[str]) -> DatasetError:
    return DatasetError(
        f"it holds the {what} {', '.join(names)}: choose one by ?{option}={names[0]}, or name the "
        "files by a glob"
    )
