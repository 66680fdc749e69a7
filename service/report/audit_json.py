"""The report as JSON, and the schema that it keeps."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a report, published beside this module as
    audit.schema.json.
    """
    text = resources.files(__package__).joinpath("audit.schema.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def json_text(report: Mapping[str, Any]) -> str:
    """Write the report as ASCII JSON with sorted keys, indented by two spaces, with a newline at
    its end.

    Args:
        report: of plain JSON values.

    Returns:
        The text, the same for the same report.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    return json.dumps(report, sort_keys=True, indent=2, allow_nan=False) + "\n"
