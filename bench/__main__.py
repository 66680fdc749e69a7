"""`make bench`: every figure of the service, as ratios; `python -m bench NAME` runs one of them."""

import argparse
import json
import os
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.accuracy import accuracy
from bench.client_import import client_import
from bench.serving import cancellation, crowd, fgsm_overhead, many_visualizations
from bench.setting import setting

FIGURES = {
    "accuracy": accuracy,
    "client-import": client_import,
    "crowd": crowd,
    "fgsm-overhead": fgsm_overhead,
    "many-visualizations": many_visualizations,
    "cancellation": cancellation,
}
OUT = Path(__file__).parents[1] / "out" / "bench"


def main() -> None:
    """Run the figures asked for, print each as it is done, and keep them in out/bench/results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = Table("figure", "value", "aim", title=f"{args.threads} thread(s) on each side")
    results = {}
    with setting(args.threads) as place:
        for name in args.figures or FIGURES:
            for figure, (value, aim) in FIGURES[name](place).items():
                results[figure] = value
                table.add_row(figure, f"{value:.3g}", aim)
                print(f"{figure}: {value:.4g} ({aim or 'no aim'})", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
