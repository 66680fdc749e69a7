"""How pictures are made, as the command line spells it: the options that all commands with pictures
share.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import partial, wraps
from typing import Annotated, Any

import typer

from striate import regularize, space, view
from striate._cli.console import fraction

_SPACES: dict[str, type[Any]] = {
    "fourier": space.Fourier,
    "pixels": space.Pixels,
    "cppn": space.Cppn,
    "maco": space.Maco,
}
_VIEWS: dict[str, type[view.View]] = {
    "jitter": view.Jitter,
    "rotate": view.Rotate,
    "scale": view.Scale,
    "pad": view.Pad,
    "crop": view.Crop,
    "noise": view.Noise,
    "mirror": view.Mirror,
}

Steps = Annotated[int | None, typer.Option(min=1, help="Gradient steps. Default: the server's.")]
LearningRate = Annotated[
    float | None, typer.Option(help="Adam's learning rate, above 0 to 1. Default: the server's.")
]
Seed = Annotated[int, typer.Option(min=0, help="Picks start and transforms.")]
Size = Annotated[
    int | None,
    typer.Option(min=1, help="Picture height and width in pixels. Default: the network's."),
]
Transforms = Annotated[bool, typer.Option(help="Optimize under random jitter, rotation and scale.")]
OwnTransforms = Annotated[
    list[str] | None,
    typer.Option(
        "--transform",
        metavar="NAME=AMOUNT",
        help="Instead of those, in this order; repeatable: jitter, scale and pad by a share of "
        "the side, rotate by degrees, "
        "noise=DEVIATION, mirror=PROBABILITY, crop=SIDE[,DEVIATION].",
    ),
]
Variants = Annotated[int | None, typer.Option(min=1, max=16, help="Pictures an objective.")]
Diversity = Annotated[
    str | None,
    typer.Option(metavar="LAYER[=WEIGHT]", help="Push the variants apart in this layer."),
]
SpaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[=AMOUNTS]",
        help="Where the picture lives: fourier[=DECAY], pixels, cppn[=DEPTH[,WIDTH]] or "
        "maco[=IMAGES[,TRANSPARENCY]]. Default: fourier.",
    ),
]
SpectrumDataset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Data set that maco takes its spectrum from.")
]
Alpha = Annotated[bool, typer.Option("--alpha", help="Also optimize transparency.")]
L1 = Annotated[
    float | None,
    typer.Option("--l1", metavar="WEIGHT", help="Push pixels to gray by the mean of |x - 1/2|."),
]
L2 = Annotated[
    float | None,
    typer.Option("--l2", metavar="WEIGHT", help="The same by the mean of (x - 1/2)^2."),
]
TotalVariation = Annotated[
    float | None, typer.Option("--tv", metavar="WEIGHT", help="Push neighbouring pixels together.")
]
Blur = Annotated[
    str | None,
    typer.Option(metavar="SIGMA[,EVERY]", help="Blur by a share of the side, every so many steps."),
]
Clip = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE[,EVERY]", help="The pixels nearest to gray become gray, every so many steps."
    ),
]
CertifiedBy = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="NAME", help="Data set whose maxima pictures are compared with."
    ),
]
Seeds = Annotated[
    int,
    typer.Option(min=0, max=16, help="Also optimize from so many other seeds, to see the spread."),
]
Retries = Annotated[
    int | None,
    typer.Option(
        min=0, max=8, help="Try so often again where a picture is dead or weak. Default: 2."
    ),
]


Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="The same pictures whatever else the server does.")
]


def picture_settings(
    steps: Steps = None,
    learning_rate: LearningRate = None,
    seed: Seed = 0,
    size: Size = None,
    transforms: Transforms = True,
    transform: OwnTransforms = None,
    space: SpaceOption = None,
    spectrum_dataset: SpectrumDataset = None,
    alpha: Alpha = False,
    l1: L1 = None,
    l2: L2 = None,
    tv: TotalVariation = None,
    blur: Blur = None,
    clip: Clip = None,
    seeds: Seeds = 0,
    retries: Retries = None,
    deterministic: Deterministic = False,
) -> dict[str, Any]:
    """The PictureOptions that the options of a command say. Raises typer.BadParameter,
    InvalidArgument.
    """
    return {
        "steps": steps,
        "learning_rate": learning_rate,
        "seed": seed,
        "size": size,
        "transforms": read_views(transform, transforms),
        "parameterization": read_space(space, spectrum_dataset),
        "alpha": alpha,
        "regularizers": read_regularizers(l1, l2, tv, blur, clip),
        "seeds": seeds,
        "retries": retries,
        "deterministic": deterministic,
    }


def with_picture_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `picture_settings` in the place of its parameter `settings`,
    which is then a function that reads them: inside the command, so that what is wrong with them is
    told as all errors are.
    """
    shared = inspect.signature(picture_settings, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    options = [
        one for name in own for one in (shared.values() if name == "settings" else (own[name],))
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        said = {name: values.pop(name) for name in shared}
        command(**values, settings=partial(picture_settings, **said))

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


def read_views(texts: list[str] | None, wanted: bool) -> bool | list[view.View]:
    """The views of --transform, or else of --transforms. Raises typer.BadParameter,
    InvalidArgument.
    """
    if not texts:
        return wanted
    if not wanted:
        raise typer.BadParameter("goes not with --no-transforms", param_hint="--transform")
    return [_read_view(text) for text in texts]


def _read_view(text: str) -> view.View:
    name, _, values = text.partition("=")
    if name.strip() not in _VIEWS:
        raise typer.BadParameter(
            f"{name!r} is none of {', '.join(_VIEWS)}", param_hint="--transform"
        )
    found: view.View = _build(_VIEWS[name.strip()], values, "--transform", f"{name.strip()}=")
    return found


def read_space(text: str | None, spectrum_dataset: str | None) -> space.Space | None:
    """The parameterization of --space. Raises typer.BadParameter, InvalidArgument."""
    name, _, values = (text or "").partition("=")
    if (name == "maco") != (spectrum_dataset is not None):
        raise typer.BadParameter(
            "goes with --space maco, which needs it", param_hint="--spectrum-dataset"
        )
    if text is None:
        return None
    if name not in _SPACES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_SPACES)}", param_hint="--space")
    given = () if spectrum_dataset is None else (spectrum_dataset,)
    found: space.Space = _build(_SPACES[name], values, "--space", f"{name}=", *given)
    return found


def read_regularizers(
    l1: float | None, l2: float | None, tv: float | None, blur: str | None, clip: str | None
) -> list[regularize.Regularizer]:
    """Those that are given. Raises typer.BadParameter, InvalidArgument."""
    found: list[regularize.Regularizer] = []
    found += [] if l1 is None else [regularize.L1(l1)]
    found += [] if l2 is None else [regularize.L2(l2)]
    found += [] if tv is None else [regularize.TotalVariation(tv)]
    found += [] if blur is None else [_build(regularize.Blur, blur, "--blur")]
    found += [] if clip is None else [_build(regularize.Clip, clip, "--clip")]
    return found


def read_diversity(text: str | None) -> str | tuple[str, float] | None:
    """A layer, or a layer and its weight. Raises typer.BadParameter."""
    layer, equals, weight = (text or "").partition("=")
    return (layer, fraction(weight)) if equals else layer or None


def _build(kind: type[Any], text: str, option: str, before: str = "", *given: object) -> Any:
    """The setting with what is given and the numbers of "0.005,4". Raises typer.BadParameter for
    what is no number, and for more or fewer than it has.
    """
    try:
        return kind(
            *given,
            *(
                int(word) if word.strip().isdigit() else fraction(word.strip())
                for word in text.split(",")
                if word.strip()
            ),
        )
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint=option) from None
    except TypeError:
        words = ",".join(one.name.upper() for one in fields(kind)[len(given) :]) or "nothing"
        raise typer.BadParameter(
            f"{before}{text} must be of the form {before}{words}", param_hint=option
        ) from None
