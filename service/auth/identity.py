"""Who calls, and what they may do."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase

from service.auth.quota import UNLIMITED, Quota

ALL = ("*",)


class Role(IntEnum):
    """What a caller may do; each may do all that the ones before it may.

    READ: look, and classify. COMPUTE: whatever takes the device. ADMIN: load and unload models, and
    what belongs to others.
    """

    READ = 1
    COMPUTE = 2
    ADMIN = 3


@dataclass(frozen=True)
class Identity:
    """A caller.

    Attributes:
        name: under which operations and uploads are kept; "" for nobody in particular.
        role: what they may do; None for those who have shown nothing.
        models: patterns of the models that they may name, with *, ? and [...].
        datasets: patterns of the data sets that they may name.
        quota: how much they may have.
    """

    name: str
    role: Role | None
    models: tuple[str, ...] = ALL
    datasets: tuple[str, ...] = ALL
    quota: Quota = UNLIMITED

    @property
    def is_admin(self) -> bool:
        """Whether what belongs to others is theirs too."""
        return self.role is Role.ADMIN

    @property
    def may_name_all(self) -> bool:
        """Whether no model and no data set is kept from them."""
        return self.models == ALL and self.datasets == ALL

    def may_use_model(self, name: str) -> bool:
        """Tell whether a model is not kept from them, be there one or not.

        Args:
            name: of the model, as it is hosted.
        """
        return _fits(name, self.models)

    def may_use_dataset(self, name: str) -> bool:
        """Tell whether a data set is not kept from them, be there one or not.

        Args:
            name: of the data set.
        """
        return _fits(name, self.datasets)


# Whoever reaches a server without keys; and whoever has shown none to one that asks for them.
EVERYONE = Identity("", Role.ADMIN)
NOBODY = Identity("", None, (), ())

# Whose call this is. What a call starts in other threads sees it where these are given its context.
current: ContextVar[Identity] = ContextVar("identity", default=EVERYONE)


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Do as a caller what is done inside.

    Args:
        identity: who is the present caller meanwhile.
    """
    before = current.set(identity)
    try:
        yield
    finally:
        current.reset(before)


def visible_models(names: Iterable[str]) -> list[str]:
    """Choose what may be told to the present caller.

    Args:
        names: of models.

    Returns:
        Those that are not kept from them.
    """
    return [name for name in names if current.get().may_use_model(name)]


def visible_datasets(names: Iterable[str]) -> list[str]:
    """Choose what may be told to the present caller.

    Args:
        names: of data sets.

    Returns:
        Those that are not kept from them.
    """
    return [name for name in names if current.get().may_use_dataset(name)]


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
