"""The reports of an audit as files, made of its journal in one pass that holds a few shards at a
time.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from interp.audit.conditions import NORMS, condition
from interp.audit.plan import Plan, cells
from interp.audit.report import AuditedNetwork, report
from interp.audit.result import Examples, nearest_examples
from interp.audit.table import rows as image_rows
from service import files as whole_file
from service.audit.journal import REPORT, Shard
from service.audit.run import Audit
from service.audit.spec import VERSIONS, AuditSpec
from service.imaging import png
from service.report import Example, audit_page, json_text, junit, magnified

HTML, JUNIT, IMAGES, EXAMPLES = "report.html", "report.xml", "images.parquet", "examples.parquet"
GALLERY = 6  # images of a network and a threat
GROUP_ROWS, GROUP_BYTES = 8192, 32 * 2**20  # a row group is written when it has either

_EXAMPLE_COLUMNS = {
    "id": pa.int64(),
    "name": pa.string(),
    "label": pa.int64(),
    "network": pa.string(),
    "norm": pa.string(),
    "epsilon": pa.float64(),
    "attack": pa.string(),
    "prediction": pa.int64(),
    "distance": pa.float64(),  # of the image from the clean one, in that norm and pixel units
    "png": pa.binary(),
}


class _Finding(NamedTuple):
    """A check of the audit on itself, as the journal has it."""

    name: str
    status: str
    evidence: str
    source: str


class _GalleryExample(NamedTuple):
    """A candidate for the gallery; the first two decide."""

    epsilon: int
    row: int
    id: int
    label: int
    attack: int
    prediction: int
    norm: float
    clean: NDArray[np.uint8]
    adversarial: NDArray[Any]


def write(audit: Audit) -> None:
    """Write all reports of an audit whose run has ended, `report.json` last, and then let the
    shards go.

    Raises:
        CancelledError: the audit was cancelled.
    """
    job, journal = audit.job, audit.journal
    exhibits: dict[tuple[int, int], list[_GalleryExample]] = defaultdict(list)  # (network, threat)
    with (
        _Table(journal.folder / IMAGES, _image_columns(job.plan), "zstd") as images,
        _Table(journal.folder / EXAMPLES, _EXAMPLE_COLUMNS, "none") as examples,
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="encode") as pool,
    ):
        for first, network, shard in _shards(audit):
            name = job.models[network].name
            images.add(
                image_rows(
                    shard.judged,
                    job.plan,
                    network=name,
                    ids=shard.ids,
                    names=shard.names,
                    labels=shard.labels,
                )
            )
            for threat, found in enumerate(shard.judged.examples):
                for start in range(0, len(found.row), 64):
                    part = found.take(np.arange(start, min(start + 64, len(found.row))))
                    examples.add(_examples(job, name, threat, part, shard, first, pool.map))
                if shard.pixels is not None:
                    best = exhibits[network, threat] + list(_candidates(found, shard, first))
                    exhibits[network, threat] = sorted(best, key=lambda one: one[:2])[:GALLERY]
    told = _report(audit)
    gallery = [
        _shown(job, *place, one) for place, found in sorted(exhibits.items()) for one in found
    ]
    whole_file.write(journal.folder / HTML, audit_page(told, gallery).encode(), durable=True)
    whole_file.write(journal.folder / JUNIT, junit(told).encode(), durable=True)
    whole_file.write(journal.folder / REPORT, json_text(told).encode(), durable=True)
    journal.close()


def _shards(audit: Audit) -> Iterator[tuple[int, int, Shard]]:
    """(first place in the order, network, what was found out) of all that was judged, in order."""
    for number, span in enumerate(audit.job.shards):
        if span.start >= audit.tally.images:
            return
        for network in range(len(audit.job.models)):
            audit.tell("reports")
            shard = audit.journal.read(number, network)
            if shard is None:
                raise RuntimeError(
                    f"shard {number} of network {network} was judged, and cannot be read any more"
                )
            yield span.start, network, shard


def _report(audit: Audit) -> dict[str, Any]:
    job = audit.job
    subjects = []
    for number, model in enumerate(job.models):
        checks = [
            _Finding(*(check[field] for field in _Finding._fields))
            for check in audit.journal.read_checks(number) or ()
        ]
        subjects.append(AuditedNetwork(model.name, model.digest, checks))
    return report(
        audit.tally,
        subjects,
        confidence=job.confidence,
        dataset={
            "name": job.dataset.name,
            "uri": job.dataset.uri,
            "size": len(job.dataset),
            "first_row": 0,
            "images": job.images,
            "order": f"random, seed {job.plan.seed}",
            "classes": list(job.models[0].classes),
        },
        settings={
            "shard_images": job.shard,
            "deterministic_chunk": job.chunk,
            "budget_gradients": job.budget,
        },
        versions=VERSIONS,
        stopped=audit.stopped,
    )


def _image_columns(plan: Plan) -> dict[str, pa.DataType]:
    fixed = {
        "id": pa.int64(),
        "name": pa.string(),
        "label": pa.int64(),
        "network": pa.string(),
        "clean_prediction": pa.int64(),
    }
    measured = {
        name: pa.float64() if name.endswith(" minimal_epsilon") else pa.bool_()
        for name in cells(plan)
    }
    return {**fixed, "clean_correct": pa.bool_(), **measured}


def _examples(
    job: AuditSpec,
    network: str,
    threat: int,
    found: Examples,
    shard: Shard,
    first: int,
    mapped: Callable[..., Iterator[bytes]],
) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Columns of adversarial images."""
    p, epsilons = job.plan.threats[threat]
    places = found.row - first
    return {
        "id": shard.ids[places],
        "name": [shard.names[place] for place in places.tolist()],
        "label": shard.labels[places],
        "network": [network] * len(places),
        "norm": [NORMS[p]] * len(places),
        "epsilon": np.array(epsilons)[found.epsilon],
        "attack": [job.plan.attacks[number].label for number in found.attack.tolist()],
        "prediction": found.prediction,
        "distance": found.norm,
        "png": list(mapped(png, found.images)),
    }


def _candidates(found: Examples, shard: Shard, first: int) -> Iterator[_GalleryExample]:
    assert shard.pixels is not None
    if not len(found.row):
        return
    best = nearest_examples([found], GALLERY)
    columns = (best.epsilon, best.row, best.attack, best.prediction, best.norm)
    for image, (epsilon, row, attack, prediction, norm) in zip(
        best.images, zip(*(c.tolist() for c in columns), strict=True), strict=True
    ):
        place = row - first
        clean = shard.pixels[place].copy()  # a copy: the rest of the shard may go
        yield _GalleryExample(
            epsilon,
            row,
            int(shard.ids[place]),
            int(shard.labels[place]),
            attack,
            prediction,
            norm,
            clean,
            image.copy(),
        )


def _shown(job: AuditSpec, network: int, threat: int, one: _GalleryExample) -> Example:
    model, (p, epsilons) = job.models[network], job.plan.threats[threat]
    perturbation, magnification = magnified(one.clean, one.adversarial)
    return {
        "network": model.name,
        "id": one.id,
        "condition": condition(p, epsilons[one.epsilon]),
        "attack": job.plan.attacks[one.attack].label,
        "label": model.classes[one.label],
        "clean_prediction": model.classes[one.label],  # only images that were right are attacked
        "prediction": model.classes[one.prediction],
        "norm": one.norm,
        "clean_png": png(one.clean),
        "perturbation_png": perturbation,
        "adversarial_png": png(one.adversarial),
        "magnification": magnification,
    }


class _Table:
    """A parquet file that is written a row group at a time, and appears when it is complete. The
    same rows give the same bytes.
    """

    def __init__(self, path: Path, columns: Mapping[str, pa.DataType], compression: str) -> None:
        self._path, self._temporary = path, whole_file.temporary_for(path)
        self._schema = pa.schema(list(columns.items()))
        self._writer = pq.ParquetWriter(
            self._temporary,
            self._schema,
            version="2.6",
            data_page_version="1.0",
            compression=compression,
        )
        self._waiting: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Append rows; what is not a number is stored as null."""
        arrays = [
            pa.array(columns[field.name], field.type, from_pandas=True) for field in self._schema
        ]
        self._waiting.append(pa.table(arrays, schema=self._schema))
        if (
            sum(t.num_rows for t in self._waiting) >= GROUP_ROWS
            or sum(t.nbytes for t in self._waiting) >= GROUP_BYTES
        ):
            self._flush()

    def _flush(self) -> None:
        if rows := sum(table.num_rows for table in self._waiting):
            self._writer.write_table(
                pa.concat_tables(self._waiting).combine_chunks(), row_group_size=rows
            )
        self._waiting = []

    def __enter__(self) -> "_Table":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
            self._writer.close()
            if error is None:
                whole_file.appear(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
