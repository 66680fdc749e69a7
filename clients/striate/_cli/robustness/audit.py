"""The command that judges networks, for people and for CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._api.operation import Operation
from striate._cli.attack_methods import read
from striate._cli.console import (
    BAR_MISSED,
    DEFAULT_SERVER,
    SUSPECT,
    Json,
    Screen,
    Server,
    Timeout,
    fraction,
    image_files,
    session,
)
from striate._cli.images import LabelOption, LabelsOption, as_classes, class_folders, words
from striate.results import audit_table
from striate.results.audit import AuditProgress, AuditReport, gate_row
from striate.service import Service

_CANCEL_TIMEOUT = 10.0  # seconds

Output = Annotated[Path | None, typer.Option(metavar="PATH", help="Write this form of the report.")]
Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="Names of the models, compared with each other."),
]
OwnImages = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        metavar="PATH",
        help="Or pictures to upload: files or folders with labels, or a folder of class folders.",
    ),
]
ThreatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--threat",
        metavar="NORM:EPSILONS",
        help="E.g. linf:1/255,8/255; repeatable. Default: linf at 1, 2, 4 and 8/255.",
    ),
]
AttackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        metavar="NAME[:SETTINGS]",
        help="E.g. pgd:steps=100,restarts=2; repeatable. Default: PGD and APGD.",
    ),
]
Bars = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="[MODEL@]CONDITION=BAR",
        help="Exit 1 under it, e.g. clean=0.8 or linf:8/255=0.40; repeatable.",
    ),
]

_ARGUMENTS = {  # of Service.audit, by option
    "threat": "threats",
    "attack": "attacks",
    "corruption": "corruptions",
    "severity": "severities",
    "augmentation": "augmentations",
    "fail-under": "gates",
    "limit": "limit",
    "seed": "seed",
    "confidence": "confidence",
    "budget": "budget_gradients",
    "float-images": "float_images",
    "shard-images": "shard_images",
    "skip-checks": "skip_checks",
}


def audit(
    models: Models = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A labelled data set of the server.")
    ] = None,
    images: OwnImages = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    threat: ThreatOption = None,
    attack: AttackOption = None,
    corruption: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help='E.g. fog, or "all"; repeatable.')
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5, help="Of the corruptions; repeatable. Default: all five."),
    ] = None,
    augmentation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help='E.g. rotation, or "all"; repeatable.')
    ] = None,
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
    skip_checks: Annotated[
        bool,
        typer.Option(
            "--skip-checks", help="Leave out the audit's checks of itself: it is then suspect."
        ),
    ] = False,
    fail_under: Bars = None,
    require_valid: Annotated[
        bool,
        typer.Option("--require-valid", help="Exit 7 if the audit's checks of itself doubt it."),
    ] = False,
    html: Output = None,
    json_report: Output = None,
    junit: Output = None,
    parquet: Output = None,
    examples: Output = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Or print the operation's name and do not wait for its end."
        ),
    ] = True,
    resume: Annotated[
        str | None,
        typer.Option(metavar="OPERATION", help="Wait for an audit that runs or has ended."),
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Judge networks under attacks, noise and corruptions, and say whether the judgement can be
    believed.

    Ctrl-C cancels the audit, unless it was taken up by --resume.
    """
    given = words(label, labels)
    files = {
        "html": html,
        "json": json_report,
        "junit": junit,
        "parquet": parquet,
        "examples": examples,
    }
    if not wait and (require_valid or any(files.values())):
        raise typer.BadParameter(
            "there is no report yet: ask for it with --resume", param_hint="--no-wait"
        )
    with session(server, timeout, as_json) as (service, screen):
        options: dict[str, Any] = {
            "threat": _threats(threat or ()),
            "attack": [read(text) for text in attack or ()],
        }
        options |= {
            "fail-under": _gates(fail_under or ()),
            "corruption": corruption or (),
            "severity": severity or (),
        }
        options |= {
            "augmentation": augmentation or (),
            "limit": limit,
            "seed": seed,
            "confidence": confidence,
            "budget": budget,
        }
        options |= {
            "float-images": float_images,
            "shard-images": shard_images,
            "skip-checks": skip_checks,
        }
        _check_usage(models, dataset, images, resume, options | {"label": label, "labels": labels})
        if resume is not None:
            operation = service.operation(resume)
        else:
            settings = {_ARGUMENTS[name]: value for name, value in options.items()}
            operation = service.audit(
                models or (), dataset, **_pictures(service, models or (), images, given), **settings
            )
        if not wait:
            screen.result({"operation": operation.name})
            screen.line(operation.name)
            return
        screen.note(
            f"{operation.name}: to take it up again, striate audit --resume {operation.name}"
        )
        report = _wait(screen, operation, timeout, ours=resume is None)
        _show(screen, report, {form: path for form, path in files.items() if path is not None})
        _judge(report, require_valid)


def _check_usage(
    models: Sequence[str] | None,
    dataset: str | None,
    images: Sequence[Path] | None,
    resume: str | None,
    asked: Mapping[str, object],
) -> None:
    """Raises typer.BadParameter where an audit would be named twice, or not at all, and for
    settings in `asked` that nobody would heed.
    """
    if resume is not None:
        if models or dataset or images:
            raise typer.BadParameter(
                "an audit that runs has its models and images already", param_hint="--resume"
            )
        for name in (name for name, value in asked.items() if value):
            raise typer.BadParameter(
                "an audit that runs has its settings already", param_hint=f"--{name}"
            )
    elif not models:
        raise typer.BadParameter("name at least one model", param_hint="MODEL")
    elif bool(dataset) == bool(images):
        raise typer.BadParameter("give --dataset or --images", param_hint="--dataset")
    elif dataset and (asked["label"] or asked["labels"]):
        raise typer.BadParameter(
            "are those of --images: a data set has its own", param_hint="--label"
        )


def _pictures(
    service: Service, models: Sequence[str], images: Sequence[Path] | None, given: list[str] | None
) -> dict[str, Any]:
    """The arguments for pictures of the caller's own."""
    if not images:
        return {}
    classes = service.model(models[0]).classes
    files, names = (image_files(images), given) if given else class_folders(images)
    return {"images": files, "labels": as_classes(names, classes)}


def _threats(texts: Sequence[str]) -> dict[str, list[float]]:
    threats: dict[str, list[float]] = {}
    for text in texts:
        norm, colon, radii = text.partition(":")
        if not colon:
            raise typer.BadParameter(
                f"{text!r} is not of the form linf:1/255,8/255", param_hint="--threat"
            )
        threats.setdefault(norm, []).extend(fraction(radius) for radius in radii.split(","))
    return threats


def _gates(texts: Sequence[str]) -> dict[str, float]:
    gates: dict[str, float] = {}
    for text in texts:
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
    return gates


def _wait(screen: Screen, operation: Operation, timeout: float | None, ours: bool) -> AuditReport:
    """Waits for the report and tells how far it is: as a bar on a terminal, else by a line for each
    check, and every tenth of the images.
    """
    told, stage = -1, ""
    with screen.bar("audit", estimate=False) as bar:

        def show(progress: Any) -> None:
            nonlocal told, stage
            if not isinstance(progress, AuditProgress):
                return
            left = (
                "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
            )
            bar.update(progress.images_done, progress.images_total, f"{progress.stage}{left}")
            tenth = 10 * progress.images_done // max(1, progress.images_total)
            checks = (
                not progress.images_done and progress.stage != stage
            )  # of the audit on itself, which take their time
            if not screen.is_terminal and (tenth > told or checks):
                told, stage = tenth, progress.stage
                screen.note(
                    f"{progress.images_done} of {progress.images_total} images: "
                    f"{progress.stage}{left}"
                )

        try:
            report = operation.wait(timeout=timeout, on_progress=show)
        except KeyboardInterrupt:
            if ours:
                operation.cancel(timeout=_CANCEL_TIMEOUT)
            raise
    if not isinstance(report, AuditReport):
        raise typer.BadParameter(f"{operation.name} is no audit", param_hint="--resume")
    return report


def duration(seconds: float) -> str:
    """So many seconds for people: "45 s", "12 min", "3 h 5 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _show(screen: Screen, report: AuditReport, files: Mapping[str, Path]) -> None:
    """Write the files, by form, and print the rest."""
    written = {form: str(getattr(report, f"to_{form}")(path)) for form, path in files.items()}
    gates = [asdict(gate) | {"share": gate.share, "missed": gate.missed} for gate in report.gates]
    screen.result(
        {
            "operation": report.operation,
            "verdict": report.verdict,
            "passed": report.passed,
            "gates": gates,
            "files": written,
            "report": report.report,
        }
    )
    screen.table(audit_table.header(report.report), audit_table.rows(report.report))
    if report.gates:
        screen.line("")
        screen.table(audit_table.GATE_HEADER, map(gate_row, report.gates))
    for line in audit_table.failures(report.report):
        screen.line(f"check failed: {line}")
    screen.line(f"{report.verdict}: {report.operation}")
    for path in written.values():
        screen.line(path)


def _judge(report: AuditReport, require_valid: bool) -> None:
    """The exit code: 1 for a gate that failed, or that is open and was measured below its bar; 7
    for a suspect audit, if asked.
    """
    if any(gate.missed for gate in report.gates):
        raise typer.Exit(BAR_MISSED)
    if require_valid and report.verdict != "valid":
        raise typer.Exit(SUSPECT)
