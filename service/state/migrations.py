"""How state folders of earlier versions become today's. The operations' database has steps of its
own, see `service.operations.schema`.
"""

from collections.abc import Mapping
from pathlib import Path

from service.state.folder import Migration
from service.state.manifest import MANIFEST, write_manifest


def _give_reports_their_digests(folder: Path) -> None:
    """Of finished audits that were made before reports were held to what was written."""
    for report in (folder / "audits").glob("*/report.json"):
        if not (report.parent / MANIFEST).exists():
            names = [*report.parent.glob("report.*"), *report.parent.glob("*.parquet")]
            write_manifest(report.parent, sorted(path.name for path in names))


# By the version that each leads to. A step may be taken twice: a server may die in its middle.
MIGRATIONS: Mapping[int, Migration] = {2: _give_reports_their_digests}
