"""The command that judges networks, for people and for CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._api.operation import Operation
from striate._cli import completion
from striate._cli.arguments import LABELS
from striate._cli.command import command
from striate._cli.exit_codes import BAR_MISSED, SUSPECT
from striate._cli.images import as_classes, class_folders, image_files
from striate._cli.left_out import print_left_out
from striate._cli.operation_progress import AuditDisplay, wait_for
from striate._cli.robustness.audit_options import AUDIT_SETTINGS, REPORT_FILES, option_name
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate._formats import audit_table
from striate.results.audit import AuditReport, gate_row
from striate.service import Service

Uploads = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        metavar="PATH",
        help="Or pictures to upload: files or folders with labels, or a folder of class folders.",
    ),
]


@command(labels=LABELS, settings=AUDIT_SETTINGS, files=REPORT_FILES)
def audit(
    session: Session,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Names of the models, compared with each other.",
            autocompletion=completion.loaded_models,
        ),
    ] = None,
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A labelled data set of the server.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    images: Uploads = None,
    labels: list[str] | None,
    settings: dict[str, Any],
    require_valid: Annotated[
        bool,
        typer.Option("--require-valid", help="Exit 7 if the audit's checks of itself doubt it."),
    ] = False,
    files: Mapping[str, Path],
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
) -> None:
    """Judge networks under attacks, noise and corruptions, and say whether the judgement can be
    believed.

    Ctrl-C cancels the audit, unless it was taken up by --resume.
    """
    if not wait and (require_valid or files):
        raise typer.BadParameter(
            "there is no report yet: ask for it with --resume", param_hint="--no-wait"
        )
    _check_usage(models, dataset, images, labels, resume, settings)
    service, screen = session.service, session.screen
    upload: dict[str, Any] = {}
    if resume is not None:
        operation = service.operation(resume)
    else:
        upload = _upload(service, models or (), images, labels)
        operation = service.audit(models or (), dataset, **upload, **settings)
    if not wait:
        screen.result({"operation": operation.name})
        screen.line(operation.name)
        return
    screen.note(f"{operation.name}: to take it up again, striate audit --resume {operation.name}")
    report = _report(session, operation, cancel=resume is None)
    _print_report(screen, report, _written(report, files), upload.get("images", ()))
    if any(gate.missed for gate in report.gates):
        raise typer.Exit(BAR_MISSED)
    if require_valid and report.verdict != "valid":
        raise typer.Exit(SUSPECT)


def _check_usage(
    models: Sequence[str] | None,
    dataset: str | None,
    images: Sequence[Path] | None,
    labels: Sequence[str] | None,
    resume: str | None,
    settings: Mapping[str, object],
) -> None:
    """Raises typer.BadParameter where an audit would be named twice, or not at all, and for
    settings that nobody would heed.
    """
    if resume is not None:
        _check_resumed(models, dataset, images, labels, settings)
    elif not models:
        raise typer.BadParameter("name at least one model", param_hint="MODEL")
    elif bool(dataset) == bool(images):
        raise typer.BadParameter("give --dataset or --images", param_hint="--dataset")
    elif dataset and labels:
        raise typer.BadParameter(
            "are those of --images: a data set has its own", param_hint="--label"
        )


def _check_resumed(
    models: Sequence[str] | None,
    dataset: str | None,
    images: Sequence[Path] | None,
    labels: Sequence[str] | None,
    settings: Mapping[str, object],
) -> None:
    if models or dataset or images:
        raise typer.BadParameter(
            "an audit that runs has its models and images already", param_hint="--resume"
        )
    for name, value in (*settings.items(), ("label", labels)):
        if value:
            raise typer.BadParameter(
                "an audit that runs has its settings already", param_hint=option_name(name)
            )


def _upload(
    service: Service,
    models: Sequence[str],
    images: Sequence[Path] | None,
    labels: list[str] | None,
) -> dict[str, Any]:
    """The arguments of `Service.audit` for the caller's own pictures."""
    if not images:
        return {}
    classes = service.model(models[0]).classes
    files, names = (image_files(images), labels) if labels else class_folders(images)
    return {"images": files, "labels": as_classes(names, classes)}


def _report(session: Session, operation: Operation, cancel: bool) -> AuditReport:
    """Waits for the report. cancel: Ctrl-C cancels the audit too."""
    with session.screen.bar("audit", estimate=False) as bar:
        display = AuditDisplay(session.screen, bar)
        report = wait_for(operation, session.timeout, display.update, cancel)
    if not isinstance(report, AuditReport):
        raise typer.BadParameter(f"{operation.name} is no audit", param_hint="--resume")
    return report


def _written(report: AuditReport, files: Mapping[str, Path]) -> dict[str, str]:
    """Writes the report's files; returns their paths by form."""
    return {form: str(getattr(report, f"to_{form}")(path)) for form, path in files.items()}


def _print_report(
    screen: Screen, report: AuditReport, files: Mapping[str, str], sent: Sequence[Path]
) -> None:
    """Prints a report, and its images left out under the names of the files that were sent."""
    left_out = [
        replace(image, name=str(sent[image.id])) if image.id < len(sent) else image
        for image in report.left_out
    ]
    gates = [asdict(gate) | {"share": gate.share, "missed": gate.missed} for gate in report.gates]
    screen.result(
        {
            "operation": report.operation,
            "verdict": report.verdict,
            "passed": report.passed,
            "gates": gates,
            "left_out": [asdict(image) for image in left_out],
            "files": files,
            "report": report.report,
        }
    )
    screen.table(audit_table.header(report.report), audit_table.rows(report.report))
    for header, rows in audit_table.further_tables(
        report.report, list(map(gate_row, report.gates))
    ):
        screen.line("")
        screen.table(header, rows)
    for line in audit_table.undefined(report.report):
        screen.line(line)
    for line in audit_table.failures(report.report):
        screen.line(f"check failed: {line}")
    print_left_out(screen, report.images_left_out, left_out)
    screen.line(f"{report.verdict}: {report.operation}")
    for path in files.values():
        screen.line(path)
