"""Templates to HTML pages that need nothing besides themselves: no script, no font, no file, no
network.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

Filter = Callable[[Any], str]


def load_template(name: str, filters: Mapping[str, Filter], values: Mapping[str, Any]) -> Template:
    """Load a template of the folder `templates`.

    Args:
        name: of its file.
        filters: what its values can be piped through, by name.
        values: what it can refer to beside the values that it is rendered with.

    Returns:
        The template, which escapes every value, and which raises at a value that it is not given.
    """
    environment = Environment(
        loader=PackageLoader("service.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    environment.globals |= values
    return environment.get_template(name)


def png_url(png: bytes) -> str:
    """Encode a PNG file as a URL that holds the file itself, as the page's own data.

    Args:
        png: bytes of the file.

    Returns:
        A "data:" URL.
    """
    return "data:image/png;base64," + b64encode(png).decode("ascii")
