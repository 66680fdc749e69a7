"""The reports of an audit as files, made of its journal in one pass that holds a few shards at a
time.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from interp.audit.answered import check_answered, failed_images
from interp.audit.conditions import NORMS
from interp.audit.corruption_error import Reference
from interp.audit.findings import finder_name
from interp.audit.plan import Plan, column_names
from interp.audit.report import AuditedNetwork, report
from interp.audit.result import Examples
from interp.audit.table import FAILURE
from interp.audit.table import rows as image_rows
from service import files as whole_file
from service.audit.gallery import GALLERY, GalleryExample, candidates, gallery_entry
from service.audit.journal import REPORT, Shard
from service.audit.parquet_file import ParquetFile
from service.audit.run import AuditRun
from service.audit.spec import VERSIONS, AuditSpec
from service.datasets.samples import summary
from service.imaging import png
from service.models.zoo import HostedModel
from service.report import audit_page, json_text, junit
from service.state.manifest import write_manifest

HTML, JUNIT, IMAGES, EXAMPLES = "report.html", "report.xml", "images.parquet", "examples.parquet"

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


COMPANY = "company"  # the check of what a network gives to an image alone and beside others


class _StoredCheck(NamedTuple):
    """A check of the audit on itself, as the journal has it."""

    name: str
    status: str
    evidence: str
    source: str


def write_reports(audit: AuditRun) -> None:
    """Write all reports of an audit whose run has ended, `report.json` last, and then let the
    shards go.

    Args:
        audit: whose run has ended.

    Raises:
        CancelledError: the audit was cancelled.
    """
    job, journal = audit.job, audit.journal
    gallery_examples: dict[tuple[int, int], list[GalleryExample]] = defaultdict(
        list
    )  # (network, threat)
    failed: dict[int, list[str]] = defaultdict(list)  # of a network, images without an answer
    with (
        ParquetFile(journal.folder / IMAGES, _image_columns(job.plan), "zstd") as images,
        ParquetFile(journal.folder / EXAMPLES, _EXAMPLE_COLUMNS, "none") as examples,
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="encode") as pool,
    ):
        for first, network, shard in _shards(audit):
            model, plan = job.judged[network]
            name = model.name
            left_out: dict[str, Any] = dict.fromkeys(
                column_names(job.plan), [None] * len(shard.ids)
            )
            images.add(
                left_out  # of a reference that is shown less than the others
                | image_rows(
                    shard.judged,
                    plan,
                    network=name,
                    ids=shard.ids,
                    names=shard.names,
                    labels=shard.labels,
                    first=first,
                )
            )
            failed[network] += failed_images(shard.judged, shard.ids, shard.names)
            answered = shard.judged.answered
            for threat, every in enumerate(shard.judged.examples):
                found = every.take(answered[every.row - first].nonzero()[0])
                for start in range(0, len(found.row), 64):
                    part = found.take(np.arange(start, min(start + 64, len(found.row))))
                    examples.add(_examples(job, name, threat, part, shard, first, pool.map))
                if shard.pixels is not None:
                    best = gallery_examples[network, threat] + list(candidates(found, shard, first))
                    gallery_examples[network, threat] = sorted(best, key=lambda one: one[:2])[
                        :GALLERY
                    ]
    result = _report(audit, failed)
    gallery = [
        gallery_entry(job, *place, one)
        for place, found in sorted(gallery_examples.items())
        for one in found
    ]
    text = json_text(result).encode()
    whole_file.write(journal.folder / HTML, audit_page(result, gallery).encode(), durable=True)
    whole_file.write(journal.folder / JUNIT, junit(result).encode(), durable=True)
    write_manifest(
        journal.folder,
        (HTML, JUNIT, IMAGES, EXAMPLES),
        {REPORT: hashlib.sha256(text).hexdigest()},
    )
    whole_file.write(journal.folder / REPORT, text, durable=True)
    journal.close()


def _shards(audit: AuditRun) -> Iterator[tuple[int, int, Shard]]:
    """(first place in the order, network, what was found out) of all that was judged, in order."""
    for number, span in enumerate(audit.job.shards[: audit.shards_counted]):
        for network in range(len(audit.job.judged)):
            audit.report_stage("reports")
            shard = audit.journal.read(number, network)
            if shard is None:
                raise RuntimeError(
                    f"shard {number} of network {network} was judged, and cannot be read any more"
                )
            yield span.start, network, shard


def _company(model: HostedModel) -> list[_StoredCheck]:
    """A check that failed when the model was loaded: an image is not answered by itself."""
    doubt = model.network.company_doubt
    return [_StoredCheck(COMPANY, "failed", doubt, "")] if doubt else []


def _answered(failed: Sequence[str], images: int) -> list[_StoredCheck]:
    """A check of the images that count nowhere, if there are any."""
    if not failed:
        return []
    found = check_answered(failed, images)
    return [_StoredCheck(found.name, found.status, found.evidence, found.source)]


def _report(audit: AuditRun, failed: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    job = audit.job
    networks = []
    for number, model in enumerate(job.models):
        checks = [
            _StoredCheck(*(check[field] for field in _StoredCheck._fields))
            for check in audit.journal.read_checks(number) or ()
        ]
        checks += _company(model) + _answered(failed.get(number, ()), audit.tally.images)
        networks.append(AuditedNetwork(model.name, model.digest, checks))
    return report(
        audit.tally,
        networks,
        confidence=job.confidence,
        dataset={
            "name": job.dataset.name,
            "uri": job.dataset.uri,
            "size": len(job.dataset),
            "first_row": 0,
            "images": job.images,
            "left_out": summary(audit.left_out),
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
        mce_reference=_mce_reference(job.mce_reference),
    )


def _mce_reference(model: HostedModel | None) -> Reference | None:
    if model is None:
        return None
    return Reference(model.name, model.digest, model.network.company_doubt)


def _image_columns(plan: Plan) -> dict[str, pa.DataType]:
    fixed = {
        "id": pa.int64(),
        "name": pa.string(),
        "label": pa.int64(),
        "network": pa.string(),
        "clean_prediction": pa.int64(),
    }
    kinds = {"minimal_epsilon": pa.float64(), "found_by": pa.string()}
    measured = {name: kinds.get(name.rpartition(" ")[2], pa.bool_()) for name in column_names(plan)}
    return {**fixed, "clean_correct": pa.bool_(), **measured, FAILURE: pa.string()}


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
        "attack": [
            finder_name(job.plan, threat, finder, under)
            for finder, under in zip(found.finder.tolist(), found.under.tolist(), strict=True)
        ],
        "prediction": found.prediction,
        "distance": found.norm,
        "png": list(mapped(png, found.images)),
    }
