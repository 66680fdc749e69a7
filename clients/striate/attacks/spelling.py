"""What other libraries call the settings of an attack: `eps` is taken, the others are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar, dataclass_transform

Kind = TypeVar("Kind", bound=type)

_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "step": ("alpha", "eps_step", "eps_iter", "step_size", "rel_stepsize", "abs_stepsize"),
    "steps": ("iters", "iterations", "max_iter", "n_iter", "n_steps", "nb_iter", "num_steps"),
    "queries": ("n_queries", "max_queries", "budget"),
    "restarts": ("n_restarts", "num_random_init", "num_restarts"),
    "norm": ("ord", "p"),
    "random_start": ("rand_init", "rand_start", "random_init"),
    "loss": ("loss_fn", "loss_type"),
    "target_classes": ("n_target_classes",),
}


@dataclass_transform(frozen_default=True)
def attack_dataclass(kind: Kind) -> Kind:
    """Makes a class a frozen dataclass whose constructor takes `eps` for `epsilon`.

    Args:
        kind: The class, with a field `epsilon`.

    Returns:
        The class. Its constructor raises TypeError for settings that it does not have, and names
        the one that may be meant.
    """
    made: Any = dataclass(frozen=True)(kind)
    made.__init__ = _spelled(made, made.__init__)
    return made  # type: ignore[no-any-return]


def _spelled(kind: Any, init: Callable[..., None]) -> Callable[..., None]:
    names = [one.name for one in fields(kind)]

    @wraps(init)
    def checked(self: Any, *values: Any, **settings: Any) -> None:
        if "eps" in settings:
            if "epsilon" in settings or values:
                raise TypeError(f"{kind.__name__} was given epsilon twice, once as eps")
            settings["epsilon"] = settings.pop("eps")
        for name in settings:
            if name not in names:
                meant = next((one for one in names if name in _ELSEWHERE.get(one, ())), None)
                hint = f"; it is called {meant} here" if meant else ""
                raise TypeError(
                    f"{kind.__name__} has no setting {name!r}{hint}. It has {', '.join(names)}."
                )
        init(self, *values, **settings)

    return checked
