"""The sources by prefix, and what a name means that has one."""

from collections.abc import Iterable, Mapping

from interp.names import LONGEST
from service.models.blueprint import Blueprint, UnknownModel
from service.models.checkpoints import ModelError
from service.models.sources import bundle, huggingface, onnx, spelling, timm_networks
from service.models.sources.source import NetworkSource, Wanted

SOURCES: Mapping[str, NetworkSource] = {
    "hf": huggingface.SOURCE,
    "timm": timm_networks.SOURCE,
    "bundle": bundle.SOURCE,
    "onnx": onnx.SOURCE,
}


def hosted_name(name: str) -> str:
    """Find the name under which a network is hosted.

    Args:
        name: as a caller gives it, such as "hf:microsoft/resnet-18".

    Returns:
        "hf.microsoft.resnet-18"; a name without a source's prefix as it is.

    Raises:
        UnknownModel: the source names its networks in another way, or a caller may not name this.
    """
    prefix, colon, rest = name.partition(":")
    if not colon or prefix not in SOURCES:
        return name
    hosted = SOURCES[prefix].hosted(rest)
    if hosted is None:
        raise UnknownModel(name, (), f"there is no model {name!r}; {SOURCES[prefix].meant}")
    return f"{prefix}.{hosted}"


def unknown(name: str, known: Iterable[str]) -> UnknownModel:
    """Make the error for a name that no network has.

    Args:
        name: as a caller gave it.
        known: names of networks that go without a source.

    Returns:
        The error, which tells the sources where the name looks like one of theirs.
    """
    names, prefix = list(known), name.partition(":")[0]
    meant = spelling.meant(name, names)
    if ":" not in name and meant is None:
        return UnknownModel(name, names)
    shown = name[:LONGEST]
    if prefix in SOURCES:
        rest = SOURCES[prefix].hosted(name.partition(":")[2])
        way = f"; it is hosted under {prefix}.{rest}" if rest else f"; {SOURCES[prefix].meant}"
        return UnknownModel(name, (), f"no model is called {shown!r}{way}")
    hint = f" (did you mean {meant[:LONGEST]}?)" if meant else ""
    return UnknownModel(name, (), f"there is no model {shown!r}{hint}; {_known()}")


def is_hosted_name(name: str) -> bool:
    """Tell whether a name is one under which a source's network is hosted.

    Args:
        name: such as "hf.microsoft.resnet-18".

    Returns:
        Whether `by_hosted_name` takes it; the network itself is not looked for.
    """
    return _behind(name) is not None


def by_hosted_name(name: str, wanted: Wanted) -> Blueprint:
    """Plan a network by the name under which it is hosted.

    Args:
        name: for which `is_hosted_name` is true.
        wanted: the weights.

    Returns:
        The plan.

    Raises:
        ModelError: it cannot be made.
    """
    found = _behind(name)
    if found is None:
        raise UnknownModel(name, ())
    source, rest = found
    return source.plan(rest, wanted)


def of_table(table: str, origin: str, wanted: Wanted) -> Blueprint:
    """Plan the network that a settings table names.

    Args:
        table: its name, for errors.
        origin: its `source`, such as "hf:/models/flowers".
        wanted: the weights.

    Returns:
        The plan.

    Raises:
        ModelError: there is no such source, or the network cannot be made.
    """
    prefix, _, rest = origin.partition(":")
    if prefix not in SOURCES:
        meant = spelling.meant(origin, ())
        hint = f" (did you mean {meant}?)" if meant else ""
        raise ModelError(f"models.{table}.source {origin!r} names no source{hint}; {_known()}")
    return SOURCES[prefix].plan(rest, wanted)


def _known() -> str:
    return "; ".join(source.meant for source in SOURCES.values())


def _behind(name: str) -> tuple[NetworkSource, str] | None:
    prefix, _, hosted = name.partition(".")
    source = SOURCES.get(prefix)
    rest = source.rest(hosted) if source else None
    return (source, rest) if source and rest is not None else None
