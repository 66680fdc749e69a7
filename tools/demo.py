"""`make demo`: the main job on the embedded networks, through the service, as one page of pictures
and figures.

Starts a server of its own on a free port, asks it as any client would, writes PNGs, `results.json`
and a self-contained `index.html`, and stops the server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import striate
from tools import demo_answers as answers
from tools import demo_figure as figure
from tools import demo_page as page
from tools import demo_pictures as pictures
from tools.demo_attacks import attacks
from tools.demo_stage import DIGIT_IMAGES, DIGITS, TWINS, Stage

ROOT = Path(__file__).parents[1]


@contextmanager
def server(data: Path | None) -> Iterator[str]:
    """A server process with the embedded networks and the demo's data sets; gives its address and
    ends it.
    """
    command = [
        str(Path(sys.executable).parent / "striate-server"),
        "--port",
        "0",
        "--log-level",
        "warning",
    ]
    command += ["--dataset", f"{DIGIT_IMAGES}=digits?split=held-out"]
    if data:
        command += [
            "--dataset",
            f"cifar10-test=parquet:{data}/cifar10/test.parquet?classes=cifar10",
        ]
    with tempfile.TemporaryDirectory() as state:
        settings = {
            name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")
        }  # those of another server
        process = subprocess.Popen(
            [*command, "--state-dir", state], stdout=subprocess.PIPE, text=True, env=settings
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("striate listening on "):
                raise SystemExit("the server did not start; what it says stands above")
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=30)


def say(what: str) -> None:
    """Tell who waits what the demo does now."""
    print(f"the demo {what}", flush=True)


def run(out: Path, data: Path | None) -> dict[str, Any]:
    """Make the page in `out` and return the figures."""
    out.mkdir(parents=True, exist_ok=True)
    say("starts a server")
    with server(data) as address, striate.connect(address, timeout=300) as service:
        stage = Stage(service, out, "cifar10-test" if data else "photo-patches")
        say("draws what units, classes, a layer and facets like best, the longest part")
        sections = [pictures.units(stage), pictures.classes(stage)]
        layer, sheet = pictures.layer(stage)
        faceted, facets = pictures.facets(stage)
        sections += [layer, faceted, pictures.composed(stage)]
        say("asks what units answer to and predictions hang on")
        attributed, rows = answers.attributions(stage)
        sections += [
            answers.exemplars(stage),
            answers.filters(stage),
            answers.activations(stage),
            attributed,
            pictures.dossier(stage),
        ]
        say("attacks the networks")
        sections.append(attacks(stage, DIGITS, DIGIT_IMAGES))
        sections += [attacks(stage, name, stage.scene) for name in TWINS]
        stage.results["service_version"] = service.version
    figure.compose(sheet, facets, rows).save(out / "interpret.png", optimize=True)
    (out / "results.json").write_text(json.dumps(stage.results, indent=2) + "\n")
    (out / "index.html").write_text(page.html(sections))
    return stage.results


def main() -> None:
    """Run the demo and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    args = parser.parse_args()
    data = Path(os.environ.get("STRIATE_DATA", ""))
    has_cifar = (data / "cifar10" / "test.parquet").is_file()
    started = time.monotonic()
    results = run(args.out, data if has_cifar else None)
    table = Table(
        "network",
        "attack",
        "epsilon",
        "clean",
        "under attack",
        "under noise",
        title="Share of images still right",
    )
    for r in results["rates"]:
        shares = [
            f"{r[key]:.0%}"
            for key in ("clean_accuracy", "robust_accuracy", "noise_robust_accuracy")
        ]
        table.add_row(r["model"], r["attack"], r["epsilon"], *shares)
    console = Console()
    console.print(table)
    if not has_cifar:
        console.print(
            "The twins were attacked on photo-patches with their own predictions as "
            "labels; set STRIATE_DATA for CIFAR-10."
        )
    console.print(f"{time.monotonic() - started:.0f} s; the page is {args.out / 'index.html'}")
    console.print("Every unit, live in the browser: make serve, then http://127.0.0.1:8080")


if __name__ == "__main__":
    main()
