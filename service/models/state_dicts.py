"""From what a checkpoint holds to the one state dict that fits a module exactly, or to a sentence
that says what was found instead.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]

_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")
# Heads of googlenet and inception_v3; a group of blocks of the TRADES networks that no pass runs.
_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.", "sub_block1.")
# Beside a network that stands under a prefix: losses and metrics of a training script, and the
# counter of torch.optim.swa_utils.AveragedModel.
_TRAINING_ONLY = re.compile(r"^(criterion|loss\w*|metrics?|(train|val|test)_\w+)\.|^n_averaged$")
_OPTIONAL = ".num_batches_tracked"  # batch normalization of before 2018 has none
_EMA = re.compile(r"(^|[^a-z])ema([^a-z]|$)")
_DEPTH = 3
_SHOWN = 3


class StateDictError(ValueError):
    """No state dict of a checkpoint fits, or more than one does."""


@dataclass(frozen=True)
class StateDict:
    """Tensors as a checkpoint holds them.

    Attributes:
        where: the keys and the prefix under which they stand, such as "state_dict: model."; ""
            for a file's own tensors.
        tensors: by name, without the prefix.
    """

    where: str
    tensors: State

    @property
    def is_average(self) -> bool:
        """Whether these are the running averages (EMA) that training kept beside its weights."""
        return _EMA.search(self.where) is not None


def tables(contents: object, where: str = "", depth: int = _DEPTH) -> Iterator[StateDict]:
    """Find every table of tensors.

    Args:
        contents: what a file holds: mappings, of mappings, of tensors and other values.
        where: the keys that led here.
        depth: of mappings that are looked into.

    Yields:
        The tables, each before those inside it.
    """
    if not isinstance(contents, Mapping) or depth == 0:
        return
    named = {key: value for key, value in contents.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield StateDict(where, tensors)
    for key, value in named.items():
        yield from tables(value, f"{where}.{key}" if where else key, depth - 1)


def fitting(found: list[StateDict], expected: Mapping[str, Tensor]) -> StateDict:
    """Choose the state dict that a module takes whole: every tensor is set and none is left over.

    Names are mended where the match is then exact: prefixes that wrappers leave ("module.",
    "model.", "_orig_mod.", any other; one for the body and another for the head), the dots in
    densenet's names, the heads that only training uses. Where a checkpoint holds weights and their
    running averages, the averages are taken, as timm does: they are what was evaluated.

    Args:
        found: the tables of a checkpoint.
        expected: the module's own tensors by name; their shapes are not compared.

    Returns:
        The one that fits, under the module's names.

    Raises:
        StateDictError: none does, or several that are not the same do.
    """
    fits = [s for table in found for s in _under_prefixes(table, expected)]
    fits = [s for s in fits if s.is_average] or fits
    if not fits:
        raise StateDictError(_difference(found, expected))
    if any(not _equal(fits[0].tensors, other.tensors) for other in fits[1:]):
        places = ", ".join(repr(s.where) for s in fits)
        raise StateDictError(
            f"holds {len(fits)} different networks that fit, under {places}: save one alone"
        )
    return fits[0]


def number_of_classes(state: State, expected: Mapping[str, Tensor]) -> tuple[int, str] | None:
    """Read the number of classes off the last layer's weights.

    Args:
        state: tensors under the module's names.
        expected: the module's own tensors, whose shapes differ in the last layer alone.

    Returns:
        The number of classes and the name of the tensor that tells it; None if all shapes are
        equal, or differ in another way.
    """
    other = {k: (t.shape, expected[k].shape) for k, t in state.items() if k in expected}
    other = {k: (here, own) for k, (here, own) in other.items() if here != own}
    numbers = {(here[:1], own[:1]) for here, own in other.values()}
    layers = tuple(f"{k.rpartition('.')[0]}." for k in other)
    if (
        len(numbers) != 1
        or any(here[1:] != own[1:] for here, own in other.values())
        or any(k.startswith(layers) and k not in other for k in expected)
    ):
        return None
    name = max(other, key=lambda k: len(other[k][0]))  # the weights rather than the biases
    return int(other[name][0][0]), name


def _under_prefixes(table: StateDict, expected: Mapping[str, Tensor]) -> Iterator[StateDict]:
    state = _renamed(table.tensors, expected)
    networks = {}
    for prefix in _prefixes(state, expected):
        inside = {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
        if _covers(inside, expected):
            networks[prefix] = inside
    known = tuple(networks)
    parts = None if networks else _body_and_head(state, expected)
    if parts is not None:
        yield StateDict(": ".join(p for p in (table.where, parts[0]) if p), parts[1])
    elif all(k.startswith(known) or _TRAINING_ONLY.match(k) for k in state):
        for prefix, inside in networks.items():
            yield StateDict(": ".join(p for p in (table.where, prefix) if p), inside)


def _body_and_head(state: State, expected: Mapping[str, Tensor]) -> tuple[str, State] | None:
    """A network in two parts under prefixes of their own, such as "backbone.conv1.weight" beside
    "head.fc.weight" or "fc.weight": what the prefixes are, and the tensors under their own names;
    None where these are not exactly those expected.
    """
    found: State = {}
    prefixes = set()
    for key, tensor in state.items():
        parts = key.split(".")
        tails = (".".join(parts[start:]) for start in range(len(parts)))
        name = next((tail for tail in tails if tail in expected), None)
        if name is None or name in found:
            return None
        found[name] = tensor
        prefixes.add(key.removesuffix(name))
    if len(prefixes) != 2 or not _covers(found, expected):
        return None
    return " and ".join(sorted(filter(None, prefixes))), found


def _renamed(state: State, expected: Mapping[str, Tensor]) -> State:
    """With names mended as torchvision mends those of its own files."""
    renamed = {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    heads = [h for h in _TRAINING_HEADS if not any(k.startswith(h) for k in expected)]
    return {
        name: tensor
        for name, tensor in renamed.items()
        if name in expected or not any(name.startswith(h) or f".{h}" in name for h in heads)
    }


def _prefixes(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Everything that stands before one of the expected names."""
    probe = max((k for k in expected if not k.endswith(_OPTIONAL)), key=len, default="")
    found = (k.removesuffix(probe) for k in state if k == probe or k.endswith(f".{probe}"))
    return sorted(set(found), key=lambda prefix: (len(prefix), prefix))


def _covers(state: State, expected: Mapping[str, Tensor]) -> bool:
    absent = expected.keys() - state.keys()
    no_counters = not any(k.endswith(_OPTIONAL) for k in state)
    return state.keys() <= expected.keys() and all(
        no_counters and k.endswith(_OPTIONAL) for k in absent
    )


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        one[k].shape == other[k].shape and bool((one[k] == other[k]).all()) for k in one
    )


def difference(
    found: list[StateDict], expected: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """Compare the table that comes nearest with what a module has.

    Args:
        found: the tables of a checkpoint.
        expected: the module's own tensors by name.

    Returns:
        The names that it lacks, and those that it has too much.
    """
    best, missing, unexpected = None, list(expected), list[str]()
    for table in found:
        state = _renamed(table.tensors, expected)
        for prefix in (*_prefixes(state, expected), ""):
            names = [k.removeprefix(prefix) if k.startswith(prefix) else k for k in state]
            lacks = [k for k in expected if k not in set(names)]
            if best is None or len(lacks) < len(missing):
                best, missing = table, lacks
                unexpected = [k for k in names if k not in expected]
    return missing, unexpected


def _difference(found: list[StateDict], expected: Mapping[str, Tensor]) -> str:
    missing, unexpected = difference(found, expected)
    parts = [_counted(unexpected, "unexpected"), _counted(missing, "missing")]
    return f"does not fit the architecture's {len(expected)} tensors: " + ", ".join(
        part for part in parts if part
    )


def _counted(names: list[str], kind: str) -> str:
    if len(names) > _SHOWN:
        return f"{len(names)} {kind} keys such as {', '.join(names[:_SHOWN])}"
    return f"{len(names)} {kind} ({', '.join(names)})" if names else ""
