"""The options of an audit, and what they ask of `Service.audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli.arguments import Share, fraction
from striate._cli.command import merged, option_group
from striate._cli.left_out import SkipBad
from striate._cli.robustness import attack_options

_OPTIONS = {  # by the arguments of Service.audit, where names differ
    "threats": "threat",
    "attacks": "attack",
    "corruptions": "corruption",
    "severities": "severity",
    "augmentations": "augmentation",
    "budget_gradients": "budget",
    "gates": "fail-under",
}


def option_name(argument: str) -> str:
    """The option that gives an argument of `Service.audit`."""
    return f"--{_OPTIONS.get(argument, argument.replace('_', '-'))}"


def _conditions(
    threat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NORM:EPSILONS",
            help="E.g. linf:1/255,8/255; repeatable. Default: linf at 1, 2, 4 and 8/255.",
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SETTINGS]",
            help="E.g. pgd:steps=100,restarts=2; repeatable. Default: PGD and APGD.",
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help='E.g. fog, or "all"; repeatable.')
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5, help="Of the corruptions; repeatable. Default: all five."),
    ] = None,
    mce_reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Give mCE and relative mCE, with this model's errors under the corruptions as "
            "the unit; it need not be one of those that are judged.",
        ),
    ] = None,
    augmentation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help='E.g. rotation, or "all"; repeatable.')
    ] = None,
) -> dict[str, Any]:
    """Reads what networks are judged under, as arguments of `Service.audit`."""
    return {
        "threats": _threats(threat or ()),
        "attacks": [attack_options.parse(text) for text in attack or ()],
        "corruptions": corruption or (),
        "severities": severity or (),
        "mce_reference": mce_reference,
        "augmentations": augmentation or (),
    }


def _run_settings(
    limit: Annotated[
        int, typer.Option(min=0, help="Judge so many images of a random order; 0 for all.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of that order and all else.")] = 0,
    confidence: Annotated[
        float | None, typer.Option(help="Of intervals and gates. Default: 0.95.")
    ] = None,
    budget: Annotated[
        int,
        typer.Option(
            min=0, metavar="GRADIENTS", help="End after so many image-gradients; 0 for no limit."
        ),
    ] = 0,
    float_images: Annotated[
        bool,
        typer.Option("--float-images", help="Attack with float32 pixels instead of 8-bit ones."),
    ] = False,
    shard_images: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="What a restart may have to do again. Default: 64."),
    ] = None,
    skip_bad: SkipBad = False,
    share: Share = None,
    skip_checks: Annotated[
        bool,
        typer.Option(
            "--skip-checks", help="Leave out the audit's checks of itself: it is then suspect."
        ),
    ] = False,
) -> dict[str, Any]:
    """Reads how the audit runs, as arguments of `Service.audit`."""
    return {
        "limit": limit,
        "seed": seed,
        "confidence": confidence,
        "budget_gradients": budget,
        "float_images": float_images,
        "shard_images": shard_images,
        "skip_checks": skip_checks,
        "skip_bad": skip_bad,
        "share": share or (),
    }


def _gates(
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL@]CONDITION=BAR",
            help="Exit 1 under it, e.g. clean=0.8 or linf:8/255=0.40; repeatable.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Reads the least accuracies by condition, of texts such as "linf:8/255=0.40"."""
    gates: dict[str, float] = {}
    for text in fail_under or ():
        condition, equals, bar = text.rpartition("=")
        if not equals:
            raise typer.BadParameter(
                f"{text!r} is not of the form linf:8/255=0.40", param_hint="--fail-under"
            )
        if condition in gates:
            raise typer.BadParameter(
                f"{condition!r} has more than one bar", param_hint="--fail-under"
            )
        gates[condition] = fraction(bar)
    return {"gates": gates}


def _threats(texts: Sequence[str]) -> dict[str, list[float]]:
    """Radii by norm, of texts such as "linf:1/255,8/255"."""
    threats: dict[str, list[float]] = {}
    for text in texts:
        norm, colon, radii = text.partition(":")
        if not colon:
            raise typer.BadParameter(
                f"{text!r} is not of the form linf:1/255,8/255", param_hint="--threat"
            )
        threats.setdefault(norm, []).extend(fraction(radius) for radius in radii.split(","))
    return threats


def _report_files(
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the report as one page.")
    ] = None,
    json_report: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write it by its published schema.")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write verdicts, gates and checks as test cases for CI."),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a table of one row an image and network."),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write the adversarial images as a table (parquet)."),
    ] = None,
) -> Mapping[str, Path]:
    """Reads where the report is written, by form."""
    files = {
        "html": html,
        "json": json_report,
        "junit": junit,
        "parquet": parquet,
        "examples": examples,
    }
    return {form: path for form, path in files.items() if path is not None}


AUDIT_SETTINGS = merged(
    option_group(_conditions), option_group(_run_settings), option_group(_gates)
)
REPORT_FILES = option_group(_report_files)
