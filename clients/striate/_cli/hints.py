"""What to do about an error, with the names that the command was given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from striate._rpc.unit_names import LAYER
from striate.errors import (
    DatasetNotFound,
    IndexNotFound,
    LayerNotFound,
    ModelNotFound,
    OperationNotFound,
    StriateError,
    TLSFailed,
    Unavailable,
)

_IN_OBJECTIVE = re.compile(rf"({LAYER}):")


def hint(error: StriateError, given: Mapping[str, Any]) -> str | None:
    """Writes the command that helps.

    Args:
        error: What went wrong.
        given: Arguments and options of the command by name.

    Returns:
        A line, None where nothing is known to help.
    """
    model = _name(given.get("model") or given.get("models"), "MODEL")
    match error:
        case TLSFailed():
            return (
                "--tls and --ca FILE speak TLS, --certificate FILE and --key FILE show your own "
                "certificate; STRIATE_TLS, STRIATE_CA, STRIATE_CERTIFICATE and STRIATE_KEY say it "
                "for all commands."
            )
        case Unavailable():
            return (
                "Is striate-server running there? --server HOST:PORT or STRIATE_SERVER says where "
                "else."
            )
        case IndexNotFound() if "striate index" not in str(error):
            dataset = _name(given.get("dataset"), "NAME")
            layer = _name(_layer(given), "LAYER")
            return f"To build it: striate index {model} --dataset {dataset} --layer {layer}"
        case ModelNotFound() if "not loaded" in str(error):
            return f"To load it: striate load {model}"
        case ModelNotFound():
            return "To list what can be loaded: striate models --available"
        case LayerNotFound():
            return f"To list its layers: striate layers {model}"
        case DatasetNotFound():
            return "To list them: striate datasets"
        case OperationNotFound():
            return "To list them: striate operations"
    return None


def _name(value: object, unknown: str) -> str:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return shlex.quote(value) if isinstance(value, str) and value else unknown


def _layer(given: Mapping[str, Any]) -> str | None:
    """The layer of the unit or objective that was asked for."""
    if given.get("layer"):
        return str(_name(given["layer"], ""))
    for name in ("unit", "objective", "objectives"):
        value = given.get(name)
        first = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(first, str):
            found = _IN_OBJECTIVE.search(first)
            return re.sub(r"^[-+\s]*(\w+\()*", "", found[1]) if found else first
    return None
