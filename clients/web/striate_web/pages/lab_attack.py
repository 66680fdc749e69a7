"""The attack bench: what fools the network about this image, beside noise of the same size, and how
its certainty falls with epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import striate
from striate_web.names import own
from striate_web.pages.lab import ATTACKS, image_of
from striate_web.views import drawing, plots
from striate_web.views.portraits import picture_address
from striate_web.visit import Visit

if TYPE_CHECKING:
    from striate import AttackResult, Prediction
    from striate.attacks import Attack

LEVELS = 40  # of the slider, eight a doubling
_LEAST = {"linf": 1 / 255, "l2": 0.04}  # epsilon at level 0
_RADII = 7  # of the curve, beside the one asked for
_STEPS, _QUERIES = 20, 200


@dataclass(frozen=True)
class Exhibit:
    """An image of the bench, with what the network makes of it.

    Attributes:
        title: What it is.
        digest: Of its PNG file.
        predictions: The network's classes, the most probable first; none of what is no image.
    """

    title: str
    digest: str
    predictions: list[Prediction]

    @property
    def source(self) -> str:
        """Address of the picture."""
        return picture_address(self.digest)


def epsilon_of(norm: str, level: float) -> float:
    """The radius at a place of the slider, in pixel units of [0, 1]."""
    return float(_LEAST[norm] * 2 ** (level / 8))


async def show(request: Request) -> Response:
    """Attacks the image, at the radius asked for and at those of the curve."""
    visit = Visit(request)
    png, name = image_of(visit), visit.choice("attack", ATTACKS)
    norm, level = visit.choice("norm", ("linf", "l2")), visit.number("level", 16, 0, LEVELS)
    net = await visit.model(visit.query.get("model", ""))
    places = [level, *(LEVELS * place / (_RADII - 1) for place in range(_RADII))]
    radii = [epsilon_of(norm, place) for place in places]
    target = visit.number("target", -1, 0, len(net.classes) - 1)
    result = await net.attack(
        [png] * len(radii),
        None,
        _attack(name, radii[0], norm),
        epsilons=radii,
        targets=None if target < 0 else target,
        format="png",
    )
    label, size = int(result.labels[0]), float(result.norms[0])
    drawn = await visit.service.run(_drawn, result, norm, size)
    found = await net.classify([drawn.clean, *result.pngs, drawn.noise], k=len(net.classes))
    sure = [next(one.probability for one in row if one.index == label) for row in list(found)[2:-1]]
    put = visit.pictures.put
    exhibits = [
        Exhibit("the image", put(drawn.clean), found[0][:3]),
        Exhibit(f"what is added, {drawn.factor:.0f} times", put(drawn.difference), []),
        Exhibit("adversarial", put(result.pngs[0]), found[1][:3]),
        Exhibit("noise of the same size", put(drawn.noise), found[-1][:3]),
    ]
    return visit.page(
        "lab/attack.html",
        net=net,
        attack=name,
        norm=norm,
        epsilon=radii[0],
        label=net.classes[label],
        towards="" if target < 0 else net.classes[target],
        succeeded=bool(result.succeeded[0]),
        warnings=result.warnings,
        exhibits=exhibits,
        points=plots.line(sure, 0, 1),
        radii=radii[1:],
        width=plots.WIDTH,
        height=plots.HEIGHT,
        here=plots.WIDTH * level / LEVELS,
    )


@dataclass(frozen=True)
class _Drawn:
    """The files of the bench: the image as the network sees it, what is added, and the control."""

    clean: bytes
    difference: bytes
    factor: float
    noise: bytes


def _drawn(result: AttackResult, norm: str, size: float) -> _Drawn:
    assert result.clean is not None
    clean = result.clean[0].transpose(1, 2, 0).astype("float64")  # (C, H, W) -> (H, W, C)
    difference, factor = drawing.magnified(drawing.pixels(result.pngs[0]) - clean)
    noise = drawing.noise(clean, norm, size)
    return _Drawn(drawing.drawn(clean), difference, factor, noise)


def _attack(name: str, epsilon: float, norm: Any) -> Attack:
    match name:
        case "FGSM":
            return striate.FGSM(epsilon=epsilon, norm=norm)
        case "APGD":
            return striate.APGD(epsilon=epsilon, norm=norm, steps=_STEPS)
        case "Square":
            return striate.Square(epsilon=epsilon, norm=norm, queries=_QUERIES)
        case _:
            return striate.PGD(epsilon=epsilon, norm=norm, steps=_STEPS)


ROUTES: list[BaseRoute] = [Route(own("lab", "attack"), show)]
