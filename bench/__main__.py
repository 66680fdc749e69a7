"""`make bench`: every figure, as ratios measured in one run; `python -m bench NAME` runs one of
them.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.accuracy import accuracy
from bench.audit_kill import audit_kill
from bench.broken import audits, broken
from bench.client_import import client_import
from bench.crowds import crowds, determinism
from bench.differential import differential
from bench.doors import doors
from bench.ensemble import ensemble
from bench.fairness import fairness
from bench.faults import faults
from bench.figure import Figure
from bench.fuzz.run import fuzz
from bench.gradients import gradients
from bench.indexing import indexing
from bench.l1 import l1
from bench.load.run import endure, load
from bench.loading import loading
from bench.png import png
from bench.recognisable import recognisable
from bench.rendering import rendering
from bench.serving import cancellation, crowd, fgsm_overhead, many_visualizations
from bench.setting import setting
from bench.speed import folding, speed
from bench.square import square_queries
from bench.tracing import tracing
from bench.worth import worth

FIGURES = {
    "accuracy": accuracy,
    "client-import": client_import,
    "crowd": crowd,
    "fgsm-overhead": fgsm_overhead,
    "doors": doors,
    "many-visualizations": many_visualizations,
    "cancellation": cancellation,
    "differential": differential,
    "gradients": gradients,
    "folding": folding,
    "speed": speed,
    "rendering": rendering,
    "square": square_queries,
    "autoattack": ensemble,
    "crowds": crowds,
    "determinism": determinism,
    "png": png,
    "audit-kill": audit_kill,
    "fairness": fairness,
    "faults": faults,
    "audits": audits,
    "broken": broken,
    "indexing": indexing,
    "loading": loading,
    "l1": l1,
    "worth": worth,
    "recognisable": recognisable,
    "fuzz": fuzz,
    "tracing": tracing,
    "endurance": endure,
    "load": load,
}
OUT = Path(__file__).parents[1] / "out" / "bench"


def main() -> None:
    """Run the figures asked for, print each as it is done, and keep them in out/bench/results.json
    beside those of other runs.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument(
        "--images",
        type=int,
        default=None,
        help="of autoattack (512), png (2000); requests of fuzz (20000); classes of recognisable "
        "(16)",
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = Table("figure", "value", "bar", "", title=f"{args.threads} thread(s) on each side")
    results: dict[str, Figure] = {}
    with setting(args.threads, args.images) as place:
        for name in args.figures or FIGURES:
            for what, figure in FIGURES[name](place).items():
                results[what] = figure
                table.add_row(what, f"{figure.value:.4g}", figure.bar, figure.verdict)
                print(
                    (
                        f"{what}: {figure.value:.4g} ({figure.bar or 'no bar'}) "
                        f"{figure.verdict} {figure.note}"
                    ).rstrip(),
                    flush=True,
                )
            keep(results)
    Console().print(table)


def keep(results: dict[str, Figure]) -> None:
    """Write the figures over those of the same names."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "results.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {
        what: {"value": f.value, "bar": f.bar, "verdict": f.verdict, "note": f.note}
        for what, f in results.items()
    }
    path.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
