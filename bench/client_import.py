"""How long `import striate` takes in a fresh interpreter."""

import statistics
import subprocess
import sys

from bench.figure import Figure, Figures
from bench.setting import Setting

_PROGRAM = "import time; t = time.perf_counter(); import striate; print(time.perf_counter() - t)"


def client_import(place: Setting) -> Figures:
    """Median of nine imports, in seconds."""
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(9)
    ]
    return {"client import, seconds": Figure(statistics.median(times), at_most=0.6)}
