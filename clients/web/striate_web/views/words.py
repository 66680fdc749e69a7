"""What a picture is worth, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate_web.rendering import count, share, short

if TYPE_CHECKING:
    from striate_web.views.portraits import Portrait

_ORDINALS = {1: "most", 2: "second most", 3: "third most"}


def certificate(portrait: Portrait) -> list[str]:
    """Words what a picture is worth.

    Args:
        portrait: The picture.

    Returns:
        Sentences; each stands for itself.
    """
    if portrait.dead:
        return ["No pixel moves this unit: the picture is no evidence of anything."]
    found = portrait.certificate
    if found is None:
        return [f"The unit answers to it with {short(portrait.activation)}."]
    sentences = [_against_images(portrait.activation, found)]
    sentences.append(
        f"Under random views that it was not made for it still reaches {short(found.held_out)} on "
        f"average, and {short(found.held_out_minimum)} at worst."
    )
    if found.rank is not None:
        sentences.append(_rank(found.rank, found.units, found.relative_rank))
    if found.spread:
        sentences.append(f"Pictures from other seeds reach {found.spread}.")
    if found.attempts > 1:
        sentences.append(f"It is the best of {found.attempts} attempts.")
    if found.no_ratio:
        sentences.append(f"There is no ratio: {found.no_ratio.rstrip('.')}.")
    return sentences


def _against_images(activation: float, found: object) -> str:
    maximum, ratio = getattr(found, "dataset_maximum", None), getattr(found, "ratio", None)
    if maximum is None:
        return f"The unit answers to it with {short(activation)}; no index tells what images reach."
    images = f"the {count(getattr(found, 'images', 0))} images of {getattr(found, 'dataset', '')}"
    if ratio is None:
        return (
            f"The unit answers to it with {short(activation)}; the most that any of {images} "
            f"reaches is {short(maximum)}."
        )
    percentile = getattr(found, "percentile", None)
    above = "" if percentile is None else f", and is above {share(percentile)} of them"
    return (
        f"The unit answers to it with {short(activation)}: {short(ratio)} times the most that any "
        f"of {images} reaches ({short(maximum)}){above}."
    )


def _rank(rank: int, units: int, relative: int | None) -> str:
    place = _ORDINALS.get(rank, f"{rank}th most")
    text = f"Of the layer's {count(units)} units it excites this one {place}"
    if relative is not None and relative != rank:
        how = _ORDINALS.get(relative, f"{relative}th most")
        text += f", and {how} in proportion to what each reaches on images"
    return f"{text}."
