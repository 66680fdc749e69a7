"""Templates, which escape whatever they are given, and the words and numbers in them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from striate_web.names import address, own


def count(value: float) -> str:
    """Words a large number: 4704 -> "4,704", 14680064 -> "14.7 M"."""
    for limit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {name}"
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Words a measured number with three digits."""
    return f"{value:.3g}"


def share(value: float) -> str:
    """Words a share from 0 to 1: 0.123 -> "12.3 %"."""
    return f"{100 * value:.3g} %"


def extents(values: tuple[int, ...]) -> str:
    """Words a shape: (64, 16, 16) -> "64 \u00d7 16 \u00d7 16"."""
    return " \u00d7 ".join(map(str, values))


@cache
def static(name: str) -> str:
    """Makes the address of a file that comes along, with its digest: it may be kept for good."""
    data = resources.files("striate_web").joinpath("static", name).read_bytes()
    return own("static", name, query={"v": hashlib.sha256(data).hexdigest()[:16]})


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("striate_web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"address": address, "own": own, "static": static}
    environment.filters |= {"count": count, "short": short, "share": share, "extents": extents}
    return environment


def render(template: str, **values: Any) -> str:
    """Fills a template.

    Args:
        template: Its name.
        values: What it shows.

    Returns:
        HTML.
    """
    return _environment().get_template(template).render(values)
