"""`make demo`: the main job on the embedded networks, through the service, as one page of pictures and figures.

Starts a server of its own on a free port, asks it as any client would, writes PNGs, `results.json` and a self-contained
`index.html`, and stops the server.
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

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import striate
from tools import demo_page as page

ROOT = Path(__file__).parents[1]
TWINS = ("cifar10-plain", "cifar10-robust")
UNITS = [f"{layer}:{unit}" for layer in ("relu", "layer1.1", "layer2.0") for unit in (3, 9, 17, 29)]
INDEXED = [f"{layer}:{unit}" for layer in ("relu", "layer1.1", "layer2.0") for unit in (3, 17)]
EPSILONS = (1, 2, 4, 8)  # levels of 255
DIGIT_EPSILONS = (8, 16, 32, 64)  # strokes are coarser than textures
SHOWN = 16  # images attacked on the page
MEASURED = 128  # images behind a rate


@contextmanager
def server(data: Path | None) -> Iterator[str]:
    """A server process with the embedded networks and the demo's data sets; gives its address and ends it."""
    command = [str(Path(sys.executable).parent / "striate-server"), "--port", "0", "--log-level", "warning"]
    command += ["--dataset", "digits-held-out=digits?split=held-out"]
    if data:
        command += ["--dataset", f"cifar10-test=parquet:{data}/cifar10/test.parquet?classes=cifar10"]
    with tempfile.TemporaryDirectory() as state:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")}  # those of another server
        process = subprocess.Popen([*command, "--state-dir", state], stdout=subprocess.PIPE, text=True, env=settings)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("striate listening on "):
                raise SystemExit("the server did not start; what it says stands above")
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=30)


class Demo:
    """Everything the page shows, section by section; `results` collects the figures."""

    def __init__(self, service: striate.Service, out: Path, with_cifar: bool) -> None:
        self.service, self.out, self.with_cifar = service, out, with_cifar
        self.results: dict[str, Any] = {"rates": []}
        self.scene = "cifar10-test" if with_cifar else "photo-patches"

    def visualizations(self) -> page.Section:
        """Twelve units of three depths on each twin."""
        section = page.Section(
            "What each unit sees",
            "Twelve channels of three depths, each with the picture that activates it most, found by gradient ascent from noise. "
            "Above the plainly trained network, below its adversarially trained twin.",
        )
        self.results["visualizations"] = {}
        pictures = []
        for name in TWINS:
            found = self.service.model(name).visualize(UNITS, steps=256, seed=0)
            for unit in found:
                unit.save(self.out / f"unit-{name}-{unit.objective.replace(':', '-')}.png")
            section.row(name, [(v.png, f"{v.objective}\nactivation {v.activation:.2f}") for v in found])
            self.results["visualizations"][name] = {v.objective: v.activation for v in found}
            pictures += [v.image for v in found]
        page.sheet(pictures, columns=len(UNITS)).save(self.out / "units.png")
        return section

    def classes(self) -> page.Section:
        """What each twin takes for the ideal member of each class."""
        section = page.Section("What each class looks like", "The same ascent on the ten class logits.")
        pictures = []
        for name in TWINS:
            net = self.service.model(name)
            found = net.visualize([f"logits:{i}" for i in range(len(net.classes))], steps=256, seed=0)
            for label, picture in zip(net.classes, found, strict=True):
                picture.save(self.out / f"class-{name}-{label}.png")
            section.row(name, [(v.png, label) for label, v in zip(net.classes, found, strict=True)])
            pictures += [v.image for v in found]
        page.sheet(pictures, columns=len(pictures) // len(TWINS)).save(self.out / "classes.png")
        return section

    def filters(self) -> page.Section:
        """The first layers."""
        section = page.Section(
            "The first layer", "The weights of the first convolution, each filter in its own range: mid-gray is zero.", zoom=1
        )
        for name in (*TWINS, "digits-lenet5"):
            filters = self.service.model(name).filters()
            filters.save(self.out / f"filters-{name}.png")
            section.row(name, [(filters.png, f"{filters.layer}: {filters.weights.shape[0]} filters")])
        return section

    def exemplars(self) -> page.Section:
        """The top nine of six units, after a pass over a data set."""
        name = TWINS[0]
        layers = sorted({unit.split(":")[0] for unit in INDEXED})
        report = self.service.build_index(name, dataset=self.scene, layers=layers).wait()
        section = page.Section(
            "What each unit answers to",
            f"The nine images of “{self.scene}” ({report.images} scanned) on which a unit of {name} is most active, each cut to the "
            "unit's receptive field there.",
        )
        self.results["exemplars"] = {"dataset": self.scene, "images": report.images, "units": {}}
        net = self.service.model(name)
        for unit in INDEXED:
            found = net.exemplars(unit, k=9, dataset=self.scene)
            found.save(self.out / f"exemplars-{unit.replace(':', '-')}")
            section.row(unit, [(e.crop_png, f"{e.activation:.2f} {e.label_name}".strip()) for e in found])
            self.results["exemplars"]["units"][unit] = [{"id": e.id, "activation": e.activation} for e in found]
        return section

    def attacks(self, name: str, dataset: str) -> page.Section:
        """FGSM and PGD at several epsilons beside equal-norm noise: pictures of 16 images, rates over 128."""
        net = self.service.model(name)
        info = next(d for d in self.service.datasets(model=name) if d.name == dataset)
        # A data set may be sorted by class: both the images measured and the first of them, which are shown, come from all parts.
        order = sorted(range(MEASURED), key=lambda number: number % (MEASURED // SHOWN))
        spread = [number * info.size // MEASURED for number in order]
        samples = [self.service.samples(dataset, first=first, count=1)[0] for first in spread]
        labels = [info.class_indices[s.label] for s in samples if s.label is not None] if info.labelled else None
        what = "true labels" if labels else "the network's own predictions as labels, for want of true ones"
        section = page.Section(
            f"What fools {name}",
            f"{SHOWN} of {len(samples)} images of “{dataset}”, {what}. Noise: random signs of the same size on the same images.",
        )
        images = [s.encoded for s in samples]
        clean = net.attack(images[:SHOWN], None, striate.FGSM(0), format="png").images  # as the network sees them
        epsilons = DIGIT_EPSILONS if name == "digits-lenet5" else EPSILONS
        for levels in epsilons:
            found = {}
            for kind, attack in (("FGSM", striate.FGSM(levels / 255)), ("PGD", striate.PGD(levels / 255, steps=20))):
                found[kind] = net.attack(images, labels, attack, seed=0, noise_control=True, format="png")
                found[kind].save(self.out / f"{kind.lower()}-{name}-{levels}")
                self._rate(name, dataset, levels, found[kind], bool(labels))
            if levels in epsilons[1::2]:
                self._attack_rows(section, net, found, clean, levels)
        section.table(page.rates([r for r in self.results["rates"] if r["model"] == name]))
        return section

    def _rate(self, name: str, dataset: str, levels: int, found: striate.AttackResult, true_labels: bool) -> None:
        self.results["rates"].append(
            {
                "model": name,
                "dataset": dataset,
                "labels": "true" if true_labels else "the network's own predictions",
                "attack": type(found.attack).__name__,
                "epsilon": f"{levels}/255",
                "images": len(found),
                "clean_accuracy": found.clean_accuracy,
                "robust_accuracy": found.robust_accuracy,
                "noise_robust_accuracy": found.noise_robust_accuracy,
                "gradients": found.gradients,
            }
        )

    def _attack_rows(
        self, section: page.Section, net: striate.Model, found: dict[str, striate.AttackResult], clean: NDArray[np.float32], levels: int
    ) -> None:
        pgd = found["PGD"]
        assert pgd.noise_predictions is not None
        truth = [net.classes[i] for i in pgd.labels[:SHOWN]]
        section.row("clean", list(zip(page.pngs(clean), truth, strict=True)))
        shown = [(f"{kind} {levels}/255", result.images[:SHOWN], result.predictions) for kind, result in found.items()]
        shown.append((f"noise {levels}/255", page.noisy(clean, levels / 255), pgd.noise_predictions))
        for name, pixels, predictions in shown:
            says = [net.classes[i] for i in predictions[:SHOWN]]
            section.row(name, list(zip(page.pngs(pixels), says, strict=True)), [a != b for a, b in zip(says, truth, strict=True)])
        magnified = np.clip(0.5 + (pgd.images[:SHOWN] - clean) * (255 / levels) / 2, 0, 1).astype(np.float32)
        section.row("PGD's change, magnified", [(png, "") for png in page.pngs(magnified)])


def run(out: Path, data: Path | None) -> dict[str, Any]:
    """Make the page in `out` and return the figures."""
    out.mkdir(parents=True, exist_ok=True)
    with server(data) as address, striate.connect(address, timeout=300) as service:
        demo = Demo(service, out, data is not None)
        sections = [demo.visualizations(), demo.classes(), demo.filters(), demo.exemplars()]
        sections.append(demo.attacks("digits-lenet5", "digits-held-out"))
        sections += [demo.attacks(name, demo.scene) for name in TWINS]
        demo.results["service_version"] = service.version
    (out / "results.json").write_text(json.dumps(demo.results, indent=2) + "\n")
    (out / "index.html").write_text(page.html(sections))
    return demo.results


def main() -> None:
    """Run the demo and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    args = parser.parse_args()
    data = Path(os.environ.get("STRIATE_DATA", ""))
    has_cifar = (data / "cifar10" / "test.parquet").is_file()
    started = time.monotonic()
    results = run(args.out, data if has_cifar else None)
    table = Table("network", "attack", "epsilon", "clean", "under attack", "under noise", title="Share of images still right")
    for r in results["rates"]:
        shares = [f"{r[key]:.0%}" for key in ("clean_accuracy", "robust_accuracy", "noise_robust_accuracy")]
        table.add_row(r["model"], r["attack"], r["epsilon"], *shares)
    console = Console()
    console.print(table)
    if not has_cifar:
        console.print("The twins were attacked on photo-patches with their own predictions as labels; set STRIATE_DATA for CIFAR-10.")
    console.print(f"{time.monotonic() - started:.0f} s; the page is {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
